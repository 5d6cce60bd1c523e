#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The converter for the Rust mcr's rules, as TAP: what it writes is a valid file that says the same.
set -u

srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-src/mcrd}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

if ! /usr/bin/python3 -c 'import json5' 2>/dev/null; then
  echo "1..0 # SKIP python3-json5 is not installed"
  exit 0
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

echo "1..3"
"$srcdir/contrib/migrate/mcr-json5" "$work/rules.json5" >"$work/mcr.conf" 2>"$work/left"
status=$?
if [ $status -eq 1 ] && sort "$work/left" | diff "$work/expected.left" - >"$work/diff"; then
  echo "ok 1 - what has no counterpart is named"
else
  echo "not ok 1 - what has no counterpart is named"
  sed 's/^/# /' "$work/left" "$work/diff"
fi
if grep -o '{ interface[^}]*}' "$work/mcr.conf" | diff "$work/expected" - >"$work/diff"; then
  echo "ok 2 - inputs and outputs are the same"
else
  echo "not ok 2 - inputs and outputs are the same"
  sed 's/^/# /' "$work/diff"
fi
if "$MCRD" --check --config "$work/mcr.conf" >"$work/out" 2>&1; then
  echo "ok 3 - mcrd accepts the file"
else
  echo "not ok 3 - mcrd accepts the file"
  sed 's/^/# /' "$work/out"
fi
