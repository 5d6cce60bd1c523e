// SPDX-License-Identifier: Apache-2.0
// view: a table in memory, verified once and then read without checks. Pure: no system call, no allocation.
#ifndef MCR_TABLE_VIEW_H
#define MCR_TABLE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table/layout.h"

struct table_view {
    const struct table_header *header;
    const struct table_interface *interfaces;
    const struct table_rule *rules;
    const struct table_path *paths;
    const struct table_output *outputs;
    const struct table_egress *egress;
    const struct addr_prefix *sources;
    const struct addr *own;
    const uint64_t *holds;
    const struct table_destination *destinations;
    const struct table_slot *slots;
    uint32_t n_interfaces, n_rules, n_paths, n_outputs, n_counters, n_egress, n_sources, n_own, n_holds, n_destinations,
        n_slots;
};

// What a datagram is matched by.
struct table_key {
    struct addr destination;
    uint16_t port; // host order
    uint16_t vlan; // 0: untagged
    uint32_t interface;
};

// Checks every offset, count, index and string of the size bytes at memory, which stay the caller's and must not
// change while the view is used. False, with *why a static text, when anything is out of bounds.
bool table_attach(struct table_view *view, const void *memory, size_t size, const char **why);

// The path for this key, or NULL.
const struct table_path *table_lookup(const struct table_view *view, const struct table_key *key);

// The hash that the index is built with.
uint32_t table_hash(const struct table_key *key);

#define TABLE_OUTPUT_TEXT_MAX 96

// "INTERFACE ADDRESS:PORT" of an output of a rule's first path, of a range as prefix and ports, and " vlan N" behind it
// where it is tagged; returns text.
const char *table_output_text(const struct table_view *t, const struct table_output *o,
                              char text[TABLE_OUTPUT_TEXT_MAX]);

#endif
