#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The packages, as TAP: "make deb" and "make rpm", lintian and rpmlint, and the life of the Debian package in a Debian
# that systemd-nspawn boots: guest.sh, which runs in there. As root in the build directory, or "make check-packages".
#
# Environment: as of tests/systemd/run.sh, which does the work.
set -u

suite=packages
packages=init-system-helpers
seconds=240

# What a system with RPM has in its macros.
RPM_DIRECTORIES="--define '_unitdir /lib/systemd/system' --define '_sysusersdir /usr/lib/sysusers.d' \
  --define '_tmpfilesdir /usr/lib/tmpfiles.d'"

# NAME COMMAND...: runs it here; the guest tells what came of it.
verdict() {
  name=$1
  shift
  "$@" >"$work/host/$name.log" 2>&1 </dev/null
  echo $? >"$work/host/$name.status"
}

# rpmlint knows neither a package that is not signed yet, nor a Debian that built it, nor that mcr.conf(5) is no folder;
# and takes mcr-doc for the package of a language.
lint_rpm() {
  rpmlint packages/rpm/RPMS/*/*.rpm "$srcdir/contrib/rpm/mcr.spec" >"$work/rpmlint.log" 2>&1
  known='no-(signature|packager-tag|group-tag|buildroot-tag|manual-page-for-binary)|unstripped-binary-or-object'
  known="$known|manpage-not-compressed|invalid-url Source0:|invalid-license Apache-2.0|empty-%"
  known="$known|bad-manual-page-folder /usr/share/man/man5/mcr.conf.5"
  known="$known|no-dependency-on locales-doc"
  grep '^mcr.*: [EW]: ' "$work/rpmlint.log" | grep -vE " ($known)"
  [ $? -eq 1 ] && grep -q '2 packages and 1 specfiles checked' "$work/rpmlint.log"
}

# What both install is the same, apart from documentation and each system's own.
same_files() {
  dpkg-deb --fsys-tarfile packages/deb/mcr_*.deb | tar -t | sed -e 's/^\.//' -e 's/\.gz$//' |
    grep -vE '/$|/share/(doc|lintian)/|/etc/needrestart/' | sort >"$work/deb.files"
  rpm -qpl packages/rpm/RPMS/*/*.rpm | sed 's/\.gz$//' | grep -vE '/share/(doc|licenses)/|/\.build-id' |
    sort >"$work/rpm.all"
  # Directories have something below them.
  while read -r file; do
    grep -qF "$file/" "$work/rpm.all" || echo "$file"
  done <"$work/rpm.all" | grep -vxE '/etc/mcr|/usr/share/mcr|/usr/libexec/mcr' >"$work/rpm.files"
  [ -s "$work/deb.files" ] && diff "$work/deb.files" "$work/rpm.files" &&
    [ "$(rpm -qpc packages/rpm/RPMS/*/*.rpm | grep .)" = /etc/mcr/mcr.conf ]
}

# A later version, whose conffile has changed.
next_version() {
  rm -rf "$work/next" && dpkg-deb -R packages/deb/mcr_0*.deb "$work/next" &&
    sed -i 's/^Version: .*/&+next/' "$work/next/DEBIAN/control" &&
      echo '# The next version.' >>"$work/next/etc/mcr/mcr.conf" &&
    dpkg-deb --root-owner-group -b "$work/next" "$work/host/next.deb" && rm -r "$work/next"
}

prepare_host() {
  install_tools dh debhelper dpkg-buildpackage dpkg-dev lintian lintian rpmbuild rpm rpmlint rpmlint
  mkdir -p "$work/host"
  make deb >"$work/deb.log" 2>&1 </dev/null || { tail -n 20 "$work/deb.log" | sed 's/^/# /'; broken "make deb"; }
  cp packages/deb/mcr_0*.deb "$work/host/first.deb" && next_version >"$work/next.log" 2>&1 || broken "no packages"
  verdict lintian lintian --fail-on error,warning packages/deb/*.changes
  verdict rpmbuild make rpm RPMBUILD_FLAGS="--nodeps $RPM_DIRECTORIES"
  verdict rpmlint lint_rpm
  verdict files same_files
}

prepare_guest() {
  mkdir -p "$root/test" && cp -R "$work/host" "$root/test/"
}

. "$(dirname "$0")/../systemd/run.sh"
