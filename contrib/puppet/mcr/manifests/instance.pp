# SPDX-License-Identifier: Apache-2.0
# One relay of a host: mcr::instance { 'feed-b': rules => [...] } is mcrd@feed-b with /etc/mcr/feed-b.conf.
#
# @param rules    the rules, each key as mcr.conf(5) has it
# @param allow_empty  whether no rules at all may be meant
# @param top      keys beside version and rules, such as instance; stats_file is /run/mcr-NAME/stats
# @param signed   where trust.conf asks for signatures: the source of the file as it was signed, in place of rules and top
# @param signers  the names of the keys, whose signatures lie beside it: SOURCE.NAME.minisig
# @param trial    a reload is on trial for so many seconds: what ran before runs again, by itself, unless it is confirmed;
#                 0: none, or as top or the signed file say
# @param trial_return_on_silence  whether it goes back at once where a rule that relayed falls silent (silence_ms)
# @param verify   a command, for sh, between reload and confirmation, where something is on trial: if it fails, so does
#                 the run, and nothing is confirmed
# @param file     the config file
# @param service  the unit
# @param started_elsewhere  whether something else starts and stops the relay, as keepalived of a pair of hosts does: then
#                 the file is written on each host, nothing is enabled or started, and reloaded only where the relay runs
# @param metrics  whether metrics are written for node_exporter
define mcr::instance (
  Array[Hash]          $rules   = [],
  Boolean              $allow_empty = false,
  Hash                 $top     = {},
  Optional[String]     $signed  = undef,
  Array[String]        $signers = [],
  Integer[0]           $trial   = 0,
  Boolean              $trial_return_on_silence = false,
  Optional[String[1]]  $verify  = undef,
  Pattern[/^\//]        $file    = "/etc/mcr/${title}.conf",
  String               $service = "mcrd@${title}",
  Boolean              $started_elsewhere = false,
  Boolean              $metrics = false,
) {
  # Hiera that finds nothing must not end all that is relayed.
  if $rules.empty and !$allow_empty and !$signed {
    fail("mcr: no rules for ${file}, so nothing would be relayed; to mean it, set allow_empty")
  }

  if $signed and $trial > 0 {
    fail("mcr: trial cannot add to ${file}, which is signed: write it into the file before, and leave trial out")
  }

  # The unit may write there alone.
  $place = $service ? {
    "mcrd@${title}" => { 'stats_file' => "/run/mcr-${title}/stats" },
    default         => {},
  }
  $silence = $trial_return_on_silence ? {
    true    => { 'return_on_silence' => true },
    default => {},
  }
  $tried = $trial ? {
    0       => {},
    default => { 'trial' => { 'seconds' => $trial } + $silence },
  }
  $members = ({ 'version' => 1 } + $place + $tried + $top + { 'rules' => $rules }).map |$key, $v| {
    "${key} = ${mcr::libconfig($v)};\n"
  }

  $quoted = shellquote($file)

  # One that is started elsewhere and does not run takes the file over when it starts.
  [$ensure, $runs] = $started_elsewhere ? {
    true    => [undef, "systemctl is-active --quiet ${shellquote($service)}"],
    default => ['running', undef],
  }

  $stats = "mcrd --print --config ${quoted} | sed -n 's/^stats_file = \"\\(.*\\)\";/\\1/p'"
  $state = "mcrstat --json --stats \"\$(${stats})\" | tr -d ' \\n' | grep -q"
  $on_trial = "${state} '\"state\":\"trial\"'"
  $returned = "${state} '\"state\":\"returned\"'"
  $verified = $verify ? {
    undef   => 'true',
    default => "sh -c ${shellquote($verify)}",
  }
  $unconfirmed = @("END"/L)
    ${file} is not confirmed: the relay goes back by itself to what ran before, if it has not yet. The file stays on the \
    disk, and a stop and start or a boot would begin with it: change it back, or try it once more with mcrd --reload
    |-END

  # Byte by byte what was signed, or what follows from the parameters.
  $text = $signed ? {
    undef   => { 'content' => "# Written by Puppet: changes here are lost.\n${members.join}" },
    default => { 'source' => $signed },
  }

  # Behind the file, because a bad one must leave those of the one that runs where they are.
  $signers.each |$signer| {
    file { "${file}.${signer}.minisig":
      source  => "${signed}.${signer}.minisig",
      owner   => 'root',
      group   => 'mcr',
      mode    => '0640',
      require => File[$file],
      before  => Service[$service],
    }
  }

  include mcr::package

  Class['mcr::package']
  -> file { $file:
    *            => $text,
    owner        => 'root',
    group        => 'mcr',
    mode         => '0640',
    validate_cmd => '/usr/sbin/mcrd --check --config %',
  }
  -> service { $service:
    ensure => $ensure,
    enable => !$started_elsewhere,
  }
  # Also a file that is put back as it was: that ends a refusal, which is watched.
  -> exec { "mcrd --reload --config ${file}":
    path        => ['/usr/sbin', '/usr/bin'],
    refreshonly => true,
    onlyif      => $runs,
    subscribe   => File[$file],
    logoutput   => on_failure,
  }
  # The run that wrote the file may have been refused or interrupted after that. One that has returned from its trial is
  # not tried again each half hour.
  -> exec { "${file} is what runs":
    command   => "mcrd --reload --config ${quoted}",
    # No difference, not in a comment either: the record has the digest of the file on the disk.
    unless    => ["told=\$(mcrd --diff --config ${quoted}) && ! echo \"\$told\" | grep -q 'the files differ'", $returned],
    onlyif    => $runs,
    provider  => shell,
    path      => ['/usr/sbin', '/usr/bin'],
    logoutput => on_failure,
  }
  # Asked of the relay, whoever gave it the trial. Of one that has returned --confirm says why.
  -> exec { "${file} is confirmed":
    command   => "{ { ${returned} || ${verified}; } && mcrd --confirm --config ${quoted}; } ||
      { echo ${shellquote($unconfirmed)} >&2; exit 1; }",
    onlyif    => [$runs, "${on_trial} || ${returned}"].filter |$v| { $v =~ NotUndef },
    provider  => shell,
    path      => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    timeout   => max(300, $trial),
    logoutput => on_failure,
  }

  if $metrics {
    service { "mcr-metrics${service.regsubst('^mcrd|[.]service$', '', 'G')}.timer":
      ensure  => running,
      enable  => true,
      require => Service[$service],
    }
  }
}
