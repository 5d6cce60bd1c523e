#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What begins and ends, judged as at a time (--at), as TAP: by --check, --explain, --firewall and --replay.
#
# Environment: MCRD, the program; MCR_SANDBOX, the mode of its sandbox; srcdir, the top of the sources.
set -u

srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-src/mcrd}
MCRD=$(cd "$(dirname "$MCRD")" && pwd)/$(basename "$MCRD")
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 99
umask 022

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

cat >times.conf <<'END'
version = 1;
valid_from = "2030-01-01T00:00:00Z";
valid_until = "2031-01-01T00:00:00Z";
rules = ( { name = "always"; input = { interface = "lo"; group = "239.1.1.1"; port = 5000; };
            outputs = ( { interface = "lo"; group = "239.2.1.1"; port = 6000; } ); },
          { name = "brief"; active_from = "2030-06-01T00:00:00Z"; active_until = "2030-07-01T00:00:00Z";
            input = { interface = "lo"; group = "239.1.1.2"; port = 5000; };
            outputs = ( { interface = "lo"; group = "239.2.1.2"; port = 6000; } ); } );
END

# STATUS ARGUMENT...
run() {
  status=$1
  shift
  timeout 60 "$MCRD" "$@" --config times.conf >stdout 2>stderr
  found=$?
  [ $found -eq "$status" ] || { echo "exit status $found, expected $status"; cat stdout stderr; return 1; }
}

# TEXT: a line of stderr or of stdout is it.
said() {
  grep -hFx "$1" stderr stdout || { cat stdout stderr; return 1; }
}
quiet_of() {
  ! grep -F "$1" stderr stdout
}

check_early() {
  run 1 --check --at 2029-12-31T23:59:59Z &&
    said 'times.conf:2: valid_from is "2030-01-01T00:00:00Z", which is to come (now 2029-12-31T23:59:59Z): no load takes it before' &&
    said 'times.conf: as of then it is checked by mcrd --check --at 2030-01-01T00:00:00Z'
}
check_late() {
  run 1 --check --at 2031-01-01T00:00:00Z &&
    said 'times.conf:3: valid_until is "2031-01-01T00:00:00Z", which has passed (now 2031-01-01T00:00:00Z): no load takes it'
}
check_expired() {
  run 0 --check --at 2030-07-01T00:00:00Z &&
    said 'times.conf:6: warning: rule "brief": active_until is "2030-07-01T00:00:00Z", which has passed (now 2030-07-01T00:00:00Z): the rule relays nothing: remove it' &&
    run 0 --check --at 2030-06-30T23:59:59Z && quiet_of "which has passed" && run 0 --check --at 2030-01-01T00:00:00Z && quiet_of "active_"
}

explain_refused() {
  run 0 --explain 198.18.1.1 239.1.1.1 5000 --at 2031-01-01T00:00:00Z &&
    grep -Fx 'note: valid_until is "2031-01-01T00:00:00Z", which has passed (now 2031-01-01T00:00:00Z): no load takes it' stdout &&
    run 0 --explain 198.18.1.1 239.1.1.1 5000 --at 2029-12-31T23:59:59Z &&
    grep -F 'note: valid_from is "2030-01-01T00:00:00Z", which is to come' stdout &&
    run 0 --explain 198.18.1.1 239.1.1.1 5000 --at 2030-07-01T00:00:00Z && ! grep 'note: valid' stdout
}
check_behind() {
  sed 's/2030-06-01T/2031-01-01T/; s/2030-07-01T/2031-02-01T/' times.conf >behind.conf && mv behind.conf behind && cp times.conf kept &&
    mv behind times.conf && run 0 --check --at 2030-01-01T00:00:00Z &&
    said 'times.conf:6: warning: rule "brief": active_from is "2031-01-01T00:00:00Z", and the file is valid until "2031-01-01T00:00:00Z" only: the rule begins only if this file still runs then'
  found=$?
  mv kept times.conf
  return $found
}

explain() {
  run 1 --explain 198.18.1.1 239.1.1.2 5000 --at 2030-05-31T23:59:59Z &&
    said '  times.conf:7: rule "brief" is not active yet: from 2030-06-01T00:00:00Z' &&
    run 0 --explain 198.18.1.1 239.1.1.2 5000 --at 2030-06-01T00:00:00Z &&
    run 0 --explain 198.18.1.1 239.1.1.2 5000 --at 2030-06-30T23:59:59Z &&
    run 1 --explain 198.18.1.1 239.1.1.2 5000 --at 2030-07-01T00:00:00Z &&
    said '  times.conf:7: rule "brief" has expired: until 2030-07-01T00:00:00Z' &&
    run 0 --explain 198.18.1.1 239.1.1.1 5000 --at 2030-07-01T00:00:00Z &&
    run 1 --explain 198.18.1.1 239.1.1.2 5000 --json --at 2030-07-01T00:00:00Z && grep -F '"active_until"' stdout
}

# A rule that is to begin is let pass, as is one that lasts: nftables knows no time.
firewall() {
  for at in 2030-01-01T00:00:00Z 2030-06-15T00:00:00Z; do
    run 0 --firewall --at $at && said '# from 2030-06-01T00:00:00Z until 2030-07-01T00:00:00Z: brief' &&
      grep -F 239.1.1.2 stdout >/dev/null || return 1
  done
  run 0 --firewall --at 2030-07-01T00:00:00Z && said '# expired, nothing passes, until 2030-07-01T00:00:00Z: brief' &&
    ! grep -F 239.1.1.2 stdout && grep -F 239.1.1.1 stdout >/dev/null
}

# A frame of Ethernet to group 239.1.1.2, port 5000, with 4 bytes; no UDP checksum.
capture() {
  printf '\324\303\262\241\002\000\004\000\000\000\000\000\000\000\000\000\377\377\000\000\001\000\000\000'
  printf '\000\000\000\000\000\000\000\000\056\000\000\000\056\000\000\000'
  printf '\001\000\136\001\001\002\002\000\000\000\001\001\010\000'
  printf '\105\000\000\040\000\000\000\000\001\021\002\267\306\022\001\001\357\001\001\002'
  printf '\003\350\023\210\000\014\000\000abcd'
}
replay() {
  capture >one.pcap
  run 0 --replay one.pcap --interface lo --sandbox "${MCR_SANDBOX:-enforce}" --at 2030-06-15T00:00:00Z && grep -w forwarded stdout && cp stdout open &&
    run 0 --replay one.pcap --interface lo --sandbox "${MCR_SANDBOX:-enforce}" --at 2030-07-01T00:00:00Z && ! diff -q open stdout >/dev/null &&
    grep -F 'has expired' stdout
}

bad() {
  run 2 --check --at "$1" && grep -F "mcrd: --at is \"$1\", allowed is a time in UTC as \"2026-12-01T22:00:00Z\"" stderr
}
bad_places() {
  run 2 --print --at 2030-07-01T00:00:00Z
}

ok "check: before valid_from" check_early
ok "check: behind valid_until" check_late
ok "check: a rule that has expired is a warning" check_expired
ok "check: a rule that begins behind valid_until is a warning" check_behind
ok "explain: before, while and after" explain
ok "explain: a note where no load takes the file now" explain_refused
ok "firewall: before, while and after" firewall
ok "replay: while and after" replay
ok "refused: --at tomorrow" bad tomorrow
ok "refused: --at in another zone" bad 2030-07-01T00:00:00+01:00
ok "refused: --at with --print" bad_places

plan
