#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Man pages, as TAP: each page is clean to mandoc; each option that a program's --help knows stands in its
# page and no other does; each key of the schema stands in mcr.conf(5), in its place, and no other does, with
# the bounds and the default of its row; the example of mcr.conf(5) is valid; features, counters, states and
# other words are those of mcrstat --words, members of the JSON those of the sources. Documents name what is there:
# tests, units, what was measured.
#
# Environment: MCRD, MCRSTAT, MCRGEN, the programs (default: those of src/ in the build directory); EVENTS, which prints
# the events of the log (tests/events); srcdir, the top of the sources.
set -u

LC_ALL=C
export LC_ALL
srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-$PWD/src/mcrd}
MCRSTAT=${MCRSTAT:-$PWD/src/mcrstat}
MCRGEN=${MCRGEN:-$PWD/src/mcrgen}
EVENTS=${EVENTS:-$PWD/tests/events}
man=$srcdir/man
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

# As it is read: no macro is left as text, no quotation begins or ends with another one.
rendered() {
  mandoc -Tutf8 "$1" | sed 's/.\x08//g' >"$work/rendered" && [ -s "$work/rendered" ] || return 1
  ! grep -nwE '[BDPQS]q|[BPQ][oc]|Cm|Ic|Fl|Ar|Pa|Dv|Xr|Nm|Ns|Ev|Va|Li|Em|Sy|Op|Ql|Sx|Bl|El|Bd|Ed|Pp|Dl' "$work/rendered" &&
    ! grep -nE '""|““|””' "$work/rendered"
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

# PROGRAM PAGE: "-c --config" for each option that has a letter, each letter once.
letters() {
  help_options "$1" >/dev/null && sed -n 's/^  \(-[a-zA-Z]\), \(--[a-z-]*\).*/\1 \2/p' "$work/help" | sort -u >"$work/letters"
  sed -e 's/\\-/-/g' "$2" |
    sed -n 's/^\.It Fl \([a-zA-Z]\) , Fl -\([a-z-]*\).*/-\1 --\2/p' | sort -u >"$work/told"
  same "$work/letters" "$work/told" && [ "$(cut -c 2 "$work/letters" | uniq -d)" = "" ]
}

# What --without knows, as it says itself, and the page.
features() {
  timeout 10 "$MCRD" --without '?' 2>&1 | sed -n 's/.*known are \(.*\); .*/\1/p' | tr -s ', ' '\n' >"$work/features"
  awk '/^\.It Fl -without/ { here = 1 } here && /^\.El/ { exit } here && /^\.It Cm / { print $3 }' "$man/mcrd.8" >"$work/told"
  [ -s "$work/features" ] && same "$work/features" "$work/told"
}

# What mcrd -VV says it was built with: the features that --without knows, and each library with a version.
built() {
  timeout 10 "$MCRD" -VV >"$work/built" && sed -n 's/^  \([a-z-]*\) .*/\1/p' "$work/built" >"$work/told" &&
    same "$work/features" "$work/told" || return 1
  for library in libev libconfig libseccomp jansson libcap-ng libmd libsodium; do
    grep -qE "[ ,]$library [0-9]+\.[0-9]+" "$work/built" || { echo "no version of $library"; cat "$work/built"; return 1; }
  done
}

# --- keys ---

# The keys that mcrd --schema tells, one a line: PLACE KEY, then least, most and default, or -. PLACE is as messages call
# it, with _ for a space.
schema_rows() {
  "$MCRD" --schema | python3 -c '
import json, sys

def rows(section):
    for name, key in section["properties"].items():
        if key.get("readOnly"):
            continue
        number = next((x for x in [key, *key.get("anyOf", [])] if "minimum" in x), {})
        default = key.get("default", "-")
        print(section["title"].replace(" ", "_"), name, number.get("minimum", "-"), number.get("maximum", "-"),
              default if isinstance(default, str) else json.dumps(default))
        inside = key.get("items", key)
        if "properties" in inside:
            rows(inside)

rows(json.load(sys.stdin))'
}

rows_read() {
  [ "$(wc -l <"$work/schema")" -gt 40 ] && ! awk 'NF != 5 { print; found = 1 } END { exit !found }' "$work/schema"
}

# "PLACE KEY" of the items in the sections "Keys of PLACE".
page_keys() {
  awk '
    /^\.S[hs] / { place = "" }
    /^\.Ss Keys of / { sub(/^\.Ss Keys of /, ""); gsub(/ /, "_"); place = $0; next }
    place != "" && /^\.It Ic / { print place, $3 }' "$conf5" | sort
}

keys() {
  cut -d ' ' -f 1,2 "$work/schema" | sort -u >"$work/schema.keys"
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

# The events, with their levels: "NAME LEVEL [LEVEL]", and in the page "info or warning" at the beginning of the item.
events() {
  "$EVENTS" | sort >"$work/events"
  awk '
    /^\.Sh / { here = /^\.Sh LOG EVENTS/ }
    /^\.Bl .*-compact/ { inside = 1 }
    /^\.El/ { inside = 0 }
    here && !inside && /^\.It Cm / {
      gsub(/,/, ""); names = substr($0, 8); getline
      sub(/[:,.].*/, ""); levels = $0; gsub(/ or /, " ", levels)
      n = split(names, name, / +/)
      for (i = 1; i <= n; i++) print name[i], levels
    }' "$man/mcrd.8" | sort >"$work/told"
  same "$work/events" "$work/told"
}

# --- statistics ---

# LIST...: the words of these lists, one a line, as mcrstat --words has them.
words() {
  "$MCRSTAT" --words --json | python3 -c '
import json, sys

lists = json.load(sys.stdin)
for name in sys.argv[1:]:
    print(*lists[name], sep="\n")' "$@"
}

# PAGE SECTION MACRO: the words of the lines with this macro, or "It" and this macro, in this subsection.
page_words() {
  awk -v section="$2" -v macro="$3" '
    /^\.S[hs] / { here = $0 == ".Ss " section }
    here && ($1 == "." macro || $1 == ".It" && $2 == macro) {
      for (i = $1 == ".It" ? 3 : 2; i <= NF; i++) if ($i ~ /^[a-z]/) print $i
    }' "$man/$1"
}

# SECTION: the sentences of this subsection of mcrstat(1).
page_words_text() {
  awk -v section="$1" '/^\.S[hs] / { here = $0 == ".Ss " section } here && !/^[.]/' "$man/mcrstat.1"
}

# All that is in the first list is in the second.
within() {
  sort -u "$1" >"$1.sorted"
  sort -u "$2" | comm -23 "$1.sorted" - >"$work/missing"
  if [ ! -s "$1" ] || [ -s "$work/missing" ]; then
    echo "missing:"
    cat "$work/missing"
    return 1
  fi
}

counters_shown() {
  words interface_counters rule_drops input_counters leg_counters merge_counters stream_counters ts_counters \
    output_counters >"$work/counters"
  page_words mcrstat.1 Counters Cm | grep -vE '^(sources|max_payload|limit|window_ms)$' >"$work/told"
  within "$work/counters" "$work/told" && within "$work/told" "$work/counters"
}

counters_logged() {
  { echo interface; words interface_counters; echo rule
    sed -n 's/.*log_notice(EVENT_RULE, "\(.*\)" STATS_RULE_DROPS(DROPPED).*/\1/p' "$srcdir/src/relay/publish.c" |
      grep -oE '[a-z_]+=%llu' | sed 's/=.*//'
    words rule_drops | sed 's/^/dropped_/'; } >"$work/counters"
  page_words mcrd.8 Counters Cm >"$work/told"
  within "$work/counters" "$work/told" && within "$work/told" "$work/counters"
}

json_members() {
  { grep -oE 'put\([a-z]+, "[a-z0-9_]+"' "$srcdir/src/stats/show_json.c" | sed 's/.*"\(.*\)"/\1/'
    words features; } >"$work/members"
  page_words mcrstat.1 JSON Cm >"$work/told"
  within "$work/members" "$work/told" && within "$work/told" "$work/members"
}

json_words() {
  grep -oE '[?] "[a-z]+" : "[a-z]+"' "$srcdir/src/stats/show_json.c" | grep -oE '"[a-z]+"' | tr -d '"' >"$work/words"
  words interface_states rule_states config_states verdicts seccomp_modes feature_states alarms merges streams >>"$work/words"
  page_words mcrstat.1 JSON Dq >"$work/told"
  within "$work/words" "$work/told"
}

# The column STATE.
table_states() {
  words interface_states rule_states config_states >"$work/words"
  page_words mcrstat.1 'The table' Cm >"$work/told"
  within "$work/words" "$work/told"
}

# Each state of a rule has its status in the page: the first sentence of an item names them.
plugin_states() {
  words rule_states >"$work/words"
  page_words_text 'Monitoring plugin' | grep -oE '[a-z]+' >"$work/told"
  within "$work/words" "$work/told"
}

# --- documents ---

# Each unit of ours that is named behind systemctl or journalctl.
names_units() {
  grep -rhoE '(systemctl|journalctl) [^"`|;&#]*' "$srcdir/src" "$srcdir/contrib" "$srcdir/docs" "$man" "$srcdir/README.md" |
    tr -c 'A-Za-z0-9@._\n-' '\n' | sed -n 's/\.$//; s/@[A-Za-z]*/@/; /^mcr[a-z@.-]*$/p' | sort -u >"$work/units"
  [ -s "$work/units" ] || { echo "no unit found"; return 1; }
  missing=0
  while read -r unit; do
    case $unit in *.service | *.timer) ;; *) unit=$unit.service ;; esac
    # Transient ones are made where they are named.
    grep -rqE -- "--unit=${unit%.*} " "$srcdir/docs" && continue
    [ -e "$srcdir/contrib/systemd/$unit.in" ] || [ -e "$srcdir/contrib/firewall/$unit" ] || [ -e "$srcdir/contrib/prometheus/$unit" ] ||
      [ -e "$srcdir/contrib/prometheus/$unit.in" ] || { echo "$unit is not there"; missing=1; }
  done <"$work/units"
  [ $missing -eq 0 ]
}

# Each file of tests/net is told of.
net_tests() {
  for file in "$srcdir"/tests/net/test_*.py; do
    echo "${file##*/}"
  done >"$work/net"
  grep -oE '^\| `test_[a-z0-9_]+\.py`' "$srcdir/tests/net/README.md" | tr -d '|` ' | sort >"$work/told"
  same "$work/net" "$work/told"
}

# The start is what was measured, in the median.
start_measured() {
  python3 - "$srcdir/docs/bench/bench.json" "$srcdir/docs/availability.md" <<'END'
import json, re, statistics, sys
records = json.load(open(sys.argv[1], encoding="utf-8"))["records"]
measured = statistics.median(r["start_ms"] for r in records if r["scenario"] == "1 rule, 200,000/s")
told = re.search(r"starts? with one rule in (\d+) ms", re.sub(r"\s+", " ", open(sys.argv[2], encoding="utf-8").read()))
if not told or abs(int(told[1]) - measured) > 1:
    sys.exit(f"measured: {measured} ms; told: {told and told[0]}")
END
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

# What README.md and mcrd(8) show of --explain is asked of the shipped example.
explained() {
  for port in 5000 5001; do
    timeout 10 "$MCRD" --config "$srcdir/etc/mcr.conf.example" --explain 192.0.2.9 239.10.0.1 $port --interface ot0 2>/dev/null
  done | sed -nE 's/.*mcr\.conf\.example(:[0-9]+: (rule "plc-telemetry" takes|sources: 192\.0\.2\.9)).*/\1/p' >"$work/answers"
  [ "$(wc -l <"$work/answers")" -eq 3 ] || { cat "$work/answers"; return 1; }
  sed -nE 's/.*\/etc\/mcr\/mcr\.conf(:[0-9]+: (rule "plc-telemetry" takes|sources: 192\.0\.2\.9)).*/\1/p' "$1" >"$work/shown"
  [ -s "$work/shown" ] || { echo "nothing found"; return 1; }
  head -n "$(wc -l <"$work/shown")" "$work/answers" | diff -U 0 - "$work/shown"
}

# --- all of them ---

for page in "$man"/*.[1-9]; do
  ok "${page##*/}: has its licence" licensed "$page"
  if command -v mandoc >/dev/null; then
    ok "${page##*/}: mandoc finds no fault" lint "$page"
    ok "${page##*/}: reads as meant: no macro, no quotation within another" rendered "$page"
  else
    skip "${page##*/}: mandoc finds no fault" "mandoc is not installed"
    skip "${page##*/}: reads as meant: no macro, no quotation within another" "mandoc is not installed"
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
    ok "$page: their letters" letters "$program" "$man/$page"
  fi
done

ok "mcrd.8: the features that --without knows, and no other" features
ok "mcrd -VV: the same, and the versions of libraries" built

schema_rows >"$work/schema"
ok "the rows of the schema are read" rows_read
ok "mcr.conf.5: the keys of the schema, and no other" keys
ok "mcr.conf.5: the bounds and defaults of the schema" figures
ok "mcr.conf.5: the example is valid" example
ok "mcrd.8: every event of the log and its levels, and no other" events
ok "mcrd.8: every counter that is logged, and no other" counters_logged
ok "mcrstat.1: every counter, and no other" counters_shown
ok "mcrstat.1: every member of the JSON, and no other" json_members
ok "mcrstat.1: every word that the JSON can say" json_words
ok "mcrstat.1: every state of the table" table_states
ok "mcrstat.1: the status of a monitoring plugin of every state" plugin_states
for document in README.md man/mcrd.8; do
  ok "$document: the lines of the example that --explain names" explained "$srcdir/$document"
done
ok "units that are named are there" names_units
ok "tests/net/README.md: every test of the folder, and no other" net_tests
ok "docs/availability.md: the start as it was measured" start_measured
for document in README.md docs/features.md SECURITY.md docs/iec62443.md; do
  ok "$document: names tests that are there" names_tests "$srcdir/$document"
done

plan
