#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mcrd --check and signatures, as TAP: with the vectors of this directory, which the real minisign has made, and, where it
# is installed, with keys and signatures that it makes now.
#
# Environment: MCRD, the program (default: that of src/ in the build directory); srcdir, the top of the sources.
set -u

LC_ALL=C
export LC_ALL
srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-$PWD/src/mcrd}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
umask 022

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

cp "$srcdir"/tests/trust/*.conf "$srcdir"/tests/trust/*.pub "$srcdir"/tests/trust/*.minisig "$work" && chmod u+w "$work"/* && cd "$work" || exit 99
signed='mcr.conf: signatures: 2 of 2, signed by a,b,c'

# STATUS TEXT OPTION...: mcrd --check of mcr.conf says so.
check() {
  expected=$1 text=$2
  shift 2
  "$MCRD" --check --config mcr.conf "$@" >output 2>&1
  status=$?
  cat output
  [ $status -eq "$expected" ] || { echo "exit status $status, expected $expected"; return 1; }
  grep -qF "$text" output || { echo "not said: $text"; return 1; }
}

# What is said of signatures where nobody asks for any.
silent() {
  check 0 valid "$@" && ! grep signatures output
}

# Without one file, then with it again.
without() {
  mv "$1" away
  shift
  "$@"
  ended=$?
  mv away "$name"
  return $ended
}

ok "three have signed, of two" check 0 "$signed" --trust trust.conf
ok "none: nothing is said" silent --trust none
name=mcr.conf.a.minisig
ok "two of three are enough" without $name check 0 "mcr.conf: signatures: 2 of 2, signed by b,c" --trust trust.conf
cp mcr.conf kept.conf
echo '// one more comment' >>mcr.conf
ok "a file that was changed: exit status 1, with who is missing and why" check 1 \
  "mcr.conf: signatures: 0 of 2; missing, any of: a (mcr.conf.a.minisig does not fit this file), b (" --trust trust.conf
ok "it is valid nevertheless" check 1 "mcr.conf: valid, 1 rule" --trust trust.conf
mv kept.conf mcr.conf
name=trust.conf
ok "a trust.conf that is named and not there" without $name check 1 "trust.conf: cannot be opened" --trust trust.conf
chmod 666 trust.conf
ok "one that others may write" check 1 "trust.conf: mode is 0666, allowed is one without write by group or others" --trust trust.conf
chmod 644 trust.conf
sed 's/required = 2/required = 4/' trust.conf >bad.conf
config_as_trust() {
  check 1 'mcr.conf:1: "version" is a key of a config file, which is no trust.conf: allowed are required and keys' --trust mcr.conf &&
    [ "$(grep -c 'allowed are\|known here\|missing' output)" -eq 1 ]
}
ok "a config file in its place: one line" config_as_trust
ok "one that is not valid" check 1 'bad.conf:2: "required" is 4, allowed is 1 to 3, the number of keys' --trust bad.conf
if [ "$(id -u)" = 0 ]; then
  cp trust.conf foreign.conf && chown 65534 foreign.conf
  ok "one of another owner" check 1 "foreign.conf: owner is uid 65534, allowed is root" --trust foreign.conf
else
  skip "one of another owner" "this is not root"
fi
chmod 666 mcr.conf.a.minisig mcr.conf.b.minisig
ok "signatures that others may write do not count" check 1 "b (mcr.conf.b.minisig: mode is 0666, allowed is one without write" --trust trust.conf
chmod 644 mcr.conf.a.minisig mcr.conf.b.minisig

if ! command -v minisign >/dev/null; then
  skip "minisign verifies the vectors as mcrd does" "minisign is not installed"
  skip "signatures that it makes now" "minisign is not installed"
  plan
  exit
fi

agrees() {
  for name in a b c; do
    minisign -V -q -p $name.pub -m mcr.conf -x mcr.conf.$name.minisig || return 1
    minisign -V -q -p $name.pub -m trust.conf -x mcr.conf.$name.minisig 2>/dev/null && return 1
  done
  return 0
}

# legacy or not, comments of any kind, and an empty trusted one.
makes() {
  for name in a b c; do
    minisign -G -f -W -p $name.pub -s $name.key >/dev/null || return 1
  done
  for name in a b c; do
    printf '%s{ name = "%s"; key = "%s"; }' "${between:-}" $name "$(sed 1d $name.pub)"
    between=,
  done >keys
  printf 'required = 3; keys = ( %s );\n' "$(cat keys)" >trust.conf
  minisign -S -s a.key -m mcr.conf -x mcr.conf.a.minisig -t "$(printf 'CHG 4711 \303\251 %01000d' 0)" >/dev/null &&
    minisign -S -l -s b.key -m mcr.conf -x mcr.conf.b.minisig -t 'a: b = "c";' -c '' >/dev/null &&
    minisign -S -s c.key -m mcr.conf -x mcr.conf.c.minisig >/dev/null &&
    check 0 "mcr.conf: signatures: 3 of 3, signed by a,b,c" --trust trust.conf
}

ok "minisign verifies the vectors as mcrd does" agrees
ok "signatures that it makes now" makes
plan
