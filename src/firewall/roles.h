// SPDX-License-Identifier: Apache-2.0
// roles: the tables of each role, written from flows that were collected.
#ifndef MCR_FIREWALL_ROLES_H
#define MCR_FIREWALL_ROLES_H

#include <stdio.h>

#include "firewall/flow.h"
#include "firewall/ruleset.h"

// How rules use an interface of the mcr host, and which protocols it needs besides the flows.
enum {
    INTERFACE_NAMED = 1, // by the file, be it in a disabled rule only
    INTERFACE_USED = 2,  // by an enabled rule
    INTERFACE_NEEDS_IGMP = 4,
    INTERFACE_NEEDS_MLD = 8,
    INTERFACE_NEEDS_ARP = 16,
    INTERFACE_NEEDS_ND = 32,
};

struct interfaces {
    struct interface_use {
        const char *name;                                     // the config's
        unsigned in, out;                                     // as input, as output
    } list[2 * CONFIG_INTERFACES_MAX * FIREWALL_CONFIGS_MAX]; // by name
    size_t n;
    unsigned uses; // of any of them
};

// What IP needs besides the flows: memberships, and who has which address.
#define ROLES_IGMP_QUERIES "igmp type membership-query counter accept"
#define ROLES_IGMP_REPORTS                                                                                             \
    "igmp type { membership-report-v1, membership-report-v2, membership-report-v3, leave-group } counter accept"
#define ROLES_MLD_QUERIES "icmpv6 type mld-listener-query counter accept"
#define ROLES_MLD_REPORTS "icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } counter accept"
#define ROLES_NEIGHBOURS  "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } counter accept"
#define ROLES_ARP         "arp operation { request, reply } counter accept"

// Ends a chain whose policy is to drop.
#define ROLES_REST "\t\tcounter comment \"everything else\"\n\t}\n"

// in: FLOWS_IN. out: FLOWS_OUT_BY_STACK. frames: FLOWS_OUT.
void host_write(const struct flows *in, const struct flows *out, const struct flows *frames,
                const struct interfaces *all, FILE *to);

// flows: FLOWS_IN_BY_SENDER (upstream) or FLOWS_OUT.
void edge_write(enum firewall_role role, const struct flows *flows, const struct interfaces *all, FILE *to);

#endif
