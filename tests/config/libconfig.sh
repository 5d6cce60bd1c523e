#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The config tests and the fuzz targets of the file, as TAP, with mcr built against other libconfigs: a file must mean the
# same with each of them. Their sources are those of the Debians below, which apt fetches and verifies; a Debian whose
# sources cannot be had is skipped.
#
# Run it in the build directory, or as "make check-libconfig". Nothing is installed; all is made in tests/config/libconfig
# of the build directory. A minute for each.
#
# Environment: srcdir, the top of the sources; MCR_DEBIAN_MIRROR; MCR_LIBCONFIG_SOURCES, tarballs or directories of more
# libconfigs.
set -u

LC_ALL=C
export LC_ALL
umask 022
unset MAKEFLAGS MFLAGS MAKELEVEL
srcdir=$(cd "${srcdir:-.}" && pwd)
work=$(pwd)/tests/config/libconfig
# shellcheck source=tests/tools.sh
. "$srcdir/tests/tools.sh"
[ ! -f "$srcdir/config.status" ] || skip "the sources were configured in place: use a build directory"
# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh" # with another skip

# 1.5, 1.7, 1.8
SUITES="bookworm trixie sid"
TESTS="config/run config/diff config/explain config/reload config/firewall fuzz/replay"
DOWNLOAD_SECONDS=300

# SUITE: the tarball of its libconfig, in the directory of this name. apt has directories of its own here: nothing of
# the machine's changes.
download() {
  rm -rf "${work:?}/$1"
  mkdir -p "$work/$1/lists/partial" "$work/$1/archives/partial" &&
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror "$1") $1 main" \
      >"$work/$1/sources" || return 1
  cat >"$work/$1/conf" <<END
Dir::Etc::SourceList "$work/$1/sources";
Dir::Etc::SourceParts "-";
Dir::State "$work/$1";
Dir::State::status "/dev/null";
Dir::Cache "$work/$1";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
END
  (
    cd "$work/$1" && export APT_CONFIG="$work/$1/conf" && timeout $DOWNLOAD_SECONDS apt-get -q update &&
      timeout $DOWNLOAD_SECONDS apt-get -q source --download-only --tar-only libconfig
  ) </dev/null
}

# SOURCE DIRECTORY: makes libconfig.a of a tarball or a directory, with its header beside it. Without its ./configure:
# what that finds out matters to the locale of floats alone.
build_library() {
  mkdir -p "$2/source" || return 1
  if [ -d "$1" ]; then
    cp -R "$1/." "$2/source"
  else
    tar -C "$2/source" --strip-components=1 -xf "$1"
  fi || return 1
  cp "$2/source/lib/libconfig.h" "$2" || return 1
  (
    cd "$2" && for name in grammar libconfig scanctx scanner strbuf strvec util wincompat; do
      [ ! -f "source/lib/$name.c" ] || ${CC:-cc} -w -O2 -fPIE -D_GNU_SOURCE -c "source/lib/$name.c" || exit 1
    done && ar rcs libconfig.a ./*.o
  )
}

# DIRECTORY: makes mcr with the libconfig that lies there, in its directory mcr.
build_mcr() {
  mkdir -p "$1/mcr" && cd "$1/mcr" || return 1
  "$srcdir/configure" -q --without-criterion LIBCONFIG_CFLAGS="-I$1" LIBCONFIG_LIBS="$1/libconfig.a" &&
    make -s -j2 src/mcrd tests/config/standin tests/fuzz/config tests/fuzz/lexical
}

# DIRECTORY TEST
run_test() {
  cd "$1/mcr" || return 1
  MCRD=src/mcrd FUZZ_TARGETS="config lexical" "$srcdir/tests/$2.sh" >"$work/log" 2>&1
  status=$?
  grep -vE '^(ok|1\.\.)' "$work/log"
  [ $status -eq 0 ] && ! grep -q '^not ok' "$work/log"
}

# SOURCE DIRECTORY
check() {
  rm -rf "$2"
  if ! build_library "$1" "$2" >"$work/log" 2>&1; then
    skip "$1" "cannot be built: $(tail -n 1 "$work/log")"
    return
  fi
  # Its header does not know its revision.
  name=$(basename "$1" | sed 's/\.orig\..*//; s/\.tar\..*//; s/_/ /')
  ok "$name: built" build_mcr "$2"
  for test in $TESTS; do
    ok "$name: $test" run_test "$2" "$test"
  done
}

mkdir -p "$work"
for suite in $SUITES; do
  if ! command -v apt-get >/dev/null; then
    skip "libconfig of $suite" "no apt-get"
  elif ! download "$suite" >"$work/log" 2>&1; then
    skip "libconfig of $suite" "no sources: $(grep '^E:' "$work/log" | head -n 1)"
  else
    check "$(ls "$work/$suite"/libconfig_*.orig.tar.*)" "$work/built-$suite"
  fi
done
n=0
for source in ${MCR_LIBCONFIG_SOURCES:-}; do
  n=$((n + 1))
  check "$source" "$work/built-$n"
done
plan
