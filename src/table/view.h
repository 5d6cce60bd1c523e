// SPDX-License-Identifier: Apache-2.0
// view: a table in memory, which is verified once and then read without checks. Pure: no system call, no allocation.
#ifndef MCR_TABLE_VIEW_H
#define MCR_TABLE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table/layout.h"

// Each array as a pointer to its elements and their number: rules and n_rules, and so on.
#define TABLE_VIEW_ARRAY(name, type, most)                                                                             \
    const type *name;                                                                                                  \
    uint32_t n_##name;

struct table_view {
    const struct table_header *header;
    TABLE_ARRAYS(TABLE_VIEW_ARRAY)
    uint32_t n_counters;
};

// The fields by which a datagram is looked up.
struct table_key {
    struct addr destination;
    uint16_t port; // host order
    uint16_t vlan; // 0: untagged
    uint32_t interface;
};

static inline bool table_key_matches(const struct table_key *key, const struct table_destination *d)
{
    return d->port == key->port && d->vlan == key->vlan && d->interface == key->interface &&
           addr_equal(&d->address, &key->destination);
}

// The leg by which datagrams come to d.
static inline const struct table_input *table_input_of(const struct table_view *view, const struct table_destination *d)
{
    return &view->inputs[view->rules[view->paths[d->path].rule].first_input + d->leg];
}

// Checks every offset, count, index and string of the size bytes at memory, which stay the caller's and must not
// change while the view is used. False, with *why a static text, when anything is out of bounds.
bool table_attach(struct table_view *view, const void *memory, size_t size, const char **why);

// The destination of this key, or NULL.
const struct table_destination *table_lookup(const struct table_view *view, const struct table_key *key);

// Returns the hash by which the slots are indexed.
uint32_t table_hash(const struct table_key *key);

// Bytes, with the terminating zero.
#define TABLE_INPUT_TEXT_MAX  72
#define TABLE_OUTPUT_TEXT_MAX 96

// "ADDRESS:PORT" of what comes in by it, of a range as prefix and ports; returns text.
const char *table_input_text(const struct table_input *in, char text[TABLE_INPUT_TEXT_MAX]);

// Writes an output of a rule's first path as "INTERFACE ADDRESS:PORT", a range as prefix and ports, and appends " vlan
// N" if it is tagged. Returns text.
const char *table_output_text(const struct table_view *t, const struct table_output *o,
                              char text[TABLE_OUTPUT_TEXT_MAX]);

#endif
