# SPDX-License-Identifier: Apache-2.0
# A value as libconfig writes it: a list of hashes becomes ( ), another list [ ].
function mcr::libconfig($value, String $indent = '') >> String {
  $deeper = "${indent}  "
  case $value {
    Hash: {
      # Keys whose text may be digits alone.
      $members = $value.map |$key, $v| {
        $text = ($key in ['name', 'note', 'leg', 'instance', 'user', 'group', 'interface', 'zone']) and ($v =~ Integer)
        "${deeper}${key} = ${mcr::libconfig($text ? { true => String($v), default => $v }, $deeper)};\n"
      }
      "{\n${members.join}${indent}}"
    }
    Array[Hash, 1]: {
      $groups = $value.map |$v| { "${deeper}${mcr::libconfig($v, $deeper)}" }
      "(\n${groups.join(",\n")}\n${indent})"
    }
    Array[Any, 1]: {
      $values = $value.map |$v| { mcr::libconfig($v, $indent) }
      "[ ${values.join(', ')} ]"
    }
    Array: { '( )' }
    Integer[-2147483648, 2147483647], Float, Boolean: { String($value) }
    Integer: { "${value}L" }
    default: {
      $quoted = String($value).regsubst('(["\\\\])', '\\\\\1', 'G')
      $escaped = $quoted.regsubst("\n", '\\n', 'G').regsubst("\t", '\\t', 'G')
      "\"${escaped}\""
    }
  }
}
