# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For the test scripts that boot a system: the ends that TAP knows, and what they need from Debian.
# $work is their directory for logs.

APT_SECONDS=180

skip() {
  echo "1..0 # SKIP $*"
  exit 0
}

broken() {
  echo "Bail out! $*"
  exit 99
}

# COMMAND PACKAGE...: those packages whose command is missing, installed.
install_tools() {
  missing=
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null || missing="$missing $2"
    shift 2
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null || skip "missing, and no apt-get here:$missing"
  mkdir -p "$work"
  # shellcheck disable=SC2086,SC2016 # words; the inner shell's
  DEBIAN_FRONTEND=noninteractive timeout $APT_SECONDS sh -c \
    'apt-get -q update && apt-get -q install -y --no-install-recommends "$@"' sh $missing \
    </dev/null >"$work/apt.log" 2>&1 || skip "cannot be installed:$missing: $(tail -n 1 "$work/apt.log")"
}

# CODENAME: where this machine gets that Debian from.
mirror() {
  found=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $1" 'Component: main' 'Created-By: Packages' \
    2>/dev/null | head -n 1)
  echo "${MCR_DEBIAN_MIRROR:-${found:-http://deb.debian.org/debian}}"
}
