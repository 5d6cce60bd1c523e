#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# mcrd --graph and --check of several files, as TAP. For each NAME in graph/ the picture of NAME.conf is NAME.dot, and with
# --detail NAME.detail.dot, compared with NAME.before.conf where that is there. For each NAME in site/ the files NAME/*.conf
# together give the problems of NAME.told, and the picture NAME.dot. Graphviz lays out each of them, where it is installed.
#
# Environment: MCRD, the program; srcdir, the top of the sources. UPDATE=1 writes the goldens anew, to be read before they
# are committed.
# shellcheck source=tests/config/standin.sh
. "${srcdir:-.}/tests/config/standin.sh"

goldens=$srcdir/tests/config

# GOLDEN FOUND
same() {
  if [ "${UPDATE:-}" ]; then
    cp "$2" "$1"
  fi
  diff -u "$1" "$2"
}

laid_out() {
  ! command -v dot >/dev/null || dot -Tsvg "$1" >svg
}

# NAME SUFFIX [OPTION...]
picture() {
  name=$1 golden=$goldens/graph/$1$2
  shift 2
  cp "$goldens/graph/$name.conf" . && chmod 644 "$name.conf" || return 1
  if [ -e "$goldens/graph/$name.before.conf" ]; then
    cp "$goldens/graph/$name.before.conf" . && chmod 644 "$name.before.conf"
    set -- "$@" --against "$name.before.conf"
  fi
  run 0 --graph "$@" --config "$name.conf" && same "$golden" stdout && laid_out stdout
}

for file in "$goldens"/graph/*.conf; do
  name=$(basename "$file" .conf)
  case $name in *.before) continue ;; esac
  ok "picture: $name" picture "$name" .dot
  ok "picture: $name, each rule" picture "$name" .detail.dot --detail
done

# The exit status stands in the golden, too.
site() {
  rm -rf "$1" && cp -r "$goldens/site/$1" . && chmod 644 "$1"/*.conf && cd "$1" || return 1
  timeout 60 "$MCRD" --check ./*.conf >../stdout 2>../stderr
  status=$?
  timeout 60 "$MCRD" --graph ./*.conf >../picture 2>/dev/null || { echo "no picture"; return 1; }
  cd ..
  { grep -v ': outputs: ' stdout | sed 's/sha256 .*/sha256/'; cat stderr; echo "exit status $status"; } >told
  same "$goldens/site/$1.told" told && same "$goldens/site/$1.dot" picture && laid_out picture
}

for directory in "$goldens"/site/*/; do
  name=$(basename "$directory")
  ok "site: $name" site "$name"
done

# The picture of docs/iec62443.md is of the files beside it, of which it has the digests.
digests() {
  sed -n 's/.*\(sha256 [0-9a-f]\{12\}\)\.\.\..*/\1/p' "$1"
}
documented() {
  pictures=$srcdir/docs/pictures
  cp "$pictures"/zones/*.conf . && chmod 644 ./*.conf && run 0 --check plant.conf office.conf &&
    run 0 --graph --against plant.before.conf --against office.before.conf plant.conf office.conf && laid_out stdout &&
    digests stdout >wanted && [ -s wanted ] && digests "$pictures/zones.svg" | diff wanted -
}
ok "docs/pictures/zones.svg is of docs/pictures/zones: else run docs/pictures/zones.sh" documented

# --- the command line ---

here() {
  cp "$goldens/graph/changes.conf" new.conf && cp "$goldens/graph/changes.before.conf" old.conf && chmod 644 new.conf old.conf
}

# What the order of rules and files leaves as it is.
order() {
  cp "$goldens/graph/zones.conf" . && run 0 --print --config zones.conf && cp stdout printed.conf &&
    run 0 --graph --config zones.conf && grep -v '^// \|sha256\|zones.conf' stdout >first &&
    python3 - printed.conf <<'END' && run 0 --graph other.conf && grep -v '^// \|sha256\|other.conf' stdout >second && diff first second
import re, sys
text = open(sys.argv[1], encoding="utf-8").read()
head, rules = re.split(r"(?<=\nrules = \()\n", text)
rules = re.split(r",\n(?=  \{)", rules[:rules.rindex("\n);")])
assert len(rules) == 7, rules
open("other.conf", "w", encoding="utf-8").write(head + "\n" + ",\n".join(reversed(rules)) + "\n);\n")
END
}
ok "the order of rules makes no difference" order

words() {
  here && run 0 --graph new.conf old.conf && cp stdout first && run 0 --graph --config new.conf --config old.conf &&
    cmp first stdout && run 0 --graph --config new.conf old.conf && cmp first stdout && run 0 -t new.conf old.conf
}
ok "several files: with --config, or as words" words

against() {
  here && run 0 --graph --diff --against old.conf new.conf && cp stdout first && run 0 --graph --against old.conf new.conf &&
    cmp first stdout && run 0 --graph new.conf old.conf --against new.conf --against old.conf && ! grep '\[label="[-+~]' stdout
}
ok "--against: each file with its own" against

runs() {
  sed "s|^version = 1;|version = 1; stats_file = \"$work/stats\";|" "$goldens/graph/changes.before.conf" >running.conf
  sed "s|^version = 1;|version = 1; stats_file = \"$work/stats\";|" "$goldens/graph/changes.conf" >new.conf
  stands_in sha256="$(sha256 running.conf)" file="$work/new.conf" && run 0 --graph --diff --config new.conf &&
    grep -Fx "// compared with: $work/running.conf" stdout && grep -v '^//\|sha256\|\.conf' stdout >found &&
    grep -v '^//\|sha256\|\.conf' "$goldens/graph/changes.dot" | diff - found &&
    run 0 --graph --running --config new.conf && grep -Fx "// file: $work/running.conf" stdout && ! grep compared stdout
}
ok "--diff: with what runs; --running: what runs" runs

no_daemon() {
  rm -f stats && run 2 --graph --diff --config new.conf && [ ! -s stdout ] && grep '^mcrd: no daemon: ' stderr
}
ok "trouble: no daemon to compare with" no_daemon

invalid() {
  here && echo '!' >>old.conf && run 1 --graph new.conf old.conf && [ ! -s stdout ] && grep '^old.conf:' stderr &&
    run 1 --graph --against old.conf new.conf && [ ! -s stdout ] && run 1 --check new.conf old.conf &&
    grep '^new.conf: valid' stdout && ! grep together stdout
}
ok "refused: one of several files that is not valid" invalid

diff_against() {
  here && run 1 --diff --against old.conf --config new.conf && [ "$(tail -n 1 stdout | cut -d ';' -f 1)" = \
    "1 added, 1 removed, 1 changed, 3 outside the rules" ] && echo '# more' >>new.conf &&
    run 0 --diff --against new.conf --config new.conf && cp new.conf newer.conf && echo '#' >>newer.conf &&
    run 0 --diff --against new.conf --config newer.conf &&
    [ "$(tail -n 1 stdout)" = "the files differ in comments, layout or order only: sha256 $(sha256 new.conf) is new.conf, \
newer.conf is $(sha256 newer.conf)" ] && echo '!' >>new.conf && run 2 --diff --against new.conf --config newer.conf
}
ok "--diff --against: with a file" diff_against

# TEXT OPTION...
usage() {
  text=$1
  shift
  run 2 "$@" && [ ! -s stdout ] && said "mcrd: $text; mcrd --help tells more"
}
ok "usage: --against for some of the files" usage \
  "--against is given 1 times, allowed is once for each file, of which there are 2" --graph new.conf old.conf --against old.conf
ok "usage: --running and --diff" usage "--running is what --diff compares with, and --against in place of it" \
  --graph --running --diff
ok "usage: --detail alone" usage "--detail can only go with --graph" --detail
ok "usage: another command beside" usage "only one of --graph and --print is possible" --graph --print
ok "usage: two commands beside" usage "only one of --diff, --graph and --print is possible" --graph --diff --print
ok "usage: an empty word" usage "--config is empty" --graph ''
ok "usage: a word behind another command" usage "unexpected argument \"x.conf\": use --config x.conf" --print x.conf
ok "usage: seventeen files" usage "--config is given more than 16 times" --check 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17

# Nothing of a path ends a comment or a string, or is taken for an escape.
hostile() {
  path=$(printf 'a"\\N\n}digraph&lt;x.conf')
  echo 'version = 1; rules = ( );' >"$path" && run 0 --graph --config "$path" && laid_out stdout &&
    grep -Fx '// file: a"\N?}digraph&lt;x.conf' stdout && grep -F 'label="a\"\\N?}digraph&amp;lt;x.conf\nsha256 ' stdout
}
ok "a hostile path" hostile

full() {
  here
  timeout 60 "$MCRD" --graph --config new.conf >/dev/full 2>stderr
  [ $? -eq 1 ]
}
[ ! -c /dev/full ] || ok "standard output is full" full

# --- sizes ---
sized 10000 rules
# PREFIX: so many rules from one zone to another.
rules() {
  awk -v size="$size" -v to="$1" 'BEGIN {
    print "version = 1; interfaces = ( { name = \"a0\"; role = \"in\"; zone = \"a\"; }, { name = \"b0\"; role = \"out\"; zone = \"b\"; } ); rules = ("
    for (i = 0; i < size; i++)
      printf "%s{ name = \"r%d\"; input = { interface = \"a0\"; group = \"239.1.%d.%d\"; port = 5000; }; " \
        "outputs = ( { interface = \"b0\"; group = \"%s.%d.%d\"; port = 5000; } ); }\n", \
        i ? "," : "", i, i / 256, i % 256, to, i / 256, i % 256
    print ");" }'
}
many() {
  rules 239.2 >one.conf && rules 239.3 >two.conf && run 0 --graph one.conf two.conf && [ "$(wc -l <stdout)" -lt 50 ] &&
    [ "$(grep -c "label=\"$size rules" stdout)" -eq 2 ] && run 0 --graph --detail one.conf two.conf &&
    [ "$(grep -c shape=record stdout)" -eq $((2 * size)) ] && run 0 --graph --against one.conf two.conf &&
    grep -q "$size rules.n~$size\"" stdout && run 0 --check one.conf two.conf
}
ok "$size rules" many

# A chain of 16 relays, whose last one feeds the first.
ring() {
  files=
  for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    files="$files ring$i.conf"
    next=$(((i + 1) % 16))
    cat >ring$i.conf <<END
version = 1; interfaces = ( { name = "a0"; role = "in"; zone = "z$i"; }, { name = "b0"; role = "out"; zone = "z$next"; } );
rules = ( { name = "r$i"; two_way = true; input = { interface = "a0"; group = "239.1.0.$i"; port = 5000; };
  outputs = ( { interface = "b0"; group = "239.1.0.$next"; port = 5000; ttl = "decrement"; } ); } );
END
  done
  # shellcheck disable=SC2086
  run 1 --check $files && [ "$(grep -c 'run in a circle through several relays: "r0" of ring0.conf -> "r1" of ring1.conf' stderr)" -eq 1 ] &&
    grep -F '"r11" of ring11.conf -> 4 more -> "r0"' stderr && [ "$(grep -c 'in a circle' stderr)" -eq 1 ] &&
    run 0 --check ring1.conf ring2.conf ring3.conf && [ "$(tail -n 1 stdout)" = "3 files together: valid" ]
}
ok "a circle of 16 relays is told once" ring

plan
