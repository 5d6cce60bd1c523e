#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mcrd under a real systemd, as TAP: what "make install" installs, in a Debian that systemd-nspawn boots. The tests
# themselves are guest.sh, which runs in there.
#
# Run it as root in the build directory, or as "make check-systemd". It installs debootstrap and systemd-nspawn when
# they are missing, and skips where that, or booting, cannot be done. The bare Debian is kept in tests/systemd/cache of
# the build directory; all else is removed.
#
# All that this starts lives in a process and mount namespace and in a control group of its own: when this ends, by
# whatever signal, the processes and mounts are gone with it. What lies on the disk, the next run removes.
#
# Other tests in a booted guest source this: tests/packages, tests/deploy, tests/day. They set `suite`, the name of their
# directory; `packages`, what their guest has besides; `libraries=no` where apt is to bring those that the programs need;
# `seconds`, how long it may take; and the functions prepare_host, before
# anything is made, and prepare_guest, which fills $root. The guest runs /test/guest.sh.
#
# Environment: srcdir, the top of the sources; MCR_DEBIAN_MIRROR; MCR_KEEP=1 keeps the root and its journal;
# MCR_RELEASE=trixie boots that Debian, whose systemd is another one, and builds the programs in there.
set -u

LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH
umask 022
unset MAKEFLAGS MFLAGS MAKELEVEL NOTIFY_SOCKET
here=$(cd "$(dirname "$0")" && pwd)
build=$(pwd)
suite=${suite:-systemd}
cache=$build/tests/$suite/cache
work=$build/tests/$suite/work
root=$work/root

# Seconds that each step may take.
DEBOOTSTRAP_SECONDS=${DEBOOTSTRAP_SECONDS:-300}
INSTALL_SECONDS=120
BUILD_SECONDS=900
GUEST_SECONDS=${seconds:-200}

# shellcheck source=tests/tools.sh
. "$here/../tools.sh"

# The guest's /tmp and /run are its own, and the units see no home directory: what is installed there is not found.
prefix=
[ "$suite" != systemd ] || prefix=$(sed -n 's/^prefix = //p' Makefile)
case $prefix in
  /tmp/* | /var/tmp/* | /run/* | /home/* | /root/*) skip "the units cannot see programs below $prefix" ;;
esac

# --- what is needed ---

# The packages of the shared libraries that the programs need; for another Debian, those that it takes to build them.
libraries() {
  [ "${libraries:-yes}" = yes ] || return 0
  if [ "$release" != "$VERSION_CODENAME" ]; then
    sed -n '/^packages_build=(/,/)/p' "$srcdir/bootstrap.sh" | sed 's/packages_build=//' | tr -d '()' | tr -s ' ' '\n' | grep .
    return
  fi
  ldd src/mcrd src/mcrstat src/mcrgen | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u | while read -r file; do
    # The package may name it with or without /usr, whatever the linker says.
    { dpkg-query -S "$file" || dpkg-query -S "/usr$file" || dpkg-query -S "${file#/usr}"; } 2>/dev/null |
      sed -n '1s/:.*//p'
  done | sort -u
}

# --- inside the namespaces ---

apt_proxy() {
  proxy=$(apt-config shell p Acquire::http::Proxy | sed "s/^p='\(.*\)'$/\1/")
  [ -z "$proxy" ] || export http_proxy="$proxy"
}

# The bare Debian, as a tarball that gets its name when it is whole.
make_bare() {
  mkdir -p "$cache" && rm -f "$cache/debian-$release"-* || return 1
  apt_proxy
  timeout -k 5 "$DEBOOTSTRAP_SECONDS" debootstrap --variant=minbase --include="$include" "$release" "$root" \
    "$(mirror "$release")" </dev/null >"$work/debootstrap.log" 2>&1 || return 1
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/locale
  tar -C "$root" -I "$compress" -cf "$bare.new" . && mv "$bare.new" "$bare"
}

# What this kernel has, and mcrd knows.
landlock_abi() {
  python3 -c 'import ctypes; print(min(7, max(0, ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))))' ||
    echo 0
}

# Builds the sources in the guest's system, as they were built here, and installs them there.
build_inside() {
  built=$root/usr/src/mcr
  make -s distdir distdir="$built" >"$work/install.log" 2>&1 || return 1
  timeout -k 5 $BUILD_SECONDS systemd-nspawn --quiet --register=no --keep-unit --settings=no --resolv-conf=off --timezone=off \
    --suppress-sync=yes --private-network --console=pipe --directory="$root" --chdir=/usr/src/mcr \
    sh -ec "./configure -q $(./config.status --config); make -s -j2; make -s install" </dev/null >>"$work/install.log" 2>&1
}

# What "make install" installs.
install_build() {
  built=.
  if [ "$release" != "$VERSION_CODENAME" ]; then
    build_inside || return 1
  else
    timeout -k 5 $INSTALL_SECONDS make -s install DESTDIR="$root" >"$work/install.log" 2>&1 || return 1
  fi
  # A build that was not told where units belong, or installs them below a prefix of its own, as distcheck does.
  if [ ! -e "$root/lib/systemd/system/mcrd.service" ] && [ ! -e "$root/usr/lib/systemd/system/mcrd.service" ]; then
    cp "$built/contrib/systemd/mcrd.service" "$built/contrib/systemd/mcrd@.service" "$root/etc/systemd/system/" &&
      install -D -m 644 "$srcdir/contrib/systemd/mcr.sysusers" "$root/etc/sysusers.d/mcr.conf" &&
      install -D -m 644 "$srcdir/contrib/systemd/mcr.tmpfiles" "$root/etc/tmpfiles.d/mcr.conf" || return 1
  fi
  # The programs, and where the unit has its file.
  mcrgen=$(find "$root" -path "$root/usr/src" -prune -o -name mcrgen -type f -perm -100 -print | head -n 1)
  config=$(sed -n 's/^ExecStart=.* --config \(.*\)\/mcr\.conf$/\1/p' "$built/contrib/systemd/mcrd.service")
  mcrd=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' "$built/contrib/systemd/mcrd.service")
  [ -n "$mcrgen" ] && [ -n "$config" ] && [ -x "$root/$mcrd" ] || return 1
  mcrgen=${mcrgen#"$root"}
  environment="MCRD=$mcrd CONFIG=$config LANDLOCK=$(landlock_abi)"
  path=${mcrgen%/*}:
}

if [ "$suite" = systemd ]; then
  prepare_guest() { install_build; }
fi

# Has the guest run /test/guest.sh and end.
prepare_test() {
  mkdir -p "$root/test" && cp "$here/guest.sh" "$srcdir/tests/systemd/guestlib.sh" "$root/test/" || return 1
  cat >"$root/etc/systemd/system/mcr-test.service" <<END || return 1
[Unit]
Description=Tests of mcrd
After=multi-user.target

[Service]
Type=oneshot
Environment=PATH=${path:-}/usr/sbin:/usr/bin:/sbin:/bin
Environment=${environment:-}
ExecStart=-/bin/bash /test/guest.sh
ExecStopPost=/bin/systemctl --no-block --force poweroff
END
  ln -s ../mcr-test.service "$root/etc/systemd/system/multi-user.target.wants/" &&
    echo mcr-test >"$root/etc/hostname" &&
    # A machine without one would be set up first.
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$root/etc/machine-id" && echo >>"$root/etc/machine-id"
}

inside() {
  if [ ! -e "$bare" ]; then
    make_bare || return 10
  else
    mkdir "$root" && tar -C "$root" -xf "$bare" || return 11
  fi
  # nspawn leaves files here.
  mount -t tmpfs -o mode=755 tmpfs /run || return 13
  prepare_guest && prepare_test || return 12
  date +%s >"$work/prepared"
  # systemd-nspawn 252 lets these through only when told to.
  calls='landlock_create_ruleset landlock_add_rule landlock_restrict_self'
  # Later ones than 255 boot by control groups of version 2 alone, whatever this machine has.
  if [ "$release" != "$VERSION_CODENAME" ]; then export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1; fi
  timeout -k 5 $GUEST_SECONDS systemd-nspawn --quiet --register=no --keep-unit --settings=no --link-journal=no \
    --system-call-filter="$calls" --resolv-conf=off --timezone=off --suppress-sync=yes --private-network --console=pipe --machine=mcr-test \
    --directory="$root" --boot </dev/null >"$work/console.log" 2>&1
  [ $? -ne 124 ] || return 14
}

# --- around them ---

# Where this process is among the control groups of systemd's kind, as directories.
control_groups() {
  while IFS=: read -r _ controllers path; do
    case $controllers in
      '') dirs="/sys/fs/cgroup/unified /sys/fs/cgroup" ;;
      name=systemd) dirs=/sys/fs/cgroup/systemd ;;
      *) continue ;;
    esac
    for dir in $dirs; do
      if [ -e "$dir$path/cgroup.procs" ]; then
        echo "$dir${path%/}"
        break
      fi
    done
  done </proc/self/cgroup
}

enter_groups() {
  for dir in $groups; do
    # Without one of our own, nspawn uses the group that this runs in.
    if mkdir "$dir" 2>/dev/null; then echo 0 >"$dir/cgroup.procs" 2>/dev/null; fi
  done
}

# What has ended may still be on its way out of its group.
remove_groups() {
  for dir in $groups; do
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      [ -d "$dir" ] || break
      find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null && break
      sleep 0.2
    done
  done
}

inner=
clean_up() {
  trap '' HUP INT TERM
  if [ -n "$inner" ]; then
    kill -KILL "$inner" 2>/dev/null
    wait "$inner" 2>/dev/null
  fi
  remove_groups
  # Nothing is mounted there, for the mounts were another namespace's.
  [ "${MCR_KEEP:-0}" = 1 ] || rm -rf --one-file-system "$work"
}

# --- begin ---

if [ "${1:-}" = inside ]; then
  enter_groups
  inside
  exit
fi

srcdir=$(cd "${srcdir:-$here/../..}" && pwd)
export srcdir
[ -x src/mcrd ] || broken "run this in the build directory, after make"
! grep -q '^#define MCR_SANITIZERS 1' config.h || skip "not under the sanitizers"
[ "$(id -u)" = 0 ] || skip "needs root"
# shellcheck source=/dev/null
. /etc/os-release
[ "${ID:-}" = debian ] && [ -n "${VERSION_CODENAME:-}" ] || skip "needs a Debian, as what is built here runs in one"
release=$VERSION_CODENAME
[ "$suite" != systemd ] || release=${MCR_RELEASE:-$release}
[ "$release" = "$VERSION_CODENAME" ] || DEBOOTSTRAP_SECONDS=900 # with a compiler

mkdir -p "$build/tests/$suite"
exec 9>"$build/tests/$suite/lock"
flock -n 9 || skip "another run uses $build"
began=$(date +%s)
groups=$(control_groups | sed "s/\$/\/mcr-test-$(stat -c %i "tests/$suite/lock")/")
remove_groups
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
rm -rf --one-file-system "$work"
mkdir -p "$work"
install_tools debootstrap debootstrap systemd-nspawn systemd-container unshare util-linux

[ "$suite" = systemd ] || prepare_host
include=systemd,systemd-sysv,iproute2${packages:+,$packages}$(libraries | sed 's/^/,/' | tr -d '\n')
compress='gzip -1'
if command -v zstd >/dev/null; then compress='zstd -q -1 -T0'; fi
# Another Debian, other packages: another tarball.
key=$(echo "$(dpkg --print-architecture) $include" | sha256sum | cut -c1-12)
bare=$cache/debian-$release-$key.tar
how="from the cached tarball"
[ -e "$bare" ] || how="by debootstrap"
export groups include compress bare release VERSION_CODENAME DEBOOTSTRAP_SECONDS

# Each of them ends with the one before.
setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --mount-proc --propagation private \
  sh "$here/run.sh" inside </dev/null >"$work/inside.log" 2>&1 9>&- &
inner=$!
wait "$inner"
status=$?
inner=

show() {
  for log in "$@"; do
    if [ -s "$work/$log" ]; then tail -n 20 "$work/$log" | sed "s/^/# ${log%.log}: /"; fi
  done
}

case $status in
  0) ;;
  10) show inside.log; skip "debootstrap: $(tail -n 1 "$work/debootstrap.log")" ;;
  12) show inside.log install.log; broken "make install, or what it installs" ;;
  14) ;;
  *) show inside.log; skip "no root can be prepared here: $(tail -n 1 "$work/inside.log")" ;;
esac
if [ ! -s "$root/test/result" ]; then
  show console.log
  [ $status -ne 14 ] || broken "the guest has not begun within $GUEST_SECONDS s"
  skip "nothing can be booted here: $(tail -n 1 "$work/console.log")"
fi
cat "$root/test/result"
prepared=$(cat "$work/prepared")
echo "# the root, $how: $((prepared - began)) s; booted and tested: $(($(date +%s) - prepared)) s"
if [ $status -eq 14 ]; then
  show console.log
  broken "the guest has not ended within $GUEST_SECONDS s"
fi
if ! grep -q '^1\.\.' "$root/test/result"; then
  show console.log
  broken "the guest ended early"
fi
! grep -q '^not ok' "$root/test/result"
