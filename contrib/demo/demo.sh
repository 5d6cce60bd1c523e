#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Real traffic through mcrd, between network namespaces of its own:
#
#      source zone                relay host                 destination zone
#   +---------------+   plant0  +------------+   dmz0     +------------------+
#   | mcrgen send   |-----------|    mcrd    |------------| mcrgen recv      |
#   | 198.18.1.2    |           | no routing |            | 198.18.2.2       |
#   +---------------+           +------------+            +------------------+
#
# Takes about 15 seconds. MCR_BIN: where mcrd, mcrstat and mcrgen are.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${MCR_BIN:?set MCR_BIN to the directory of mcrd, mcrstat and mcrgen}
rate=20000 seconds=10
count=$((rate * seconds))
run=/run/mcr-demo
work=$(mktemp -d)
chmod 755 "$work"
started=()

[ -t 1 ] && live=yes || live=no
if [ $live = yes ]; then bold=$'\033[1m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'; else bold='' green='' red='' plain=''; fi

say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }

cleanup() {
  trap - EXIT INT TERM
  local i
  for ((i = ${#started[@]} - 1; i >= 0; i--)); do
    kill "${started[i]}" 2>/dev/null || true
    wait "${started[i]}" 2>/dev/null || true
  done 2>/dev/null
  [ $live = yes ] && printf '\033[?25h'
  rm -rf "$work" "$run"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A network namespace lives as long as the process that holds it.
new_zone() {
  unshare --net sleep 120 &
  started+=($!)
  zone=$!
  for _ in $(seq 100); do
    [ "$(readlink /proc/$zone/ns/net)" != "$(readlink /proc/self/ns/net)" ] && return
    sleep 0.02
  done
  echo "no network namespace can be made here" >&2
  exit 1
}
inside() {
  local zone=$1
  shift
  nsenter --target "$zone" --net -- "$@"
}
# For the background: $! is then the program itself, and not a shell around it.
exec_inside() {
  local zone=$1
  shift
  exec nsenter --target "$zone" --net -- "$@"
}
# wait_for SECONDS COMMAND... waits until the command succeeds.
wait_for() {
  local tries=$(($1 * 20))
  shift
  while ! "$@" 2>/dev/null; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.05
  done
}

[ ! -e "$run" ] || { echo "$run exists: another demo is running, or remove it" >&2; trap - EXIT; rm -rf "$work"; exit 1; }

say "three hosts: a source zone, the relay host, a destination zone"
new_zone; source_zone=$zone
new_zone; relay_zone=$zone
new_zone; sink_zone=$zone
inside "$relay_zone" ip link add plant0 type veth peer name eth0 netns "$source_zone"
inside "$relay_zone" ip link add dmz0 type veth peer name eth0 netns "$sink_zone"
for node in "$relay_zone plant0 198.18.1.1" "$relay_zone dmz0 198.18.2.1" "$source_zone eth0 198.18.1.2" "$sink_zone eth0 198.18.2.2"; do
  read -r zone interface address <<<"$node"
  inside "$zone" ip address add "$address/24" dev "$interface"
  inside "$zone" ip link set "$interface" up
done

say "the file that says what may pass: contrib/demo/demo.conf"
cp "$here/demo.conf" "$work/mcr.conf"
chmod 644 "$work/mcr.conf"
sed -n '/^rules/,$p' "$work/mcr.conf"

say "starting mcrd"
exec_inside "$relay_zone" "$bin/mcrd" --config "$work/mcr.conf" 2>"$work/mcrd.log" &
mcrd=$!
started+=($mcrd)
wait_for 10 grep -q event=started "$work/mcrd.log" || { cat "$work/mcrd.log"; exit 1; }
grep -o 'event=started.*' "$work/mcrd.log"

say "a live stream: $rate datagrams of 1316 bytes a second for $seconds seconds, numbered and checksummed"
exec_inside "$sink_zone" "$bin/mcrgen" recv --interface eth0 --group 239.255.20.1 --port 6000 \
  --count $count --expect $count --idle-ms 3000 --seconds $((seconds + 20)) --json >"$work/recv.json" 2>"$work/recv.log" &
receiver=$!
started+=($receiver)
wait_for 10 grep -q ready "$work/recv.log" || { cat "$work/recv.log"; exit 1; }
exec_inside "$source_zone" "$bin/mcrgen" send --interface eth0 --group 239.255.10.1 --port 5000 \
  --count $count --rate $rate --json >"$work/send.json" &
sender=$!
started+=($sender)

rows=0
# Draws the table over the one before on a terminal, and below it elsewhere.
show() {
  local step=$1 steps=$2 done_ text
  done_=$((step * 40 / steps))
  text=$("$bin/mcrstat" --stats "$run/stats" 2>&1 || true)
  text+=$'\n\n'"  [$(printf '%*s' $done_ '' | tr ' ' '#')$(printf '%*s' $((40 - done_)) '')] $((step / 2)) of $seconds s"
  [ $live = yes ] && [ $rows -gt 0 ] && printf '\033[%dA\033[J' "$rows"
  printf '%s\n' "$text"
  rows=$(($(wc -l <<<"$text")))
}

[ $live = yes ] && printf '\033[?25l'
steps=$((seconds * 2))
for ((step = 1; step <= steps; step++)); do
  sleep 0.5
  if [ $step = $((steps / 2)) ]; then
    cp "$here/demo-changed.conf" "$work/new" && chmod 644 "$work/new" && mv "$work/new" "$work/mcr.conf"
    kill -HUP "$mcrd"
    wait_for 5 grep -q 'event=reload result=accepted' "$work/mcrd.log" || true
  fi
  if [ $live = yes ] || [ $((step % 5)) = 0 ]; then show $step $steps; fi
done
[ $live = yes ] && printf '\033[?25h'
wait "$sender" || true

say "in mid-stream the file was replaced and taken over by SIGHUP"
grep -oE 'event=reload .*' "$work/mcrd.log" || true

say "what the receiver says"
result=0
wait "$receiver" || result=$?
grep -E '"(expected|received|lost|duplicates|reordered|corrupt)"' "$work/recv.json"
grep -A6 '"latency_us"' "$work/recv.json" | grep -E 'p50|p99"' | sed 's/^/  latency in us,/'
if [ $result = 0 ]; then
  say "${green}each of the $count datagrams arrived once, in order, byte by byte as it was sent$plain"
else
  say "${red}the receiver does not have what was sent$plain"
  cat "$work/mcrd.log"
fi

cat <<TEXT

To run it on real interfaces:
  1. write /etc/mcr/mcr.conf (etc/mcr.conf.example explains every key)
  2. $bin/mcrd --check                  says what is wrong with it, line by line
  3. sudo adduser --system --group mcr       whom mcrd becomes
  4. sudo $bin/mcrd                     runs in the foreground; Ctrl-C stops
  5. $bin/mcrstat                       shows what passes and what is dropped, and why
  6. sudo $bin/mcrd --reload            takes a changed file over and tells the verdict; a bad one changes nothing
TEXT
exit $result
