// SPDX-License-Identifier: Apache-2.0
// flow: what a config lets pass, as boxes of addresses and ports, for a packet filter that knows sets. Pure.
#ifndef MCR_FIREWALL_FLOW_H
#define MCR_FIREWALL_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "firewall/ruleset.h"

// The most flows of a config, and the most on one interface that have a prefix or a range: nftables keeps these in a
// slower kind of set. It takes about 40 s to load 65536 of them (Linux 6.18), and less than one second for as many
// plain ones.
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
    bool broadcast;           // matched by the station ff:ff:ff:ff:ff:ff, not by its address
    bool fragment;            // later fragments of datagrams, which have no ports
    bool fragmented;          // its datagrams may need more than one packet
    unsigned shape;           // which fields of from and to are given: bits below
    uint32_t layer;           // flows of one layer do not overlap
    struct flow_end from, to; // of one family
};

// Bits of a shape, in the order in which nftables gets the fields. FLOW_RANGED: some field is a prefix or a range.
enum { FLOW_SOURCE = 1, FLOW_SOURCE_PORT = 2, FLOW_DESTINATION = 4, FLOW_PORT = 8, FLOW_RANGED = 16 };

struct flows {
    char *why;         // the caller's, FIREWALL_WHY_MAX bytes: what went wrong
    struct flow *list; // freed by the caller
    size_t n, room;
};

// Which flows of the enabled rules are collected. A rule on trial (shadow) sends nothing, so it has no outputs here.
enum flows_kind {
    FLOWS_IN,           // inputs, from anyone, without later fragments
    FLOWS_IN_BY_SENDER, // inputs, from the senders that they name or from anyone
    FLOWS_OUT,          // outputs
    FLOWS_OUT_BY_STACK, // outputs that the kernel's IP stack may send
};

// Collects the flows of this kind of n configs into `flows`, which the caller has zeroed except for why. The flows of
// one set lie side by side (flows_set_end()), equal ones (flow_equal()) beside each other within it. The order of the
// rules in the file makes no difference. False, with why: too many flows, or out of memory.
bool flows_collect(struct flows *flows, const struct config *const *configs, size_t n, enum flows_kind kind);

// The index behind the last flow of the set that begins at i. A set has one interface, tag, family and shape, and no
// two of its flows overlap.
size_t flows_set_end(const struct flows *flows, size_t i);

// Whether the two let the same datagrams pass, whichever rules they are from.
bool flow_equal(const struct flow *a, const struct flow *b);

#endif
