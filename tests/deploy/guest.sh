#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the guest that run.sh boots: the role by ansible-playbook, over ssh as a user who may sudo; then, with the package
# purged, the module by puppet apply. Writes TAP to /test/result.
set -u

# shellcheck source=tests/systemd/guestlib.sh
. /test/guestlib.sh
conf=/etc/mcr/mcr.conf
export DEBIAN_FRONTEND=noninteractive HOME=/root

# The package is there to be installed, and is not yet.
repository() {
  status 0 apt-get -q update && apt-cache policy mcr | grep 'Candidate: 0' && ! dpkg-query -s mcr
}

# From another login than root's, which the relay's records name.
control_node() {
  useradd -m -s /bin/bash deploy && echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy &&
    ssh-keygen -q -t ed25519 -N '' -f key && install -d -o deploy -m 700 /home/deploy/.ssh &&
    install -o deploy -m 600 key.pub /home/deploy/.ssh/authorized_keys && status 0 systemctl start ssh || return 1
  cat >ansible.cfg <<END
[defaults]
host_key_checking = false
interpreter_python = /usr/bin/python3
roles_path = /test/ansible/roles
nocows = true
[ssh_connection]
ssh_args = -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null
END
  echo "relay ansible_host=127.0.0.1 ansible_user=deploy ansible_ssh_private_key_file=/test/key" >hosts
  status 0 ansible -i hosts all -b -m ansible.builtin.command -a 'id -u'
}

# TTL [LINE]: the variables; the second rule has this TTL.
variables() {
  cat <<END
feed_port: 4000
mcr_top:
  instance: relay-1
  ${2:-ring_mib: 4}
mcr_metrics: true
mcr_rules:
  - name: steady
    note: 'say "a\\b"'
    input: { interface: in0, group: 239.255.1.1, port: "{{ feed_port + 1000 }}", sources: [198.18.1.1, 198.18.1.64/26] }
    outputs:
      - { interface: out0, group: 239.255.2.1, port: 6000 }
  - name: edited
    note: CHG0031337
    input: { interface: in0, group: 239.255.1.2, port: 5000 }
    outputs:
      - { interface: out0, group: 239.255.2.2, port: 6000, ttl: $1 }
END
}

# TTL: a second relay on the host, as a role.
second() {
  cat <<END
- role: mcr
  mcr_file: /etc/mcr/mcrd.conf
  mcr_service: mcrd@mcrd
  mcr_top: { stats_file: /run/mcr-mcrd/stats, valid_until: 2097-12-01T22:00:00Z }
  mcr_rules:
    - name: other
      note: 31337
      input: { interface: in0, group: 239.255.1.3, port: 5000 }
      outputs:
        - { interface: out0, group: 239.255.2.3, port: 6000, ttl: $1 }
    - name: dated
      note: 2026-11-30
      input: { interface: in0, group: 239.255.1.4, port: 5000 }
      outputs:
        - { interface: out0, group: 239.255.2.4, port: 6000 }
END
}

# STATUS TTL [LINE [OPTION...]]: a run; what it prints is in ./output. With $other, of both relays.
play() {
  local expected=$1 got
  cat >play.yml <<END
- hosts: all
  become: true
  vars:
$(variables "$2" "${3:-}" | sed 's/^/    /')
  roles:
    - role: mcr
$([ -z "${other:-}" ] || second "$2" | sed 's/^/    /')
END
  shift 3
  timeout 120 ansible-playbook -i hosts play.yml "$@" >output 2>&1
  got=$?
  cat output
  [ $got -eq "$expected" ] || { echo "exit status $got, expected $expected"; return 1; }
}

# Shows a part of the last run in the report.
show() {
  grep -E -e "$1" output | head -n "${2:-12}" | cut -c1-600 | note
}

recap() {
  grep -E "^relay .*$1" output || { echo "no such recap: $1"; return 1; }
}

ansible_check_bare() {
  play 0 1 '' --check --diff && recap 'failed=0' && ! dpkg-query -s mcr && [ ! -e $conf ]
}

ansible_installs() {
  play 0 1 '' && recap 'changed=[1-9].*failed=0' && equal "$(stat -c '%U:%G %a' $conf)" "root:mcr 640" &&
    equal "$(systemctl is-enabled mcrd mcr-metrics.timer | tr '\n' ' ')" "enabled enabled " &&
      equal "$(generation)" 1 &&
    flows && flows edited && mcrstat | grep -F 'say "a\b"'
}

ansible_idempotent() {
  play 0 1 '' && recap 'changed=0 .*failed=0' && equal "$(generation)" 1
}

ansible_check() {
  local sum
  sum=$(digest $conf)
  play 0 2 '' --check --diff && recap 'changed=[12] .*failed=0' && grep -E '^- +ttl = 1;' output &&
    grep -E '^\+ +ttl = 2;' output &&
    grep -E 'edited.*disturbs|disturbs' output && equal "$(digest $conf)" "$sum" && equal "$(generation)" 1 || return 1
  show '^[-+] +ttl|disturb|edited'
}

# Started by hand, the relay may be running and not enabled.
ansible_change() {
  local pid
  pid=$(property MainPID)
  status 0 systemctl disable mcrd || return 1
  mark
  during play 0 2 '' --diff && recap 'changed=[1-9].*failed=0' && grep 'reload accepted: generation 2' output &&
    equal "$(property MainPID)" "$pid" && equal "$(generation)" 2 && flows edited &&
    equal "$(systemctl is-enabled mcrd)" enabled && said 'event=reload .*result=accepted .*uid=0' || return 1
  show 'reload accepted'
  grep -E 'event=(reload|rule_changed)' journal | sed 's/.*event=/event=/' | note
}

ansible_login() {
  local uid
  grep -E 'event=reload .*result=accepted' journal
  uid=$(sed -n 's/.*event=reload .*loginuid=\([-0-9]*\).*/\1/p' journal)
  # A container may not be allowed to keep login uids.
  [ "$uid" = "$(id -u deploy)" ] || [ "$uid" = -1 ]
}

ansible_bad() {
  local sum
  sum=$(digest $conf)
  play 2 999 '' "$@" && recap 'failed=1' &&
    grep -E 'mcr\.conf:[0-9]+: rule \\*"edited\\*".*999|:[0-9]+: rule \\*"edited\\*".*999' output &&
    equal "$(digest $conf)" "$sum" && equal "$(generation)" 2 && flows || return 1
  show 'rule .*edited.*999' 1
}

ansible_empty() {
  local sum now
  sum=$(digest $conf) now=$(generation)
  play 2 2 '' -e '{"mcr_rules": null}' && grep -F 'mcr_rules is empty' output && equal "$(digest $conf)" "$sum" &&
    equal "$(generation)" "$now" &&
    play 0 2 '' --check --diff -e '{"mcr_rules": [], "mcr_allow_empty": true}' && grep -F 'rules = ( )' output
}

# Valid, but not for the daemon that runs.
ansible_refused() {
  play 2 2 'user: nobody' && recap 'failed=1' && grep 'reload refused: .*fixed at the start' output &&
    equal "$(generation)" 2 && flows &&
    mcrstat --prometheus | grep -x 'mcr_config_last_reload_successful 0' || return 1
  show 'reload refused' 1
}

ansible_refused_still() {
  play 2 2 'user: nobody' && recap 'changed=0 .*failed=1' && grep 'reload refused: .*fixed at the start' output &&
    equal "$(generation)" 2
}

ansible_mended() {
  play 0 2 '' && equal "$(mcrstat --prometheus | sed -n 's/^mcr_config_last_reload_successful //p')" 1
}

# The file is as the run leaves it that was interrupted before the relay took it over: another is active, by a rule or
# by nothing but a comment.
pending() {
  cp -p $conf written && sed -i "$1" $conf && ! cmp $conf written && status 0 mcrd --reload && cp -p written $conf
}

ansible_interrupted() {
  local edit now
  for edit in 's/ttl = 2/ttl = 3/' '1s/$/ A comment./'; do
    pending "$edit" || return 1
    now=$(generation)
    play 0 2 '' && recap 'changed=1 .*failed=0' && grep "reload accepted: generation $((now + 1))" output &&
      equal "$(generation)" $((now + 1)) && equal "$(mcrd --diff)" "no difference" || return 1
  done
  play 0 2 '' && recap 'changed=0 .*failed=0'
}

# The instance's name is one that could be taken for the unit's.
ansible_two() {
  local other=1 now pid
  now=$(generation)
  play 0 2 '' && recap 'failed=0' && flows && flows other && grep -Fq 'note = "2026-11-30";' /etc/mcr/mcrd.conf &&
    grep -Fq 'valid_until = "2097-12-01T22:00:00Z";' /etc/mcr/mcrd.conf &&
    equal "$(systemctl is-enabled mcrd@mcrd mcr-metrics@mcrd.timer | tr '\n' ' ')" "enabled enabled " &&
    equal "$(generation) $(generation /run/mcr-mcrd/stats)" "$now 1" || return 1
  pid=$(property MainPID mcrd@mcrd)
  play 0 3 '' && recap 'changed=4 .*failed=0' && equal "$(property MainPID mcrd@mcrd)" "$pid" &&
    equal "$(generation) $(generation /run/mcr-mcrd/stats)" "$((now + 1)) 2" &&
    equal "$(mcrd --diff) $(mcrd --diff --config /etc/mcr/mcrd.conf)" "no difference no difference" || return 1
  play 0 3 '' && recap 'changed=0 .*failed=0' && status 0 systemctl disable --now mcrd@mcrd mcr-metrics@mcrd.timer &&
    rm /etc/mcr/mcrd.conf
}

# As on the host of a pair that waits, and on the one that is active: something else starts and stops the relay.
ansible_elsewhere() {
  local now pid
  status 0 systemctl stop mcrd || return 1
  play 0 2 '' -e '{"mcr_started_elsewhere": true}' && recap 'changed=2 .*failed=0' && equal "$(processes)" "" &&
    equal "$(systemctl is-enabled mcrd)" disabled && grep -F 'ttl = 2;' $conf || return 1
  play 0 4 '' -e '{"mcr_started_elsewhere": true}' && recap 'changed=1 .*failed=0' && equal "$(processes)" "" &&
    grep -F 'ttl = 4;' $conf || return 1
  play 2 999 '' -e '{"mcr_started_elsewhere": true}' && grep -F 'ttl = 4;' $conf && equal "$(processes)" "" || return 1
  status 0 systemctl start mcrd && now=$(generation) pid=$(property MainPID) &&
    play 0 2 '' -e '{"mcr_started_elsewhere": true}' && recap 'changed=[1-9].*failed=0' &&
    equal "$(property MainPID) $(generation)" "$pid $((now + 1))" && equal "$(systemctl is-enabled mcrd)" disabled &&
    play 0 2 '' -e '{"mcr_started_elsewhere": true}' && recap 'changed=0 .*failed=0'
}

# NAME...: signs the file that is to be deployed.
sign() {
  local name
  for name; do
    [ -e "$name.key" ] || minisign -G -W -p "$name.pub" -s "$name.key" >/dev/null || return 1
    minisign -S -s "$name.key" -m signed.conf -x "signed.conf.$name.minisig" >/dev/null || return 1
  done
}

# Both keys of what sign() makes must have signed from the next start on.
trust() {
  printf 'required = 2;\nkeys = ( { name = "a"; key = "%s"; }, { name = "b"; key = "%s"; } );\n' \
    "$(sed 1d a.pub)" "$(sed 1d b.pub)" >/etc/mcr/trust.conf
}

config_state() {
  mcrstat --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["config"]["state"])'
}

config_is() {
  equal "$(config_state)" "$1"
}

# What the second rule has in the file that runs.
running_ttl() {
  mcrd --print --running | sed -n 's/.*ttl = \([0-9]*\);.*/\1/p' | tail -n 1
}

# COMMAND: the verify tasks, of one command in a shell.
verify() {
  printf -- '- name: The user looks\n  ansible.builtin.shell: |\n      %s\n  changed_when: false\n' "$1" >verify.yml
}

# STATUS TTL SECONDS [OPTION...]: a run on trial, with verify.yml.
try_out() {
  local expected=$1 ttl=$2 more
  more="{\"mcr_trial\": $3, \"mcr_verify\": \"verify.yml\"}"
  shift 3
  play "$expected" "$ttl" '' -e "$more" "$@"
}

ansible_trial() {
  local now
  now=$(generation)
  mark
  verify 'mcrstat --json | grep -q ".state.: .trial." && mcrstat --check --rule steady'
  during try_out 0 4 600 && recap 'failed=0' && grep 'on trial for 600 s' output && config_is current &&
    equal "$(generation)" $((now + 1)) && grep -A1 '^trial = {' $conf && said 'event=confirmed ' || return 1
  show 'on trial for' 1
  mark
  try_out 0 4 600 && recap 'changed=0 .*failed=0' && ! said 'event=(confirmed|reload)' && try_out 0 4 600 --check --diff
}

# As Ansible tells it, in one line.
told() {
  tr -s ' \n' ' ' <output | grep -oE -e "$1" || { echo "not told: $1"; return 1; }
}

ansible_trial_returns() {
  local now
  now=$(generation)
  mark
  verify 'echo the new stream does not arrive >&2; false'
  during try_out 2 5 40 && recap 'failed=1' && grep 'on trial for 40 s' output &&
    told 'is not confirmed: .*The user looks.* failed: the new stream does not arrive' && within 60 config_is returned &&
    equal "$(running_ttl)" 4 && flows && flows edited && said 'event=returned .*not confirmed within 40 s' &&
    ! said event=confirmed && grep -F 'ttl = 5;' $conf || return 1
  show 'is not confirmed' 1
  # Once more as it is: a new trial. The play of before ends it, and needs no confirmation.
  try_out 2 5 600 && grep 'on trial for 600 s' output && config_is trial &&
    try_out 0 4 600 && recap 'failed=0' && ! grep 'on trial for' output && config_is current &&
    equal "$(running_ttl)" 4 && equal "$(mcrd --diff)" "no difference"
}

# A run that failed behind the reload, here for want of verify.yml, or was interrupted there.
ansible_trial_again() {
  rm verify.yml
  try_out 2 6 600 && told 'is not confirmed: .*Verify.* failed' && config_is trial && verify 'true' && try_out 0 6 600 && recap 'changed=1 .*failed=0' &&
    ! grep 'reload accepted' output && config_is current && equal "$(running_ttl)" 6
}

# What returns before it is confirmed fails the play, too; no seconds are none at all.
ansible_trial_late() {
  verify 'sleep 4'
  try_out 2 7 2 && told 'is not confirmed: .*Confirm.* failed: mcrd: nothing is on trial: the last one was not kept' &&
    try_out 2 7 '"10m"' && told 'seconds.* is' && play 0 2 '' && ! grep '^trial' $conf && config_is current
}

signed_by() {
  mcrstat --json | sed -n '/"signed_by": \[/,/\]/p' | tr -d ' \n'
}

# DEPLOY: a signed file, which has a trial, comes with its signatures, and is confirmed; one that lacks a signature is refused with who is missing, and what ran
# goes on; with the signature it is taken over.
deploy_signed() {
  local now
  sed 's/ttl = [0-9]*/ttl = 5/' $conf >signed.conf && echo 'trial = { seconds = 600; };' >>signed.conf && sign a b && trust && "$1" ok && status 0 systemctl restart mcrd &&
    equal "$(signed_by)" '"signed_by":["a","b"],' && cmp signed.conf $conf || return 1
  now=$(generation)
  sed -i 's/ttl = 5/ttl = 6/' signed.conf && sign a && "$1" refused &&
    grep -E 'reload refused: .*signatures: 1 of 2, signed by a; missing: b \(mcr.conf.b.minisig does not fit' output &&
    equal "$(generation)" "$now" && flows || return 1
  show 'reload refused' 1
  mark
  sign b && "$1" ok && equal "$(generation)" $((now + 1)) && config_is current && said 'event=confirmed ' && "$1" same && equal "$(generation)" $((now + 1)) &&
    rm /etc/mcr/trust.conf $conf.a.minisig $conf.b.minisig signed.conf* && status 0 systemctl restart mcrd
}

# ok, refused or same.
play_signed() {
  local more='{"mcr_signed": "/test/signed.conf", "mcr_signers": ["a", "b"]}'
  case $1 in
    ok) play 0 2 '' -e "$more" && recap 'failed=0' ;;
    refused) play 2 2 '' -e "$more" && recap 'failed=1' ;;
    same) play 0 2 '' --check -e "$more" && play 0 2 '' -e "$more" && recap 'changed=0 .*failed=0' ;;
  esac
}

ansible_signed() {
  deploy_signed play_signed &&
    play 2 2 '' -e '{"mcr_signed": "/test/signed.conf", "mcr_trial": 600}' && grep 'cannot add to a file that is signed' output
}

starts_anew() {
  status 0 dpkg -P mcr && [ ! -e $conf ] && equal "$(processes)" ""
}

# --- Puppet ---

# STATUS TTL [LINE [OPTION...]]: 0 nothing to do, 2 changed, 4 or 6 failed.
apply() {
  local expected=$1 got
  cat >site.pp <<END
class { 'mcr':
  top     => { 'instance' => 'relay-1', ${3:-"'ring_mib' => 4"} },
  metrics => true,
${elsewhere:-}
${trial:-}
  rules   => [
    { 'name' => 'steady', 'note' => 'say "a\\b"',
      'input' => { 'interface' => 'in0', 'group' => '239.255.1.1', 'port' => 5000,
        'sources' => ['198.18.1.1', '198.18.1.64/26'] },
      'outputs' => [{ 'interface' => 'out0', 'group' => '239.255.2.1', 'port' => 6000 }] },
    { 'name' => 'edited', 'note' => 'CHG0031337',
      'input' => { 'interface' => 'in0', 'group' => '239.255.1.2', 'port' => 5000 },
      'outputs' => [{ 'interface' => 'out0', 'group' => '239.255.2.2', 'port' => 6000, 'ttl' => $2 }] },
  ],
}
END
  shift 3
  timeout 120 puppet apply --modulepath /test/puppet --color=false --detailed-exitcodes --show_diff "$@" site.pp \
    >output 2>&1
  got=$?
  cat output
  [[ $got =~ ^($expected)$ ]] || { echo "exit status $got, expected $expected"; return 1; }
}

puppet_installs() {
  apply 2 1 '' && equal "$(stat -c '%U:%G %a' $conf)" "root:mcr 640" &&
    equal "$(systemctl is-enabled mcrd mcr-metrics.timer | tr '\n' ' ')" "enabled enabled " && flows && flows edited &&
    mcrstat | grep -F 'say "a\b"'
}

puppet_idempotent() {
  local now
  now=$(generation)
  apply 0 1 '' && equal "$(generation)" "$now"
}

puppet_noop() {
  local sum now
  sum=$(digest $conf) now=$(generation)
  apply 0 2 '' --noop && grep -E '^- +ttl = 1;' output && grep -E '^\+ +ttl = 2;' output &&
    equal "$(digest $conf)" "$sum" &&
    equal "$(generation)" "$now"
}

puppet_change() {
  local pid now
  pid=$(property MainPID) now=$(generation)
  during apply 2 2 '' && equal "$(property MainPID)" "$pid" && equal "$(generation)" $((now + 1)) && flows edited
}

puppet_bad() {
  local sum now
  sum=$(digest $conf) now=$(generation)
  apply '4|6' 999 '' && grep -E ':[0-9]+: rule "edited".*999' output && equal "$(digest $conf)" "$sum" &&
    equal "$(generation)" "$now" &&
    flows || return 1
  show 'rule "edited".*999' 1
}

puppet_empty() {
  local sum
  sum=$(digest $conf)
  echo "class { 'mcr': rules => [] }" >empty.pp
  timeout 120 puppet apply --modulepath /test/puppet --color=false --detailed-exitcodes empty.pp >output 2>&1
  equal $? 1 && grep -F 'to mean it, set allow_empty' output && equal "$(digest $conf)" "$sum"
}

puppet_refused() {
  local now
  now=$(generation)
  apply '4|6' 2 "'user' => 'nobody'" && grep 'reload refused: .*fixed at the start' output &&
    equal "$(generation)" "$now" && flows || return 1
  show 'reload refused' 1
  apply '4|6' 2 "'user' => 'nobody'" && grep 'reload refused: .*fixed at the start' output &&
    equal "$(generation)" "$now" || return 1
  apply 2 2 '' && equal "$(mcrstat --prometheus | sed -n 's/^mcr_config_last_reload_successful //p')" 1
}

puppet_interrupted() {
  local edit now
  for edit in 's/ttl = 2/ttl = 3/' '1s/$/ A comment./'; do
    pending "$edit" || return 1
    now=$(generation)
    apply 2 2 '' && equal "$(generation)" $((now + 1)) && equal "$(mcrd --diff)" "no difference" || return 1
  done
  apply 0 2 '' && equal "$(generation)" $((now + 1))
}

puppet_elsewhere() {
  local now
  elsewhere="  started_elsewhere => true,"
  status 0 systemctl stop mcrd && apply 2 4 '' && equal "$(processes)" "" && grep -F 'ttl = 4;' $conf &&
    equal "$(systemctl is-enabled mcrd)" disabled && apply 0 4 '' && equal "$(processes)" "" &&
    apply '4|6' 999 '' && grep -F 'ttl = 4;' $conf && status 0 systemctl start mcrd && now=$(generation) &&
    apply 2 2 '' && equal "$(generation)" $((now + 1)) && apply 0 2 '' || return 1
  elsewhere=
  apply 2 2 '' && equal "$(systemctl is-enabled mcrd)" enabled
}

puppet_trial() {
  trial="  trial => 600, verify => 'mcrstat --json | grep -q \".state.: .trial.\"',"
  mark
  during apply 2 4 '' && config_is current && said 'event=reload .*trial_s=600' && said 'event=confirmed ' &&
    equal "$(running_ttl)" 4 && mark && apply 0 4 '' && ! said 'event=(confirmed|reload)'
}

# It is not tried again by the next run, half an hour later, which fails as well.
puppet_trial_returns() {
  local now
  trial="  trial => 40, verify => 'echo the new stream does not arrive; false',"
  mark
  apply '4|6' 5 '' && grep 'the new stream does not arrive' output && grep 'mcr.conf is not confirmed' output || return 1
  show 'is not confirmed' 1
  within 60 config_is returned && equal "$(running_ttl)" 4 && flows && ! said event=confirmed && now=$(generation) &&
    apply '4|6' 5 '' && grep 'nothing is on trial: the last one was not kept' output && config_is returned &&
    equal "$(generation)" "$now" || return 1
  trial="  trial => 600, verify => 'mcrstat --json | grep -q \".state.: .trial.\"',"
  apply 2 4 '' && config_is current && equal "$(mcrd --diff)" "no difference" || return 1
  trial=
  apply 2 2 ''
}

apply_signed() {
  local expected=2 got
  case $1 in refused) expected='4|6' ;; same) expected=0 ;; esac
  echo "class { 'mcr': signed => '/test/signed.conf', signers => ['a', 'b'], metrics => true }" >signed.pp
  timeout 120 puppet apply --modulepath /test/puppet --color=false --detailed-exitcodes signed.pp >output 2>&1
  got=$?
  cat output
  [[ $got =~ ^($expected)$ ]] || { echo "exit status $got, expected $expected"; return 1; }
}

puppet_signed() {
  deploy_signed apply_signed
}

puppet_instance() {
  cat >second.pp <<'END'
mcr::instance { 'second':
  rules => [{ 'name' => 'r', 'note' => 31337, 'input' => { 'interface' => 'in0', 'group' => '239.255.1.9', 'port' => 5000 },
    'outputs' => [{ 'interface' => 'out0', 'group' => '239.255.2.9', 'port' => 6000 }] }],
}
END
  timeout 120 puppet apply --modulepath /test/puppet --color=false --detailed-exitcodes second.pp >output 2>&1
  equal $? 2 && equal "$(mcrd --diff --config /etc/mcr/second.conf)" "no difference" &&
    equal "$(mcrd --diff)" "no difference" && mcrstat --stats /run/mcr-second/stats --rule r | grep -Fw 31337 &&
    systemctl disable --now mcrd@second
}

echo "# $(ansible --version | head -n 1), puppet $(puppet --version)" >&3
ok "there are links" has_topology
ok "there is a repository with the package" repository
ok "ansible reaches the host over ssh" control_node
ok "ansible: check mode on a bare host changes nothing" ansible_check_bare
ok "ansible: installs, writes the file, starts; datagrams flow" ansible_installs
ok "ansible: a second run changes nothing" ansible_idempotent
ok "ansible: check mode with --diff tells what would change, and changes nothing" ansible_check
ok "ansible: a change is taken over by reload; the stream of an unchanged rule loses nothing" ansible_change
ok "ansible: the record names who did it" ansible_login
ok "ansible: a bad file fails the play with mcrd's own message, and is not written" ansible_bad
ok "ansible: in check mode as well" ansible_bad --check --diff
ok "ansible: no rules at all fail the play, unless they are meant; nothing is written" ansible_empty
ok "ansible: what the relay refuses fails the play with its reason" ansible_refused
ok "ansible: it fails the next play as well" ansible_refused_still
ok "ansible: mended by the play with the old file" ansible_mended
ok "ansible: a file that an interrupted play has left is taken over by the next" ansible_interrupted
ok "ansible: two relays on a host; both take their files over" ansible_two
ok "ansible: started elsewhere, the relay is neither enabled nor started, and reloaded where it runs" ansible_elsewhere
ok "ansible: on trial, verified by the user's tasks, confirmed; a second run changes and confirms nothing" ansible_trial
ok "ansible: a verify task fails, so nothing is confirmed, and what ran before runs again; the next run is a new trial" ansible_trial_returns
ok "ansible: what a run left on trial is verified and confirmed by the next" ansible_trial_again
ok "ansible: what has returned before it is confirmed fails the play; a trial of no number is refused" ansible_trial_late
ok "ansible: a signed file with its signatures; without one of them it is refused, with who is missing" ansible_signed
ok "the package is purged" starts_anew
ok "puppet: installs, writes the file, starts; datagrams flow" puppet_installs
ok "puppet: a second run changes nothing" puppet_idempotent
ok "puppet: --noop shows the difference, and changes nothing" puppet_noop
ok "puppet: a change is taken over by reload; the stream of an unchanged rule loses nothing" puppet_change
ok "puppet: a bad file fails the run with mcrd's own message, and is not written" puppet_bad
ok "puppet: no rules at all fail the run; nothing is written" puppet_empty
ok "puppet: what the relay refuses fails this run and the next with its reason; mended by the old file" puppet_refused
ok "puppet: a file that an interrupted run has left is taken over by the next" puppet_interrupted
ok "puppet: started elsewhere, the relay is neither enabled nor started, and reloaded where it runs" puppet_elsewhere
ok "puppet: on trial, verified by the user's command, confirmed; a second run changes nothing" puppet_trial
ok "puppet: the command fails, so nothing is confirmed, and what ran before runs again; the next run does not try it again" puppet_trial_returns
ok "puppet: a signed file with its signatures; without one of them it is refused, with who is missing" puppet_signed
ok "puppet: a further relay on the host, beside the first" puppet_instance
echo "1..$count" >&3
[ $failed -eq 0 ]
