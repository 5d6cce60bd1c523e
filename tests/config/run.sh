#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Config goldens, as TAP: each file in valid/ must be printed as its .printed says, each in invalid/ must be
# refused with exactly the errors of its .err. Then what cannot lie in a repository: sizes, modes, FIFOs.
#
# Environment: MCRD, the program (default: src/mcrd of the build directory); srcdir, the top of the sources; STATS_MAGIC,
# how a file of statistics begins there (default: as on a little-endian machine).
# UPDATE=1 writes the goldens anew, to be read before they are committed.
set -u

srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-src/mcrd}
MCRD=$(cd "$(dirname "$MCRD")" && pwd)/$(basename "$MCRD")
goldens=$srcdir/tests/config
work=$(mktemp -d) || exit 99
trap 'chmod -R u+rwX "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 99
umask 022

# libconfig 1.5 loses what it has read of a string when a syntax error follows.
printf 'leak:strbuf_append\nleak:libconfig_yylex\n' >lsan
export LSAN_OPTIONS="${LSAN_OPTIONS:+$LSAN_OPTIONS:}suppressions=$work/lsan:print_suppressions=0"

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

# mcrd with a bound on its time; stdout and stderr are kept in files of these names.
run() {
  timeout 60 "$MCRD" "$@" >stdout 2>stderr
}

# The errors without the warnings, which depend on the interfaces of this machine.
errors() {
  grep -v '^[^ ]*: warning: ' stderr
  true
}

# What depends on this machine is left out.
warnings() {
  grep '^[^ ]*: warning: ' stderr | grep -v 'does not exist here\|cannot load it from here\|cannot keep its \(statistics\|records\) there'
  true
}

# Warnings without their places.
of_what() {
  sed 's/^[^ ]*: warning: //; s/line [0-9]*/line/g'
}

same() {
  if [ "${UPDATE:-}" ]; then
    cp "$2" "$1"
  fi
  diff -u "$1" "$2"
}

is_json() {
  if command -v jq >/dev/null; then
    jq -e .sha256 <stdout
  else
    python3 -m json.tool <stdout
  fi
}

follows() {
  ! command -v python3 >/dev/null || python3 "$goldens/follows.py" "$1" "$2"
}

# NAME FILE: FILE is valid and printed as NAME.printed says; the printed form is printed as it is.
valid() {
  run --check --config "$2" || { cat stderr; return 1; }
  [ "$(sed 's/,.*//;q' stdout)" = "$2: valid" ] || { cat stdout; return 1; }
  warnings >found.warnings
  of_what <found.warnings >said_of
  [ ! -e "$goldens/valid/$1.warnings" ] || same "$goldens/valid/$1.warnings" found.warnings || return 1
  [ ! -e "$goldens/valid/$1.check" ] || same "$goldens/valid/$1.check" stdout || return 1
  [ "$(sed 's/.*sha256 //;q' stdout)" = "$(sha256sum "$2" | cut -d' ' -f1)" ] || { cat stdout; return 1; }
  run --print --config "$2" || { cat stderr; return 1; }
  same "$goldens/valid/$1.printed" stdout || return 1
  cp stdout printed.conf
  ! grep -v ' # \(frame\|socket\|raw\)' printed.conf | grep ' \(group\|address\|broadcast\) = .* mode = ' || return 1
  run --print --config printed.conf || { cat stderr; return 1; }
  diff -u printed.conf stdout || return 1
  # What is printed says no more than the file, so nothing else is to be warned of.
  warnings | of_what | grep -vxF -f said_of && return 1
  run --print --json --config "$2" && is_json && cp stdout printed.json || return 1
  run --schema && follows stdout printed.json || return 1
  run --print --json --config "$2" || return 1
  [ ! -e "$goldens/valid/$1.json" ] || same "$goldens/valid/$1.json" stdout
}

invalid() {
  run --check --config "$1.conf"
  [ $? -eq 1 ] || { echo "exit status is not 1"; cat stdout stderr; return 1; }
  [ ! -s stdout ] || { cat stdout; return 1; }
  errors >found.err
  same "$goldens/invalid/$1.err" found.err || return 1
  warnings >found.warnings
  [ ! -e "$goldens/invalid/$1.warnings" ] || same "$goldens/invalid/$1.warnings" found.warnings
}

# FILE ERROR: FILE is refused with this one error. For long files: that it takes less than a minute.
refused() {
  run --check --config "$1"
  [ $? -eq 1 ] || { echo "exit status is not 1"; cat stdout stderr; return 1; }
  errors >found.err
  echo "$2" >wanted.err
  diff -u wanted.err found.err
}

accepted() {
  run --check --config "$1" || { cat stderr; return 1; }
}

# N: as many rules, each with an input and a group of its own.
rules() {
  awk -v n="$1" 'BEGIN {
    print "version = 1;\nrules = ("
    for (i = 0; i < n; i++)
      printf "%s{ name = \"r%d\"; input = { interface = \"lo\"; group = \"239.1.%d.%d\"; port = 5000; };\n" \
        "outputs = ( { interface = \"lo\"; group = \"239.2.%d.%d\"; port = 5000; } ); }\n", \
        i ? "," : "", i, i / 256, i % 256, i / 256, i % 256
    print ");"
  }'
}

# RULES OUTPUTS KIND: rules with so many outputs each, to a "group", an "address", or what KIND says as a whole.
outputs() {
  awk -v n="$1" -v m="$2" -v kind="$3" 'BEGIN {
    print "version = 1;\nrules = ("
    for (i = 0; i < n; i++) {
      printf "%s{ name = \"r%d\"; input = { interface = \"lo\"; group = \"239.1.%d.%d\"; port = 5000; };\n", \
        i ? "," : "", i, i / 256, i % 256
      print "outputs = ("
      for (o = 0; o < m; o++) {
        to = sprintf("%s = \"%s.2.%d.%d\"", kind, kind == "group" ? "239" : "127", o / 256, o % 256)
        if (kind ~ / = /)
          to = kind
        printf "%s{ interface = \"lo\"; %s; port = %d; }\n", o ? "," : "", to, 5000 + o
      }
      print "); }"
    }
    print ");"
  }'
}

# N: one circle of as many rules.
circle() {
  awk -v n="$1" 'BEGIN {
    print "version = 1;\nrules = ("
    for (i = 0; i < n; i++) {
      next_one = (i + 1) % n
      printf "%s{ name = \"r%d\"; input = { interface = \"lo\"; group = \"239.1.%d.%d\"; port = 5000; };" \
        "outputs = ( { interface = \"lo\"; group = \"239.1.%d.%d\"; port = 5000; } ); }\n", \
        i ? "," : "", i, i / 256, i % 256, next_one / 256, next_one % 256
    }
    print ");"
  }'
}

# N: rules that use so many interfaces.
interfaces() {
  awk -v n="$1" 'BEGIN {
    print "version = 1;\nrules = ("
    for (i = 0; i < n; i++)
      printf "%s{ name = \"r%d\"; input = { interface = \"mcr%d\"; group = \"239.1.0.1\"; port = 5000; };" \
        "outputs = ( { interface = \"mcr0\"; group = \"239.2.0.1\"; port = 5000; } ); }\n", i ? "," : "", i, i
    print ");"
  }'
}

# N TEXT: TEXT so many times.
repeat() {
  awk -v n="$1" -v text="$2" 'BEGIN { for (i = 0; i < n; i++) printf "%s", text }'
}

cp "$srcdir/etc/mcr.conf.example" example.conf
chmod 0644 example.conf
ok "valid: etc/mcr.conf.example" valid example example.conf

for file in "$goldens"/valid/*.conf; do
  name=$(basename "$file" .conf)
  cp "$file" . && chmod 0644 "$name.conf"
  ok "valid: $name" valid "$name" "$name.conf"
done

# Line ends of another system: the same config.
sed 's/$/\r/' example.conf >crlf.conf
ok "valid: CR LF" valid example crlf.conf

for file in "$goldens"/invalid/*.conf; do
  name=$(basename "$file" .conf)
  cp "$file" . && chmod 0644 "$name.conf"
  ok "invalid: $name" invalid "$name"
done

# --- the file itself ---
ok "refused: no file" refused none.conf "none.conf: cannot be opened: No such file or directory"
ok "refused: -" refused - "-: cannot be opened: No such file or directory: name /dev/stdin for what is redirected from a file"
ok "refused: a directory" refused . ".: is a directory, allowed is a regular file"
mkfifo fifo.conf
ok "refused: a FIFO" refused fifo.conf "fifo.conf: is a FIFO, allowed is a regular file"
ok "refused: a device" refused /dev/null "/dev/null: is a device, allowed is a regular file"
ln -s example.conf link.conf
ok "accepted: a symbolic link" accepted link.conf
for mode in 0664 0646 0666; do
  cp example.conf "mode$mode.conf" && chmod $mode "mode$mode.conf"
  ok "refused: mode $mode" refused "mode$mode.conf" \
    "mode$mode.conf: mode is $mode, allowed is one without write by group or others: chmod go-w mode$mode.conf"
done
cp example.conf mode0400.conf && chmod 0400 mode0400.conf
ok "accepted: mode 0400" accepted mode0400.conf
if [ "$(id -u)" -eq 0 ]; then
  cp example.conf owner.conf && chown 65533 owner.conf
  ok "refused: a foreign owner" refused owner.conf \
    "owner.conf: owner is uid 65533, allowed is root or the user that the daemon becomes: chown root owner.conf"
  printf 'version = 1;\nuser = "daemon";\nrules = ( );\n' >user.conf && chown daemon user.conf
  ok "accepted: owned by whom the daemon becomes" accepted user.conf
  printf 'version = 1;\nuser = "daemon";\nrulse = ( );\nrules = ( );\n' >own.conf && chown daemon own.conf
  ok "refused: the same with another error, which alone is told" refused own.conf \
    'own.conf:3: unknown key "rulse" in the file, did you mean "rules"?'
  printf 'version = 1;\nrulse = ( );\n' >foreign.conf && chown 65533 foreign.conf
  ok "refused: a foreign owner, whose file is not parsed" refused foreign.conf \
    "foreign.conf: owner is uid 65533, allowed is root or the user that the daemon becomes: chown root foreign.conf"
fi

# What the user that the daemon becomes would meet. Each is a warning: the file is valid.
# FILE TEXT: of FILE this one is told (empty: none).
warned() {
  accepted "$1" || return 1
  sed -n 's/^[^ ]*: warning: //p' stderr | grep -vFx 'there is no rule: nothing is relayed' >found
  [ "$(cat found)" = "$2" ] || { echo "wanted: $2"; cat stderr; return 1; }
}
# FILE PATTERN: of FILE this one is told, whatever else is.
told() {
  accepted "$1" && grep -x "$1: warning: $2" stderr || { echo "wanted: $2"; cat stderr; return 1; }
}
no_rules() {
  echo 'version = 1; rules = ( );' >none.conf && accepted none.conf &&
    grep -Fx 'none.conf: warning: there is no rule: nothing is relayed' stderr
}
ok "warning: no rules" no_rules
if [ "$(id -u)" -eq 0 ]; then
  chmod 0755 "$work" # mktemp made it for root alone
  echo 'version = 1; user = "daemon"; group = "daemon"; stats_file = "'"$work"'/run/stats"; rules = ( );' >read.conf
  ok "no warning: the daemon's user may read the file" warned read.conf ""
  chmod 0600 read.conf
  ok "warning: it may not read the file" warned read.conf \
    "mcrd cannot load it from here: user daemon cannot read it (0600 root:root): chgrp daemon, chmod 640"
  chgrp daemon read.conf
  ok "warning: its group may not" warned read.conf "mcrd cannot load it from here: user daemon cannot read it (0600 root:daemon): chmod 640"
  chmod 0640 read.conf
  ok "no warning: its group may" warned read.conf ""
  mkdir shut && mv read.conf shut && chmod 0700 shut
  ok "warning: it may not enter the directory" warned shut/read.conf \
    "mcrd cannot load it from here: user daemon cannot enter $work/shut (0700 root:root): chgrp daemon, chmod 750"
  ln -s shut/read.conf into.conf
  ok "warning: nor by a symbolic link" warned into.conf \
    "mcrd cannot load it from here: user daemon cannot enter $work/shut (0700 root:root): chgrp daemon, chmod 750"
  chmod 0755 shut && mkdir -m 0755 run
  ok "warning: it may not write where the statistics lie" warned into.conf \
    "mcrd cannot keep its statistics there: user daemon cannot write $work/run (0755 root:root): \
name a directory of its own: mkdir -p /run/mcr; chown daemon /run/mcr"
  chown daemon run
  ok "no warning: it may" warned into.conf ""
  chmod 0555 run
  ok "warning: its own directory is shut" warned into.conf \
    "mcrd cannot keep its statistics there: user daemon cannot write $work/run (0555 daemon:root): chmod u+wx $work/run"
  echo 'version = 1; user = "daemon"; group = "daemon"; stats_file = "/etc/stats"; rules = ( );' >system.conf
  ok "warning: nobody is told to give away a directory of the system" warned system.conf \
    "mcrd cannot keep its statistics there: user daemon cannot write /etc (0755 root:root): name a directory of its own: \
mkdir -p /run/mcr; chown daemon /run/mcr"
  mkdir -m 0755 mcr mcr/etc && records='mcrd cannot keep its records there: user daemon cannot write'
  for directory in /var/lib /var/log "$work/mcr/etc"; do
    printf 'version = 1; user = "daemon"; group = "daemon"; audit_file = "%s"; rules = ( );\n' "$directory/mcr.log" >mcr/etc/give.conf
    ok "warning: nobody is told to give away $directory" told mcr/etc/give.conf "$records $directory (.*): \
name a directory of its own: mkdir -p /var/lib/mcr; chown daemon /var/lib/mcr"
  done
  printf 'version = 1; user = "daemon"; group = "daemon"; audit_file = "%s/mcr/log"; rules = ( );\n' "$work" >mcr/etc/give.conf
  ok "warning: but mcr's own directory" told mcr/etc/give.conf "$records $work/mcr (.*): chown daemon $work/mcr"
  cp mcr/etc/give.conf mcr/give.conf
  ok "warning: unless the config file lies there" told mcr/give.conf "$records $work/mcr (.*): \
name a directory of its own: mkdir -p /var/lib/mcr; chown daemon /var/lib/mcr"
  echo 'version = 1; user = "nosuchuser"; group = "daemon"; rules = ( );' >nouser.conf
  ok "warning: no such user" warned nouser.conf \
    'user "nosuchuser" does not exist here: mcrd cannot start as root: make it, or leave the key out'
fi

# --- the place of the records ---
# NAME FILE: a file without rules that keeps its records there.
records_at() {
  printf 'version = 1; stats_file = "%s/st/stats"; audit_file = "%s"; rules = ( );\n' "$work" "$2" >"$1"
}
mkdir -m 0777 st records && chmod 0777 st records && : >records/empty && echo notes >records/notes && printf notes >records/cut &&
  ln -s empty records/link && echo 'level=notice event=started chain=begins n=1 time=2026-11-30T10:00:00.000Z '"prev=$(
    printf '%064d' 0) hash=$(printf '%064d' 1)" >records/log
records_at doubt.conf "$work/records/link"
ok "warning: audit_file is a link" told doubt.conf "audit_file is $work/records/link, a symbolic link, which mcrd does not follow: \
the records would be in the log only: name the file itself"
sed 's/rules/audit_required = true; rules/' doubt.conf >required.conf
ok "warning: with audit_required no start" told required.conf "audit_file is .* with audit_required the start would be refused: .*"
records_at doubt.conf "$work/records/notes"
ok "warning: audit_file is something else" told doubt.conf "audit_file is $work/records/notes, which holds something else than \
records: mcrd would set it aside as $work/records/notes.1: name another file"
records_at doubt.conf "$work/records/cut"
ok "warning: something else without an end" told doubt.conf "audit_file is $work/records/cut, which has no record: mcrd would .*"
records_at doubt.conf /run/mcr/records
ok "warning: records that a stop removes" eval 'accepted doubt.conf && grep -q "audit_file is /run/mcr/records: what lies there is removed" stderr'
for what in empty log none; do
  records_at doubt.conf "$work/records/$what"
  ok "no warning: the records may be there ($what)" eval 'accepted doubt.conf && ! grep "audit_file\|records" stderr'
done

# --- files together ---
one_instance() {
  printf 'version = 1; instance = "a"; serial = 1; rules = ( );\n' >one.conf
  printf 'version = 1; instance = "%s"; serial = 2; rules = ( );\n' "$1" >two.conf
  run --check one.conf two.conf
}
ok "warning: two files of one instance" eval 'one_instance a && grep -Fx "two.conf: warning: instance is \"a\", as that of one.conf: \
nothing tells the lines and metrics of the two apart" stderr'
ok "no warning: of two, or of one text" eval 'one_instance b && ! grep instance stderr && run --check one.conf one.conf && ! grep instance stderr'

# --- the place of the statistics ---
# NAME STATS_FILE: a file without rules that keeps its statistics there.
stats_at() {
  printf 'version = 1; stats_file = "%s"; rules = ( );\n' "$2" >"$1"
}
mkdir -m 0755 place && place=$work/place
echo notes >place/notes && : >place/empty && printf '%s\0' "${STATS_MAGIC:-MCTATS01}" >place/stats && ln -s notes place/link && mkfifo place/fifo
taken="which the statistics would replace: name another one"
stats_at itself.conf "$work/itself.conf"
ok "refused: stats_file is the file itself" refused itself.conf "itself.conf: stats_file is \"$work/itself.conf\", and the \
statistics would replace this file itself (\"$work/itself.conf\"): name another one, as /run/mcr/stats"
ln -s . round && stats_at round.conf "$work/round/round.conf"
ok "refused: by another name" refused round.conf "round.conf: stats_file is \"$work/round/round.conf\", and the \
statistics would replace this file itself (\"$work/round/round.conf\"): name another one, as /run/mcr/stats"
stats_at own.new "$work/own"
ok "refused: it is the temporary one" refused own.new "own.new: stats_file is \"$work/own\", and the \
statistics would replace this file itself (\"$work/own.new\"): name another one, as /run/mcr/stats"
stats_at notes.conf "$place/notes"
ok "refused: stats_file is something else" refused notes.conf \
  "notes.conf: $place/notes: stats_file is a file of something else, $taken"
stats_at to-link.conf "$place/link"
ok "refused: stats_file is a link" refused to-link.conf "to-link.conf: $place/link: stats_file is a symbolic link"
for what in fifo .; do
  stats_at what.conf "$place/$what"
  ok "refused: stats_file is no regular file ($what)" refused what.conf \
    "what.conf: $place/$what: stats_file is no regular file"
done
for what in empty stats none; do
  stats_at what.conf "$place/$what"
  ok "accepted: the statistics may be there ($what)" accepted what.conf
done

printf 'version = 1; user = "daemon"; group = "daemon"; stats_file = "%s"; rules = ( );\n' "$place/a/b/stats" >deep-place.conf
ok "warning: only the last directory is made" warned deep-place.conf "mcrd cannot keep its statistics there: $place/a does not \
exist here, and mcrd makes the last directory of stats_file only: mkdir -p $place/a"
if [ "$(id -u)" -eq 0 ] && [ "$(awk '{ print $3; exit }' /proc/self/uid_map)" -gt 1 ]; then
  echo 'version = 1; user = "root"; group = "root"; rules = ( );' >root.conf
  ok "warning: mcrd stays root" warned root.conf 'user is "root", and mcrd needs no right of root behind its start: make the user mcr (run systemd-sysusers), and leave user and group out'
fi

# COMMAND...: run again and again while mcrd reads the file, of which it waits before each read; then its exit status.
# Leaks cannot be looked for in a process that is traced.
while_read() {
  ASAN_OPTIONS=detect_leaks=0 timeout 60 strace -qq -o trace -P "$work/read.conf" -e trace=read -e inject=read:delay_enter=300000 \
    "$MCRD" --check --config "$work/read.conf" >stdout 2>stderr &
  while kill -0 $! 2>/dev/null; do "$@"; done
  wait $!
}

write_same() {
  dd if=example.conf of=read.conf conv=notrunc status=none
}

rename_same() {
  cp example.conf read.new && mv read.new read.conf
}

changed_while_read() {
  cp example.conf read.conf
  while_read write_same
  [ $? -eq 1 ] && errors | grep -q ': changed while it was read, replace it by rename$' || { cat stderr; return 1; }
}

replaced_while_read() {
  cp example.conf read.conf
  while_read rename_same || { cat stderr; return 1; }
}

if ! command -v strace >/dev/null; then
  skip "a change while the file is read" "no strace"
elif ! strace -qq -o trace true; then
  skip "a change while the file is read" "strace may not trace here"
else
  ok "refused: written to while it is read" changed_while_read
  ok "accepted: replaced by rename while it is read" replaced_while_read
fi

# --- bounds ---
{ cat example.conf; head -c 17825792 /dev/zero | tr '\0' ' '; } >big.conf
ok "refused: 17 MiB" refused big.conf \
  "big.conf: size is $(wc -c <big.conf) bytes, allowed is up to 16777216"
{ cat example.conf; head -c $((16777216 - $(wc -c <example.conf))) /dev/zero | tr '\0' ' '; } >full.conf
ok "accepted: 16 MiB" accepted full.conf
rules 10000 >rules.conf
ok "accepted: 10,000 rules" accepted rules.conf
rules 10001 >more-rules.conf
ok "refused: 10,001 rules" refused more-rules.conf \
  'more-rules.conf:2: "rules" has 10001 elements, allowed is 0 to 10000 groups { } in a list ( )'
outputs 1 257 group >outputs.conf
ok "refused: 257 outputs" refused outputs.conf \
  'outputs.conf:4: rule "r0": "outputs" has 257 elements, allowed is 1 to 256 groups { } in a list ( )'
outputs 256 256 group >all-outputs.conf
ok "accepted: 65,536 outputs" accepted all-outputs.conf
outputs 257 256 group >more-outputs.conf
ok "refused: more than 65,536 outputs" refused more-outputs.conf \
  "more-outputs.conf: the rules have 65792 outputs, allowed is up to 65536 in the file"
outputs 35 200 address >sockets.conf
ok "accepted: 7,000 sockets" accepted sockets.conf
outputs 28 251 address >more-sockets.conf
ok "refused: more than 7,000 sockets" refused more-sockets.conf "more-sockets.conf: the rules need 7028\
 sockets for outputs (\"address\", or \"mode\" is \"socket\"), allowed is up to 7000 in the file"
outputs 28 251 "broadcast = true" >broadcasts.conf
ok "accepted: broadcasts are no sockets" accepted broadcasts.conf
outputs 28 251 "broadcast = true; mode = \"socket\"" >more-broadcasts.conf
ok "refused: broadcasts by sockets are" refused more-broadcasts.conf "more-broadcasts.conf: the rules need 7028\
 sockets for outputs (\"address\", or \"mode\" is \"socket\"), allowed is up to 7000 in the file"
interfaces 64 >interfaces.conf
ok "accepted: 64 interfaces" accepted interfaces.conf
interfaces 65 >more-interfaces.conf
ok "refused: 65 interfaces" refused more-interfaces.conf \
  "more-interfaces.conf: the rules use 65 interfaces, allowed is up to 64 in the file"
circle 10000 >circle.conf
ok "refused: a circle of 10,000 rules" refused circle.conf "circle.conf:3: rule \"r0\": outputs run in a\
 circle: \"r0\" -> \"r1\" -> \"r2\" -> \"r3\" -> \"r4\" -> \"r5\" -> \"r6\" -> \"r7\" -> \"r8\" -> \"r9\" ->\
 \"r10\" -> \"r11\" -> 9988 more -> \"r0\"; allowed only when each of these rules says two_way = true, and never by way of \"lo\""
sized 1000000 "brackets, and keys"
{ echo 'version = 1; a ='; repeat "$size" '('; repeat "$size" ')'; } >deep.conf
ok "refused: brackets in brackets" refused deep.conf "deep.conf:2: brackets are nested deeper than 16"
{ awk -v size="$size" 'BEGIN { for (i = 0; i < size; i++) printf "a%d=1;", i }'; } >keys.conf
ok "refused: keys without end" refused keys.conf "keys.conf:1: more than 64 keys in one group"
{ printf 'version = 1; rules = (1'; repeat 3000000 ',1'; echo ');'; } >values.conf
ok "refused: values without end" refused values.conf "values.conf:1: more than 2097152 values in the file"
{ printf 'version = 1; rules = ( ); instance = "'; repeat 10000000 x; echo '";'; } >string.conf
ok "refused: a long string" refused string.conf "string.conf:1: \"instance\" is \"$(repeat 64 x)...\",\
 allowed is 1 to 63 characters of A-Z a-z 0-9 _ . -"
{ printf 'version = 1; rules = ( ); '; repeat 10000000 x; echo ' = 1;'; } >key.conf
ok "refused: a long key" refused key.conf "key.conf:1: unknown key \"$(repeat 64 x)\" in the file,\
 allowed there: version instance serial valid_from valid_until trial user group stats_file audit_file audit_mib audit_required reload_on_change missing_interface ring_mib coalesce_usecs busy_poll interfaces rules"
head -c 1000 /dev/zero >zero.conf
ok "refused: NUL bytes" refused zero.conf "zero.conf:1: a NUL byte, allowed is plain text"

# A full disk must not look like success.
if [ -c /dev/full ]; then
  full() {
    timeout 60 "$MCRD" --print --config example.conf >/dev/full 2>stderr
    [ $? -eq 1 ]
  }
  ok "refused: standard output is full" full
fi

plan
