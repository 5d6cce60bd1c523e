#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The list of what mcr was linked with (mcr.spdx.json), as TAP: held against ldd, objdump and dpkg, which made none of it.
#
# Environment: srcdir, the top of the sources; MCRD. In the build directory.
set -u

LC_ALL=C
export LC_ALL
MCRD=${MCRD:-src/mcrd}
top=$PWD
programs="$top/src/mcrd $top/src/mcrstat $top/src/mcrgen"
sbom=$top/mcr.spdx.json
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

if ! command -v jq >/dev/null || ! command -v objdump >/dev/null; then
  echo "1..0 # SKIP jq or objdump is missing"
  exit 0
fi

# "LIBRARY PACKAGE VERSION LICENCE", sorted.
listed() {
  jq -r '.packages[] | select(.packageFileName) | [.packageFileName, .name, .versionInfo // "?", .licenseDeclared] | @tsv' "$sbom" | sort
}

form() {
  jq -e '.spdxVersion == "SPDX-2.3" and .dataLicense == "CC0-1.0" and (.documentNamespace | startswith("https://")) and
    (.creationInfo.created | test("^[0-9-]{10}T[0-9:]{8}Z$")) and
    ([.packages[].SPDXID] | length == (unique | length)) and all(.packages[]; .SPDXID | test("^SPDXRef-[A-Za-z0-9.-]+$")) and
    ([.packages[].SPDXID, "SPDXRef-DOCUMENT"] as $ids | all(.relationships[]; (.spdxElementId | IN($ids[])) and
      (.relatedSpdxElement | IN($ids[]))))' "$sbom"
}

complete() {
  # shellcheck disable=SC2086
  objdump -p $programs | sed -n 's/^ *NEEDED *//p' | grep -v '^lib[ua]san' | sort -u >"$work/needed"
  listed | cut -f1 | grep -v '^lib[ua]san' >"$work/listed"
  [ -s "$work/needed" ] && diff "$work/needed" "$work/listed"
}

of_programs() {
  for program in $programs; do
    objdump -p "$program" | sed -n 's/^ *NEEDED *//p' | sed "s|^|$(basename "$program") |"
  done | sort >"$work/needed"
  jq -r '.relationships[] | select(.relationshipType == "DYNAMIC_LINK") | .comment + " " + (.relatedSpdxElement | ltrimstr("SPDXRef-"))' \
    "$sbom" | sort >"$work/linked"
  diff "$work/needed" "$work/linked"
}

# The file that the loader takes belongs to the package that is listed, in this version.
installed() {
  # shellcheck disable=SC2086
  ldd $programs | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u >"$work/loaded"
  listed | cut -f1-3 | while IFS="$(printf '\t')" read -r library package version; do
    file=$(grep "/$library\$" "$work/loaded") || { echo "$library: ldd has none"; return 1; }
    file=$(readlink -f "$file")
    owner=$(dpkg-query -S "$file" "${file#/usr}" "/usr$file" 2>/dev/null | sed -n '1s/: .*//p')
    [ "$(dpkg-query -W -f '${Package} ${Version}' "$owner")" = "$package $version" ] ||
      { echo "$file is of $owner, not $package $version"; return 1; }
    [ -e "/usr/share/doc/$package/copyright" ] || [ ! -d "/usr/share/doc/${package}" ] || { echo "$package: no licence text"; return 1; }
  done
}

licences() {
  ! listed | grep 'NOASSERTION$' | grep -v '^lib[ua]san'
}

# Each library of mcrd but the C library.
told() {
  "$MCRD" -VV >"$work/told" && grep -E '^commit ([0-9a-f]{40}(-dirty)?|unknown)$' "$work/told" || return 1
  objdump -p "$top/src/mcrd" | sed -n 's/^ *NEEDED *\(lib[^.]*\)\.so.*/\1/p' | grep -vE '^lib(c|m|asan|ubsan)$' | while read -r library; do
    grep -qE "${library#libjansson}|jansson" "$work/told" && grep -qE "(${library}|${library#lib}) [0-9.]+[0-9]" "$work/told" ||
      { echo "mcrd -VV does not tell of $library"; return 1; }
  done
}

# As the packages are built: with a given time, twice the same.
same() {
  for i in 1 2; do
    (cd "$work" && SOURCE_DATE_EPOCH=1700000000 SOURCE_COMMIT=c sh "$srcdir/contrib/sbom/mcr-sbom" 1 "$top/src/mcrd" >"$i") || return 1
  done
  cmp "$work/1" "$work/2" && grep '"2023-11-14T22:13:20Z"' "$work/1"
}

ok "SPDX 2.3, whose parts refer to each other" form
ok "every library that a program names is listed, and no other" complete
ok "and by which program" of_programs
if command -v dpkg-query >/dev/null; then
  ok "each with the package and version that ldd and dpkg find" installed
else
  skip "each with the package and version that ldd and dpkg find" "no dpkg"
fi
if ldd "$MCRD" | grep -q 'lib[au][bs]*san'; then
  skip "each with a licence" "a sanitizer's library, which is in no package that is shipped"
else
  ok "each with a licence" licences
fi
ok "mcrd -VV tells the commit and its libraries with their versions" told
ok "with SOURCE_DATE_EPOCH the list is the same twice" same
plan
