#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The fuzz targets with clang, in build directories of their own; run by "make fuzz" and "make fuzz-coverage":
#
#   fuzz.sh fuzz       runs each under libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer; new inputs go to
#                      tests/fuzz/found/TARGET, what ends one to tests/fuzz/crashes; 1 when there is any
#   fuzz.sh minimise   writes to tests/fuzz/minimised/TARGET as few of the inputs that libFuzzer found, now or before, as
#                      reach the same edges beside the seeds that are made by hand
#   fuzz.sh coverage   prints what the corpora reach of the code that each target is for
#
# Environment: srcdir, the top of the sources; FUZZ_SECONDS for each target (60); FUZZ_TARGETS; CLANG.
set -u

CLANG=${CLANG:-clang}
mode=${1:-fuzz}
targets=${FUZZ_TARGETS:-addr audit broker capture config filter forward lexical merge monitor packet reassembly relay stats table trust}
here=$(pwd)
log=$here/tests/fuzz/build.log

skip() {
  echo "SKIP: $*"
  exit 0
}

# build NAME OPTION... makes the targets in tests/fuzz/NAME.
build() {
  directory=$here/tests/fuzz/$1
  shift
  mkdir -p "$directory"
  (
    cd "$directory" || exit 1
    [ -f config.status ] || "$srcdir/configure" -q CC="$CLANG" --without-criterion --disable-hardening "$@" || exit 1
    for target in $targets; do programs="${programs-} tests/fuzz/$target"; done
    # shellcheck disable=SC2086
    "${MAKE:-make}" -s -j"$(nproc)" $programs
  ) >"$log" 2>&1 || {
    cat "$log"
    exit 1
  }
}

# The directories with known inputs of a target.
seeds() {
  echo "$srcdir/tests/fuzz/corpus/$1"
  case $1 in
  config | lexical) echo "$srcdir/tests/config/valid" "$srcdir/tests/config/invalid" ;;
  esac
}

options() {
  echo "-timeout=30 -rss_limit_mb=2048 -max_len=8192 -close_fd_mask=3 -print_final_stats=1"
  case $1 in
  config | lexical) echo "-dict=$srcdir/tests/fuzz/config.dict" ;;
  esac
}

fuzz() {
  bad=0
  mkdir -p tests/fuzz/crashes
  for target in $targets; do
    found=tests/fuzz/found/$target
    mkdir -p "$found"
    # shellcheck disable=SC2046
    if tests/fuzz/build/tests/fuzz/"$target" -max_total_time="${FUZZ_SECONDS:-60}" $(options "$target") \
      -artifact_prefix="$here/tests/fuzz/crashes/$target-" "$found" $(seeds "$target") >"$found.log" 2>&1; then
      state=ok
    else
      state="FAILED, see $here/$found.log and $here/tests/fuzz/crashes"
      bad=1
    fi
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log") runs," \
      "$(ls "$found" | wc -l) inputs found: $state"
  done
  return $bad
}

minimise() {
  for target in $targets; do
    least=tests/fuzz/minimised/$target
    rm -rf "$least"
    mkdir -p "$least" "tests/fuzz/found/$target"
    n=0
    # shellcheck disable=SC2046
    for file in $(find $(seeds "$target") -type f | grep -vE '/[0-9a-f]{40}$'); do
      n=$((n + 1))
      cp "$file" "$least/seed-$n"
    done
    # shellcheck disable=SC2046
    tests/fuzz/build/tests/fuzz/"$target" -merge=1 -use_counters=0 $(options "$target") "$least" $(seeds "$target") \
      "tests/fuzz/found/$target" >"$least.log" 2>&1 || exit 1
    rm -f "$least"/seed-*
    echo "$target: $(ls "$least" | wc -l) inputs, $(cat "$least"/* /dev/null | wc -c) bytes"
  done
}

# What each target is for.
files() {
  case $1 in
  addr) set -- common/addr ;;
  audit) set -- audit/chain command/history_show ;;
  broker) set -- broker/broker broker/start broker/offer broker/record broker/statistics machine/sockets machine/registry \
    machine/membership machine/ring_pool handover/handover ;;
  capture) set -- command/capture command/offline ;;
  config) set -- config/lexical config/parse config/value config/schema config/check config/doubt config/circle config/endpoint config/print \
    config/compare config/problems compile/compile compile/plan compile/open wire/header firewall/ruleset firewall/flow firewall/host \
    firewall/edge firewall/nft ;;
  filter) set -- machine/filter ;;
  forward) set -- relay/ingress wire/packet wire/reassembly relay/forward relay/streams relay/shown relay/martian relay/limiter relay/egress ;;
  lexical) set -- config/lexical config/load ;;
  merge) set -- wire/merge wire/merge_active wire/merge_apart wire/merge_carry wire/merge_crowd wire/merge_digest wire/merge_line wire/merge_order \
    wire/merge_recent ;;
  monitor) set -- wire/monitor ;;
  packet) set -- wire/packet ;;
  reassembly) set -- wire/reassembly ;;
  relay) set -- relay/request relay/swap handover/handover ;;
  stats) set -- stats/reader stats/delta stats/show_json stats/show_prometheus stats/show_table stats/text stats/counters ;;
  table) set -- table/view ;;
  trust) set -- trust/minisign trust/trustconf trust/signatures ;;
  esac
  for file in "$@"; do echo "$srcdir/src/$file.c"; done
}

coverage() {
  for target in $targets; do
    program=tests/fuzz/coverage/tests/fuzz/$target
    # shellcheck disable=SC2046
    LLVM_PROFILE_FILE=$program.profraw "$program" $(seeds "$target") >"$program.log" 2>&1 || {
      cat "$program.log"
      exit 1
    }
    llvm-profdata merge -sparse "$program.profraw" -o "$program.profdata" || exit 1
    echo "$target: $(cat "$program.log")"
    # Of each file: lines, those that were not reached, and the share of those that were.
    # shellcheck disable=SC2046
    llvm-cov report "$program" -instr-profile="$program.profdata" $(files "$target") |
      awk '$1 ~ /\.c$|^TOTAL$/ { printf "  %-28s %5s lines, %4s not reached, %s\n", $1, $8, $9, $10 }'
  done
}

[ ! -f "$srcdir/config.status" ] || skip "the sources were configured in place: use a build directory"
command -v "$CLANG" >/dev/null || skip "there is no $CLANG (Debian: clang)"
mkdir -p tests/fuzz
printf 'int LLVMFuzzerTestOneInput(const char *a, long b) { return a && b ? 0 : 0; }\n' >tests/fuzz/probe.c
"$CLANG" -fsanitize=fuzzer,address,undefined tests/fuzz/probe.c -o tests/fuzz/probe 2>/dev/null ||
  skip "$CLANG has no libFuzzer (Debian: libclang-rt-14-dev)"
rm -f tests/fuzz/probe tests/fuzz/probe.c

LSAN_OPTIONS="suppressions=$srcdir/tests/lsan.supp:print_suppressions=0"
export LSAN_OPTIONS
case $mode in
fuzz | minimise)
  build build --enable-sanitizers --enable-fuzzing CFLAGS="-g -O1"
  "$mode"
  ;;
coverage)
  command -v llvm-cov >/dev/null || skip "there is no llvm-cov (Debian: llvm)"
  build coverage CFLAGS="-g -O0 -fprofile-instr-generate -fcoverage-mapping"
  coverage
  ;;
*)
  echo "usage: fuzz.sh fuzz | minimise | coverage" >&2
  exit 2
  ;;
esac
