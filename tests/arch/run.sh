#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Another machine, as TAP: builds with Debian's cross compiler and libraries, and runs under qemu's user emulation what
# needs no kernel of that machine: the unit tests (by runner.c, since Criterion's runner does not run there), the goldens
# of config files, signatures, and the fuzz targets over their corpora and mutations.
#
# Run it as root in the build directory, or as "make check-arch ARCH=armhf". ARCH is arm64, armhf, riscv64 or s390x (which
# is big-endian). What this emulation cannot show (the sandbox, packets, restarts), and what a test skips, it says. It
# installs debootstrap when it is missing, and keeps the Debian with the compiler in tests/arch/cache/ARCH of the build
# directory. Nothing is registered with the kernel of this machine (binfmt_misc): each program is started by a script.
#
# Environment: srcdir, the top of the sources; ARCH; MCR_ARCH_SUITE, the Debian (its default is below); MCR_ARCH_TESTS,
# those of $all to run; MCR_DEBIAN_MIRROR; FUZZ_MUTATIONS.
set -u

LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH
umask 022
unset MAKEFLAGS MFLAGS MAKELEVEL
srcdir=$(cd "$srcdir" && pwd)
arch=${ARCH:-arm64}
cache=$PWD/tests/arch/cache
root=$cache/$arch
work=$PWD/tests/arch/made/$arch
all="units run diff explain graph times reload firewall trust fuzz"

DEBOOTSTRAP_SECONDS=600
INSTALL_SECONDS=900
BUILD_SECONDS=3600
TEST_SECONDS=3600

# shellcheck source=tests/tools.sh
. "$srcdir/tests/tools.sh"

# How a file of statistics begins, which is a number.
magic=MCTATS01
[ "$arch" != s390x ] || magic=10STATCM
# Debian 13: times of armhf have 64 bits there, and riscv64 came with it. Debian 12 where its archive has all of s390x.
suite=trixie
case $arch in
  arm64) triplet=aarch64-linux-gnu qemu=qemu-aarch64 ;;
  armhf) triplet=arm-linux-gnueabihf qemu=qemu-arm ;;
  riscv64) triplet=riscv64-linux-gnu qemu=qemu-riscv64 ;;
  s390x) triplet=s390x-linux-gnu qemu=qemu-s390x suite=bookworm ;;
  *) broken "ARCH is \"$arch\", allowed are arm64, armhf, riscv64 and s390x" ;;
esac
suite=${MCR_ARCH_SUITE:-$suite}

# COMMAND...: in the root, as this machine's programs.
within() {
  chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    ${http_proxy:+http_proxy="$http_proxy"} "$@" </dev/null
}

# What compiles, what emulates, what the tests use; then the libraries of that machine.
packages="qemu-user make pkg-config python3 jq nftables minisign gcc-$triplet libc6-dev:$arch"
for library in libconfig libev libcap-ng libseccomp libmd libsodium libjansson libpcap0.8 zlib1g; do
  packages="$packages $library-dev:$arch"
done

# /other: that machine's locales, whose byte order is its own.
install_in_root() {
  # shellcheck disable=SC2086
  within dpkg --add-architecture "$arch" && within apt-get -q update &&
    within timeout -k 5 $INSTALL_SECONDS apt-get -q install -y --no-install-recommends $packages &&
    within sh -c 'mkdir /other && cd /other && apt-get -q download "libc-bin:$1" && dpkg -x libc-bin_*.deb . && rm libc-bin_*.deb' sh "$arch"
}

# Gets its name when it is whole.
make_root() {
  name=$root
  root=$root.new
  rm -rf --one-file-system "$root" && mkdir -p "$root" &&
    timeout -k 5 $DEBOOTSTRAP_SECONDS debootstrap --variant=minbase "$suite" "$root" "$(mirror "$suite")" </dev/null &&
    cp /etc/resolv.conf "$root/etc/" &&
    # Manual pages differ between the machines of some packages, so that dpkg would refuse the second one.
    printf 'path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\n' >"$root/etc/dpkg/dpkg.cfg.d/mcr" &&
    install_in_root && echo "$suite: $packages" >"$root/made-of" && rm -rf "$root"/var/cache/apt/* && mv "$root" "$name" || return 1
  root=$name
}

# PROGRAM: a script of its name in run/ starts it.
wrap() {
  mkdir -p "$work/run/$(dirname "$1")" &&
    printf '#!/bin/sh\nexec /usr/bin/%s /build/%s "$@"\n' "$qemu" "$1" >"$work/run/$1" && chmod 755 "$work/run/$1"
}

fuzz_targets=$(cd "$srcdir/tests/fuzz/corpus" && echo *)

build() {
  programs="src/mcrd src/mcrstat src/mcrgen tests/config/standin tests/unit/units"
  for target in $fuzz_targets; do
    programs="$programs tests/fuzz/$target"
  done
  # Sources as they are: a file that a checkout has touched makes nothing anew.
  # shellcheck disable=SC2086
  within timeout -k 5 $BUILD_SECONDS sh -c 'still="ACLOCAL=: AUTOCONF=: AUTOHEADER=: AUTOMAKE=:" && cd /build && PKG_CONFIG_LIBDIR=$1 /src/configure -q --host="$2" \
    --enable-werror CRITERION_CFLAGS=-I/src/tests/arch CRITERION_LIBS=tests/arch/librunner.a &&
    shift 2 && make -s -j"$(nproc)" $still tests/arch/librunner.a && make -s -j"$(nproc)" $still "$@"' \
    sh "/usr/lib/$triplet/pkgconfig:/usr/share/pkgconfig" $triplet $programs || return 1
  for program in $programs; do
    wrap "$program" || return 1
  done
}

# NAME COMMAND...: a part, in the source tree or, with "fuzz", where its programs are. Its own TAP is kept in NAME.tap.
part() {
  name=$1
  dir=/src
  shift
  [ "$name" != fuzz ] || dir=/build/run
  began=$(date +%s)
  within timeout -k 5 $TEST_SECONDS sh -c 'cd "$1" && shift && env srcdir=/src STATS_MAGIC='"$magic"' MCR_SANDBOX=off MCR_TEST_SLOWNESS=10 \
    MCRD=/build/run/src/mcrd MCRSTAT=/build/run/src/mcrstat MCRGEN=/build/run/src/mcrgen STANDIN=/build/run/tests/config/standin \
    FUZZ_MUTATIONS='"${FUZZ_MUTATIONS:-10000}"' "$@"' sh $dir "$@" >"$work/$name.tap" 2>"$work/$name.err"
  status=$?
  count=$((count + 1))
  good=$(grep -c '^ok' "$work/$name.tap")
  skipped=$(grep -c '^ok.* # SKIP' "$work/$name.tap")
  bad=$(grep -c '^not ok' "$work/$name.tap")
  sed -n 's/^# \(not here: .*\)/# \1/p; s/^# \(took .*\)/# \1/p; s/^ok.* # SKIP \(.*\)/# skipped: \1/p' "$work/$name.tap" | sort | uniq -c | sed 's/^ *\([0-9]*\) # /# \1 × /'
  text="$arch, $name: $((good - skipped)) ok, $bad failed, $skipped skipped, $(($(date +%s) - began)) s"
  if [ $status -eq 0 ] && [ "$good" -gt 0 ] && [ "$bad" -eq 0 ]; then
    echo "ok $count - $text"
  else
    echo "not ok $count - $text"
    { grep -A 20 '^not ok' "$work/$name.tap"; tail -n 5 "$work/$name.err"; } | sed 's/^/# /'
    failed=$((failed + 1))
  fi
}

if [ "${1:-}" != inside ]; then
  [ "$(id -u)" = 0 ] || skip "not root"
  mkdir -p "$work"
  install_tools debootstrap debootstrap
  proxy=$(apt-config shell p Acquire::http::Proxy | sed "s/^p='\(.*\)'$/\1/")
  [ -z "$proxy" ] || export http_proxy="$proxy"
  if [ ! -d "$root" ] || [ "$(cat "$root/made-of" 2>/dev/null)" != "$suite: $packages" ]; then
    rm -rf --one-file-system "$root"
    make_root >"$work/root.log" 2>&1 || { tail -n 20 "$work/root.log" | sed 's/^/# /'; skip "no Debian for $arch can be made"; }
  fi
  # Mounts are those of this namespace alone.
  exec unshare --mount --propagation private sh "$0" inside
fi

rm -rf "$work/build" && mkdir -p "$work/build" "$root/src" "$root/build" || broken "$work"
work=$work/build
mount --bind "$srcdir" "$root/src" && mount -o remount,bind,ro "$root/src" && mount --bind "$work" "$root/build" &&
  mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" || broken "mount"
build >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" | sed 's/^/# /'; broken "it does not build for $arch"; }
grep 'warning:' "$work/build.log" | sed 's/^/# /'

count=0
failed=0
echo "# not shown: the sandbox (off here: qemu's user emulation has neither seccomp nor Landlock), packet sockets and rings, restarts, times"
for test in ${MCR_ARCH_TESTS:-$all}; do
  case $test in
    units) part units env LOCPATH=/other/usr/lib/locale /build/run/tests/unit/units ;;
    fuzz) part fuzz sh /src/tests/fuzz/replay.sh ;;
    trust) part trust sh /src/tests/trust/run.sh ;;
    firewall) part firewall bash /src/tests/config/firewall.sh ;;
    *) part "$test" sh "/src/tests/config/$test.sh" ;;
  esac
done
echo "1..$count"
[ $failed -eq 0 ]
