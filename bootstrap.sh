#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 to a running relay: installs what is missing, builds, and then
#   demo    relays live traffic between network namespaces, and proves it
#   check   passes all tests; the last line is "N passed, N failed, N skipped"
#   build   only builds
#   fuzz    runs the fuzz targets, FUZZ_SECONDS=60 each
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${MCR_BUILD:-$top/build}

# What to build with, and what demo and tests run.
packages_build=(gcc libc6-dev make autoconf automake pkg-config libconfig-dev libev-dev libcap-ng-dev libseccomp-dev
  libmd-dev libjansson-dev libpcap-dev zlib1g-dev iproute2)
packages_check=(libcriterion-dev python3-minimal libpython3-stdlib ethtool nftables tcpdump strace apparmor mandoc python3-json5 keepalived debootstrap systemd-container
  wireguard-go wireguard-tools ppp valgrind)
packages_fuzz=(clang libclang-rt-14-dev llvm)

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() { printf 'bootstrap.sh: %s\n' "$*" >&2; exit 1; }

usage() {
  sed -n '3,7s/^# \{0,1\}//p' "$0"
  echo "usage: sudo ./bootstrap.sh demo | check | build | fuzz"
}

# Installs those of the packages that are missing.
install_packages() {
  local missing=() p
  command -v dpkg-query >/dev/null || die "no dpkg here: install the libraries that README.md names, then use configure and make"
  for p in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null | cut -c1-2)" = ii ] || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "missing packages: ${missing[*]}; run this with sudo"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # The lists may be empty (a new machine) or old (packages that are gone): refresh, then install.
  apt-get -q update >"$log" 2>&1 || { cat "$log"; die "apt-get update failed"; }
  apt-get -q install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 || { cat "$log"; die "apt-get install failed"; }
}

# configure_and_make DIR OPTION... builds DIR quietly; a failure shows its log.
configure_and_make() {
  local dir=$1
  shift
  if [ ! -x "$top/configure" ] || [ "$top/configure.ac" -nt "$top/configure" ] || [ "$top/Makefile.am" -nt "$top/configure" ]; then
    (cd "$top" && autoreconf -fi) >"$log" 2>&1 || { cat "$log"; die "autoreconf failed"; }
    touch "$top/configure"
  fi
  mkdir -p "$dir"
  (
    cd "$dir"
    if [ ! -f config.status ] || [ "$top/configure" -nt config.status ]; then "$top/configure" -q "$@"; fi
    make -s -j"$(nproc)" all
  ) >"$log" 2>&1 || { cat "$log"; die "the build in $dir failed"; }
}

# Prints a line for each file of tests that has ended since the last call: "[12/57] tests/net/test_links.py 14 ok, 31 s".
show_ended() {
  local dir=$1 trs name begin counts
  while read -r trs; do
    [ -z "${shown[$trs]:-}" ] || continue
    shown[$trs]=yes
    name=${trs#"$dir"/} name=${name%.trs}
    begin=$(stat -c %W "${trs%.trs}.log") # 0 where the file system keeps no time of birth
    counts=$(sed -n 's/^:test-result: \([A-Z]*\).*/\1/p' "$trs" | sort | uniq -c |
      awk '{ printf "%s %d %s", (NR > 1 ? "," : ""), $1, ($2 == "PASS" ? "ok" : $2 == "SKIP" ? "skipped" : "FAILED") }')
    printf '[%d/%d] %s%s' "${#shown[@]}" "$files" "$name" "$counts"
    if [ "$begin" -gt 0 ]; then printf ', %d s' $(($(stat -c %Y "$trs") - begin)); fi
    printf '\n'
  done < <(find "$dir" -name '*.trs' | sort)
}

# DIR TARGET [OPTION...]: make with these options, telling what has ended meanwhile.
make_shown() {
  local dir=$1 maker
  make -C "$@" VERBOSE=1 >>"$dir/check.log" 2>&1 &
  maker=$!
  while kill -0 "$maker" 2>/dev/null; do
    sleep 1
    show_ended "$dir"
  done
  wait "$maker"
}

# Runs the tests of the build in DIR and adds what automake counts to the totals.
run_tests() {
  local dir=$1 rc=0 result n files
  local -A shown=()
  files=$(make -C "$dir" -s list-tests | wc -w)
  find "$dir" -name '*.trs' | while read -r trs; do rm -f "$trs" "${trs%.trs}.log"; done
  : >"$dir/check.log"
  # Those with packets need the machine for themselves.
  make_shown "$dir" -s -j"$(nproc)" check-plain || rc=$?
  make_shown "$dir" -s check-net || rc=$?
  grep -E '^(PASS|SKIP|XFAIL|FAIL|XPASS|ERROR):' "$dir/check.log" | grep -vE '^PASS' || true
  while read -r n result; do
    case $result in
      PASS) passed=$((passed + n)) ;;
      SKIP) skipped=$((skipped + n)) ;;
      *) failed=$((failed + n)) ;;
    esac
  done < <(find "$dir" -name '*.trs' -exec sed -n 's/^:test-result: \([A-Z]*\).*/\1/p' {} + | sort | uniq -c)
  if [ $rc -ne 0 ]; then
    [ "$failed" -gt 0 ] || failed=1
    sed -n '1,400p' "$dir/check.log"
  fi
}

check() {
  passed=0 failed=0 skipped=0
  say "building with warnings as errors"
  configure_and_make "$build" --enable-werror
  say "tests"
  run_tests "$build"
  say "building with AddressSanitizer and UndefinedBehaviorSanitizer"
  configure_and_make "$build-sanitizers" --enable-werror --enable-sanitizers
  say "the same tests under the sanitizers"
  run_tests "$build-sanitizers"
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

case ${1:-} in
  build)
    install_packages "${packages_build[@]}"
    configure_and_make "$build"
    say "built in $build/src: mcrd, mcrstat, mcrgen"
    ;;
  demo)
    [ "$(id -u)" = 0 ] || die "the demo makes network namespaces: run it with sudo"
    install_packages "${packages_build[@]}"
    say "building"
    configure_and_make "$build"
    MCR_BIN=$build/src "$top/contrib/demo/demo.sh"
    ;;
  check)
    install_packages "${packages_build[@]}" "${packages_check[@]}"
    check
    ;;
  fuzz)
    install_packages "${packages_build[@]}" "${packages_fuzz[@]}"
    configure_and_make "$build"
    make -s -C "$build" fuzz
    ;;
  -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
