# SPDX-License-Identifier: Apache-2.0
# The multicast relay of a host: its package, its one file, its service. A file that mcrd refuses is never written; one that
# is written is taken over without a restart, or the run fails with the reason and the rules before it go on. A further
# relay on the host is an mcr::instance.
#
# @param rules    the rules, each key as mcr.conf(5) has it
# @param allow_empty  whether no rules at all may be meant
# @param top      keys beside version and rules, such as instance
# @param signed   where trust.conf asks for signatures: the source of the file as it was signed, in place of rules and top
# @param signers  the names of the keys, whose signatures lie beside it: SOURCE.NAME.minisig
# @param trial    a reload is on trial for so many seconds: what ran before runs again, by itself, unless it is confirmed;
#                 0: none, or as top or the signed file say
# @param trial_return_on_silence  whether it goes back at once where a rule that relayed falls silent (silence_ms)
# @param verify   a command, for sh, between reload and confirmation, where something is on trial: if it fails, so does
#                 the run, and nothing is confirmed
# @param file     the config file
# @param service  the unit
# @param started_elsewhere  whether something else starts and stops the relay, as keepalived of a pair of hosts does
# @param metrics  whether metrics are written for node_exporter
class mcr (
  Array[Hash]          $rules   = [],
  Boolean              $allow_empty = false,
  Hash                 $top     = {},
  Optional[String]     $signed  = undef,
  Array[String]        $signers = [],
  Integer[0]           $trial   = 0,
  Boolean              $trial_return_on_silence = false,
  Optional[String[1]]  $verify  = undef,
  Pattern[/^\//]        $file    = '/etc/mcr/mcr.conf',
  String               $service = 'mcrd',
  Boolean              $started_elsewhere = false,
  Boolean              $metrics = false,
) {
  mcr::instance { 'mcr':
    rules             => $rules,
    allow_empty       => $allow_empty,
    top               => $top,
    signed            => $signed,
    signers           => $signers,
    trial             => $trial,
    trial_return_on_silence => $trial_return_on_silence,
    verify            => $verify,
    file              => $file,
    service           => $service,
    started_elsewhere => $started_elsewhere,
    metrics           => $metrics,
  }
}
