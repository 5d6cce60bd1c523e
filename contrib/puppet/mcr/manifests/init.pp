# SPDX-License-Identifier: Apache-2.0
# The multicast relay: its package, its one file, its service. A file that mcrd refuses is never written; one that is
# written is taken over without a restart, or the run fails with the reason and the rules before it go on.
#
# @param rules    the rules, each key as mcr.conf(5) has it
# @param top      keys beside version and rules, such as instance
# @param file     the config file
# @param service  mcrd@NAME for NAME.conf
# @param metrics  whether metrics are written for node_exporter
class mcr (
  Array[Hash]          $rules   = [],
  Hash                 $top     = {},
  Pattern[/^\//]        $file    = '/etc/mcr/mcr.conf',
  String               $service = 'mcrd',
  Boolean              $metrics = false,
) {
  $members = ({ 'version' => 1 } + $top + { 'rules' => $rules }).map |$key, $v| { "${key} = ${mcr::libconfig($v)};\n" }

  $quoted = shellquote($file)

  package { 'mcr':
    ensure => installed,
  }
  -> file { $file:
    content      => "# Written by Puppet: changes here are lost.\n${members.join}",
    owner        => 'root',
    group        => 'mcr',
    mode         => '0640',
    validate_cmd => '/usr/sbin/mcrd --check --config %',
  }
  -> service { $service:
    ensure => running,
    enable => true,
  }
  # Also a file that is put back as it was: that ends a refusal, which is watched.
  -> exec { "mcrd --reload --config ${file}":
    path        => ['/usr/sbin', '/usr/bin'],
    refreshonly => true,
    subscribe   => File[$file],
    logoutput   => on_failure,
  }
  # The run that wrote the file may have been refused or interrupted after that.
  -> exec { "${file} is what runs":
    command   => "mcrd --reload --config ${quoted}",
    unless    => "test \"\$(mcrd --diff --config ${quoted})\" = 'no difference'",
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
