// SPDX-License-Identifier: Apache-2.0
// unmatched: the destinations that no rule takes, each with its count, and the nearest rules.
#ifndef MCR_COMMAND_UNMATCHED_H
#define MCR_COMMAND_UNMATCHED_H

#include "config/model.h"
#include "table/view.h"

struct json_t;

struct unmatched;

#define UNMATCHED_MAX    65536 // destinations that are counted each; the memory is taken at the start
#define UNMATCHED_LISTED 20

// NULL when there is no memory.
struct unmatched *unmatched_new(void);
void unmatched_free(struct unmatched *u);

// Counts a packet. The key's interface is its index in the table.
void unmatched_count(struct unmatched *u, const struct table_key *key);

// The most frequent ones, as an array of {"interface" where there are several, "destination", "port", "vlan" where
// tagged, "packets", "nearest"}, with nearest_find()'s answers for this interface. Appends to notes what the array
// leaves out. The end of u: it is sorted.
struct json_t *unmatched_tree(struct unmatched *u, const struct config *config, const struct table_view *table,
                              bool several, struct json_t *notes);

#endif
