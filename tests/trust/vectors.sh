#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the test vectors of this directory anew, with the real minisign: three keys, a trust.conf that asks for two of
# them, a config file and its signatures, b's in the legacy format. The secret keys are thrown away. Run it here.
set -eu

keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT
for name in a b c; do
  minisign -G -f -W -p "$name.pub" -s "$keys/$name" >/dev/null
  legacy=
  [ $name != b ] || legacy=-l
  minisign -S $legacy -s "$keys/$name" -m mcr.conf -x "mcr.conf.$name.minisig" -c "a test of mcr" -t "ticket 4711"
done
{
  echo '// Two of three.'
  echo 'required = 2;'
  echo 'keys = ('
  for name in a b c; do
    [ $name = a ] || echo ','
    printf '  { name = "%s"; key = "%s"; }' $name "$(tail -n 1 $name.pub)"
  done
  printf '\n);\n'
} >trust.conf
