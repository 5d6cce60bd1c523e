# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# For test scripts that read this: TAP. $work is their directory for what a test prints.

count=0
failed=0

# After each test; a script may have its own.
after_test() { :; }

# Prints the result of one test; its name, then the command that decides.
ok() {
  test_name=$1
  shift
  count=$((count + 1))
  if "$@" >"$work/diag" 2>&1; then
    echo "ok $count - $test_name"
  else
    echo "not ok $count - $test_name"
    sed 's/^/# /' "$work/diag"
    failed=$((failed + 1))
  fi
  after_test
}

# NAME REASON
skip() {
  count=$((count + 1))
  echo "ok $count - $1 # SKIP $2"
}

# At the end.
plan() {
  echo "1..$count"
  [ "$failed" -eq 0 ]
}

# NUMBER WHAT: $size is how many of them a test takes: on an emulated machine a tenth, which is told. Not for bounds.
sized() {
  size=$1
  if [ "${MCR_TEST_SLOWNESS:-1}" != 1 ]; then
    size=$(($1 / 10))
    echo "# not here: $1 $2, but $size: emulated"
  fi
}

# On an emulated machine whatever has a bound has it so many times.
if [ "${MCR_TEST_SLOWNESS:-1}" != 1 ]; then
  timeout() {
    seconds=$(($1 * MCR_TEST_SLOWNESS))
    shift
    command timeout $seconds "$@"
  }
fi
