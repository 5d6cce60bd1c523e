#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mcrd --diff, as TAP: for each NAME in diff/, NAME.running.conf runs and NAME.conf is compared with it; the output must
# be NAME.text and, with --json, NAME.json. Then what is in the way of an answer.
# shellcheck source=tests/config/standin.sh
. "${srcdir:-.}/tests/config/standin.sh"

goldens=$srcdir/tests/config/diff

# FILE: put it in place of what follows, with our directory in it.
here() {
  sed "s|@DIR@|$work|g" "$1"
}

# NAME: running.conf and new.conf are its files, and a daemon runs the first.
prepare() {
  rm -f running.conf new.conf
  here "$goldens/$1.running.conf" >running.conf
  here "$goldens/$1.conf" >new.conf
  stands_in sha256="$(sha256 running.conf)"
}

# GOLDEN FOUND
same() {
  if [ "${UPDATE:-}" ]; then
    sed "s|$work|@DIR@|g; s|$(sha256 running.conf)|@RUNNING@|g; s|$(sha256 new.conf)|@FILE@|g" "$2" >"$1"
  fi
  sed "s|@DIR@|$work|g; s|@RUNNING@|$(sha256 running.conf)|g; s|@FILE@|$(sha256 new.conf)|g" "$1" >wanted
  diff -u wanted "$2"
}

is_json() {
  if command -v jq >/dev/null; then
    jq -e .running <stdout >/dev/null
  else
    python3 -m json.tool <stdout >/dev/null
  fi
}

golden() {
  prepare "$1" || return 1
  timeout 60 "$MCRD" --diff --config new.conf >stdout 2>stderr
  status=$?
  same "$goldens/$1.text" stdout || { cat stderr; return 1; }
  [ $status -eq "$(tail -n 1 stdout | grep -c 'disturbs traffic: ')" ] || { echo "exit status $status"; return 1; }
  run $status --diff --json --config new.conf && is_json && same "$goldens/$1.json" stdout
}

for file in "$goldens"/*.running.conf; do
  name=$(basename "$file" .running.conf)
  ok "golden: $name" golden "$name"
done

# More input interfaces than the daemon has sockets for, or than it may be known to have.
sockets() {
  prepare same && sed 's/interface = "lo"; group = "239.1.0.1"/interface = "a0"; group = "239.1.0.1"/' running.conf |
    sed 's/^);$/, { name = "b"; input = { interface = "b0"; group = "239.1.0.2"; port = 5000; };\
      outputs = ( { interface = "lo"; group = "239.2.0.2"; port = 5000; } ); } );/' >new.conf
  why="2 input interfaces, and sockets for 1: mcrd opens them at its start only"
  stands_in sha256="$(sha256 running.conf)" inputs_most=1 && run 1 --diff --config new.conf && grep -Fx "~ $why" stdout &&
    grep 'needs a restart: a reload is refused$' stdout && run 1 --diff --json --config new.conf &&
    grep -F '"needs_restart": true' stdout && grep -F "\"restart_reason\": \"$why\"" stdout &&
    stands_in sha256="$(sha256 running.conf)" inputs_most=2 && run 1 --diff --json --config new.conf &&
    grep -F '"needs_restart": false' stdout && grep -F '"restart_reason": null' stdout
}
ok "more input interfaces than there are sockets for need a restart" sockets

other_file() {
  prepare same && run 0 --diff --config new.conf && said "note: the daemon of $work/stats (pid $standin) runs \
/etc/mcr/mcr.conf, not new.conf: if that is another instance, a stats_file is missing here" &&
    stands_in sha256="$(sha256 running.conf)" file="$work/new.conf" && run 0 --diff --config new.conf && [ ! -s stderr ]
}
ok "the daemon of another file is told" other_file

# --- trouble ---
trouble() {
  run 2 --diff --config "${2:-new.conf}" && [ ! -s stdout ] && said "$1"
}

invalid() {
  prepare same && echo '!' >>new.conf && run 2 --diff --config new.conf && [ ! -s stdout ] &&
    said "new.conf:$(wc -l <new.conf): syntax error: \"!\" where a key is expected"
}
ok "trouble: the file is not valid" invalid

ok "trouble: no file" trouble "none.conf: cannot be opened: No such file or directory" none.conf

no_daemon() {
  rm -f stats
  here "$goldens/same.conf" >new.conf
  trouble "mcrd: no daemon: $work/stats, the stats_file of the config, does not exist; a changed stats_file needs a restart"
}
ok "trouble: no daemon" no_daemon

ended() {
  prepare same && pid=$standin && away &&
    trouble "mcrd: no daemon: mcrd (pid $pid), whose statistics are in $work/stats, has ended"
}
ok "trouble: the daemon has ended" ended

stopped() {
  prepare same && stands_in state=3 &&
    trouble "mcrd: no daemon: mcrd (pid $standin), whose statistics are in $work/stats, was stopped"
}
ok "trouble: the daemon was stopped" stopped

# A refusal names what it was compared with.
against_serial() {
  here "$goldens/times.conf" >new.conf && here "$goldens/times.running.conf" >old.conf &&
    timeout 60 "$MCRD" --diff --against old.conf --config new.conf >stdout 2>stderr
  grep -F 'new.conf: "serial" is 41, and old.conf has 42: allowed is a higher one' stdout
}
ok "--against: a serial that is not higher" against_serial

no_running() {
  prepare same && rm running.conf && trouble "$work/running.conf: cannot be opened: No such file or directory"
}
ok "trouble: no running.conf" no_running

other_running() {
  prepare same && echo >>running.conf &&
    trouble "$work/running.conf: is not what runs: the daemon (pid $standin) names another sha256"
}
ok "trouble: running.conf is of another file" other_running

bad_running() {
  prepare same && echo 'version = 1; rules = ( ); later = 1;' >running.conf &&
    stands_in sha256="$(sha256 running.conf)" &&
    trouble "$work/running.conf: runs, but is not valid for this version: $work/running.conf:1: unknown key \"later\"\
 in the file, allowed there: version instance serial valid_from valid_until trial user group stats_file audit_file audit_mib audit_required reload_on_change missing_interface ring_mib coalesce_usecs\
 busy_poll interfaces rules"
}
ok "trouble: running.conf is of another version" bad_running

# Root would otherwise show what only root may read.
linked_running() {
  prepare same && mv running.conf elsewhere.conf && ln -s elsewhere.conf running.conf &&
    trouble "$work/running.conf: cannot be opened: Too many levels of symbolic links"
}
ok "trouble: running.conf is a link" linked_running

writable_running() {
  prepare same && chmod 0664 running.conf &&
    trouble "$work/running.conf: mode is 0664, allowed is one without write by group or others: chmod go-w $work/running.conf"
}
ok "trouble: running.conf can be written by others" writable_running

foreign_running() {
  prepare same && chown 65533 running.conf &&
    trouble "$work/running.conf: owner is uid 65533, allowed is root or uid 0, who owns the statistics"
}
owned_running() {
  prepare same && chown 65533 running.conf stats && run 0 --diff --config new.conf
}
if [ "$(id -u)" -eq 0 ]; then
  ok "trouble: running.conf is of a foreign owner" foreign_running
  ok "running.conf and statistics are of the daemon's user" owned_running
else
  skip "trouble: running.conf is of a foreign owner" "needs root"
  skip "running.conf and statistics are of the daemon's user" "needs root"
fi

# running.conf is replaced a moment before the statistics.
take_over() {
  prepare same && { (sleep 0.3; here "$goldens/same.running.conf" >x; mv x running.conf) & } &&
    echo >>running.conf && run 0 --diff --config new.conf && wait $!
}
ok "a take-over is waited for" take_over

full() {
  prepare rules || return 1
  timeout 60 "$MCRD" --diff --config new.conf >/dev/full 2>stderr
  [ $? -eq 2 ]
}
if [ -c /dev/full ]; then
  ok "trouble: standard output is full" full
fi

# --- sizes ---
sized 10000 rules
# TTL NOTE: so many rules, in an order of their own for each NOTE.
rules() {
  awk -v size="$size" -v ttl="$1" -v note="$2" -v stats="$work/stats" 'BEGIN {
    print "version = 1; stats_file = \"" stats "\"; ring_mib = 1;\nrules = ("
    for (n = 0; n < size; n++) {
      i = note == "" ? n : size - 1 - n
      printf "%s{ name = \"r%d\"; note = \"%s\"; input = { interface = \"lo\"; group = \"239.1.%d.%d\"; port = 5000; };\n" \
        "outputs = ( { interface = \"lo\"; group = \"239.2.%d.%d\"; port = 5000; ttl = %d; } ); }\n", \
        n ? "," : "", i, note, i / 256, i % 256, i / 256, i % 256, ttl
    }
    print ");"
  }' | sed 's/note = "";//'
}

many() {
  rules 1 "" >running.conf
  rules 2 CHG1 >new.conf
  stands_in sha256="$(sha256 running.conf)" && run 1 --diff --config new.conf &&
    [ "$(tail -n 1 stdout)" = "0 added, 0 removed, $size changed; disturbs traffic: yes" ] &&
    [ "$(head -n 4 stdout)" = "~ rule \"r$((size - 1))\"
    note: unset -> \"CHG1\"
    outputs[0].ttl: 1 -> 2
    disturbs traffic: yes" ] && run 1 --diff --json --config new.conf && is_json
}
ok "$size rules" many

plan
