// SPDX-License-Identifier: Apache-2.0
// compare: the changes between two configs, and their effect on present traffic. Pure.
#ifndef MCR_CONFIG_COMPARE_H
#define MCR_CONFIG_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/model.h"

struct json_t;

enum diff_effect {
    DIFF_HARMLESS, // traffic is not disturbed
    DIFF_DISTURBS, // some present datagrams stop, change or go elsewhere, or may be lost during the change
    DIFF_RESTART,  // a reload cannot make the change, and is refused
};

#define DIFF_PATH_MAX 64 // bytes; paths of the schema are shorter

// One value that differs. The order of rules, outputs and sources does not matter, and that
// of legs only where one is active at a time ("inputs": the names of all legs).
struct diff_field {
    // "max_payload", "input.port", "outputs[1].ttl". The index is that of the new file, or, of a removed output (to is
    // NULL), that of the old file.
    char path[DIFF_PATH_MAX];
    struct json_t *from, *to; // from config_value_tree(); NULL: not given, or no element of the list
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
    struct diff_field *top; // changes outside of rules
    size_t n_top;
    struct diff_rule *rules; // added rules, then removed rules, both in the order of their files, then changed rules
    size_t n_rules, n_added, n_removed, n_changed;
    bool disturbs;
    bool needs_restart;
};

// Compares a running config `from` with `to`; a zeroed config is empty. The caller keeps both, which must outlive d,
// and frees d with diff_free(). Takes O(n log n) for n rules. Returns false without memory; d is then empty.
bool diff_make(struct diff *d, const struct config *from, const struct config *to);

void diff_free(struct diff *d);

// Returns whether the configs are the same.
bool diff_is_empty(const struct diff *d);

#endif
