# SPDX-License-Identifier: Apache-2.0
# Bash completion of mcrd, mcrstat and mcrgen. What may stand there is asked of the program's --help.

# Fills COMPREPLY. $1: the program as typed, $2: the word so far, $3: the word before it.
_mcr() {
  local help values word before=$3 used=" ${COMP_WORDS[*]:1:COMP_CWORD-1} "
  COMPREPLY=()
  if [[ ${1##*/} == mcrgen && $COMP_CWORD -eq 1 ]]; then
    mapfile -t COMPREPLY < <(compgen -W 'send recv --help --version' -- "$2")
    return
  fi
  if [[ ${1##*/} == mcrgen ]]; then
    [[ ${COMP_WORDS[1]} == @(send|recv) ]] || return
    help=$("$1" "${COMP_WORDS[1]}" --help 2>/dev/null)
  else
    help=$("$1" --help 2>/dev/null)
  fi
  # "-c" is an option as its long name is.
  if [[ $3 == -[A-Za-z] ]]; then
    before=$(sed -n "s/^ *$3, \(--[a-z-]*\).*/\1/p" <<<"$help")
  fi
  # Several files may stand behind these, without an option each.
  if [[ ${1##*/} == mcrd && $2 != -* && $used == *@(' --check '|' -t '|' --graph ')* && $before == @(--check|--graph|[!-]*) ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$2")
    return
  fi
  case $before in
    --against | --config | --stats | --replay | --out | --lost-file | --from)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$2")
      return
      ;;
    --interface)
      values=$(ls /sys/class/net 2>/dev/null)
      ;;
    --sandbox)
      values='enforce log off list'
      ;;
    --without)
      # What is wrong is answered with what is right.
      values=$("$1" --without '?' 2>&1 | sed -n 's/.*known are \(.*\); .*/\1/p' | tr -d ,)
      ;;
    --role)
      values='host upstream downstream'
      ;;
    --*)
      # A value that only the user knows, or else another option.
      if grep -qE -e "^ *(-[A-Za-z], )?$before [A-Z]" <<<"$help"; then return; fi
      ;;
  esac
  if [[ -z $values ]]; then
    for word in $(grep -oE -e '(^|[^-a-zA-Z0-9])--[a-z][a-z0-9-]*' <<<"$help" | sed 's/^[^-]//' | sort -u); do
      # Several captures and files are given with an option each.
      if [[ $used != *" $word "* || ($used == *' --replay '* && $word == --@(replay|interface)) ||
        ($used == *' --'@(check|firewall|graph)' '* && $word == --@(against|config)) ]]; then
        values+=" $word"
      fi
    done
  fi
  mapfile -t COMPREPLY < <(compgen -W "$values" -- "$2")
}

complete -F _mcr mcrd mcrstat mcrgen
