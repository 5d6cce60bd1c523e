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

plan
