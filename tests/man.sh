#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Man pages, as TAP: each page is clean to mandoc; each option that a program's --help knows stands in its
# page and no other does; each key of the schema stands in mcr.conf(5), in its place, and no other does, with
# the bounds and the default of its row; the example of mcr.conf(5) is valid.
#
# Environment: MCRD, MCRSTAT, MCRGEN, the programs (default: those of src/ in the build directory); srcdir, the
# top of the sources.
set -u

LC_ALL=C
export LC_ALL
srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-$PWD/src/mcrd}
MCRSTAT=${MCRSTAT:-$PWD/src/mcrstat}
MCRGEN=${MCRGEN:-$PWD/src/mcrgen}
man=$srcdir/man
schema=$srcdir/src/config/schema.c
conf5=$man/mcr.conf.5
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
umask 022

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

# Both lists hold something, and the same. What is only in the first is marked -, only in the second +.
same() {
  [ -s "$1" ] || { echo "nothing found for $1"; return 1; }
  diff -U 0 "$1" "$2"
}

# --- mandoc ---

lint() {
  mandoc -Tlint -Wwarning "$1"
}

licensed() {
  head -n 1 "$1" | grep -F 'SPDX-License-Identifier: Apache-2.0' ||
    { echo "no SPDX line first"; return 1; }
}

# --- options ---

# Long options in plain text, one a line.
long_options() {
  grep -oE -e '(^|[^-a-zA-Z0-9])--[a-z][a-z0-9-]*' | sed 's/^[^-]//' | sort -u
}

# PROGRAM: all that it and its subcommands (lines "  PROGRAM NAME --help" of its help) know.
help_options() {
  timeout 10 "$1" --help >"$work/help" || { echo "$1 --help fails" >&2; return 1; }
  sed -n "s/^ *${1##*/} \([a-z][a-z]*\) --help.*/\1/p" "$work/help" >"$work/subcommands"
  while read -r sub; do
    timeout 10 "$1" "$sub" --help >>"$work/help" </dev/null || { echo "$1 $sub --help fails" >&2; return 1; }
  done <"$work/subcommands"
  long_options <"$work/help"
}

# PAGE: its text without comments; "Fl -x", "Fl Fl x" and \-\-x are all --x.
page_options() {
  sed -e '/^[.'\'']\\"/d' -e 's/\\-/-/g' -e 's/Fl Fl /--/g' -e 's/Fl -/--/g' -e 's/\\f[A-Z]/ /g' "$1" | long_options
}

options() {
  help_options "$1" >"$work/${1##*/}.help" && page_options "$2" >"$work/${1##*/}.page" &&
    same "$work/${1##*/}.help" "$work/${1##*/}.page"
}

# --- keys ---

# The rows of the schema, one a line: PLACE KEY, then least, most and default where they are written as such,
# else -. PLACE is as messages call it, with _ for a space.
schema_rows() {
  sed -n 's/^ *\[SCHEMA_\([A-Z]*\)\] = {"\([^"]*\)", *sizeof.*/place \1 \2/p' "$schema" >"$work/places"
  sed -n '/^ *{SCHEMA_[A-Z]*, "/,/},$/p' "$schema" | tr -d '\n' | sed 's/},/&\
/g' | sed -n 's/^ *{SCHEMA_\([A-Z]*\), "\([a-z0-9_]*\)",/row \1 \2/p' >"$work/rows"
  awk '
    $1 == "place" { id = $2; sub(/^place [A-Z]+ /, ""); gsub(/ /, "_"); places[id] = $0; next }
    {
      least = most = fallback = "-"
      if (match($0, /RANGE\([0-9]+, [0-9]+\)/)) {
        split(substr($0, RSTART + 6, RLENGTH - 7), range, ", ")
        least = range[1]; most = range[2]
      }
      if (match($0, /\.fallback = "[^"]*"/))
        fallback = substr($0, RSTART + 13, RLENGTH - 14)
      print places[$2], $3, least, most, fallback
    }' "$work/places" "$work/rows"
}

# Every row is found, or this script no longer reads the schema.
rows_read() {
  rows=$(grep -cE '^ *\{SCHEMA_[A-Z]+,' "$schema")
  read=$(wc -l <"$work/schema")
  if [ "$rows" -eq 0 ] || [ "$read" -ne "$rows" ]; then
    echo "$rows rows in the schema, read: $read"
    return 1
  fi
  ! awk 'NF < 5 { print; found = 1 } END { exit !found }' "$work/schema"
}

# "PLACE KEY" of the items in the sections "Keys of PLACE".
page_keys() {
  awk '
    /^\.S[hs] / { place = "" }
    /^\.Ss Keys of / { sub(/^\.Ss Keys of /, ""); gsub(/ /, "_"); place = $0; next }
    place != "" && /^\.It Ic / { print place, $3 }' "$conf5" | sort
}

keys() {
  cut -d ' ' -f 1,2 "$work/schema" | sort >"$work/schema.keys"
  page_keys >"$work/page.keys"
  same "$work/schema.keys" "$work/page.keys"
}

# The text of an item up to its meaning: "Number, 1 to 1024. Default: 16." must have the row's figures.
figures() {
  awk '
    FNR == NR { n++; key[n] = $1 " " $2; least[n] = $3; most[n] = $4; fallback[n] = $5; next }
    /^\.S[hs] / { place = ""; item = "" }
    /^\.Ss Keys of / { sub(/^\.Ss Keys of /, ""); gsub(/ /, "_"); place = $0; next }
    place != "" && /^\.It Ic / { item = place " " $3; next }
    /^\.Bd/ { item = "" }
    item != "" { text[item] = text[item] " " $0 }
    END {
      for (i = 1; i <= n; i++) {
        t = text[key[i]]
        range = least[i] == most[i] ? ": " least[i] "[.]" : "[ ,]" least[i] " to " most[i] "[., ]"
        if (least[i] != "-" && t !~ range) {
          print key[i] ": the page lacks its bounds " least[i] " to " most[i]; bad = 1
        }
        if (fallback[i] != "-" && t !~ ("Default: \"?" fallback[i] "\"?[.,]")) {
          print key[i] ": the page lacks its default " fallback[i]; bad = 1
        }
        if (fallback[i] == "-" && t ~ /Default: ["0-9]/) {
          print key[i] ": the page has a default that the schema lacks"; bad = 1
        }
      }
      exit bad
    }' "$work/schema" "$conf5"
}

# Every event that the sources write stands in mcrd(8).
events() {
  { grep -rhoE 'log_(error|warn|notice|info|debug|event|record|errno)\((LOG_LEVEL_[A-Z]+, *|[^"();]*, *)?"[a-z_]+"' "$srcdir/src" --include=*.c &&
    grep -rhoE 'event *= *"[a-z_]+"' "$srcdir/src" --include=*.c; } | sed 's/.*"\(.*\)"/\1/' | sort -u >"$work/events"
  awk '/^\.Sh / { here = /^\.Sh LOG EVENTS/ } here && /^\.It Cm / { gsub(/[,;]/, " "); for (i = 3; i <= NF; i++) print $i }' \
    "$man/mcrd.8" | sort -u >"$work/told"
  comm -23 "$work/events" "$work/told" >"$work/untold"
  [ -s "$work/events" ] && [ ! -s "$work/untold" ] || { echo "not in mcrd(8):"; cat "$work/untold"; return 1; }
}

# DOCUMENT: each test and target that it names is there.
names_tests() {
  missing=0
  for t in $(grep -oE '`test_[a-z0-9]+\.py`|`tests/[a-z0-9_/.]+`|`make (check|bench|fuzz|deb|rpm)[a-z-]*`' "$1" | tr -d '`' | sed 's/^make /make:/' | sort -u); do
    case $t in
      test_*) [ -e "$srcdir/tests/net/$t" ] ;;
      make:*) grep -qE "^(${t#make:}|[a-z -]* ${t#make:}|${t#make:} [a-z -]*):" "$srcdir/Makefile.am" || [ "$t" = make:check ] ;;
      *) [ -e "$srcdir/$t" ] ;;
    esac || { echo "$t is not there"; missing=1; }
  done
  [ $missing -eq 0 ]
}

# The first literal text of EXAMPLES.
example() {
  awk '
    /^\.Sh / { here = /^\.Sh EXAMPLES/ }
    here && /^\.Ed/ { exit }
    inside { print }
    here && /^\.Bd -literal/ { inside = 1 }' "$conf5" | sed 's/\\e/\\/g' >"$work/example.conf"
  [ -s "$work/example.conf" ] || { echo "no example found"; return 1; }
  timeout 10 "$MCRD" --check --config "$work/example.conf"
}

# --- all of them ---

for page in "$man"/*.[1-9]; do
  ok "${page##*/}: has its licence" licensed "$page"
  if command -v mandoc >/dev/null; then
    ok "${page##*/}: mandoc finds no fault" lint "$page"
  else
    skip "${page##*/}: mandoc finds no fault" "mandoc is not installed"
  fi
done

# PROGRAM PAGE: only mcrd must be there.
for pair in "$MCRD mcrd.8" "$MCRSTAT mcrstat.1" "$MCRGEN mcrgen.1"; do
  program=${pair% *}
  page=${pair##* }
  if [ "$page" != mcrd.8 ] && [ ! -e "$man/$page" ]; then
    skip "$page: the options of --help" "there is no such page"
  elif [ "$page" != mcrd.8 ] && [ ! -x "$program" ]; then
    skip "$page: the options of --help" "${program##*/} is not built"
  else
    ok "$page: the options of --help, and no other" options "$program" "$man/$page"
  fi
done

schema_rows >"$work/schema"
ok "the rows of the schema are read" rows_read
ok "mcr.conf.5: the keys of the schema, and no other" keys
ok "mcr.conf.5: the bounds and defaults of the schema" figures
ok "mcr.conf.5: the example is valid" example
ok "mcrd.8: every event of the log" events
for document in README.md SECURITY.md docs/iec62443.md; do
  ok "$document: names tests that are there" names_tests "$srcdir/$document"
done

plan
