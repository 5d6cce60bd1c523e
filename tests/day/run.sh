#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A new user's day, as TAP: on a bare Debian that systemd-nspawn boots, all is installed by apt, the docs are followed,
# Ansible pushes files, and Prometheus scrapes: guest.sh, which runs in there. As root in the build directory, or "make
# check-day". The guest has no network, so apt's lists, and the packages that it will ask for, are put in before.
#
# Environment: as of tests/systemd/run.sh, which does the work; MCR_TRANSCRIPT, a file that gets what was typed and
# seen.
set -u

suite=day
packages=procps # as on every installed Debian
libraries=no
seconds=900

# What the guest installs besides mcr, and what mcr recommends.
TOOLS="ansible-core python3-apt curl git graphviz jq minisign nftables prometheus prometheus-node-exporter tcpdump tmux"

prepare_host() {
  install_tools dh debhelper dpkg-buildpackage dpkg-dev
  make deb >"$work/deb.log" 2>&1 </dev/null || { tail -n 20 "$work/deb.log" | sed 's/^/# /'; broken "make deb"; }
}

# Downloads are kept beside the bare Debian.
prepare_guest() {
  archives=$root/var/cache/apt/archives
  mkdir -p "$cache/archives" "$root/test" && cp -al "$cache/archives/." "$archives/" &&
    cp packages/deb/mcr_0*.deb "$srcdir/docs/quickstart.md" "$root/test/" && echo "$TOOLS" >"$root/test/tools" &&
    echo '127.0.0.1 localhost' >"$root/etc/hosts" &&
    apt_proxy && timeout -k 5 $DEBOOTSTRAP_SECONDS chroot "$root" sh -c 'apt-get -q update &&
      apt-get -q install -y --download-only /test/mcr_0*.deb &&
      apt-get -q install -y --no-install-recommends --download-only '"$TOOLS" \
      </dev/null >"$work/download.log" 2>&1 || return 1
  cp -alf "$archives/." "$cache/archives/"
}

. "$(dirname "$0")/../systemd/run.sh"
result=$?
[ -z "${MCR_TRANSCRIPT:-}" ] || cp "$root/test/transcript" "$MCR_TRANSCRIPT"
exit $result
