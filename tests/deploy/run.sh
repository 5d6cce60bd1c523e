#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Ansible role and the Puppet module, as TAP, with the real ansible-core and puppet in a Debian that systemd-nspawn
# boots: guest.sh, which runs in there. As root in the build directory, or "make check-deploy".
#
# Environment: as of tests/systemd/run.sh, which does the work.
set -u

suite=deploy
# (debootstrap does not find who provides a virtual package: python3-cffi-backend.)
packages=init-system-helpers,ansible-core,python3-cffi-backend,openssh-server,openssh-client,sudo
packages=$packages,python3-apt,puppet-agent,minisign
seconds=1500

# A repository with the package, for the guest to install it from as from any other.
prepare_host() {
  install_tools dh debhelper dpkg-buildpackage dpkg-dev
  make deb >"$work/deb.log" 2>&1 </dev/null || { tail -n 20 "$work/deb.log" | sed 's/^/# /'; broken "make deb"; }
  mkdir -p "$work/repo" && cp packages/deb/mcr_0*.deb "$work/repo/" &&
    (cd "$work/repo" && dpkg-scanpackages . >Packages 2>../scan.log) || broken "no repository"
}

prepare_guest() {
  mkdir -p "$root/test" && cp -R "$work/repo" "$srcdir/contrib/ansible" "$srcdir/contrib/puppet" "$root/test/" &&
    echo 'deb [trusted=yes] file:/test/repo ./' >"$root/etc/apt/sources.list" &&
    ln -sf /dev/null "$root/etc/systemd/system/puppet.service"
}

. "$(dirname "$0")/../systemd/run.sh"
