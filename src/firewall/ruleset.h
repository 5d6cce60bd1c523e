// SPDX-License-Identifier: Apache-2.0
// ruleset: nftables rules for exactly the flows of a config, for the mcr host and the firewalls on either side of it.
#ifndef MCR_FIREWALL_RULESET_H
#define MCR_FIREWALL_RULESET_H

#include <stdbool.h>
#include <stdio.h>

#include "config/model.h"

enum firewall_role {
    FIREWALL_HOST,       // the mcr host itself
    FIREWALL_UPSTREAM,   // between the source zone and the mcr host
    FIREWALL_DOWNSTREAM, // between the mcr host and the destination zone
};

#define FIREWALL_WHY_MAX     160
#define FIREWALL_CONFIGS_MAX 16 // of one host

// The role that has this name ("host", "upstream", "downstream"); false when there is none.
bool firewall_parse_role(const char *name, unsigned *role);

// Writes a file for nft(8), which replaces what an earlier one has loaded: that of n configs of one host, each of which
// has been checked. The same configs give the same text. False,
// with nothing written and the reason in why, when there are more flows than a packet filter can hold, or out of
// memory; whether all was written, ferror(3) tells.
bool firewall_write(const struct config *const *configs, size_t n, enum firewall_role role, FILE *to,
                    char why[FIREWALL_WHY_MAX]);

#endif
