#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tarball and the packages, as TAP: made twice from one commit, they are the same, byte for byte. The second time
# another user makes them, with another path, umask, host name, locale and time zone, 400 days later.
#
# Run it as root in any directory, or as "make check-same". It makes what is committed: what a checkout has changed since
# is not in it. Where there is no checkout, the files as they are. Where two results differ, diffoscope tells how, or else
# a comparison of what is in them.
#
# Environment: srcdir, the top of the sources; MCR_SAME, what to make ("deb rpm"; "dist" makes the tarball alone, which both
# begin with); MCR_KEEP=1 keeps what was made.
set -u

LC_ALL=${LC_ALL:-C}
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH
unset MAKEFLAGS MFLAGS MAKELEVEL SOURCE_DATE_EPOCH CC CFLAGS CPPFLAGS LDFLAGS TAR_OPTIONS XZ_OPT
# What a system with RPM has in its macros.
RPM_DIRECTORIES="--define '_unitdir /lib/systemd/system' --define '_sysusersdir /usr/lib/sysusers.d' \
  --define '_tmpfilesdir /usr/lib/tmpfiles.d'"
MAKE_SECONDS=1800
DIFF_SECONDS=300
DIFF_LINES=40
OTHER_USER=54321
targets=${MCR_SAME:-deb rpm}

# DIRECTORY, with the sources in mcr/: makes all of it in build/.
packages() {
  cd "$1/build" && HOME=$1/tmp TMPDIR=$1/tmp && export HOME TMPDIR || return 1
  # A tarball has its configure; one of a checkout is made each time.
  [ -e ../mcr/COMMIT ] || (cd ../mcr && autoreconf -fi) || return 1
  # shellcheck disable=SC2086 # words
  ../mcr/configure -q && make -s $targets RPMBUILD_FLAGS="--nodeps $RPM_DIRECTORIES"
}

if [ "${1:-}" = packages ]; then
  packages "$2" 2>&1
  exit
fi

LC_ALL=C
umask 022
srcdir=$(cd "$srcdir" && pwd) || exit 99
work=$(mktemp -d /var/tmp/mcr-same.XXXXXX) || exit 99
if [ "${MCR_KEEP:-}" = 1 ]; then echo "# in $work"; else trap 'rm -rf --one-file-system "$work"' EXIT; fi
chmod 755 "$work"
# Where the other user can read it.
cp "$0" "$work/same.sh" || exit 99
here=$work/a
there=$work/another/longer-path.b

# shellcheck source=tests/tools.sh
. "$srcdir/tests/tools.sh"

[ "$(id -u)" = 0 ] || skip "not root"
install_tools autoreconf autoconf automake automake dh debhelper dpkg-buildpackage dpkg-dev rpmbuild rpm cpio cpio \
  faketime faketime

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

# DIRECTORY: gets the sources.
sources() {
  mkdir -p "$1/tmp" "$1/build" && if [ -e "$srcdir/COMMIT" ]; then
    mkdir "$1/mcr" && tar -C "$srcdir" --exclude=./build -c . | tar -C "$1/mcr" -xp
  else
    git clone -q --depth 1 "file://$(git -C "$srcdir" rev-parse --show-toplevel)" "$1/mcr"
  fi
}

# COMMAND...: its last lines, when it fails. The last line of dpkg-buildpackage and rpmbuild seldom says why.
logged() {
  timeout -k 5 $MAKE_SECONDS "$@" >"$work/log" 2>&1 </dev/null || { tail -n 60 "$work/log"; return 1; }
}

make_here() {
  sources "$here" && sources "$there" && logged env TZ=XYZ+11 sh "$work/same.sh" packages "$here"
}

# shellcheck disable=SC2016 # the inner shell's
make_there() {
  chown -R $OTHER_USER:$OTHER_USER "$there" &&
    logged env LC_ALL=C.UTF-8 TZ=XYZ-13:30 unshare --uts sh -c 'hostname elsewhere && umask 077 &&
      exec setpriv --reuid "$1" --regid "$1" --clear-groups faketime -f +400d sh "$0" packages "$2"' \
      "$work/same.sh" $OTHER_USER "$there"
}

# FILE DIRECTORY: what is in it.
unpack() {
  mkdir -p "$2" && case $1 in
    *.deb) dpkg-deb -R "$1" "$2" ;;
    *.rpm) rpm -qp --dump "$1" >"$2/RPM" && rpm -qp --xml "$1" >>"$2/RPM" && rpm2cpio "$1" | (cd "$2" && cpio -idm --quiet) ;;
    *.tar.*) tar -C "$2" -xf "$1" ;;
    *) cp "$1" "$2/" ;;
  esac
}

# FILE, below both: is there twice, and the same.
same() {
  cmp "$here/build/$1" "$there/build/$1" && return
  if command -v diffoscope >/dev/null; then
    timeout $DIFF_SECONDS diffoscope --text - "$here/build/$1" "$there/build/$1" 2>&1 | head -n $DIFF_LINES
  else
    unpack "$here/build/$1" "$work/unpacked/a" && unpack "$there/build/$1" "$work/unpacked/b" &&
      (cd "$work/unpacked" && diff -r a b) | head -n $DIFF_LINES
    rm -rf "$work/unpacked"
  fi
  return 1
}

[ -e "$srcdir/COMMIT" ] || [ -z "$(git -C "$srcdir" status --porcelain -uno)" ] || echo "# what is not committed is left out"
ok "make $targets" make_here
ok "make $targets, elsewhere, 400 days later, by another user" make_there
# What says when and where it was made (.changes, .buildinfo, the header of a source RPM) is not one of them.
if [ "$failed" -eq 0 ]; then
  cd "$here/build" && for file in mcr-*.tar.xz packages/deb/*.tar.xz packages/deb/*.dsc packages/deb/*.deb packages/rpm/RPMS/*/*.rpm; do
    [ ! -e "$file" ] || ok "$file is the same" same "$file"
  done
fi
plan
