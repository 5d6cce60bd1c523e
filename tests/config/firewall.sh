#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mcrd --firewall, as TAP: for each NAME in firewall/ and each role, the rules for NAME.conf are those of NAME.ROLE, and
# nft accepts them; so are the files in contrib/firewall. Then order, size, hostile names and refusals.
#
# Environment: MCRD, the program; srcdir, the top of the sources. UPDATE=1 writes the files anew, to be read before they
# are committed.
set -u

srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-src/mcrd}
MCRD=$(cd "$(dirname "$MCRD")" && pwd)/$(basename "$MCRD")
goldens=$srcdir/tests/config/firewall
reference=$srcdir/contrib/firewall
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 99
umask 022
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

# STATUS ARGUMENT...: mcrd ends with it; what it prints is kept.
run() {
  local status=$1
  shift
  timeout 60 "$MCRD" "$@" >stdout 2>stderr
  local found=$?
  [ $found -eq "$status" ] || { echo "exit status $found, expected $status"; cat stderr; return 1; }
}

# The version is that of the program, not of the files.
unversioned() {
  sed '1s/mcrd [^ ]* --firewall/mcrd @VERSION@ --firewall/' "$1"
}

# GOLDEN FOUND
same() {
  if [ "${UPDATE:-}" ]; then
    cp "$2" "$1"
  fi
  unversioned "$1" >wanted
  unversioned "$2" | diff -u wanted -
}

# FILE ROLE GOLDEN
golden() {
  cp "$1" . && chmod 0644 "$(basename "$1")" || return 1
  run 0 --firewall --role "$2" --config "$(basename "$1")" || return 1
  same "$3" stdout
}

# nft in a network namespace of its own, in which the interfaces are.
unshared=(unshare -n)
[ "$(id -u)" -eq 0 ] || unshared=(unshare -Urn)
without_nft=
if ! command -v nft >/dev/null; then
  without_nft="nft (nftables) is not installed"
elif ! "${unshared[@]}" true 2>/dev/null; then
  without_nft="network namespaces are not permitted"
elif ! "${unshared[@]}" nft -c 'add table bridge x; add table netdev x; add table inet x' 2>/dev/null; then
  without_nft="nftables does not work here"
fi

without_egress=
if [ "$without_nft" ] ||
  ! "${unshared[@]}" nft -c 'table netdev x { chain c { type filter hook egress device "lo" priority 0; }; }' 2>/dev/null; then
  without_egress="needs Linux 5.16: chains for egress"
fi

# FILE: checked, loaded, loaded again in its own place: what is there then is what was there before. A "long" one is only
# checked.
accepted() {
  # shellcheck disable=SC2016
  timeout 120 "${unshared[@]}" sh -ec '
    n=0
    for i in $(sed -n "s/.*devices = {\(.*\)} priority.*/\1/p" "$1" | tr -d "\"," ); do
      n=$((n + 1))
      ip link add "$i" type veth peer name "peer$n" 2>/dev/null || true
    done
    nft -c -f "$1"
    [ "$2" != long ] || exit 0
    nft -f "$1"
    nft -s list ruleset >first
    nft -f "$1"
    nft -s list ruleset >second
    cmp first second
    [ -s first ]' sh "$1" "${2:-}"
}

# NAME FILE [long]: whether nft takes it.
accepts() {
  if [ "$without_nft" ]; then
    skip "$1" "$without_nft"
  elif [ "$without_egress" ] && grep -q 'hook egress' "$2"; then
    skip "$1" "$without_egress"
  else
    ok "$1" accepted "$2" "${3:-}"
  fi
}

roles="host upstream downstream"

for file in "$goldens"/*.conf; do
  name=$(basename "$file" .conf)
  for role in $roles; do
    ok "$name: $role" golden "$file" "$role" "$goldens/$name.$role"
    cp stdout "$name.$role"
    accepts "$name: $role, accepted by nft" "$name.$role"
  done
done

for role in $roles; do
  ok "contrib/firewall: $role.nft is what is generated from mcr.conf" \
    golden "$reference/mcr.conf" "$role" "$reference/$role.nft"
  accepts "contrib/firewall: $role.nft, accepted by nft" "$reference/$role.nft"
done

cp "$srcdir/etc/mcr.conf.example" example.conf && chmod 0644 example.conf
for role in $roles; do
  ok "etc/mcr.conf.example: $role" run 0 --firewall --role "$role" --config example.conf
  cp stdout "example.$role"
  accepts "etc/mcr.conf.example: $role, accepted by nft" "example.$role"
done

# --- order ---

host_is_default() {
  run 0 --firewall --config kinds.conf && cmp stdout kinds.host
}
ok "the default role is host" host_is_default

# RULES...: a file of these.
conf() {
  echo 'version = 1; rules = ('
  printf '%s' "$1"
  shift
  [ $# -eq 0 ] || printf ', %s' "$@"
  echo ');'
}

# NAME GROUP OUTPUT...
rule() {
  local outputs=$3
  echo "{ name = \"$1\"; input = { interface = \"ot0\"; group = \"$2\"; port = 5000; }; outputs = ( $outputs ); }"
}

one='{ interface = "dmz0"; group = "239.20.0.0"; port = 6000; }'
two='{ interface = "dmz0"; group = "239.20.0.1"; port = 6000; }'

order() {
  conf "$(rule a 239.10.0.1 "$one, $two")" "$(rule b 239.10.0.2 "$one")" >first.conf
  conf "$(rule b 239.10.0.2 "$one")" "$(rule a 239.10.0.1 "$two, $one")" >second.conf
  for role in $roles; do
    run 0 --firewall --role "$role" --config first.conf && grep -vE '^# (file|sha256): ' stdout >first.nft || return 1
    run 0 --firewall --role "$role" --config second.conf && grep -vE '^# (file|sha256): ' stdout >second.nft || return 1
    diff -u first.nft second.nft || return 1
  done
}
ok "the order of rules and outputs makes no difference" order

# --- hostile names ---

# A name with a line feed stays within its comment.
path() {
  local name=$'x\n table inet evil { }\n'
  cp example.conf "$name" && run 0 --firewall --config "$name" &&
    ! grep -q '^ *table inet evil' stdout && grep -q '^# file: x? table inet evil { }?$' stdout
}
ok "a path with line feeds stays within its comment" path

# nft takes comments of up to 128 characters.
comments() {
  local list=() i
  for i in $(seq 1 40); do
    list+=("$(rule "rule-with-a-name-that-is-as-long-as-a-name-of-a-rule-may-be-$((i + 9))" "239.10.0.$i" "$one")")
  done
  conf "${list[@]}" >comments.conf
  run 0 --firewall --config comments.conf && cp stdout comments.nft || return 1
  grep -c 'comment "rule-with.*, 39 more",$' comments.nft
}
ok "a flow of many rules names the first and counts the others" comments
accepts "a flow of many rules, accepted by nft" comments.nft

# --- several instances of a host ---

# FILE FIND
flow() {
  sed -n '/elements/,/}/p' "$1" | grep -F "$2"
}

# One ruleset has the flows, the interfaces and the names of all files, wherever each file stands.
several() {
  { printf 'instance = "audio"; stats_file = "/run/mcr-audio/stats"; '; conf "$(rule a 239.10.0.1 "$one")"; } >audio.conf
  conf "$(rule b 239.10.0.2 "$two" | sed 's/ot0/ot1/')" >data.conf
  local role
  for role in $roles; do
    run 0 --firewall --role "$role" --config audio.conf -c data.conf && cp stdout several.$role || return 1
    run 0 --firewall --role "$role" --config data.conf --config audio.conf && grep -v '^# ' several.$role >wanted &&
      grep -v '^# ' stdout | diff -u wanted - || return 1
    grep -A1 '^# file: ' several.$role | diff -u - <(printf '# file: %s\n# sha256: %s\n' audio.conf \
      "$(sha256sum <audio.conf | cut -d' ' -f1)"; echo --; printf '# file: %s\n# sha256: %s\n' data.conf \
      "$(sha256sum <data.conf | cut -d' ' -f1)") || return 1
    grep -qx '# instance: audio' several.$role || return 1
  done
  flow several.upstream '239.10.0.1 . 5000 comment "a"' && flow several.upstream '239.10.0.2 . 5000 comment "b"' &&
    flow several.downstream '"a"' && flow several.downstream '"b"' &&
    grep -F 'devices = { "dmz0", "ot0", "ot1" }' several.host
}
ok "several files make one ruleset" several
for role in $roles; do
  accepts "several files: $role, accepted by nft" several.$role
done

against() {
  echo 'version = 1; rules = ( ); interfaces = ( { name = "dmz0"; role = "in"; } );' >against.conf
  run 1 --firewall --config audio.conf --config against.conf && [ ! -s stdout ] || return 1
  grep -v ': warning: ' stderr >found
  echo 'audio.conf:2: rule "a": interface "dmz0" is used for an output, allowed by its role in line 1 of against.conf is "in"' |
    diff -u - found
}
ok "refused: a file that uses an interface against the list of another" against
one_instance() {
  sed 's/stats_file = "[^"]*";//' audio.conf >lost.conf
  run 1 --firewall --config data.conf --config lost.conf && [ ! -s stdout ] || return 1
  grep -v ': warning: ' stderr >found
  echo 'lost.conf: "stats_file" is "/run/mcr/stats", as that of data.conf, allowed is one for each instance of the host' |
    diff -u - found
}
ok "refused: two files with one stats_file" one_instance
# Of one instance the files may be those before and after a change: the flows of both pass, each once in each table (inet,
# bridge).
before_and_after() {
  conf "$(rule a 239.10.0.1 "$one")" "$(rule both 239.10.0.3 "$one")" >before.conf
  { echo 'trial = { seconds = 600; };'; conf "$(rule b 239.10.0.2 "$two")" "$(rule both 239.10.0.3 "$one")"; } >after.conf
  local role
  for role in $roles; do
    run 0 --firewall --role "$role" -c before.conf -c after.conf && cp stdout trial.$role || return 1
    echo 'after.conf: warning: "stats_file" is "/run/mcr/stats", as that of before.conf, taken as two files of one' \
      'instance: what either lets pass does' >wanted
    grep 'stats_file' stderr | diff -u wanted - || return 1
    grep -q '^# made before the reload, --firewall --config RUNNING --config NEW has both' stdout || return 1
  done
  flow trial.upstream '239.10.0.1 . 5000 comment "a"' && flow trial.upstream '239.10.0.2 . 5000 comment "b"' &&
    flow trial.downstream '"a, both"' && flow trial.downstream '"b"' &&
    [ "$(flow trial.upstream '239.10.0.3 . 5000' | grep -c 'comment "both"')" -eq 2 ]
}
ok "two files of one instance: the flows of both pass" before_and_after
for role in $roles; do
  accepts "two files of one instance: $role, accepted by nft" trial.$role
done
one_invalid() {
  run 1 --firewall --config audio.conf --config nowhere.conf && [ ! -s stdout ] && grep '^nowhere.conf: ' stderr
}
ok "refused: one of several files that is not valid" one_invalid
one_file() {
  run 2 --print --config audio.conf --config data.conf && [ ! -s stdout ] || return 1
  echo 'mcrd: --config is given twice, which only --check, --firewall or --graph takes; mcrd --help tells more' | diff -u - stderr
}
ok "refused: several files for another command" one_file

# --- bounds ---

# N: as many rules, with a prefix of senders that the output keeps.
rules() {
  awk -v n="$1" 'BEGIN {
    print "version = 1;\nrules = ("
    for (i = 0; i < n; i++)
      printf "%s{ name = \"r%d\"; input = { interface = \"ot0\"; group = \"239.1.%d.%d\"; port = 5000; " \
        "sources = [ \"192.0.2.0/24\", \"198.51.100.7\" ]; };\n" \
        "outputs = ( { interface = \"dmz0\"; group = \"239.2.%d.%d\"; port = 5000; source = \"preserve\"; } ); }\n", \
        i ? "," : "", i, i / 256, i % 256, i / 256, i % 256
    print ");"
  }'
}

sized 10000 rules
rules "$size" >rules.conf
for role in $roles; do
  ok "$size rules: $role within a minute" run 0 --firewall --role "$role" --config rules.conf
  cp stdout rules.nft
  accepts "$size rules: $role, accepted by nft within two minutes" rules.nft long
done

# RULES BITS: each with 256 senders, prefixes of so many bits, and 256 outputs that keep them.
product() {
  awk -v n="$1" -v bits="$2" 'BEGIN {
    print "version = 1;\nrules = ("
    for (i = 0; i < n; i++) {
      printf "%s{ name = \"r%d\"; input = { interface = \"ot0\"; group = \"239.1.0.%d\"; port = 5000; sources = [", \
        i ? "," : "", i, i
      for (s = 0; s < 256; s++) printf "%s\"10.0.%d.0/%d\"", s ? "," : "", s, bits
      print "]; }; outputs = ("
      for (o = 0; o < 256; o++)
        printf "%s{ interface = \"dmz0\"; group = \"239.2.%d.%d\"; port = 5000; source = \"preserve\"; }\n", \
          o ? "," : "", i, o
      print "); }"
    }
    print ");"
  }'
}

# FILE ERROR
refused() {
  run 1 --firewall --role downstream --config "$1" && [ ! -s stdout ] || return 1
  grep -v ': warning: ' stderr >found
  echo "$2" | diff -u - found
}

product 17 32 >many.conf
ok "refused: more than 1,048,576 flows" refused many.conf \
  "many.conf: the rules make more than 1048576 flows of senders and destinations: use prefixes"
product 2 24 >ranged.conf
ok "refused: more than 65,536 flows with prefixes" refused ranged.conf \
  'ranged.conf: interface "dmz0" has 131072 flows with prefixes or ranges, allowed is up to 65536'

# --- usage ---
sed 's/6000/0/' example.conf >invalid.conf
invalid() {
  run 1 --firewall --config invalid.conf && [ ! -s stdout ] && grep -q '^invalid.conf:[0-9]*: rule "plc-telemetry": ' stderr
}
ok "refused: a file that is not valid" invalid
ok "refused: no such role" run 2 --firewall --role both --config example.conf
ok "refused: a role without --firewall" run 2 --check --role host --config example.conf
ok "refused: two commands" run 2 --firewall --print --config example.conf
full() {
  timeout 60 "$MCRD" --firewall --config example.conf >/dev/full 2>stderr
  [ $? -eq 1 ] && grep 'cannot write to the standard output' stderr
}
if [ -e /dev/full ]; then
  ok "a full disk is an error" full
else
  skip "a full disk is an error" "there is no /dev/full"
fi

plan
