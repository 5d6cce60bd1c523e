// SPDX-License-Identifier: Apache-2.0
// compare: what taking over another config would change, and what that means for the traffic that flows. Pure.
#ifndef MCR_CONFIG_COMPARE_H
#define MCR_CONFIG_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/model.h"

struct json_t;

enum diff_effect {
    DIFF_HARMLESS, // traffic is not disturbed
    DIFF_DISTURBS, // some datagrams that flow now stop, change or go elsewhere, or may be lost at the change
    DIFF_RESTART,  // a reload cannot do it, and is refused
};

#define DIFF_PATH_MAX 64 // paths of the schema are shorter

// One value that differs. Rules, outputs and sources have no order: moving them changes nothing.
struct diff_field {
    // "max_payload", "input.port", "outputs[1].ttl"; the index is that in the new file, of an output that goes ("to" is
    // NULL) that in the old one.
    char path[DIFF_PATH_MAX];
    struct json_t *from, *to; // as config_value_tree() makes them; NULL: not given, or not an element of the list
    enum diff_effect effect;
};

enum diff_kind { DIFF_ADDED, DIFF_REMOVED, DIFF_CHANGED };

struct diff_rule {
    enum diff_kind kind;
    const struct config_rule *from, *to; // in the configs; NULL: added, removed
    struct diff_field *fields;           // of a changed rule, in the order of the schema
    size_t n_fields;
    bool disturbs;
};

struct diff {
    struct diff_field *top; // what is not in a rule
    size_t n_top;
    struct diff_rule *rules; // those added and then those removed, in the order of their files, then those changed
    size_t n_rules, n_added, n_removed, n_changed;
    bool disturbs;
    bool needs_restart;
};

// Compares what a running config `from` and another say; a zeroed one says nothing. Both stay the caller's, and must
// outlive d, which is given back with diff_free(). Takes O(n log n) for n rules. False when out of memory: d is empty.
bool diff_make(struct diff *d, const struct config *from, const struct config *to);

void diff_free(struct diff *d);

// Whether they say the same.
bool diff_is_empty(const struct diff *d);

#endif
