#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Bash completion, as TAP: all options that the --help of each program and subcommand knows are offered, and no other;
# values where they are known.
#
# Environment: MCRD, MCRSTAT, MCRGEN, the programs (default: those of src/ in the build directory); srcdir, the top of
# the sources.
set -u

LC_ALL=C
export LC_ALL
srcdir=$(cd "${srcdir:-.}" && pwd)
MCRD=${MCRD:-$PWD/src/mcrd}
MCRSTAT=${MCRSTAT:-$PWD/src/mcrstat}
MCRGEN=${MCRGEN:-$PWD/src/mcrgen}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
touch "$work/a file.conf" "$work/other"

count=0
failed=0

# NAME FOUND EXPECTED
same() {
  count=$((count + 1))
  if [ "$2" = "$3" ] && [ -n "$3$4" ]; then
    echo "ok $count - $1"
  else
    echo "not ok $count - $1"
    diff <(echo "$3") <(echo "$2") | sed 's/^/# /'
    failed=$((failed + 1))
  fi
}

# WORD...: what is offered for the last one, one a line.
offered() {
  bash -c '
    . "$1"
    shift
    [ "$(complete -p "${1##*/}")" = "complete -F _mcr ${1##*/}" ] || exit 1
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _mcr "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    [ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"' - "$srcdir/contrib/completion/mcr.bash" "$@" | sort
}

# PROGRAM [SUBCOMMAND]: the options of its help, found another way than the completion finds them.
known() {
  "$@" --help | tr -c -- '-a-z0-9' '\n' | grep -xE -e '--[a-z][a-z0-9-]*' | sort -u
}

same "mcrd: options" "$(offered "$MCRD" --)" "$(known "$MCRD")" ''
same "mcrstat: options" "$(offered "$MCRSTAT" --)" "$(known "$MCRSTAT")" ''
same "mcrgen: subcommands" "$(offered "$MCRGEN" '' | tr '\n' ' ')" "--help --version recv send " ''
same "mcrgen send: options" "$(offered "$MCRGEN" send --)" "$(known "$MCRGEN" send)" ''
same "mcrgen recv: options" "$(offered "$MCRGEN" recv --)" "$(known "$MCRGEN" recv)" ''
same "an option that was given is not offered again" "$(offered "$MCRSTAT" --json --)" \
  "$(known "$MCRSTAT" | grep -vx -e --json)" ''
same "but what several captures are given by" "$(offered "$MCRD" --replay a --interface b --quiet --)" \
  "$(known "$MCRD" | grep -vx -e --quiet)" ''
same "and several files" "$(offered "$MCRD" --graph --config a --against b --detail --)" \
  "$(known "$MCRD" | grep -vx -e --detail -e --graph)" ''
same "files behind --check, as words" "$(offered "$MCRD" --check one "$work/a")" "$work/a file.conf" ''
same "files behind --graph, as the first word" "$(offered "$MCRD" --graph "$work/o")" "$work/other" ''
same "files of --against" "$(offered "$MCRD" --graph --against "$work/o")" "$work/other" ''
same "the beginning of an option" "$(offered "$MCRD" --check --tru)" --trust ''
same "files" "$(offered "$MCRD" --config "$work/")" "$work/a file.conf
$work/other" ''
same "files, behind a letter" "$(offered "$MCRD" -t -c "$work/a")" "$work/a file.conf" ''
same "options, behind a letter that takes no value" "$(offered "$MCRD" -t --tru)" --trust ''
same "nothing for a value that only the user knows, behind a letter" "$(offered "$MCRGEN" send -c '')" '' expected
same "interfaces" "$(offered "$MCRGEN" send --interface lo)" "$(compgen -W "$(ls /sys/class/net)" -- lo | sort)" ''
same "modes of the sandbox" "$(offered "$MCRD" --sandbox '' | tr '\n' ' ')" "enforce list log off " ''
for mode in $(offered "$MCRD" --sandbox ''); do
  same "mcrd knows the mode $mode" "$("$MCRD" --sandbox "$mode" --version)" "$("$MCRD" --version)" ''
done
for role in $(offered "$MCRD" --role ''); do
  same "mcrd knows the role $role" "$("$MCRD" --firewall --role "$role" --version)" "$("$MCRD" --version)" ''
done
same "features to do without" "$(offered "$MCRD" --without packet)" packet-gso ''
for feature in $(offered "$MCRD" --without ''); do
  same "mcrd knows the feature $feature" "$("$MCRD" --without "$feature" --version)" "$("$MCRD" --version)" ''
done
same "nothing for a value that only the user knows" "$(offered "$MCRSTAT" --watch '')" '' expected

echo "1..$count"
[ $failed -eq 0 ]
