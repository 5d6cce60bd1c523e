#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Other builds than the released one, with warnings as errors: gcc and clang, each with -O0 to -O3 and with link time
# optimisation, and without each part that configure can leave out. Each is made in a directory of its own with all that
# "make check" builds, passes the unit tests, and accepts the example with mcrd --check.
#
# Run it in the build directory, or as "make check-builds"; BUILDS='clang|LTO', a regular expression, chooses some by their
# names, "list" prints these. Prints a line for each build as it ends; the log of one that failed, in tests/builds/made of
# the build directory, stays.
#
# Environment: srcdir, the top of the sources; BUILDS.
set -u

LC_ALL=C
export LC_ALL
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS LDFLAGS CPPFLAGS CC AR RANLIB
srcdir=$(cd "$srcdir" && pwd) || exit 1
made=$PWD/tests/builds/made

BUILD_SECONDS=1800

# A line for each build, "NAME|COMPILER|arguments of configure"; flags of the compilers' own linkers and archivers for LTO.
builds() {
  for cc in gcc clang; do
    for level in 0 1 2 3; do
      echo "$cc -O$level|$cc|CC=$cc 'CFLAGS=-g -O$level'"
    done
  done
  echo "gcc LTO|gcc|CC=gcc AR=gcc-ar RANLIB=gcc-ranlib 'CFLAGS=-g -O2 -flto=auto'"
  echo "clang LTO|clang ld.lld llvm-ar|CC=clang AR=llvm-ar RANLIB=llvm-ranlib 'CFLAGS=-g -O2 -flto=thin' LDFLAGS=-fuse-ld=lld"
  # Options of autoconf and automake itself change nothing that is compiled.
  "$srcdir/configure" --help | sed -nE 's/^  --(disable|without)-([a-z][a-z-]*) .*/--\1-\2/p' |
    grep -vE -- '-(option-checking|silent-rules|dependency-tracking|largefile)$' | while read -r option; do
    echo "$option|gcc|CC=gcc $option"
  done
}

# ARGUMENTS: into the directory where this runs.
build() {
  eval "set -- $1"
  "$srcdir/configure" -q --enable-werror "$@" || return 1
  # Neither a checkout's times nor a make of another version make configure anew.
  set -- -k -s -j"$(nproc)" ACLOCAL=: AUTOCONF=: AUTOHEADER=: AUTOMAKE=: VERBOSE=1
  units=$(make -s list-tests | tr ' ' '\n' | grep -x tests/unit/units)
  make "$@" all && make "$@" check TESTS="$units" && src/mcrd --check "$srcdir/etc/mcr.conf.example"
}

if [ "${1:-}" = build ]; then
  build "$2"
  exit
fi

[ "${BUILDS:-}" != list ] || { builds | cut -d'|' -f1; exit; }
mkdir -p "${made%/*}" && exec 9>"${made%/*}/lock" || exit 1
flock -n 9 || { echo "another one runs here"; exit 1; }
rm -rf "$made" && mkdir "$made" || exit 1
builds | grep -E -- "^[^|]*(${BUILDS:-.})[^|]*\|" >"$made/builds"
passed=0 failed=0 skipped=0
while IFS='|' read -r name tools arguments; do
  missing=
  for tool in $tools; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  if [ -n "$missing" ]; then
    echo "SKIP $name: missing:$missing"
    skipped=$((skipped + 1))
    continue
  fi
  dir=$made/$(echo "$name" | tr ' ' '-' | sed 's/^-*//')
  began=$(date +%s)
  mkdir "$dir" && (cd "$dir" && timeout -k 5 $BUILD_SECONDS sh "$srcdir/tests/builds/run.sh" build "$arguments") \
    >"$dir.log" 2>&1 </dev/null
  status=$?
  rm -rf "$dir"
  took=$(($(date +%s) - began))
  if [ $status -eq 0 ]; then
    echo "PASS $name ($took s)"
    rm "$dir.log"
    passed=$((passed + 1))
  else
    echo "FAIL $name ($took s): $dir.log"
    grep -E -m 5 '(error|warning):|^not ok|^FAIL:' "$dir.log" | sed 's/^/  /'
    failed=$((failed + 1))
  fi
done <"$made/builds"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
