#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mcrd --explain, as TAP: for each NAME in explain/, each line of NAME.asks is a question about NAME.conf; the answers
# must be NAME.text, and as JSON NAME.json. Then what is no question.
# shellcheck source=tests/config/standin.sh
. "${srcdir:-.}/tests/config/standin.sh"

goldens=$srcdir/tests/config/explain

# GOLDEN FOUND
same() {
  if [ "${UPDATE:-}" ]; then
    cp "$2" "$1"
  fi
  diff -u "$1" "$2"
}

# CONF ASKS ARGUMENTS: the answers to all lines, each with its exit status.
ask() {
  conf=$1
  asks=$2
  shift 2
  while read -r line; do
    echo "\$ mcrd --explain $line"
    # shellcheck disable=SC2086 # words
    timeout 60 "$MCRD" --explain --config "$conf" "$@" $line 2>&1 </dev/null
    echo "exit status $?"
  done <"$asks"
}

golden() {
  cp "$goldens/$1.conf" . && chmod 0644 "$1.conf"
  ask "$1.conf" "$goldens/$1.asks" >text
  same "$goldens/$1.text" text
}

# Each answer is JSON and says what its exit status does.
golden_json() {
  ask "$1.conf" "$goldens/$1.asks" --json | sed "s/$(sha256 "$1.conf")/@FILE@/" >json
  same "$goldens/$1.json" json || return 1
  python3 -c '
import json, sys
text = "".join(x for x in sys.stdin if not x.startswith("$ "))
n = 0
while text:
    value, end = json.JSONDecoder().raw_decode(text)
    status, _, text = text[end:].lstrip().partition("\n")
    assert status == "exit status %d" % (not value["forwarded"]), (value, status)
    assert value["forwarded"] == any(x["forwarded"] for x in value["tries"]), value
    n += 1
print(n)
' <json
}

for file in "$goldens"/*.asks; do
  golden=$(basename "$file" .asks)
  ok "golden: $golden" golden "$golden"
  if command -v python3 >/dev/null; then
    ok "golden, as JSON: $golden" golden_json "$golden"
  else
    skip "golden, as JSON: $golden" "python3 is not installed"
  fi
done

# One datagram for the rule "payload" of merge.conf, in a bare capture.
capture() {
  printf '%b' \
    '\0324\0303\0262\0241\0002\0000\0004\0000\0000\0000\0000\0000\0000\0000\0000\0000\0377\0377\0000\0000\0145\0000\0000\0000' \
    '\0001\0000\0000\0000\0000\0000\0000\0000\0034\0000\0000\0000\0034\0000\0000\0000\0105\0000\0000\0034\0000\0001\0000\0000' \
    '\0010\0021\0320\0356\0306\0022\0003\0012\0357\0300\0051\0005\0022\0350\0022\0350\0000\0010\0000\0000' \
    >one.pcap
}

# CONF: the capture by its rule "payload".
replay_one() {
  run 0 --replay one.pcap --quiet --interface mcr-a --sandbox "${MCR_SANDBOX:-enforce}" --config "$1"
}

deadline() {
  capture && replay_one merge.conf && grep -F 'rule "payload": 1 packets' stdout &&
    grep -Fx 'note: deadline_us is not judged here: how long a datagram stays is known only where it runs' stdout &&
    sed 's/deadline_us = 500;//' merge.conf >without.conf && replay_one without.conf && ! grep -F deadline_us stdout
}
"$MCRD" --replay none.pcap --config merge.conf 2>&1 | grep 'need libpcap' >pcap
if [ -s pcap ]; then
  skip "--replay: deadline_us is not judged" "libpcap is not installed"
else
  ok "--replay: deadline_us is not judged" deadline
fi

# The file with other rules runs: the port is 5000 there, and 5001 on disk.
two_files() {
  sed "s|^version = 1;|version = 1; stats_file = \"$work/stats\";|" kinds.conf >running.conf
  sed 's/port = 5000/port = 5001/' running.conf >disk.conf
  stands_in file="$work/disk.conf" sha256="$(sha256 "${1:-running.conf}")"
}

# ARGUMENTS: what is on disk and what runs give different answers to the same question.
asks() {
  run "$1" --explain 198.18.1.10 239.255.1.1 5000 --config disk.conf "$2" "$3"
}

on_disk() {
  two_files && asks 1 --size 100 && grep -F "note: this file is not what runs: mcrd (pid $standin) runs sha256 \
$(sha256 running.conf)" stdout && asks 1 --json --size=100 && grep -F "\"running\": \"$(sha256 running.conf)\"" stdout &&
    grep -F 'this file is not what runs' stdout && two_files disk.conf && asks 1 --size 100 && ! grep -F 'not what runs' stdout
}
ok "the file on disk is not what runs" on_disk

other_daemon() {
  two_files && stands_in file="$work/running.conf" sha256="$(sha256 running.conf)" && asks 1 --json --size=100 &&
    grep -F '"running": null' stdout && ! grep -F 'not what runs' stdout
}
ok "the daemon of another file does not matter" other_daemon

tells() {
  grep -F -e "$1" stderr || { echo "wanted: $1"; cat stderr; return 1; }
}

# The copy is asked, also where the file on disk is broken behind its stats_file, or gone.
runs() {
  two_files && asks 0 --running --size=100 && grep -F "$work/running.conf:7: rule \"plc\" takes it" stdout &&
    ! grep -F 'not what runs' stdout && asks 0 --running --json && grep -F "\"running\": \"$(sha256 running.conf)\"" stdout &&
    echo 'rules = (;' >>disk.conf && asks 0 --running --size=100 &&
    run 0 --print --running --config disk.conf && grep -F 'port = 5000' stdout &&
    run 0 --firewall --running --config disk.conf && grep -F "$(sha256 running.conf)" stdout && [ ! -s stderr ] &&
    stands_in file=/etc/other.conf sha256="$(sha256 running.conf)" && sed -i '/rules = (;/d' disk.conf &&
    run 1 --firewall --running --config disk.conf && tells "(pid $standin) runs /etc/other.conf, not disk.conf: if that is another"
}
ok "--running: explain, print and firewall" runs

# The file of another instance that has lost its stats_file finds this one's daemon: nothing is printed of it.
of_another() {
  two_files && cp disk.conf other.conf && why="mcrd: the daemon of $work/stats (pid $standin) runs $work/disk.conf, not other.conf: \
if that is another instance, a stats_file is missing here; else name its own file with --config" &&
    run 1 --firewall --running --config disk.conf --config other.conf && [ ! -s stdout ] && said "$why" &&
    run 1 --print --running --config other.conf && [ ! -s stdout ] && said "$why" &&
    run 2 --explain --running 198.18.1.1 239.255.1.1 5000 --config other.conf && [ ! -s stdout ] && said "$why" &&
    run 2 --replay none.pcap --running --config other.conf && [ ! -s stdout ] && said "$why" &&
    ln -s disk.conf link.conf && run 0 --print --running --config link.conf
}
ok "--running: the file is not that of the daemon" of_another

not_known() {
  two_files && echo >>running.conf && run 1 --print --running --config disk.conf && [ ! -s stdout ] &&
    tells "running.conf: is not what runs" && away && run 2 --explain --running 198.18.1.1 239.255.1.1 5000 --config disk.conf &&
    tells "no daemon: " && run 2 --check --running && tells "--running can only go with --explain, --firewall, --graph, --print or --replay"
}
ok "--running: what runs is not known" not_known

# A file that cannot be opened is told first: of the daemon nothing else is known than where it is by default.
unread() {
  why="mcrd: gone.conf: cannot be opened: No such file or directory; the default stats_file, /run/mcr/stats, was looked at instead: "
  run 1 --print --running --config gone.conf && [ ! -s stdout ] && tells "$why" &&
    ! grep -F -e 'of the config' -e systemctl stderr &&
    run 2 --explain --running 198.18.1.1 239.255.1.1 5000 --config gone.conf && tells "$why" &&
    run 1 --firewall --running --config gone.conf && tells "$why" &&
    two_files && cp disk.conf cut.conf && echo 'rules = (;' >>cut.conf && run 1 --print --running --config cut.conf && [ ! -s stdout ] &&
    tells "mcrd: cut.conf:$(wc -l <cut.conf): key \"rules\" is given twice" &&
    tells "; $work/stats was looked at instead: its daemon (pid $standin) runs $work/disk.conf" &&
    away && run 1 --print --running --config cut.conf && tells "; $work/stats was looked at instead: "
}
ok "--running: the file cannot be read" unread

# TEXT ARGUMENTS: refused with this on the standard error.
refused() {
  text=$1
  shift
  run 2 --config kinds.conf "$@" && [ ! -s stdout ] && tells "$text"
}
ok "refused: two arguments" refused "three arguments: SRC DST PORT" --explain 198.18.1.1 239.255.1.1
ok "refused: the port in DST" refused 'SRC DST PORT: "239.255.1.1:5004": the port is an argument of its own' \
  --explain 198.18.1.1 239.255.1.1:5004
ok "refused: in DST of IPv6" refused '"[ff15::1]:5004": the port is an argument of its own' --explain 2001:db8::1 '[ff15::1]:5004'
ok "refused: two arguments of IPv6, none with a port" refused 'three arguments: SRC DST PORT; mcrd' --explain 2001:db8::1 ff15::5004
ok "refused: four arguments" refused "three arguments: SRC DST PORT" --explain 198.18.1.1 239.255.1.1 5000 6000
ok "refused: port 0" refused 'PORT is "0", allowed is 1 to 65535' --explain 198.18.1.1 239.255.1.1 0
ok "refused: port 5000x" refused 'PORT is "5000x", allowed' --explain 198.18.1.1 239.255.1.1 5000x
ok "refused: a name" refused 'SRC is "localhost", allowed' --explain localhost 239.255.1.1 5000
ok "refused: two families" refused 'DST is "ff15::1", allowed is an IPv4' --explain 198.18.1.1 ff15::1 5000
ok "refused: vlan 4095" refused '--vlan is "4095", allowed is 1 to 4094' --explain 198.18.1.1 239.255.1.1 5000 --vlan 4095
ok "refused: size 65508" refused '--size is "65508", allowed' --explain 198.18.1.1 239.255.1.1 5000 --size 65508
ok "refused: ttl 0" refused '--ttl is "0", allowed is 1 to 255' --explain 198.18.1.1 239.255.1.1 5000 --ttl 0
ok "refused: with --check" refused "only one of" --explain 198.18.1.1 239.255.1.1 5000 --check
ok "refused: --vlan with --check" refused "go with --explain" --check --vlan 5
ok "refused: --out with --explain" refused "go with --replay" --explain 198.18.1.1 239.255.1.1 5000 --out x

bad_file() {
  printf 'version = 1;\nrules = ( ;\n' >bad.conf
  run 2 --explain 198.18.1.1 239.255.1.1 5000 --config bad.conf && [ ! -s stdout ] && tells "bad.conf:2: "
}
ok "refused: a bad file" bad_file

# Whether the interface exists is asked by --check, and is no matter here.
reject() {
  sed 's/^version = 1;/version = 1; missing_interface = "reject";/' kinds.conf >reject.conf
  run 1 --check --config reject.conf && run 0 --explain 198.18.1.10 239.255.1.1 5000 --config reject.conf
}
ok "an interface that is missing elsewhere is no matter" reject

# An interface that is on this machine is used as it is: no address for the source of one output, or down as lo is in a
# network namespace of its own. Nothing but the answer is told.
as_it_is() {
  cat >here.conf <<'EOF'
version = 1;
rules = ( { name = "a"; input = { interface = "lo"; group = "239.255.1.1"; port = 5000; };
            outputs = ( { interface = "lo"; address = "127.0.0.9"; port = 6000; source = "198.18.2.200"; } ); },
          { name = "b"; input = { interface = "lo"; group = "239.255.1.2"; port = 5000; };
            outputs = ( { interface = "lo"; address = "127.0.0.9"; port = 6002; source = "198.18.2.200"; },
                        { interface = "lo"; address = "127.0.0.9"; port = 6001; source = "127.0.0.1"; } ); } );
EOF
  run 1 --explain 127.0.0.1 239.255.1.1 5000 --config here.conf && [ ! -s stderr ] &&
    grep -F 'here.conf:3: output: lo 127.0.0.9:6000 waits: lo does not have the address 198.18.2.200' stdout &&
    grep -Fx '  not forwarded: lo does not have the address 198.18.2.200' stdout &&
    run 0 --explain 127.0.0.1 239.255.1.2 5000 --config here.conf && [ ! -s stderr ] &&
    grep -Fx 'note: rule "b" is waiting here: lo does not have the address 198.18.2.200 (1 of 2 outputs)' stdout
}
ok "a source that this machine does not have" as_it_is

# Root needs no user namespace, which a chroot does not allow.
apart="unshare -n"
[ "$(id -u)" -eq 0 ] || apart="unshare -rn"
is_down() {
  $apart "$MCRD" --explain 127.0.0.1 239.255.1.2 5000 --config here.conf >stdout 2>stderr
  [ $? -eq 1 ] && [ ! -s stderr ] && grep -Fx '  not forwarded: lo is down' stdout
}
if $apart true 2>/dev/null; then
  ok "an interface that is down on this machine" is_down
else
  skip "an interface that is down on this machine" "$apart does not work here"
fi

plan
