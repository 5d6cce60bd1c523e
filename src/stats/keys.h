// SPDX-License-Identifier: Apache-2.0
// keys: what the keys of a live view have asked for so far. Pure.
#ifndef MCR_STATS_KEYS_H
#define MCR_STATS_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "stats/order.h"

#define KEYS_FILTER_MAX 64

struct keys {
    bool quit, paused, help;
    bool typing; // the filter
    enum stats_sort sort;
    char filter[KEYS_FILTER_MAX];
    int scroll; // lines above the screen, 0 or more
    int page;   // lines of the screen, set by the caller
};

// Takes n bytes as a terminal sends them. Anything unknown is nothing.
void keys_take(struct keys *k, const char *bytes, size_t n);

// The help, lines separated by newlines.
extern const char keys_help[];

#endif
