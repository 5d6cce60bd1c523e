#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Examples of the documents, as TAP: each block ```mcr of docs/*.md is one rule or several, and mcrd --check accepts it;
# commands can do what they are shown for.
set -u

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

# FILE: only what is not there on this host may be told.
valid() {
  timeout 10 "$MCRD" --check --config "$1" 2>"$work/told" || { cat "$work/told"; return 1; }
  grep -v 'does not exist here' "$work/told"
  ! grep -qv 'does not exist here\|319\|320' "$work/told"
}

for document in "$srcdir"/docs/*.md; do
  awk -v name="$work/${document##*/}" '
    /^```/ { if (file) print ");" > file; file = "" }
    file { print > file }
    /^```mcr$/ { file = name "." NR ".conf"; print "version = 1;\nrules = (" > file }' "$document"
done
for file in "$work"/*.conf; do
  name=${file##*/}
  ok "docs/${name%.*.conf}: the rules behind line $(echo "$name" | sed 's/.*\.\([0-9]*\)\.conf/\1/') are valid" valid "$file"
done

# It exits 1 where something differs, which is when the next command is wanted.
after_diff() {
  ! grep -rnE -e '--diff[^;|]*&&' "$srcdir/README.md" "$srcdir/docs" "$srcdir/man" "$srcdir/etc"
}
ok "no command hangs on the success of mcrd --diff" after_diff

# GitHub shows no cell of a row beyond those of its head, and fills up what is lacking. Also in `code` a | parts two cells.
# FILE...
rows() {
  awk '
    function cells(row) { gsub(/\\\|/, "", row); sub(/[ \t]*$/, "", row); sub(/\|$/, "", row); return gsub(/\|/, "", row) }
    FNR == 1 { fenced = n = 0 }
    /^ *```/ { fenced = !fenced }
    fenced || !/^ *\|/ { n = 0; next }
    n == 0 { n = cells($0) }
    cells($0) != n { printf "%s:%d: %d cells, the head has %d: %s\n", FILENAME, FNR, cells($0), n, $0; wrong = 1 }
    { seen++ }
    END { if (seen < 1) print "no table"; exit wrong || seen < 1 }' "$@"
}
printf '| a | b |\n|---|---|\n| 1 | `x \\| y` |\n' >"$work/right.md"
printf '| a | b |\n|---|---|\n| 1 | 2 | 3 |\n' >"$work/wide.md"
printf '| a | b |\n|---|---|\n| 1 |\n' >"$work/narrow.md"
known_rows() {
  rows "$work/right.md" && ! rows "$work/wide.md" && ! rows "$work/narrow.md"
}
ok "a row with too many or too few cells is found" known_rows
ok "each row of a table has the cells of its head" rows "$srcdir"/*.md "$srcdir"/docs/*.md

# FILE STATUS: what operating.md has of warnings in a pipeline, as it stands there, ends with STATUS, in a script that
# goes on where a step does not end it.
pipeline() {
  mkdir -p "$work/bin" && ln -sf "$MCRD" "$work/bin/mcrd" && cp "$1" "$work/mcr.conf" || return 1
  awk '/^## / { on = $0 == "## Warnings in a pipeline" } on && sub(/^    /, "")' "$srcdir/docs/operating.md" >"$work/snippet"
  [ -s "$work/snippet" ] || return 1
  (echo set -e; cat "$work/snippet"; echo "echo the next step") >"$work/step"
  (cd "$work" && PATH=$work/bin:$PATH timeout 20 sh ./step >told 2>&1)
  status=$?
  cat "$work/told"
  [ $status -eq "$2" ] && [ "$(grep -c 'the next step' "$work/told")" -eq "$((status == 0))" ]
}
rule='{ name = "r"; input = { interface = "lo"; group = "239.1.2.3"; port = 5000; };
  outputs = ( { interface = "nowhere0"; group = "239.1.2.4"; port = 5000; } ); }'
echo "version = 1; rules = ( $rule );" >"$work/doubtful"
sed 's/; input =/; note = "{{ note }}"; input =/' "$work/doubtful" >"$work/template"
sed 's/name/nmae/' "$work/doubtful" >"$work/wrong"
sed 's/"lo"/"nowhere1"/' "$work/doubtful" >"$work/elsewhere"
ok "operating.md, warnings in a pipeline: a file whose interfaces are elsewhere passes" pipeline "$work/elsewhere" 0
ok "one that is doubtful anywhere ends it" pipeline "$work/template" 1
ok "one that is invalid ends it" pipeline "$work/wrong" 1

plan
