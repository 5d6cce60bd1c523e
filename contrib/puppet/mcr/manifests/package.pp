# SPDX-License-Identifier: Apache-2.0
# The package, once for all relays of a host.
class mcr::package {
  package { 'mcr':
    ensure => installed,
  }
}
