#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 to a running relay: installs what is missing, builds, and then
#   demo    relays live traffic between network namespaces, and proves it
#   check   passes all tests; the last line is "N passed, N failed, N skipped"
#   check-all   the same, with what takes long and rarely finds anything
#   build   only builds
#   fuzz    runs the fuzz targets, FUZZ_SECONDS=60 each
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=${MCR_BUILD:-$top/build}

# What to build with, and what demo and tests run.
packages_build=(gcc libc6-dev make autoconf automake pkg-config libconfig-dev libev-dev libcap-ng-dev libseccomp-dev
  libmd-dev libsodium-dev libjansson-dev libpcap-dev zlib1g-dev iproute2)
packages_check=(libcriterion-dev python3-minimal libpython3-stdlib ethtool nftables tcpdump strace apparmor mandoc jq python3-json5 keepalived multicat debootstrap systemd-container
  wireguard-go wireguard-tools ppp valgrind minisign)
packages_fuzz=(clang libclang-rt-14-dev llvm)

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() { printf 'bootstrap.sh: %s\n' "$*" >&2; exit 1; }

usage() {
  sed -n '3,8s/^# \{0,1\}//p' "$0"
  echo "usage: sudo ./bootstrap.sh demo | check | check-all | build | fuzz"
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

# Prints a line for each file of tests in DIR that has ended since the last call:
# "[12/47] tests/net/test_links.py 14 ok, 31 s".
show_ended() {
  local dir=$1 files=$2 trs name begin counts
  while read -r trs; do
    name=${trs%.trs}
    [ ! -e "$name.shown" ] || continue
    touch "$name.shown"
    begin=$(stat -c %W "$name.log") # 0 where the file system keeps no time of birth
    counts=$(sed -n 's/^:test-result: \([A-Z]*\).*/\1/p' "$trs" | sort | uniq -c |
      awk '{ printf "%s %d %s", (NR > 1 ? "," : ""), $1, ($2 == "PASS" ? "ok" : $2 == "SKIP" ? "skipped" : $2) }')
    printf '[%d/%d] %s%s' "$(find "$dir" -name '*.shown' | wc -l)" "$files" "${name#"$dir"/}" "$counts"
    if [ "$begin" -gt 0 ]; then printf ', %d s' $(($(stat -c %Y "$trs") - begin)); fi
    printf '\n'
  done < <(find "$dir" -name '*.trs' | sort)
}

# Prints the ten files of tests in the DIRs that took longest, and of each the test that took longest.
show_slowest() {
  local trs log begin
  say "what took longest"
  find "$@" -name '*.trs' | while read -r trs; do
    log=${trs%.trs}.log
    begin=$(stat -c %W "$log")
    [ "$begin" -gt 0 ] || continue
    printf '%d s %s%s\n' $(($(stat -c %Y "$trs") - begin)) "${trs%.trs}" \
      "$(sed -nE 's/^ok [0-9]+ - (.*) \(([0-9.]+) s\)$/\2 s of it: \1/p' "$log" | sort -rn | sed -n '1s/^/, /p')"
  done | sort -rn | sed -n "s|${build%/*}/||;1,10p"
}

# Begins the tests of the build in DIR anew.
begin_tests() {
  find "$1" \( -name '*.trs' -o -name '*.shown' \) | while read -r file; do rm -f "$file" "${file%.*}.log"; done
  : >"$1/check.log"
}

# DIR TARGET [OPTION...]: makes one part of the tests, and tells meanwhile what has ended.
run_tests() {
  local dir=$1 maker files
  files=$(make -C "$dir" -s list-tests | wc -w)
  make -C "$@" -s VERBOSE=1 >>"$dir/check.log" 2>&1 &
  maker=$!
  while kill -0 "$maker" 2>/dev/null; do
    sleep 1
    show_ended "$dir" "$files"
  done
  wait "$maker"
}

# Adds what automake has counted in DIR to the totals. When the exit status of its tests was not 0, keeps what failed for
# the end, and shows the logs of the files with failures, or of the build where there are none.
count_tests() {
  local dir=$1 status=$2 result n trs lost
  grep -E '^SKIP:' "$dir/check.log" || true
  while read -r n result; do
    case $result in
      PASS) passed=$((passed + n)) ;;
      SKIP) skipped=$((skipped + n)) ;;
      *) failed=$((failed + n)) ;;
    esac
  done < <(find "$dir" -name '*.trs' -exec sed -n 's/^:test-result: \([A-Z]*\).*/\1/p' {} + | sort | uniq -c)
  [ "$status" -ne 0 ] || return 0
  [ "$failed" -gt 0 ] || failed=1
  # Each failure, with the line that says why.
  lost=$(find "$dir" -name '*.trs' -exec grep -LE '^:global-test-result: (PASS|SKIP)' {} + | sort | sed 's/trs$/log/' |
    xargs -r awk -v "dir=${dir##*/}" '/^(FAIL|XPASS|ERROR):/ { print dir ": " $0; failed = 1; next }
      failed && /^# / { print "    " $0 } { failed = 0 }')
  failures+=${lost:-$dir: the tests did not run to their end}$'\n'
  find "$dir" -name '*.trs' -exec grep -LE '^:global-test-result: (PASS|SKIP)' {} + | sort | while read -r trs; do
    say "${trs%.trs}.log"
    tail -n 200 "${trs%.trs}.log"
  done
  [ -n "$lost" ] || tail -n 100 "$dir/check.log"
}

# Notes how long a part of check() took.
end_phase() {
  phases+="${phases:+, }$1 $((SECONDS - phase_began)) s"
  phase_began=$SECONDS
}

# Tests with packets run when nothing is built, and those of them that judge times one by one; the others of them mostly
# wait, and run by three on a processor. Tests without packets run while the second build is made: one of them boots a
# Debian and mostly waits.
check() {
  local sanitizers=$build-sanitizers plain status=0 status_sanitizers=0 many=$((3 * $(nproc))) began=$SECONDS phase_began=$SECONDS phases=
  passed=0 failed=0 skipped=0 failures=
  say "building with warnings as errors"
  configure_and_make "$build" --enable-werror
  end_phase build
  say "tests without packets; meanwhile, building with AddressSanitizer and UndefinedBehaviorSanitizer"
  begin_tests "$build"
  run_tests "$build" check-plain -j"$(nproc)" &
  plain=$!
  configure_and_make "$sanitizers" --enable-werror --enable-sanitizers CFLAGS="-g -O1"
  begin_tests "$sanitizers"
  end_phase "second build"
  run_tests "$sanitizers" check-plain -j"$(nproc)" || status_sanitizers=$?
  wait "$plain" || status=$?
  end_phase "without packets"
  say "tests with packets"
  run_tests "$build" check-calm -j"$many" || status=$?
  end_phase "with packets"
  run_tests "$build" check-loud || status=$?
  end_phase "one by one"
  count_tests "$build" "$status"
  say "the same tests under the sanitizers"
  run_tests "$sanitizers" check-calm -j"$many" || status_sanitizers=$?
  end_phase "with packets, sanitizers"
  run_tests "$sanitizers" check-loud || status_sanitizers=$?
  end_phase "one by one, sanitizers"
  count_tests "$sanitizers" "$status_sanitizers"
  show_slowest "$build" "$sanitizers"
  printf '%s\n' "$phases"
  say "all of it: $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
  printf '%s%d passed, %d failed, %d skipped\n' "$failures" "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

log=$(mktemp)
trap 'rm -f "$log"; kill $(jobs -p) 2>/dev/null || true' EXIT

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
  check | check-all)
    install_packages "${packages_build[@]}" "${packages_check[@]}"
    [ "$1" = check ] || export MCR_LONG=1
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
