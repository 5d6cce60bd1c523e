# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For diff.sh and reload.sh, which read this: TAP, mcrd, and a stand-in for the daemon (standin.c).
#
# Environment: MCRD, the program (default: src/mcrd of the build directory); STANDIN (default: tests/config/standin of
# the build directory); srcdir, the top of the sources. UPDATE=1 writes the goldens anew, to be read before they are
# committed.
set -u

srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-src/mcrd}
MCRD=$(cd "$(dirname "$MCRD")" && pwd)/$(basename "$MCRD")
STANDIN=${STANDIN:-$(dirname "$(dirname "$MCRD")")/tests/config/standin}
work=$(mktemp -d) || exit 99
standin=
trap 'away; rm -rf "$work"' EXIT
cd "$work" || exit 99
chmod 0755 "$work"
umask 022

# libconfig 1.5 loses what it has read of a string when a syntax error follows.
printf 'leak:strbuf_append\nleak:libconfig_yylex\n' >lsan
export LSAN_OPTIONS="${LSAN_OPTIONS:+$LSAN_OPTIONS:}suppressions=$work/lsan:print_suppressions=0"

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

after_test() {
  away
}

# STATUS ARGUMENTS: mcrd with a bound on its time ends with this status; stdout and stderr are kept in files of these
# names.
run() {
  wanted=$1
  shift
  timeout 60 "$MCRD" "$@" >stdout 2>stderr
  found=$?
  [ $found -eq "$wanted" ] || { echo "exit status is $found, not $wanted"; cat stdout stderr; return 1; }
}

# TEXT: the last line of stderr; those before are warnings, which depend on the interfaces of this machine.
said() {
  [ "$(tail -n 1 stderr)" = "$1" ] || { echo "wanted: $1"; cat stderr; return 1; }
}

# KEY=VALUE...: a daemon stands in, with its statistics in the file "stats".
stands_in() {
  away
  rm -f hups
  mkfifo hold ready
  "$STANDIN" "$work/stats" "$@" <hold >ready &
  standin=$!
  exec 8>hold 9<ready
  rm hold ready
  read -r line <&9 && [ "$line" = ready ]
}

# It goes away by itself at the end of its input.
away() {
  if [ "$standin" ]; then
    exec 8>&-
    wait "$standin"
    cat <&9 >hups
    exec 9<&-
    standin=
  fi
}

sha256() {
  sha256sum "$1" | cut -d' ' -f1
}
