#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# In the guest that run.sh boots: the Debian package from its installation to its purge. Writes TAP to /test/result.
# /test/host holds the packages and what the host found.
set -u

# shellcheck source=tests/systemd/guestlib.sh
. /test/guestlib.sh
conf=/etc/mcr/mcr.conf
textfiles=/var/lib/prometheus/node-exporter
export DEBIAN_FRONTEND=noninteractive

# NAME: what the host found.
host() {
  tail -n 20 "/test/host/$1.log"
  return "$(cat "/test/host/$1.status")"
}

# PACKAGE: by dpkg, with the answers that unattended installations give.
install() {
  timeout 60 dpkg --force-confdef --force-confold -i "/test/host/$1.deb" >dpkg.log 2>&1 || { cat dpkg.log; return 1; }
  cat dpkg.log
}

# STATE OF-START UNIT...
units_are() {
  local enabled=$1 active=$2 unit
  shift 2
  for unit in "$@"; do
    equal "$unit $(systemctl is-enabled "$unit")" "$unit $enabled" &&
      equal "$unit $(systemctl is-active "$unit")" "$unit $active" ||
      return 1
  done
}

# TTL [STATS_FILE]
rules() {
  cat <<END
version = 1;
stats_file = "${2:-/run/mcr/stats}";
rules = (
  { name = "steady"; input = { interface = "in0"; group = "239.255.1.1"; port = 5000; };
    outputs = ( { interface = "out0"; group = "239.255.2.1"; port = 6000; ttl = $1; } ); }
);
END
}

# The standard input becomes the file, by rename.
put() {
  cat >"$1.new" && chmod 644 "$1.new" && mv "$1.new" "$1"
}

installs() {
  install first && equal "$(dpkg-query -W -f '${db:Status-Abbrev}' mcr)" "ii " && getent passwd mcr &&
    getent passwd mcr-metrics &&
    status 0 mcrd --version && status 0 mcrstat --version && status 0 mcrgen --version &&
    status 0 bash -c '. /usr/share/bash-completion/completions/mcrstat && complete -p mcrstat'
}

asleep() {
  units_are disabled inactive mcrd.service mcr-metrics.timer && equal "$(processes)" "" &&
    status 0 systemd-analyze verify \
    --man=no mcrd.service mcr-metrics.service mcr-metrics.timer
}

empty_conffile() {
  equal "$(dpkg-query -W -f '${Conffiles}' mcr | awk 'NF { print $1 }' | tr '\n' ' ')" "$conf /etc/needrestart/restart.d/mcrd.service " &&
    equal "$(stat -c '%U:%G %a' $conf)" "root:root 644" &&
    status 0 mcrd --check && mcrd --print | tr -d ' \n' | grep -F 'rules=();'
}

starts() {
  rules 1 | put $conf && rules 1 /run/mcr-other/stats | sed 's/239\.255\.1\.1/239.255.1.9/' | put /etc/mcr/other.conf &&
    status 0 systemctl enable --now mcrd.service mcrd@other.service &&
      units_are enabled active mcrd.service mcrd@other.service && flows
}

metrics_written() {
  grep -qx "mcr_up $1" $textfiles/mcr.prom
}

metrics() {
  local before
  mkdir -p $textfiles && status 0 systemctl enable --now mcr-metrics.timer mcr-metrics@other.timer &&
    within 5 metrics_written 1 &&
      within 5 grep -q 'mcr_up{stats_file="/run/mcr-other/stats"} 1' $textfiles/mcr-other.prom || return 1
  equal "$(stat -L -c '%U %a' $textfiles/mcr.prom)" "mcr-metrics 644" || return 1
  before=$(stat -L -c %i $textfiles/mcr.prom)
  # Again each 15 seconds.
  within 25 eval "[ \$(stat -L -c %i $textfiles/mcr.prom) != $before ]" && metrics_written 1 &&
    equal "$(systemctl is-failed mcr-metrics.service)" inactive || return 1
  systemd-analyze security --offline=true --no-pager --threshold=20 mcr-metrics.service | tail -n 1 | note
}

metrics_without_daemon() {
  status 0 systemctl stop mcrd && status 0 systemctl start mcr-metrics.service && metrics_written 0 &&
    status 0 systemctl start mcrd &&
    status 0 systemctl start mcr-metrics.service && metrics_written 1
}

# Both relays run exactly their files.
upgrade() {
  local pid other sum
  pid=$(property MainPID) other=$(property MainPID mcrd@other) sum=$(digest $conf)
  install next && equal "$(digest $conf)" "$sum" && grep -q 'The next version' $conf.dpkg-dist &&
    units_are enabled active mcrd.service mcrd@other.service &&
    [ "$(property MainPID)" != "$pid" ] && [ "$(property MainPID mcrd@other)" != "$other" ] && flows
}

# The other way round, with a file that nobody has activated, a valid and an invalid one: both stay where they are.
# needrestart, after an upgrade of a library. An instance is restarted by a link of its name.
restart_pending() {
  local pid other now hook=/etc/needrestart/restart.d
  pid=$(property MainPID) other=$(property MainPID mcrd@other) now=$(generation)
  ln -s mcrd.service "$hook/mcrd@other.service" || return 1
  during $hook/mcrd.service && $hook/mcrd@other.service && rm "$hook/mcrd@other.service" &&
    [ "$(property MainPID)" != "$pid" ] && [ "$(property MainPID mcrd@other)" != "$other" ] &&
    equal "$(generation)" $((now + 1)) && within 5 eval 'mcrstat | grep -q pending' &&
    within 5 eval 'mcrstat --stats /run/mcr-other/stats | grep -q invalid' && flows
}

upgrade_pending() {
  local pid other now
  pid=$(property MainPID) other=$(property MainPID mcrd@other) now=$(generation)
  rules 2 | put $conf && rules 999 /run/mcr-other/stats | put /etc/mcr/other.conf || return 1
  during install first && [ "$(property MainPID)" != "$pid" ] && [ "$(property MainPID mcrd@other)" != "$other" ] &&
    equal "$(generation)" $((now + 1)) && within 5 eval 'mcrstat | grep -q pending' &&
    within 5 eval 'mcrstat --stats /run/mcr-other/stats | grep -q invalid' && flows
}

then_reload() {
  local now
  now=$(generation)
  status 0 systemctl reload mcrd && equal "$(generation)" $((now + 1)) && flows
}

# The statistics of the old daemon are of another version of the layout, which follows the 8 bytes of the magic.
upgrade_layout() {
  local pid
  pid=$(property MainPID)
  printf '\377' | dd of=$run/stats bs=1 seek=8 conv=notrunc status=none || return 1
  during install next && [ "$(property MainPID)" != "$pid" ] && flows
}

upgrade_stopped() {
  status 0 systemctl stop mcrd mcrd@other && install first &&
    units_are enabled inactive mcrd.service mcrd@other.service && equal "$(processes)" ""
}

conffile_unchanged() {
  # As nobody has changed it since, the package's own is taken over silently.
  dpkg-deb --fsys-tarfile /test/host/first.deb | tar -xO ./etc/mcr/mcr.conf | put $conf && rm -f $conf.dpkg-dist &&
    install first && install next && grep 'The next version' $conf && [ ! -e $conf.dpkg-dist ]
}

removes() {
  rules 1 | put $conf && status 0 systemctl start mcrd mcr-metrics.service && flows &&
    status 0 dpkg -r mcr && equal "$(processes)" "" && [ ! -e /lib/systemd/system/mcrd.service ] &&
      [ ! -e /run/mcr/stats ] &&
    equal "$(digest <(rules 1))" "$(digest $conf)" && equal "$(ls $textfiles)" "" &&
    equal "$(systemctl is-active mcr-metrics.timer mcr-metrics@other.timer | tr '\n' ' ')" "inactive inactive "
}

reinstalls() {
  install first && equal "$(digest <(rules 1))" "$(digest $conf)" &&
    equal "$(processes)" "" &&
    status 0 systemctl start mcrd && flows
}

purges() {
  local left
  rm -f /etc/mcr/other.conf
  status 0 dpkg -P mcr && equal "$(processes)" "" || return 1
  left=$(find / -xdev -regextype egrep -regex '/(test|proc|sys|var/log|tmp|var/tmp)' -prune -o \
    -name '*mcr*' ! -name 'mcr-test.service' -print
    find /run -name '*mcr*' ! -path '*mcr-test*' ! -path '/run/systemd/propagate/*' ! -path '/run/log/*' 2>/dev/null)
  equal "$left" "" && ! dpkg-query -s mcr
}

ok "lintian finds no fault" host lintian
ok "make rpm" host rpmbuild
ok "rpmlint finds no fault" host rpmlint
ok "both packages hold the same files, and one configuration file" host files
ok "there are links" has_topology
ok "the package can be installed; users, programs and completion are there" installs
ok "nothing is enabled, nothing runs" asleep
ok "the configuration file is a conffile, valid, and has no rule" empty_conffile
ok "two relays are enabled and started; datagrams flow" starts
ok "the timers write metrics of both relays, as an unprivileged user" metrics
ok "without a daemon they say so" metrics_without_daemon
ok "upgrade: the file that was changed is kept, both relays run the new program" upgrade
ok "upgrade: a pending file and an invalid one stay so; both relays run the new program, and lose nothing" upgrade_pending
ok "needrestart: as an upgrade" restart_pending
ok "and takes the file over when told to" then_reload
ok "upgrade: the statistics are of a layout that the new program does not know; nothing is lost either" upgrade_layout
ok "upgrade: what is stopped stays stopped" upgrade_stopped
ok "upgrade: a file that was not changed is replaced" conffile_unchanged
ok "remove: all is stopped, the configuration stays" removes
ok "install again: with the old configuration" reinstalls
ok "purge: nothing is left" purges
echo "1..$count" >&3
[ $failed -eq 0 ]
