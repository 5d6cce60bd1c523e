#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mcrd --reload, as TAP, before a stand-in for the daemon: which process is signalled, and what is made of its answers.
# That a real one takes the file over is shown in tests/net.
# shellcheck source=tests/config/standin.sh
. "${srcdir:-.}/tests/config/standin.sh"

cat >f.conf <<END
version = 1;
stats_file = "$work/stats";
rules = ( { name = "a"; input = { interface = "lo"; group = "239.1.0.1"; port = 5000; };
  outputs = ( { interface = "lo"; group = "239.1.0.2"; port = 5000; } ); } );
END
digest=$(sha256 f.conf)

# KEY=VALUE...: a daemon that runs f.conf, unless said otherwise.
daemon() {
  stands_in "$@" file="$work/f.conf"
}

# N: so many SIGHUPs have reached the stand-in.
hups() {
  away
  [ "$(grep -c '^hup$' hups)" -eq "$1" ] || { cat hups; return 1; }
}

# --- answers ---
accepted() {
  daemon then="$digest" "$@" && run 0 --reload --config f.conf &&
    [ "$(cat stdout)" = "reload accepted: generation 2, sha256 $digest, 1 rule" ] && hups 1
}
ok "accepted" accepted
ok "accepted, after a while" accepted delay_ms=700
ln -s f.conf link.conf
ok "accepted: by a symbolic link" accepted file="$work/link.conf"

refused() {
  daemon on_hup=refuse && run 1 --reload --config f.conf && [ ! -s stdout ] &&
    said "mcrd: reload refused: f.conf:1: no memory" && hups 1
}
ok "refused" refused

hostile() {
  daemon on_hup=hostile && run 1 --reload --config f.conf && said "mcrd: reload refused: f.conf:1: ?[2Jno?" && hups 1
}
ok "refused: control characters do not reach the terminal" hostile

other() {
  other=$(echo other | sha256sum | cut -d' ' -f1)
  daemon then="$other" && run 2 --reload --config f.conf && [ ! -s stdout ] &&
    said "mcrd: reload accepted: generation 2, but f.conf was replaced meanwhile: sha256 $digest was checked,\
 $other runs" && hups 1
}
ok "trouble: another file was taken over" other

silent() {
  daemon on_hup=ignore && pid=$standin && run 2 --reload --timeout 0.5 --config f.conf &&
    said "mcrd: the daemon (pid $pid) was signalled, but has not answered within 0.5 s" && hups 1
}
ok "trouble: no answer" silent

late() {
  daemon delay_ms=1000 then="$digest" && run 2 --reload --timeout 0.1 --config f.conf && hups 1
}
ok "trouble: an answer after the time" late

gone() {
  daemon on_hup=exit && pid=$standin && run 2 --reload --config f.conf &&
    said "mcrd: the daemon (pid $pid) ended before it had answered" && hups 1
}
ok "trouble: the daemon ends" gone

# --- nobody is signalled ---
invalid() {
  echo 'version = 1;' >bad.conf
  daemon && run 1 --reload --config bad.conf && [ ! -s stdout ] && hups 0 &&
    [ "$(head -n 1 stderr)" = 'bad.conf: "rules" is missing in the file, allowed is 0 to 10000 groups { } in a list ( )' ] &&
    # The record of the attempt, which no daemon writes.
    grep -q "event=reload result=refused file=\"bad.conf\" sha256=$(sha256sum <bad.conf | cut -c1-64) .* uid=$(id -u) .*reason=" stderr
}
ok "not signalled: the file is not valid" invalid

# The daemon gave up the rights by which root reads the file.
unreadable() {
  sed 's/^version = 1;/& user = "daemon"; group = "daemon";/' f.conf >own.conf
  chmod 0600 own.conf
  group="gid=$(id -g daemon) extra_gid=$(id -g daemon)"
  # shellcheck disable=SC2086 # words
  daemon file="$work/own.conf" $group && chown daemon stats && run 1 --reload --config own.conf && [ ! -s stdout ] && hups 0 &&
    [ "$(sed -n '1p' stderr)" = "own.conf: user daemon cannot read it (0600 root:root): chgrp daemon, chmod 640" ] &&
    grep -q "event=reload result=refused file=\"own.conf\" .*reason=" stderr || return 1
  # shellcheck disable=SC2086
  chgrp daemon own.conf && chmod 0640 own.conf && daemon file="$work/own.conf" on_hup=ignore $group && chown daemon stats &&
    run 2 --reload --timeout 0.1 --config own.conf && hups 1
}

# A supplementary group that the daemon has may read it.
readable_by_group() {
  sed 's/^version = 1;/& user = "daemon"; group = "daemon";/' f.conf >own.conf
  chgrp 12345 own.conf && chmod 0640 own.conf &&
    daemon file="$work/own.conf" on_hup=ignore gid="$(id -g daemon)" extra_gid=12345 && chown daemon stats &&
    run 2 --reload --timeout 0.1 --config own.conf && hups 1
}

no_user() {
  sed 's/^version = 1;/& user = "nosuchuser"; group = "daemon";/' f.conf >own.conf
  daemon file="$work/own.conf" on_hup=refuse && run 1 --reload --config own.conf && hups 1 &&
    grep -q '^own.conf: warning: user "nosuchuser" does not exist here: mcrd cannot start as root: make it, or leave the key out$' stderr
}
if [ "$(id -u)" -eq 0 ]; then
  ok "not signalled: the daemon's user cannot read the file" unreadable
  ok "signalled: one of the daemon's groups may read the file" readable_by_group
  ok "warned: the next start would find no such user" no_user
else
  skip "what the daemon's user would meet" "needs root"
fi

# TEXT KEY=VALUE...
trouble() {
  text=$1
  shift
  daemon "$@" && pid=$standin && run 2 --reload --config f.conf && [ ! -s stdout ] &&
    said "$(echo "$text" | sed "s|@PID@|$pid|")" && hups 0
}

no_daemon() {
  rm -f stats
  run 2 --reload --config f.conf && said "mcrd: no daemon: $work/stats, the stats_file of the config, does not exist; a changed stats_file needs a restart"
}
ok "not signalled: no daemon" no_daemon

# NAME STATS: how the daemon with this stats_file is started.
unit() {
  sed "s|stats_file = [^;]*;|stats_file = \"$2\";|" f.conf >u.conf && grep -F "$2" u.conf &&
    run 2 --reload --config u.conf && grep -F "mcrd: ${1:+not running: systemctl start $1; }no daemon: $2," stderr
}
ok "not running: the unit of an instance" unit mcrd@no-such_1 /run/mcr-no-such_1/stats
ok "not running: none of the units" unit "" /run/mcr-no-such/other
ok "not running: a name that a shell would take apart" unit "" "/run/mcr-no;such/stats"

garbage() {
  head -c 10000 /dev/urandom >stats
  run 2 --reload --config f.conf && said "mcrd: $work/stats is not the statistics of mcrd" &&
    : >stats && run 2 --reload --config f.conf && said "mcrd: $work/stats is not the statistics of mcrd" &&
    rm stats && mkfifo stats && run 2 --reload --config f.conf &&
    said "mcrd: $work/stats is no regular file: stats_file must be the one that the daemon was started with" && rm stats
}
ok "not signalled: not statistics" garbage

link() {
  daemon && mv stats real && ln -s real stats && run 2 --reload --config f.conf &&
    said "mcrd: $work/stats cannot be opened: Too many levels of symbolic links" && hups 0 && rm stats
}
ok "not signalled: a symbolic link" link

ok "not signalled: stale statistics" trouble \
  "mcrd: no daemon: mcrd (pid @PID@), whose statistics are in $work/stats, has ended" lock=0
ok "not signalled: a daemon that was stopped" trouble \
  "mcrd: no daemon: mcrd (pid @PID@), whose statistics are in $work/stats, was stopped" state=3
ok "not signalled: statistics that were never replaced" trouble "mcrd: $work/stats is being replaced" state=2
ok "not signalled: statistics that were never begun" trouble "mcrd: mcrd does not use $work/stats yet" state=0
ok "not signalled: another layout" trouble \
  "mcrd: the layout of $work/stats is version 999, known here is 10: use the mcrd that runs, or restart it" version=999

cp f.conf other.conf
ok "not signalled: another file" trouble \
  "mcrd: the daemon (pid @PID@) runs $work/other.conf, not f.conf: name its own file with --config" \
  file="$work/other.conf"
ok "not signalled: another file, that is not there" trouble \
  "mcrd: the daemon (pid @PID@) runs $work/none.conf, not f.conf: name its own file with --config" \
  file="$work/none.conf"

# A reader's lock is no sign of life.
if command -v python3 >/dev/null; then
  reader() {
    daemon lock=0 && pid=$standin && python3 -c '
import fcntl, struct, subprocess, sys
f = open("stats.lock", "a+b")
fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))  # F_OFD_SETLK
sys.exit(subprocess.run(sys.argv[1:]).returncode)' "$MCRD" --reload --config f.conf 2>stderr
    [ $? -eq 2 ] && said "mcrd: no daemon: mcrd (pid $pid), whose statistics are in $work/stats, has ended" && hups 0
  }
  ok "not signalled: a lock that anyone may take" reader
fi

# A lock that no process holds by itself.
if command -v python3 >/dev/null; then
  ownerless() {
    daemon lock=0 && python3 -c '
import fcntl, struct, subprocess, sys
f = open("stats.lock", "a+b")
fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
sys.exit(subprocess.run(sys.argv[1:]).returncode)' "$MCRD" --reload --config f.conf 2>stderr
    [ $? -eq 2 ] && said "mcrd: the process that writes $work/stats cannot be reached: No such process" && hups 0
  }
  ok "not signalled: a lock of no process" ownerless
fi

# The kernel tells who writes the statistics; whoever may write them could name another. SIGHUP would end the sleep.
named() {
  sleep 60 &
  sleeper=$!
  status=0
  for pid in $sleeper 0 1 4294967295; do
    accepted pid=$pid || status=1
  done
  kill -0 $sleeper && sleep 0.1 && kill -0 $sleeper || status=1
  kill $sleeper
  wait $sleeper
  [ $? -eq 143 ] && return $status
}
ok "signalled: who holds the lock, whatever process the statistics name" named

me=$(id -u)
# As a user who may not signal the daemon.
denied() {
  daemon && pid=$standin || return 1
  timeout 60 setpriv --reuid=65533 --clear-groups "$MCRD" --reload --config f.conf >stdout 2>stderr
  [ $? -eq 2 ] && said "mcrd: the daemon (pid $pid) cannot be signalled: Operation not permitted; run as root or as the\
 daemon's user" && hups 0
}
if [ "$me" -eq 0 ] && setpriv --reuid=65533 --clear-groups "$MCRD" --version >/dev/null 2>&1; then
  ok "not signalled: no right to" denied
else
  skip "not signalled: no right to" "needs root, setpriv, and a build that others may read"
fi

# --- usage ---
usage() {
  for arguments in "--reload --timeout 0" "--reload --timeout -1" "--reload --timeout inf" "--reload --timeout 3601" \
    "--reload --timeout" "--reload --timeout 1x" "--check --timeout 5" "--timeout 5" "--reload --json" \
    "--check --json" "--reload --diff" "--diff --print" "--diff x"; do
    # shellcheck disable=SC2086
    run 2 $arguments --config f.conf || { echo "$arguments"; return 1; }
  done
}
ok "usage" usage

plan
