# SPDX-License-Identifier: Apache-2.0
# One relay of a host: mcr::instance { 'feed-b': rules => [...] } is mcrd@feed-b with /etc/mcr/feed-b.conf.
#
# @param rules    the rules, each key as mcr.conf(5) has it
# @param allow_empty  whether no rules at all may be meant
# @param top      keys beside version and rules, such as instance; stats_file is /run/mcr-NAME/stats
# @param signed   where trust.conf asks for signatures: the source of the file as it was signed, in place of rules and top
# @param signers  the names of the keys, whose signatures lie beside it: SOURCE.NAME.minisig
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
  Pattern[/^\//]        $file    = "/etc/mcr/${title}.conf",
  String               $service = "mcrd@${title}",
  Boolean              $started_elsewhere = false,
  Boolean              $metrics = false,
) {
  # Hiera that finds nothing must not end all that is relayed.
  if $rules.empty and !$allow_empty and !$signed {
    fail("mcr: no rules for ${file}, so nothing would be relayed; to mean it, set allow_empty")
  }

  # The unit may write there alone.
  $place = $service ? {
    "mcrd@${title}" => { 'stats_file' => "/run/mcr-${title}/stats" },
    default         => {},
  }
  $members = ({ 'version' => 1 } + $place + $top + { 'rules' => $rules }).map |$key, $v| {
    "${key} = ${mcr::libconfig($v)};\n"
  }

  $quoted = shellquote($file)

  # One that is started elsewhere and does not run takes the file over when it starts.
  [$ensure, $runs] = $started_elsewhere ? {
    true    => [undef, "systemctl is-active --quiet ${shellquote($service)}"],
    default => ['running', undef],
  }

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
  # The run that wrote the file may have been refused or interrupted after that.
  -> exec { "${file} is what runs":
    command   => "mcrd --reload --config ${quoted}",
    unless    => "mcrd --diff --config ${quoted}", # 0: no difference
    onlyif    => $runs,
    provider  => shell,
    path      => ['/usr/sbin', '/usr/bin'],
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
