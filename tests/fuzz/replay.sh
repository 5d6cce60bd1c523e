#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The fuzz targets without libFuzzer, as TAP: each runs over its corpus and over mutations of it, which are the same each
# time, for at most SECONDS. What ends a target is kept in tests/fuzz/crash-TARGET of the build directory; run it again
# with "tests/fuzz/TARGET FILE".
#
# Environment: srcdir, the top of the sources; FUZZ_MUTATIONS; FUZZ_TARGETS.
set -u

targets=${FUZZ_TARGETS:-"addr audit broker capture config filter forward lexical merge monitor packet reassembly relay stats table trust"}
SECONDS_EACH=5

# shellcheck disable=SC2086
set -- $targets
echo "1..$#"
n=0
for target in $targets; do
  n=$((n + 1))
  set -- "$srcdir/tests/fuzz/corpus/$target"
  case $target in
    config | lexical) set -- "$@" "$srcdir/tests/config/valid" "$srcdir/tests/config/invalid" "$srcdir/etc/mcr.conf.example" ;;
  esac
  if said=$("tests/fuzz/$target" --mutations "${FUZZ_MUTATIONS:-10000}" --seconds "$SECONDS_EACH" \
    --crash "tests/fuzz/crash-$target" "$@" 2>&1); then
    echo "ok $n - $target: $said"
  else
    echo "not ok $n - $target"
    echo "$said" | sed 's/^/# /'
  fi
done
