#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The AppArmor profile, as TAP: the parser understands it, and finds a fault in one that has it. Nothing is loaded.
#
# Environment: srcdir, the top of the sources.
set -u

PATH=$PATH:/usr/sbin:/sbin
profile=$(cd "${srcdir:-.}" && pwd)/contrib/apparmor/usr.sbin.mcrd
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

skip() {
  echo "1..0 # SKIP $*"
  exit 0
}

command -v apparmor_parser >/dev/null || skip "apparmor_parser is not installed (package apparmor)"
[ -e /etc/apparmor.d/abstractions/base ] || skip "AppArmor's abstractions are not installed"

# FILE: neither to the kernel nor to the cache.
parse() {
  apparmor_parser --skip-kernel-load --skip-cache --quiet "$1"
}

echo 1..2
status=0
if parse "$profile" >"$work/diag" 2>&1; then echo "ok 1 - the profile is understood"; else
  echo "not ok 1 - the profile is understood"
  sed 's/^/# /' "$work/diag"
  status=1
fi
sed 's/^  capability net_raw,/  capability net_raw_and_more,/' "$profile" >"$work/wrong"
if ! parse "$work/wrong" >"$work/diag" 2>&1 && grep -q net_raw_and_more "$work/diag"; then
  echo "ok 2 - one with a fault is not"
else
  echo "not ok 2 - one with a fault is not"
  status=1
fi
exit $status
