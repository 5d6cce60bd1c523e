#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the tests in a booted guest share: verdicts as TAP in /test/result, the journal, datagrams. For guest.sh to source.
#
#   namespace far: s0 --- in0 guest out0 --- d0   198.18.1.0/24, 198.18.2.0/24
set -u

LC_ALL=C.UTF-8
export LC_ALL
exec </dev/null
exec 3>/test/result >/test/output 2>&1
cd /test || exit 1
run=/run/mcr

count=0
failed=0

# NAME COMMAND...: one test; the command decides. What it prints is shown when it fails.
ok() {
  local name=$1
  shift
  count=$((count + 1))
  if "$@" >diag 2>&1; then
    echo "ok $count - $name" >&3
  else
    echo "not ok $count - $name" >&3
    sed 's/^/#   /' diag >&3
    mcrstat 2>&1 | sed 's/^/#   mcrstat: /' >&3
    journalctl --no-pager -q -u 'mcrd*' -o short-monotonic -n 15 2>&1 | sed 's/^/#   journal: /' >&3
    failed=$((failed + 1))
  fi
}

note() {
  sed 's/^/# /' >&3
}

# SECONDS COMMAND...
within() {
  local end=$((SECONDS + $1 + 1)) tries=0
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $SECONDS -lt $end ] || { echo "not in time: $*"; return 1; }
    sleep 0.05
  done
}

# STATUS COMMAND...: the command ends with it, in time.
status() {
  local expected=$1 got
  shift
  timeout 30 "$@"
  got=$?
  [ $got -eq "$expected" ] || { echo "$*: exit status $got, expected $expected"; return 1; }
}

fails() {
  local got
  timeout 30 "$@"
  got=$?
  [ $got -ne 0 ] && [ $got -lt 124 ] || { echo "$*: exit status $got, expected a failure"; return 1; }
}

equal() {
  [ "$1" = "$2" ] || { echo "found \"$1\", expected \"$2\""; return 1; }
}

property() {
  systemctl show --value -p "$1" "${2:-mcrd}"
}

# UNIT STATE
state_is() {
  equal "$(property ActiveState "$1")" "$2"
}

processes() {
  local dir
  for dir in /proc/[0-9]*; do
    [ "$(cat "$dir/comm" 2>/dev/null)" != mcrd ] || echo "${dir#/proc/}"
  done
}

generation() {
  mcrstat --json --stats "${1:-$run/stats}" | tr -d ' \n' | sed -n 's/.*"generation":\([0-9]*\).*/\1/p'
}

digest() {
  sha256sum "$1" | cut -d' ' -f1
}

# Where the journal ends now; journal() tells what has come since.
mark() {
  journalctl --sync
  cursor=$(journalctl -q --no-pager -n 0 --show-cursor | sed -n 's/^-- cursor: //p')
}

# UNIT: what it has said since mark.
journal() {
  journalctl --sync
  journalctl -q --no-pager -o cat -u "${1:-mcrd}" --after-cursor "$cursor"
}

# PATTERN
said() {
  journal >journal
  grep -E -e "$1" journal || { echo "no such line: $1"; return 1; }
}

# --- packets ---

# NAME DATAGRAMS RATE: a stream from s0 to d0, which stream_ends judges.
stream_begins() {
  local group
  case $1 in steady) group=1 ;; edited) group=2 ;; other) group=3 ;; esac
  rm -f received # the "ready" of the stream before must not count
  ip netns exec far mcrgen recv --interface d0 --group 239.255.2.$group --port 6000 --expect "$2" --idle-ms 300 --missing-ms 3000 \
    --seconds 60 >received 2>&1 &
  receiver=$!
  within 5 grep -q ready received || return 1
  ip netns exec far mcrgen send --interface s0 --group 239.255.1.$group --port 5000 --count "$2" --rate "$3" \
    >sent 2>&1 &
  sender=$!
}

stream_ends() {
  local result=0
  wait "$sender" || result=1
  wait "$receiver" || result=1
  cat sent received
  return $result
}

flows() {
  stream_begins "${1:-steady}" 500 2000 && stream_ends
}

# COMMAND...: with a stream of the rule steady for as long as a run takes; the receiver misses nothing.
during() {
  local result=0 receiver sender
  rm -f received
  ip netns exec far mcrgen recv --interface d0 --group 239.255.2.1 --port 6000 --idle-ms 1000 --seconds 150 \
    >received 2>&1 &
  receiver=$!
  within 5 grep -q ready received || return 1
  ip netns exec far mcrgen send --interface s0 --group 239.255.1.1 --port 5000 --rate 2000 >sent 2>&1 &
  sender=$!
  "$@" || result=1
  kill -TERM $sender || { echo "the stream ended too early"; result=1; }
  wait $sender || result=1
  wait $receiver || result=1
  cat sent received
  # Hundreds, or it has shown nothing.
  grep -qE '^received +[0-9]{3,}$' received || result=1
  grep -E '^(received|lost|duplicates)' received | note
  return $result
}

# --- the topology ---

# NAME PEER ADDRESS PEER_ADDRESS
link() {
  ip link add "$1" type veth peer name "$2" netns far && ip address add "$3/24" dev "$1" &&
    ip -n far address add "$4/24" dev "$2" && ip -n far link set "$2" up && ip link set "$1" up
}

has_topology() {
  ip netns add far && ip -n far link set lo up && link in0 s0 198.18.1.2 198.18.1.1 && link out0 d0 198.18.2.2 198.18.2.1
}
