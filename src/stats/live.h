// SPDX-License-Identifier: Apache-2.0
// live: what the keys of a live view have asked for so far, and the rules that it shows for that. Pure.
#ifndef MCR_STATS_LIVE_H
#define MCR_STATS_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "stats/delta.h"

#define LIVE_FILTER_MAX 64

enum live_sort { LIVE_SORT_FILE, LIVE_SORT_RATE, LIVE_SORT_DROPS, LIVE_SORT_NAME, LIVE_SORT_KINDS };

struct live {
    bool quit, paused, help;
    bool typing; // the filter
    enum live_sort sort;
    char filter[LIVE_FILTER_MAX];
    int scroll; // lines above the screen, 0 or more
    int page;   // lines of the screen, set by the caller
};

// The help for the keys, lines separated by newlines.
extern const char live_help[];

// Takes n bytes as a terminal sends them. Anything unknown is nothing.
void live_keys(struct live *l, const char *bytes, size_t n);

// Puts into rules, which has room for all of them, the indices of those whose name, note or an output contains the
// filter (without regard to case; "": all), the most first where it is by rate or drops: those since the snapshot
// before, or without one (d is NULL) all. Returns how many.
uint32_t live_rules(const struct live *l, const struct stats_snapshot *now, const struct stats_delta *d,
                    uint32_t *rules);

#endif
