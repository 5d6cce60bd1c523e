#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests of tests/net on another kernel, as TAP: a distribution's own kernel, which qemu boots with this machine's
# file system, read-only, as its root. What runs in there is guest.py.
#
# Run it in the build directory, or as "make check-kernel". It installs qemu when it is missing (as root), and skips
# where that, or booting, cannot be done. The kernel is kept in tests/kernel/cache of the build directory; all else is
# removed.
#
# Environment: KERNEL, one of those below, 6.1 if there is none; srcdir, the top of the sources; MCR_DEBIAN_MIRROR;
# MCR_KERNEL_TESTS, such as "test_basic test_links:renamed", in place of the usual ones; MCR_TEST_SLOWNESS, 1 or, when
# all is emulated, 4; MCR_KEEP=1 keeps the console's log.
set -u

LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH
umask 022
unset MAKEFLAGS MFLAGS MAKELEVEL NOTIFY_SOCKET
here=$(cd "$(dirname "$0")" && pwd)
build=$(pwd)
cache=$build/tests/kernel/cache
work=$build/tests/kernel/work
# shellcheck source=tests/tools.sh
. "$here/../tools.sh"

# Seconds that each step may take.
DOWNLOAD_SECONDS=300
BOOT_SECONDS=300
GUEST_SECONDS=2400

# The Debian that a kernel is of, and gives the busybox.
KERNEL=${KERNEL:-6.1}
case $KERNEL in
  6.12) suite=trixie ;;
  6.1 | 4.18) suite=bookworm ;;
  5.10) suite=bullseye ;;
  *) broken "KERNEL=$KERNEL: known are 6.12, 6.1, 5.10, 4.18" ;;
esac
# The oldest one that mcr runs on: no Debian had it, and Ubuntu's no longer changes.
UBUNTU_4_18="
48255bba33b59127b69a9b8fdca27a25187bffd151ed0762bf7205b23474a08a linux-image-unsigned-4.18.0-25-generic
d21662c73ba590cce15b4360a282120d7f12b0c2febb72dd655ffe2ee92d7eee linux-modules-4.18.0-25-generic
ccc40e395875a40d1c910404e8d38a8286a76e6e86517c8510b08c76103b9b1f linux-modules-extra-4.18.0-25-generic
"

# --- the kernel ---

# The packages, into the directory. apt has directories of its own here: nothing of the machine's changes.
download() {
  mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" &&
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror $suite) $suite main" \
      >"$work/apt/sources" || return 1
  cat >"$work/apt/conf" <<END
Dir::Etc::SourceList "$work/apt/sources";
Dir::Etc::SourceParts "-";
Dir::State "$work/apt";
Dir::State::status "/dev/null";
Dir::Cache "$work/apt";
APT::Architecture "amd64";
APT::Architectures "";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
END
  (
    cd "$work/apt" && export APT_CONFIG="$work/apt/conf" && timeout $DOWNLOAD_SECONDS apt-get -q update || exit 1
    if [ "$KERNEL" = 4.18 ]; then
      image= && download_ubuntu || exit 1
    else
      image=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
    fi
    # shellcheck disable=SC2086 # none, or one
    timeout $DOWNLOAD_SECONDS apt-get -q download $image busybox-static
  ) </dev/null
}

download_ubuntu() {
  echo "$UBUNTU_4_18" | while read -r sha256 package; do
    [ -z "$package" ] || timeout $DOWNLOAD_SECONDS /usr/lib/apt/apt-helper download-file \
      "http://archive.ubuntu.com/ubuntu/pool/main/l/linux-hwe/${package}_4.18.0-25.26~18.04.1_amd64.deb" \
      "$package.deb" "SHA256:$sha256" || exit 1
  done
}

# The kernel's files and a busybox for its initrd, in a directory that gets its name when it is whole.
prepare_kernel() {
  rm -rf "$kernel" "$kernel.new" && mkdir -p "$kernel.new" && download || return 1
  for package in "$work"/apt/*.deb; do
    dpkg-deb -x "$package" "$kernel.new" || return 1
  done
  # Debian 13 has all below /usr.
  for dir in bin lib; do
    [ -d "$kernel.new/$dir" ] || ln -s usr/$dir "$kernel.new/$dir" || return 1
  done
  depmod -b "$kernel.new" "$(ls "$kernel.new/lib/modules")" && mv "$kernel.new" "$kernel"
}

# --- the initrd ---

# Modules for the root by 9p, in the order of their need.
root_modules() {
  for module in virtio_pci 9pnet_virtio 9p; do
    modprobe -d "$kernel" -S "$release" --show-depends $module
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# NAME...: those variables, for a shell to read.
settings() {
  value=
  for name in "$@"; do
    eval "value=\${$name-}"
    printf "export %s='%s'\n" "$name" "$(printf %s "$value" | sed "s/'/'\\\\''/g")"
  done
}

prepare_initrd() {
  initrd=$work/initrd
  mkdir -p "$initrd/bin" "$initrd/modules" && cp "$kernel/bin/busybox" "$initrd/bin/" &&
    cp "$here/init" "$initrd/" && chmod 755 "$initrd/init" || return 1
  n=100
  for module in $(root_modules); do
    case $module in
      *.xz) xz -dc "$module" >"$initrd/modules/$n" ;;
      *) cp "$module" "$initrd/modules/$n" ;;
    esac || return 1
    n=$((n + 1))
  done
  # By the kernel, for what is not loaded yet.
  printf '#!/bin/sh\nexec modprobe -d "%s" "$@"\n' "$kernel" >"$initrd/modprobe" && chmod 755 "$initrd/modprobe" &&
    GUEST=$here/guest.py TMPDIR=/run/tmp PYTHONDONTWRITEBYTECODE=1 \
      settings PATH KERNEL GUEST GUEST_SECONDS TMPDIR PYTHONDONTWRITEBYTECODE srcdir MCRD MCRSTAT MCRGEN MCR_SANDBOX \
      LSAN_OPTIONS MCR_KERNEL_TESTS >"$initrd/settings" &&
    (cd "$initrd" && find . | cpio --quiet -o -H newc) >"$work/initrd.cpio"
}

# --- begin ---

srcdir=$(cd "${srcdir:-$here/../..}" && pwd)
[ -x src/mcrd ] || broken "run this in the build directory, after make"
[ "$(uname -m)" = x86_64 ] || skip "needs an x86-64 machine"
mkdir -p "$build/tests/kernel"
exec 9>"$build/tests/kernel/lock"
flock -n 9 || skip "another run uses $build"
MCRD=${MCRD:-$build/src/mcrd} MCRSTAT=${MCRSTAT:-$build/src/mcrstat} MCRGEN=${MCRGEN:-$build/src/mcrgen}
if [ "${MCR_SANDBOX+set}" = "" ]; then MCR_SANDBOX=enforce; fi

qemu=
clean_up() {
  trap '' HUP INT TERM
  if [ -n "$qemu" ]; then
    kill -TERM "$qemu" 2>/dev/null
    wait "$qemu" 2>/dev/null
  fi
  [ "${MCR_KEEP:-0}" = 1 ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
rm -rf "$work"
mkdir -p "$work"
install_tools qemu-system-x86_64 qemu-system-x86 modprobe kmod cpio cpio xz xz-utils python3 python3-minimal \
  ip iproute2 tc iproute2 ethtool ethtool

kernel=$cache/linux-$KERNEL
[ -d "$kernel" ] || prepare_kernel >"$work/kernel.log" 2>&1 ||
  skip "Linux $KERNEL cannot be had: $(tail -n 1 "$work/kernel.log")"
release=$(ls "$kernel/lib/modules")
prepare_initrd || broken "the initrd"

# ACCELERATOR SLOWNESS: boots the guest; false where its tests have not begun soon enough. Some machines offer KVM but
# cannot run a kernel with it.
boot() {
  : >"$work/result"
  # timeout ends with this shell, and qemu with timeout.
  setpriv --pdeathsig TERM timeout -k 5 $((GUEST_SECONDS + BOOT_SECONDS)) setpriv --pdeathsig KILL nice \
    qemu-system-x86_64 -nodefaults -no-user-config -machine "q35,accel=$1" -cpu max,arch-capabilities=off -smp 1 \
    -m 2048 -display none -nic none -no-reboot -kernel "$kernel/boot/vmlinuz-$release" -initrd "$work/initrd.cpio" \
    -append "console=ttyS0 panic=-1 quiet MCR_TEST_SLOWNESS=${MCR_TEST_SLOWNESS:-$2}" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -serial "file:$work/console.log" -serial "file:$work/result" </dev/null >"$work/qemu.log" 2>&1 9>&- &
  qemu=$!
  waited=0
  while [ ! -s "$work/result" ] && [ $waited -lt "$BOOT_SECONDS" ] && kill -0 $qemu 2>/dev/null; do
    sleep 1
    waited=$((waited + 1))
  done
  [ ! -s "$work/result" ] || return 0
  kill -TERM $qemu 2>/dev/null
  wait $qemu
  qemu=
  return 1
}

console() {
  tail -n 20 "$work/qemu.log" "$work/console.log" | tr -d '\r' | sed 's/^/# /'
}

if [ -w /dev/kvm ] && BOOT_SECONDS=20 boot kvm 1; then
  echo "# emulated: no"
elif boot tcg 4; then
  echo "# emulated: yes"
else
  console
  skip "nothing can be booted here: $(tail -n 1 "$work/qemu.log")"
fi
tail -n +1 -f --pid=$qemu "$work/result" 9>&- &
wait $qemu
qemu=
wait
if ! grep -q '^1\.\.' "$work/result"; then
  console
  broken "the guest ended early, or not within $GUEST_SECONDS s"
fi
! grep -q '^not ok' "$work/result"
