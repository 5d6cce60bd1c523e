// SPDX-License-Identifier: Apache-2.0
// flow: what a config lets pass, as boxes of addresses and ports, for a packet filter that knows sets. Pure.
#ifndef MCR_FIREWALL_FLOW_H
#define MCR_FIREWALL_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "firewall/ruleset.h"

// All of them, and those with prefixes or ranges, which nftables keeps in a slower kind of set: 65536 of these take it
// about 40 s to load (Linux 6.18), as many of the others less than one.
#define FLOWS_MAX        (1u << 20)
#define FLOWS_RANGED_MAX (1u << 16)

struct flow_end {
    struct addr_prefix address; // 0 bits: any
    uint16_t first, last;       // ports; 0 and 65535: any
};

struct flow {
    const char *rule;         // its name; the config's
    const char *interface;    // of the mcr host; the config's
    uint16_t vlan;            // 0: no tag
    bool broadcast;           // to the link's broadcast address, whatever the destination is
    bool fragment;            // later fragments of datagrams, which have no ports
    bool fragmented;          // its datagrams may need more than one packet
    unsigned shape;           // which of the fields below it says something of
    uint32_t layer;           // flows of one layer do not overlap
    struct flow_end from, to; // of one family
};

// Bits of a shape, in the order in which the fields are written. FLOW_RANGED: one of them is a prefix or a range.
enum { FLOW_SOURCE = 1, FLOW_SOURCE_PORT = 2, FLOW_DESTINATION = 4, FLOW_PORT = 8, FLOW_RANGED = 16 };

struct flows {
    char *why;         // the caller's, FIREWALL_WHY_MAX bytes: what went wrong
    struct flow *list; // freed by the caller
    size_t n, room;
};

// Those of the enabled rules. Outputs are left out of rules on trial, which send nothing.
enum flows_kind {
    FLOWS_IN,           // inputs, from anyone, without later fragments
    FLOWS_IN_BY_SENDER, // inputs, from the senders that they name or from anyone
    FLOWS_OUT,          // outputs
    FLOWS_OUT_BY_STACK, // outputs that the kernel's IP stack may send
};

// Collects flows into `flows`, zeroed but for why: those of one set side by side (flows_set_end()), and equal ones
// (flow_equal()) beside each other within it. The order depends on what they are, not on that of the rules, except
// among equals. False with why: too many, or out of memory.
bool flows_collect(struct flows *flows, const struct config *c, enum flows_kind kind);

// The index behind the last flow of the set that begins at i: those of one interface, tag, family and shape that do
// not overlap.
size_t flows_set_end(const struct flows *flows, size_t i);

// Whether the two let the same pass, for whatever rules.
bool flow_equal(const struct flow *a, const struct flow *b);

#endif
