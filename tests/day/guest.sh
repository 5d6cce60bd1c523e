#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the guest that run.sh boots: a new user's day, by the docs that the package brings. Writes TAP to /test/result, and
# what was typed and seen to /test/transcript.
#
#   namespace source: eth0 --- ot0 guest dmz0 --- eth0 :namespace destination   198.18.1.0/24, 198.18.2.0/24
set -u

# shellcheck source=tests/systemd/guestlib.sh
. /test/guestlib.sh
conf=/etc/mcr/mcr.conf
page=/test/quickstart.md
prometheus=http://localhost:9090/api/v1
export DEBIAN_FRONTEND=noninteractive HOME=/root
read -r tools <tools
SHOWN=30 # lines of an output in the transcript, without those that say nothing
noise='^(Reading|\(Reading|Building|Selecting|Preparing|Unpacking|Get:|debconf:|WARNING: apt does not)'

# --- what is typed ---

# NAME COMMAND...
step() {
  printf '\n## %s\n\n' "$1" >>transcript
  ok "$@"
}

# PROMPT COMMAND FILE: what was seen of it.
shown() {
  printf '%s# %s\n' "$1" "$2"
  grep -vE "$noise" "$3" | fold -w 120 |
    awk -v shown=$SHOWN 'NR <= shown; END { if (NR > shown) printf "[… %d lines more]\n", NR - shown }'
} >>transcript

# STATUS COMMAND: by root on the relay, in $place; what is printed is in ./seen.
typed() {
  local got
  (cd "${place:-.}" && exec timeout 150 bash -c "$2") >seen 2>&1
  got=$?
  shown relay "$2" seen
  cat seen
  [ $got -eq "$1" ] || { echo "$2: exit status $got, expected $1"; return 1; }
}

# COMMAND: the docs have it word by word.
documented() {
  zcat -f /usr/share/doc/mcr/docs/{quickstart,operating}.md* | grep -qF -- "$1" ||
    { echo "not in the docs: $1"; return 1; }
}

# STATUS COMMAND
by_the_docs() {
  documented "$2" && typed "$@"
}

# The commands of the quick start, as the page has them before anything is installed: "STEP COMMAND" each; no config text, and no comment behind.
page_commands() {
  awk '
    /^[0-9]+\. / { step = $1 + 0 }
    !/^       / { text = 0; next }
    /^       version = 1;/ { text = 1 }
    !text { sub(/^ +/, ""); sub(/ +# .*/, ""); if ($0 != "") print step, $0 }' $page
}

# STEP N: its Nth command, which counts as typed.
page_command() {
  local command
  command=$(page_commands | sed -n "s/^$1 //p" | sed -n "$2p")
  [ -n "$command" ] || { echo "the quick start has no command $2 in step $1" >&2; return 1; }
  echo "$1 $command" >>from_page
  echo "$command"
}

# STATUS STEP N
by_the_page() {
  local command
  command=$(page_command "$2" "$3") && typed "$1" "$command"
}

# Step 2 is for those who have no package; bootstrap.sh build does it.
page_followed() {
  page_commands | grep -v '^2 ' | sort >page && sort -u from_page | diff page - && [ -s page ]
}

saw() {
  grep -E -e "$1" seen || { echo "not seen: $1"; return 1; }
}

# EXPECTED COUNT [COMMAND...]: the datagrams of the quick start from zone to zone, of which so many come; they must last
# for as long as the command takes.
proof() {
  local expected=$1 result=0 receiver sender
  recv="mcrgen recv --interface eth0 --group 239.20.0.${group:-1} --port 6000 --expect $1"
  send="mcrgen send --interface eth0 --group 239.10.0.${group:-1} --port 5000 --count $2 --rate 5000"
  shift 2
  # Where nothing is to come, idle time does not begin.
  if [ "$expected" -gt 0 ]; then recv+=" --idle-ms 2000 --seconds 600"; else recv+=" --seconds 4"; fi
  rm -f received
  ip netns exec destination bash -c "exec $recv" >received 2>&1 &
  receiver=$!
  within 5 grep -q ready received || return 1
  ip netns exec source bash -c "exec $send" >sent 2>&1 &
  sender=$!
  if [ $# -gt 0 ]; then
    "$@" || result=1
    kill -0 $sender 2>/dev/null || { echo "the stream ended too early"; result=1; }
  fi
  wait $sender || result=1
  wait $receiver || result=1
  shown source "$send" sent
  shown destination "$recv" received
  cat sent received
  return $result
}

# NAME: of the first rule, as mcrstat --json has it.
counted() {
  mcrstat --json |
    python3 -c 'import json, sys; r = json.load(sys.stdin)["rules"][0]; print({**r, **r["drops"]}[sys.argv[1]])' "$1"
}

# What a refused file must leave as it is.
state() {
  echo "$(property MainPID) $(generation) $(digest $conf)"
  mcrstat --prometheus | grep '^mcr_config_\(last_reload_successful\|invalid\|pending\) '
}

# --- the morning: the quick start ---

# NAME INTERFACE ADDRESS PEER_ADDRESS
zone() {
  ip netns add "$1" && ip -n "$1" link set lo up && ip link add "$2" type veth peer name eth0 netns "$1" &&
    ip address add "$3/24" dev "$2" && ip -n "$1" address add "$4/24" dev eth0 && ip -n "$1" link set eth0 up &&
    ip link set "$2" up
}

bare() {
  zone source ot0 198.18.1.2 198.18.1.1 && zone destination dmz0 198.18.2.2 198.18.2.1 &&
    within 5 eval '! ip -br address | grep DOWN' && typed 0 'ip -br address' &&
    saw 'ot0@.*198\.18\.1\.2' && saw 'dmz0@.*198\.18\.2\.2' &&
    typed 127 mcrd && ! dpkg-query -s libev4 && ! dpkg-query -s python3
}

installs() {
  local noise="$noise|^\$"
  typed 0 "$(page_command 1 1) -y" && saw '^Setting up mcr ' &&
    zcat -f /usr/share/doc/mcr/docs/quickstart.md* | diff $page - &&
    equal "$(dpkg-query -W -f '${db:Status-Abbrev}' mcr libpcap0.8)" "ii ii " && getent passwd mcr &&
    typed 3 'systemctl status mcrd' && saw 'Active: inactive' && equal "$(processes)" "" &&
    SHOWN=8 typed 0 "apt install -y --no-install-recommends $tools"
}

writes_file() {
  local text
  text=$(awk '/^ +version = 1;/ { on = 1 } on && /^$/ { exit } on { print substr($0, 8) }' $page)
  typed 0 "cat >$conf <<END
$text
END" && by_the_page 0 4 1 && by_the_page 0 4 2 && saw 'max_payload' && by_the_page 0 4 3 && saw 'rule "first" takes it' && saw 'forwarded' &&
    typed 1 'mcrd --explain 192.0.2.10 239.10.0.1 5001' && saw 'takes port 5000, not 5001'
}

nothing_yet() {
  typed 1 mcrstat && proof 0 1000
}

shadow() {
  typed 0 "sed -i 's/\"first\";/& shadow = true;/' $conf" && by_the_page 0 5 1 &&
    equal "$(generation)" 1 && proof 0 10000 && typed 0 mcrstat && saw 'shadow 10,000' &&
    equal "$(counted shadow)" 10000
}

real() {
  typed 0 "sed -i 's/ shadow = true;//' $conf" && by_the_page 1 6 1 && saw 'shadow' &&
    by_the_page 0 6 2 && saw 'reload accepted: generation 2, ' && equal "$(generation)" 2 &&
    by_the_page 0 6 3 && proof 5000 5000
}

# A terminal of 80 columns and 24 lines; what stands on it in the end.
watch() {
  typed 0 'tcpdump -i ot0 -s 0 -c 1000 -w ot0.pcap udp'
  tmux -f /dev/null new-session -d -s day -x 80 -y 24 "$(page_command 5 2)" \; set status off || return 1
  sleep 5.5
  tmux capture-pane -p -t day >frame
  tmux send-keys -t day q
  within 3 eval '! tmux has-session -t day' || return 1
  shown relay 'mcrstat --watch 1    # on a terminal of 80x24' frame
  cat frame
  equal "$(wc -l <frame)" 24 && ! grep -E '^.{81}' frame || return 1
  grep -E '^first +active +[0-9,]+ +(4\.9|5\.0)[0-9] k ' frame &&
    grep -E '^  > dmz0 239\.20\.0\.1:6000 +[0-9,]+ +(4\.9|5\.0)[0-9] k ' frame && ! grep -F '(+' frame
}

proves() {
  proof 100000 100000 watch && equal "$recv" "$(page_command 7 1)" && equal "$send" "$(page_command 7 2)" && equal "$(counted packets)" 115000
}

replays() {
  typed 0 'mcrd --replay ot0.pcap --interface ot0 --quiet' && saw '^1000 packets: 1000 forwarded'
}

# --- the afternoon: under change control ---

# GROUP TTL: the play, with a second rule.
site() {
  cat >site.yml <<END
- hosts: all
  become: true
  roles:
    - role: mcr
      vars:
        mcr_rules:
          - name: first
            input: { interface: ot0, group: 239.10.0.1, port: 5000 }
            outputs:
              - { interface: dmz0, group: 239.20.0.1, port: 6000, ttl: 4 }
          - name: second
            note: CHG0031337
            input: { interface: ot0, group: $1, port: 5000 }
            outputs:
              - { interface: dmz0, group: 239.20.0.2, port: 6000, ttl: $2 }
END
  sed -n '/name: second/,$p' site.yml >part && shown relay "sed -n '/name: second/,\$p' site.yml" part
}

control_node() {
  typed 0 'cp -r /usr/share/doc/mcr/examples/ansible/* .' && echo 'localhost ansible_connection=local' >relays &&
    printf '[defaults]\ncallback_result_format = yaml\ndisplay_skipped_hosts = false\n' >ansible.cfg &&
    typed 0 'cat relays ansible.cfg' && typed 0 'ansible --version' && saw '^ansible \[core'
}

bad_file() {
  local before noise="$noise|^\$" SHOWN=60
  before=$(state)
  site 239.10.0.2 999
  by_the_docs 2 'ansible-playbook -i relays site.yml --check --diff' && saw ':[0-9]+: rule .*second.*ttl.* is 999' &&
    equal "$(state)" "$before" && typed 2 'ansible-playbook -i relays site.yml' &&
    saw ':[0-9]+: rule .*second.*ttl.* is 999, allowed is 1 to 255' && saw 'failed=1' &&
    refused=$(sed -n 's/.*:\([0-9]*\): rule [^:]*second.* is 999.*/\1/p' seen | head -n 1) &&
    equal "$(state)" "$before" && typed 0 'systemctl status -n 0 mcrd' && saw 'Active: active \(running\)'
}

good_file() {
  local pid noise="$noise|^\$" SHOWN=60
  pid=$(property MainPID)
  site 239.10.0.2 4
  mark
  typed 0 'ansible-playbook -i relays site.yml' && saw 'reload accepted: generation 3, ' && saw 'failed=0' &&
    equal "$(grep -n 'ttl =' $conf | tail -n 1 | cut -d: -f1)" "$refused" &&
    equal "$(property MainPID)" "$pid" && equal "$(generation)" 3 && said 'event=reload result=accepted .*added=1' &&
    by_the_docs 0 "journalctl -u mcrd -o cat | grep -E 'event=(reload |rule_)'" &&
    typed 0 'ansible-playbook -i relays site.yml' && saw 'changed=0 ' && equal "$(generation)" 3
}

# Both with a stream of the first rule, which loses nothing.
pushed_bad() {
  proof 400000 400000 bad_file
}

pushed_good() {
  proof 400000 400000 good_file && grep -E '^lost +0' received && group=2 proof 1000 1000
}

# --- the evening: metrics ---

# QUERY: the values that Prometheus has.
asked() {
  curl -sS "$prometheus/query" --data-urlencode "query=$1" |
    python3 -c 'import json, sys; print(*[r["value"][1] for r in json.load(sys.stdin)["data"]["result"]])'
}

has() {
  equal "$(asked "$1")" "$2"
}

received='mcr_rule_received_packets_total{rule="first"}'
query="curl -sS $prometheus/query --data-urlencode 'query=$received'"

no_metrics() {
  within 60 has 'up{job="node"}' 1 && typed 0 "$query" && saw '"result":\[\]'
}

metrics() {
  local before
  before=$(counted packets)
  by_the_docs 0 'systemctl enable --now mcr-metrics.timer' && within 60 has "$received" "$before" &&
    proof 10000 10000 && within 60 has "$received" $((before + 10000)) &&
    typed 0 "$query | python3 -m json.tool" &&
    saw "\"$((before + 10000))\"" && typed 0 "mcrstat --prometheus | grep -F '$received'" &&
    saw " $((before + 10000))\$"
}

alerts_loaded() {
  has 'count(ALERTS{alertname=~"Mcr.*",alertstate="firing"}) or vector(0)' "$1" &&
    curl -sS "$prometheus/rules" | grep -q '"name":"McrDown"'
}

alerts() {
  typed 0 "sed -i 's|^rule_files:|&\n  - /usr/share/mcr/prometheus/alerts.yml|' /etc/prometheus/prometheus.yml" &&
    typed 0 'promtool check config /etc/prometheus/prometheus.yml' && typed 0 'systemctl reload prometheus' &&
    within 20 alerts_loaded 0
}

# --- and before the lights go out ---

# EXPECTED STATUS: of ten datagrams that the host itself sends to the destination.
own() {
  local result=0 receiver
  recv="mcrgen recv --interface eth0 --group 239.20.0.9 --port 6000 --expect $1 --seconds 3"
  rm -f received
  ip netns exec destination bash -c "exec $recv" >received 2>&1 &
  receiver=$!
  within 5 grep -q ready received &&
    typed "$2" 'mcrgen send --interface dmz0 --group 239.20.0.9 --port 6000 --count 10' || result=1
  wait $receiver || result=1
  shown destination "$recv" received
  cat received
  return $result
}

closed() {
  own 10 0 && by_the_page 0 8 1 && by_the_page 0 8 2 && by_the_page 0 8 3 && own 0 1 && proof 5000 5000 &&
    by_the_page 0 8 4 && own 0 1
}

# Whoever is locked out waits: here it is short.
opens_again() {
  typed 0 "$(page_command 8 2 | sed 's/=5min/=2s/')" && within 20 own 10 0
}

# --- a change, from ticket to audit: that section of operating.md ---

# The section's commands, each behind a line @STEP.N; a here-document belongs to its command.
walk_commands() {
  zcat -f /usr/share/doc/mcr/docs/operating.md* | awk '
    /^## / { on = $0 == "## A change from ticket to audit" }
    !on { next }
    !here && /^[0-9]+\. / { step = $1 + 0; n = 0 }
    !here && !/^       / { next }
    { sub(/^       /, "") }
    !here { printf "@%d.%d\n", step, ++n; sub(/ +# .*/, "") }
    { print }
    /<<.END.$/ { here = 1 }
    /^END$/ { here = 0 }'
}

# STATUS STEP.N
walked() {
  local command
  command=$(walk_commands | awk -v at="@$2" '/^@[0-9.]+$/ { on = $0 == at; next } on')
  [ -n "$command" ] || { echo "operating.md has no command $2"; return 1; }
  echo "@$2" >>from_walk
  place=site typed "$1" "$command"
}

walk_followed() {
  walk_commands | grep '^@[0-9]' | sort >walk && sort -u from_walk | diff walk - && [ -s walk ]
}

# NAME: of the config, as mcrstat --json has it.
config() {
  mcrstat --json | jq -rc ".config.$1"
}

in_site() {
  place=site typed 0 "$1"
}

signs() {
  local name
  for name in ops-lead security; do
    minisign -S -s site/$name.key -m site/files/mcr.conf -x site/files/mcr.conf.$name.minisig -t "$1" || return 1
  done
}

# Behind it the file of step 1 runs, signed. Started anew, the record begins in its audit_file.
change_begins() {
  local name
  git config --global user.name Operator && git config --global user.email operator@site.example &&
    git init -q -b main site && cp relays ansible.cfg site && cp ot0.pcap site/yesterday.pcap || return 1
  for name in ops-lead security; do
    minisign -G -W -p site/$name.pub -s site/$name.key || return 1
  done
  printf 'required = 2;\nkeys = (\n  { name = "ops-lead"; key = "%s"; },\n  { name = "security"; key = "%s"; } );\n' \
    "$(sed 1d site/ops-lead.pub)" "$(sed 1d site/security.pub)" >site/trust.conf
  walked 0 1.1 && walked 0 1.2 && walked 0 1.3 && walked 0 1.4 && walked 0 1.5 && signs CHG0030001 &&
    in_site 'git add files site.yml verify.yml && git commit -qm first' && in_site 'cp trust.conf /etc/mcr' &&
    in_site 'install -m 640 -g mcr files/mcr.conf* /etc/mcr/ && systemctl stop mcrd && systemctl start mcrd' &&
    proof 1000 1000 && equal "$(config signed_by) $(config state)" '["ops-lead","security"] current'
}

change_reviewed() {
  walked 0 2.1 && walked 0 2.2 && walked 0 2.3 && walked 0 3.1 && saw 'valid, 2 rules' && walked 0 3.2 &&
    walked 1 3.3 && saw '^\+ rule "second"' && saw '^1 added, 0 removed, 0 changed' && walked 0 3.4 &&
    grep '<svg' site/change.svg && walked 0 3.5 && saw '^1000 packets: 1000 forwarded'
}

change_signed() {
  walked 0 4.1 && walked 1 4.2 && saw '1 of 2, signed by ops-lead; missing: security' && walked 0 4.3 && walked 0 4.4 &&
    saw '2 of 2, signed by ops-lead,security' && walked 0 4.5 && walked 0 4.6 && walked 0 4.7
}

# The new stream comes as well, which verify.yml waits for.
change_play() {
  local noise="$noise|^\$" SHOWN=60 result=0 second
  mark
  ip netns exec source mcrgen send --interface eth0 --group 239.10.0.3 --port 5000 --rate 100 >second 2>&1 &
  second=$!
  walked 0 5.1 && saw 'rule .*second' && walked 0 5.2 && saw 'on trial for 600 s' && saw 'TASK \[mcr : Confirm\]' &&
    saw 'failed=0' && equal "$(config state) $(config serial)" 'current 43' &&
    said 'event=confirmed .*signed_by=ops-lead,security' || result=1
  kill -TERM $second
  wait $second || result=1
  return $result
}

change_pushed() {
  proof 600000 600000 change_play && grep -E '^lost +0' received && in_site 'ansible-playbook -i relays site.yml' &&
    saw 'changed=0 '
}

# The next change, of which only the roll-out is typed.
change_by_hand() {
  in_site "sed -i 's/serial = 43/serial = 44/; s/ttl = 4/ttl = 5/' files/mcr.conf" && signs CHG0031402 &&
    in_site "git commit -qam 'CHG0031402: ttl'" && walked 0 6.1 && walked 0 6.2 && saw '^on trial for 600 s' &&
    walked 0 6.3 && saw '^MCR OK' && walked 0 6.4 && saw '"state": "trial"' && saw '"serial": 44' && walked 0 6.5 &&
    saw '^confirmed: generation' && equal "$(config state)" current
}

change_audited() {
  walked 0 7.1 && saw ' confirmed ' && saw 'rule second, note: CHG0031337' && walked 0 7.2 && saw '^no difference$' &&
    walked 0 7.3 && saw '^[0-9]+:[0-9a-f]{64}$' && walked 0 8.1 && saw 'are whole' && walked 0 8.2 &&
    saw ' ops-lead,security$' && equal "$(grep -c ' ops-lead,security$' seen)" 2
}

echo "# A new user's day: Debian $(cat /etc/debian_version), Linux $(uname -r)" >transcript
step "A bare Debian with two interfaces, and a zone behind each" bare
step "The package is installed by apt; nothing runs" installs
step "The file of the quick start is written; mcrd is asked about it" writes_file
step "Before the start nothing passes" nothing_yet
step "Started on trial: everything is counted, nothing is sent" shadow
step "Made real by a reload" real
step "100,000 datagrams come whole, and are seen on mcrstat --watch" proves
step "A capture is replayed" replays
step "The Ansible role of the package, on a control node" control_node
step "A bad file pushed by Ansible is refused with its line; what runs is untouched, and loses nothing" pushed_bad
step "A good one is taken over; the stream of the rule that stays loses nothing" pushed_good
step "Prometheus scrapes node_exporter, which has no metrics of mcr yet" no_metrics
step "With the timer it has them, and they are those of mcrstat" metrics
step "The alert rules are loaded, and none fires" alerts
step "The firewall rules of the file: the relay's datagrams leave, nothing else" closed
step "Not confirmed, they take themselves back" opens_again
step "A change under two signatures: the file of before runs, signed, and its record lies in a file" change_begins
step "The ticket's branch, and what CI says of it" change_reviewed
step "Signed by two, merged" change_signed
step "Pushed by Ansible on trial, verified, confirmed; the stream of the rule that stays loses nothing" change_pushed
step "The next one by hand: on trial, looked at, confirmed" change_by_hand
step "Who confirmed what; the record is whole, and has the head of the ticket" change_audited
step "Each command of that change was typed, word for word" walk_followed
step "Each command of the quick start was typed, word for word" page_followed
{ echo "Debian $(cat /etc/debian_version)" && ansible --version && prometheus --version; } 2>&1 |
  grep -E '^(Debian|ansible|prometheus)' | note
echo "1..$count" >&3
[ $failed -eq 0 ]
