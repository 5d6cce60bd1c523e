// SPDX-License-Identifier: Apache-2.0
// swap_table: a table and its statistics as they come from the broker, verified and mapped.
#ifndef MCR_RELAY_SWAP_TABLE_H
#define MCR_RELAY_SWAP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/forward.h"

#define SWAP_WHY_MAX 256

struct swap_table {
    void *memory;
    size_t size;
    struct table_view view;
    void *stats_memory;
    size_t stats_size;
    struct forward *forward;
};

// Maps the sealed table and the statistics; the descriptors stay the caller's. NULL with why.
struct swap_table *swap_table_map(int table, int stats, uint64_t now_ns, char why[SWAP_WHY_MAX]);

// NULL is allowed.
void swap_table_free(struct swap_table *t);

// Write why; return false.
bool swap_refuse(char why[SWAP_WHY_MAX], const char *what);
bool swap_refuse_errno(char why[SWAP_WHY_MAX], const char *what);

#endif
