#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/migrating.md and its converter for the Rust mcr's rules, as TAP: what it writes is a valid file that says the same.
set -u

srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-src/mcrd}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# shellcheck source=tests/tap.sh
. "$srcdir/tests/tap.sh"

# RFC 2474: the DSCP is the upper six bits of what was the TOS byte, and socat sets the byte.
tos() {
  row=$(grep -F 'ip-tos' "$srcdir/docs/migrating.md")
  tos=$(echo "$row" | sed -n 's/.*`ip-tos=\([0-9]*\)`.*/\1/p')
  dscp=$(echo "$row" | sed -n 's/.*`output.dscp = \([0-9]*\)`.*/\1/p')
  [ -n "$tos" ] && [ "$tos" = $((4 * dscp)) ] || { echo "$row"; return 1; }
}
ok "a dscp is a quarter of a TOS byte" tos

if ! /usr/bin/python3 -c 'import json5' 2>/dev/null; then
  skip "the converter for the Rust mcr's rules" "python3-json5 is not installed"
  plan
  exit
fi
cat >"$work/rules.json5" <<'EOF'
{
  // comments and trailing commas are its grammar's
  pinning: { "eth0": [0, 1], },
  rules: [
    { name: "market data", input: { interface: "lo", group: "239.255.1.1", port: 5001 },
      outputs: [ { interface: "lo", group: "239.255.2.2", port: 5002, ttl: 4 }, { interface: "lo", group: "198.18.0.100", port: 6003 }, ] },
    { input: { interface: "lo", group: "198.18.0.50", port: 5002 }, outputs: [ { interface: "lo", group: "239.255.1.3", port: 5002, color: "red" } ] },
  ],
}
EOF
cat >"$work/expected" <<'EOF'
{ interface = "lo"; group = "239.255.1.1"; port = 5001; }
{ interface = "lo"; group = "239.255.2.2"; port = 5002; ttl = 4; }
{ interface = "lo"; address = "198.18.0.100"; port = 6003; }
{ interface = "lo"; address = "198.18.0.50"; port = 5002; }
{ interface = "lo"; group = "239.255.1.3"; port = 5002; }
EOF
printf 'left out: the file: pinning\nleft out: rule "rule-2": output: color\n' | sort >"$work/expected.left"

left_out() {
  "$srcdir/contrib/migrate/mcr-json5" "$work/rules.json5" >"$work/mcr.conf" 2>"$work/left"
  [ $? -eq 1 ] && sort "$work/left" | diff "$work/expected.left" -
}
ok "what has no counterpart is named" left_out

same() {
  grep -o '{ interface[^}]*}' "$work/mcr.conf" | diff "$work/expected" -
}
ok "inputs and outputs are the same" same
ok "mcrd accepts the file" "$MCRD" --check --config "$work/mcr.conf"

plan
