// SPDX-License-Identifier: Apache-2.0
// flow: what a config lets pass, as boxes of addresses and ports, for a packet filter that knows sets. Pure.
#ifndef MCR_FIREWALL_FLOW_H
#define MCR_FIREWALL_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "config/model.h"

// All of them, and those with prefixes or ranges, which nftables keeps in a slower kind of set: 65536 of these take it
// about 40 s to load (Linux 6.18), as many of the others less than one.
#define FLOWS_MAX        (1u << 20)
#define FLOWS_RANGED_MAX (1u << 16)

struct flow_ports {
    uint16_t first, last; // 0 and 65535: any
};

struct flow {
    const char *rule;                       // its name; the config's
    const char *interface;                  // of the mcr host; the config's
    uint16_t vlan;                          // 0: no tag
    bool broadcast;                         // to the link's broadcast address, whatever the destination is
    bool fragment;                          // later fragments of datagrams, which have no ports
    bool fragmented;                        // its datagrams may need more than one packet
    uint32_t layer;                         // flows of one layer do not overlap
    struct addr_prefix source, destination; // of one family; 0 bits: any
    struct flow_ports source_port, port;
};

// Zero-initialised by the caller, freed with flows_free().
struct flows {
    struct flow *list;
    size_t n, room;
    char why[160]; // what went wrong
};

// Which of the fields a flow says something of, in the order in which they are written.
enum { FLOW_SOURCE = 1, FLOW_SOURCE_PORT = 2, FLOW_DESTINATION = 4, FLOW_PORT = 8, FLOW_RANGED = 16 };

// Their sum for a flow; FLOW_RANGED: one of them is a prefix or a range.
unsigned flow_shape(const struct flow *f);

// The inputs of the enabled rules, from the senders that they name or from anyone. False, with the reason in why: too
// many, or out of memory.
bool flows_add_inputs(struct flows *flows, const struct config *c, bool senders);

// The outputs that are wanted of the enabled rules, but for those on trial, which send nothing. The same.
bool flows_add_outputs(struct flows *flows, const struct config *c, bool (*wanted)(const struct config_output *o));

// For each flow that may need it, one for later fragments, by its addresses; not for broadcasts that are known by no
// address. The same.
bool flows_add_fragments(struct flows *flows);

// Puts flows of one set side by side (flows_set_end()) and equal ones (flow_equal()) beside each other within it.
// The order depends on what they are, not on that of the rules, except among equals. The same.
bool flows_settle(struct flows *flows);

// The index behind the last flow of the set that begins at i: those of one interface, tag, family and shape that do
// not overlap.
size_t flows_set_end(const struct flows *flows, size_t i);

// Whether the two let the same pass, for whatever rules.
bool flow_equal(const struct flow *a, const struct flow *b);

void flows_free(struct flows *flows);

#endif
