#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the guest that run.sh boots: what systemd makes of mcrd, with real packets. Writes TAP to /test/result.
#
#   namespace far: s0 --- in0 guest out0 --- d0   198.18.1.0/24, 198.18.2.0/24
#                  s9 --- in9 (late)
#
# Environment: MCRD, the program; CONFIG, the directory of its files; LANDLOCK, the ABI that must be in force.
set -u

# shellcheck source=tests/systemd/guestlib.sh
. /test/guestlib.sh
conf=$CONFIG/mcr.conf
dropins=/run/systemd/system/mcrd.service.d
accepted=''
accepted_before=''

# --- files ---

# TTL: three rules, of which the second has this TTL, and the third an interface that is not there yet.
rules() {
  cat <<END
version = 1;
ring_mib = 64; # a busy machine takes its time to restart
rules = (
  { name = "steady";
    input = { interface = "in0"; group = "239.255.1.1"; port = 5000; };
    outputs = ( { interface = "out0"; group = "239.255.2.1"; port = 6000; } ); },
  { name = "edited"; note = "CHG0031337";
    input = { interface = "in0"; group = "239.255.1.2"; port = 5000; };
    outputs = ( { interface = "out0"; group = "239.255.2.2"; port = 6000; ttl = $1; mode = "socket"; } ); },
  { name = "late";
    input = { interface = "in9"; group = "239.255.1.9"; port = 5000; };
    outputs = ( { interface = "out0"; group = "239.255.2.9"; port = 6000; } ); }
);
END
}

# The standard input becomes the file, as configuration management does it: readable for the group alone.
put() {
  cat >"$1.new" && chown root:mcr "$1.new" && chmod 0640 "$1.new" && mv "$1.new" "$1"
}

# ttl = 999 in line 9.
put_bad() {
  rules 999 | put "$conf"
  bad="$conf:9: rule \"edited\":"
}

# --- installation ---

has_user() {
  systemd-sysusers && getent passwd mcr && getent group mcr && systemd-tmpfiles --create mcr.conf &&
    equal "$(stat -c '%U:%G %a' $run)" "mcr:mcr 755"
}

units_verify() {
  systemd-analyze verify --man=no mcrd.service mcrd@other.service && status 0 systemctl enable mcrd mcrd@other &&
    equal "$(systemctl is-enabled mcrd mcrd@other | tr '\n' ' ')" "enabled enabled "
}

exposed_little() {
  systemd-analyze security --offline=true --no-pager --threshold=17 "$1" >exposure
  local result=$?
  tail -n 1 exposure | note
  [ $result -eq 0 ] || { grep ✗ exposure; return 1; }
}

# --- start ---

bad_start() {
  mark
  mkdir -p "$CONFIG" && put_bad && fails systemctl start mcrd && said "^$bad .*999" &&
    status 0 systemctl stop mcrd && equal "$(processes)" "" || return 1
  systemctl reset-failed mcrd || true # there may be nothing left to forget
}

# What starts mcrd waits for a file first.
active_after_ready() {
  mkdir -p $dropins && cat >$dropins/gate.conf <<END && systemctl daemon-reload || return 1
[Service]
ExecStart=
ExecStart=/bin/sh -c 'until [ -e /test/gate ]; do sleep 0.05; done; exec $MCRD --config $conf'
END
  rules 1 | put "$conf"
  mark
  systemctl start --no-block mcrd
  within 5 eval '[ "$(property MainPID)" != 0 ]' && state_is mcrd activating &&
    equal "$(property SubState)" start || return 1
  touch gate
  status 0 systemctl start mcrd && state_is mcrd active && equal "$(generation)" 1 && said '^.*event=started .*' || return 1
  # Which of the two the journal reads first is its own affair.
  grep -nE 'event=started|^Started ' journal
  equal "$(grep -oE 'event=started|^Started' journal | sort | tr '\n' ' ')" "Started event=started "
}

no_rights() {
  rm -f $dropins/gate.conf && systemctl daemon-reload && status 0 systemctl restart mcrd || return 1
  local pid line
  pid=$(property MainPID)
  cat "/proc/$pid/status"
  for line in CapPrm CapEff CapAmb; do
    equal "$(awk "/^$line:/ { print \$2 }" "/proc/$pid/status")" 0000000000000000 || return 1
  done
  # What the start has left, and nothing can be made of.
  equal "$(awk '/^(CapInh|CapBnd):/ { print $2 }' "/proc/$pid/status" | sort -u)" 0000000000002000 &&
    systemctl status --no-pager -n 0 mcrd | grep -E "Status: .*; sandbox enforce, landlock $LANDLOCK;" || return 1
  equal "$(awk '/^(Seccomp|NoNewPrivs):/ { print $2 }' "/proc/$pid/status" | tr '\n' ' ')" "1 2 " &&
    equal "$(awk '/^(Uid|Gid):/ { print $2, $3, $4, $5 }' "/proc/$pid/status" | tr '\n' ' ')" \
      "$(id -u mcr) $(id -u mcr) $(id -u mcr) $(id -u mcr) $(id -g mcr) $(id -g mcr) $(id -g mcr) $(id -g mcr) "
}

# The broker is the other process of the unit.
broker_rights() {
  local pid main
  main=$(property MainPID)
  pid=$(processes | grep -vx "$main")
  cat "/proc/$pid/status"
  equal "$(awk '/^CapEff:/ { print $2 }' "/proc/$pid/status")" 0000000000002000 &&
    equal "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" 2
}

file_is_private() {
  equal "$(stat -c '%U:%G %a' "$conf")" "root:mcr 640"
}

# --- reload ---

good_reload() {
  local before first pid ttl
  before=$(digest "$conf")
  first=$(generation)
  pid=$(property MainPID)
  mark
  stream_begins steady 40000 5000 || return 1
  for ttl in 2 3 4 5; do
    before=$(digest "$conf")
    rules $ttl | put "$conf"
    status 0 systemctl reload mcrd && equal "$(generation)" $((first + ttl - 1)) || { stream_ends; return 1; }
  done
  # The stream was there all the time.
  kill -0 "$sender" || { echo "the stream ended too early"; return 1; }
  stream_ends && equal "$(property MainPID)" "$pid" && state_is mcrd active || return 1
  accepted=$(journal | grep 'event=reload .*result=accepted' | tail -n 1)
  accepted_before=$before
}

changed_rule() {
  flows edited
}

# A key of a record, which may be quoted.
value() {
  sed -n "s/.* $1=\(\"[^\"]*\"\|[^ ]*\).*/\1/p" <<<" $2"
}

record_of_accepted() {
  echo "$accepted"
  equal "$(value generation "$accepted")" "$(generation)" && equal "$(value sha256 "$accepted")" "$(digest "$conf")" &&
    equal "$(value sha256_before "$accepted")" "$accepted_before" && equal "$(value uid "$accepted")" "$(id -u mcr)" &&
    equal "$(value mode "$accepted")" 0640 && equal "$(value changed "$accepted")" 1 &&
    [[ $(value pid "$accepted") =~ ^[1-9][0-9]*$ ]]
}

bad_reload() {
  local now pid
  now=$(generation)
  pid=$(property MainPID)
  mark
  stream_begins steady 12000 4000 && put_bad || return 1
  fails systemctl reload mcrd && kill -0 "$sender" && said "^$bad .*999" && state_is mcrd active &&
    equal "$(property MainPID)" "$pid" && equal "$(generation)" "$now" || { stream_ends; return 1; }
  grep -E 'Reload failed|Control process exited' journal
  stream_ends
}

# Past the check of the command, as a signal does.
bad_signal() {
  local now record
  now=$(generation)
  mark
  status 0 systemctl kill --kill-whom=main -s HUP mcrd && within 5 said 'event=reload .*result=refused' || return 1
  record=$(grep 'event=reload .*result=refused' journal)
  echo "$record"
  [[ $(value reason "$record") == *"$conf:9: "* ]] && equal "$(value sha256 "$record")" "$(digest "$conf")" &&
    equal "$(generation)" "$now" && flows
}

# Valid, but not for the daemon that runs.
refused_reload() {
  local now
  now=$(generation)
  { echo 'user = "nobody";'; rules 5; } | put "$conf"
  mark
  fails systemctl reload mcrd && said '^mcrd: reload refused: .*fixed at the start' &&
    said 'event=reload .*result=refused .*sha256_before=.*pid=.*uid=.*reason=.*fixed at the start' &&
    equal "$(generation)" "$now" && state_is mcrd active && flows
}

# By root, outside of the unit, from a login.
login_is_recorded() {
  rules 6 | put "$conf"
  mark
  if ! bash -c "echo 4242 >/proc/self/loginuid && exec timeout 30 $MCRD --reload --config $conf"; then
    # The kernel may not keep login uids, or not let a container set them.
    [ "$(cat /proc/self/loginuid 2>/dev/null)" = 4294967295 ] || return 1
    status 0 "$MCRD" --reload --config "$conf" && said 'event=reload .*result=accepted .*uid=0 .*loginuid=-1'
    return
  fi
  said 'event=reload .*result=accepted .*uid=0 .*loginuid=4242'
}

# --- what systemctl tells ---

# TEXT: in the status line.
tells() {
  within 5 eval "systemctl status --no-pager mcrd | grep -E 'Status: \"generation $(generation), .*$1'" && return
  systemctl status --no-pager -n 0 mcrd
  return 1
}

drift() {
  tells 'file is current"' || return 1
  rules 7 | put "$conf"
  tells 'PENDING' || return 1
  put_bad
  tells 'INVALID' || return 1
  rules 6 | put "$conf"
  tells 'file is current"'
}

# --- a late interface ---

# The receiver judges: of two seconds at 1,000/s, less than the first may be missing.
late_interface() {
  local first
  systemctl status --no-pager -n 0 mcrd | grep -F '1 waiting' || return 1
  ip netns exec far mcrgen recv --interface d0 --group 239.255.2.9 --port 6000 --idle-ms 300 --seconds 5 --json \
    >received 2>ready &
  receiver=$!
  within 5 grep -q ready ready && link in9 s9 198.18.9.2 198.18.9.1 || return 1
  ip netns exec far mcrgen send --interface s9 --group 239.255.1.9 --port 5000 --count 2000 --rate 1000
  wait "$receiver"
  cat received
  first=$(tr -d ' \n' <received | sed -n 's/.*"first_seq":\([0-9]*\).*/\1/p')
  # And from then on all come.
  [ -n "$first" ] && [ "$first" -lt 1000 ] && tr -d ' \n' <received | grep -q '"last_seq":1999' &&
    tr -d ' \n' <received | grep -q "\"received\":$((2000 - first))," &&
    systemctl status --no-pager -n 0 mcrd | grep -F '0 waiting'
}

# --- a second instance ---

second_instance() {
  { echo 'instance = "other"; stats_file = "/run/mcr-other/stats";'
    rules 1 | sed -e '/name = "edited"/,$d' -e 's/"steady"/"other"/' -e 's/239\.255\.\([12]\)\.1/239.255.\1.3/' -e 's/},$/}/'
    echo ');'; } | put "$CONFIG/other.conf"
  status 0 systemctl start mcrd@other && state_is mcrd@other active && state_is mcrd active &&
    equal "$(generation /run/mcr-other/stats)" 1 && flows other && flows
}

second_reload() {
  local now
  now=$(generation)
  mark
  echo '# changed' | cat "$CONFIG/other.conf" - | put "$CONFIG/other.conf"
  status 0 systemctl reload mcrd@other && equal "$(generation /run/mcr-other/stats)" 2 &&
    equal "$(generation)" "$now" || return 1
  journal mcrd@other | grep 'instance=other .*event=reload .*result=accepted' || { journal mcrd@other; return 1; }
}

second_stop() {
  status 0 systemctl stop mcrd@other && state_is mcrd@other inactive && state_is mcrd active &&
    [ ! -e /run/mcr-other ] && equal "$(processes | wc -l)" 2 && flows
}

# --- trouble ---

# OLD: another process is the main one, and ready.
replaced() {
  [ "$(property MainPID)" != "$1" ] && state_is mcrd active
}

stopped_main() {
  local pid began=$EPOCHREALTIME restarts
  printf '[Service]\nWatchdogSec=2\n' >$dropins/watchdog.conf
  systemctl reset-failed mcrd
  systemctl daemon-reload && status 0 systemctl restart mcrd && flows || return 1
  # Fed in time, it goes on.
  sleep 2.5
  pid=$(property MainPID)
  restarts=$(property NRestarts)
  equal "$restarts" 0 || return 1
  mark
  kill -STOP "$pid"
  began=$EPOCHREALTIME
  within 8 replaced "$pid" && said 'Watchdog timeout' && equal "$(property NRestarts)" 1 || return 1
  awk "BEGIN { printf \"restarted by the watchdog after %.1f s, with WatchdogSec=2\\n\", $EPOCHREALTIME - $began }" |
    note
  equal "$(processes | wc -l)" 2 && flows
}

killed_main() {
  local pid
  rm -f $dropins/watchdog.conf
  systemctl reset-failed mcrd
  systemctl daemon-reload && status 0 systemctl restart mcrd || return 1
  pid=$(property MainPID)
  kill -KILL "$pid"
  within 5 replaced "$pid" && equal "$(property NRestarts)" 1 && equal "$(processes | wc -l)" 2 && flows
}

# Four rules: two plain ones, one that merges two legs, one with a limit that is a fifth above RATE. Five streams; what a
# machine that is busy otherwise keeps a source from sending comes late and at once.
four_rules() {
  cat <<END
version = 1;
ring_mib = 64;
rules = (
  { name = "one"; input = { interface = "in0"; group = "239.255.1.1"; port = 5000; };
    outputs = ( { interface = "out0"; group = "239.255.2.1"; port = 6000; } ); },
  { name = "two"; input = { interface = "in0"; group = "239.255.1.2"; port = 5000; };
    outputs = ( { interface = "out0"; group = "239.255.2.2"; port = 6000; mode = "socket"; } ); },
  { name = "merged"; silence_ms = 5000; merge = { by = "rtp"; window_ms = 1000; reorder_ms = 500; }; max_payload = 300;
    inputs = ( { leg = "A"; interface = "in0"; group = "239.255.1.3"; port = 5000; },
               { leg = "B"; interface = "in0"; group = "239.255.1.4"; port = 5000; } );
    outputs = ( { interface = "out0"; group = "239.255.2.3"; port = 6000; } ); },
  { name = "limited"; input = { interface = "in0"; group = "239.255.1.5"; port = 5000; };
    limit = { packets_per_second = $(($1 * 6 / 5)); burst_ms = 1000; };
    outputs = ( { interface = "out0"; group = "239.255.2.5"; port = 6000; } ); }
);
END
}

# Under streams: nothing is lost, and nothing comes twice.
restarts() {
  local pid i n now result=0 rate=4000 senders=() receivers=()
  four_rules $rate | put "$conf" && status 0 systemctl reload mcrd || return 1
  now=$(generation)
  systemctl reset-failed mcrd
  for n in 1 2 3 5; do
    rm -f received.$n
    ip netns exec far mcrgen recv --interface d0 --group 239.255.2.$n --port 6000 --idle-ms 1000 \
      --seconds 100 $([ $n -ne 3 ] || echo --as rtp) >received.$n 2>&1 &
    receivers+=($!)
    within 5 grep -q ready received.$n || return 1
  done
  for n in 1 2 5; do
    ip netns exec far mcrgen send --interface s0 --group 239.255.1.$n --port 5000 --rate $rate >sent.$n 2>&1 &
    senders+=($!)
  done
  ip netns exec far mcrgen send --leg s0,239.255.1.3,5000,pattern=3/100 --leg s0,239.255.1.4,5000,pattern=5/100@50,delay_ms=20 --as rtp \
    --size 200 --rate $rate >sent.3 2>&1 &
  senders+=($!)
  for i in $(seq 20); do
    pid=$(property MainPID)
    systemctl reset-failed mcrd # so that systemd counts no starts
    status 0 systemctl restart mcrd && replaced "$pid" || { result=1; break; }
  done
  sleep 0.5
  for pid in "${senders[@]}"; do
    kill -TERM "$pid" || { echo "a stream ended too early"; result=1; }
    wait "$pid" || result=1
  done
  for pid in "${receivers[@]}"; do
    wait "$pid" || result=1
  done
  cat sent.? received.?
  grep -h '^received' received.? | awk '$2 > 1000 { n++ } END { exit n != 4 }' || result=1
  [ $result = 0 ] && equal "$(generation)" $((now + 20)) && journal | grep event=continued | tail -n 1 | note &&
    mcrstat --json | tr -d ' \n' | grep -q '"continued":{"from_pid":[0-9]*,"gap_ms":[0-9.]*,"rings":1,' || return 1
  rules 7 | put "$conf" && status 0 systemctl reload mcrd && flows
}

# A crash loses nothing, either; a pass may come twice. That of the broker alone is mended without one.
crashes() {
  local pid i lost
  stream_begins steady 200000 10000 || return 1
  for i in 1 2 3; do
    pid=$(property MainPID)
    systemctl reset-failed mcrd
    kill -KILL "$pid"
    within 5 replaced "$pid" || { stream_ends; return 1; }
  done
  pid=$(property MainPID)
  kill -KILL "$(processes | grep -vx "$pid")"
  within 8 replaced "$pid" || { stream_ends; return 1; }
  kill -0 "$sender" || { echo "the stream ended too early"; return 1; }
  stream_ends
  lost=$(awk '$1 == "lost" { print $2 }' received)
  equal "$lost" 0 && status 0 systemctl reload mcrd && equal "$(processes | wc -l)" 2
}

stops() {
  local began=$EPOCHREALTIME
  mark
  status 0 systemctl stop mcrd || return 1
  awk "BEGIN { took = $EPOCHREALTIME - $began; print took; exit took > 2 }" && state_is mcrd inactive &&
    equal "$(property Result) $(property ExecMainCode) $(property ExecMainStatus)" "success 1 0" &&
    equal "$(processes)" "" && [ ! -e $run ] && said 'event=stopping .*signal=SIGTERM' &&
    said 'event=rule .*rule=steady .*packets=' && fails systemctl reload mcrd
}

# --- all of them ---

echo "# $(systemctl --version | head -n 1), Linux $(uname -r)" >&3
ok "sysusers and tmpfiles make the user and its directory" has_user
ok "the units are valid and can be enabled" units_verify
ok "mcrd.service is hardened" exposed_little mcrd.service
ok "mcrd@.service is hardened" exposed_little mcrd@other.service
ok "there are links" has_topology
ok "start: a bad file fails, and the journal tells FILE:LINE" bad_start
ok "start: active only after READY" active_after_ready
ok "start: the main process has no right and a filter" no_rights
ok "start: the broker has CAP_NET_RAW alone and a filter" broker_rights
ok "start: the file is readable for the group alone" file_is_private
ok "datagrams flow" flows
ok "reload: four good files; the stream of an unchanged rule loses nothing" good_reload
ok "reload: the changed rule flows" changed_rule
ok "reload: the journal has the record of an accepted file" record_of_accepted
ok "reload: a bad file fails, and the journal tells FILE:LINE; nothing is disturbed" bad_reload
ok "reload: a bad file by a signal is refused; the journal has the record" bad_signal
ok "reload: what the daemon refuses fails, and both tell why" refused_reload
ok "reload: by root from a login, which is recorded" login_is_recorded
ok "status: tells generation, pending and invalid drift" drift
ok "an interface that comes late is used within a second" late_interface
ok "second instance: starts beside the first" second_instance
ok "second instance: reloads by itself" second_reload
ok "second instance: stops by itself" second_stop
ok "restart: 20 times under 20,000/s to four rules, one of which merges and one is limited; nothing is lost, nothing comes twice" restarts
ok "crash: of both three times, of the broker once, under 10,000/s; nothing is lost, and the next reload works" crashes
ok "watchdog: a main process that hangs is replaced" stopped_main
ok "a main process that is killed is replaced" killed_main
ok "stop: clean, complete, with the final counters" stops
echo "1..$count" >&3
[ $failed -eq 0 ]
