// SPDX-License-Identifier: Apache-2.0
// order: which rules of a snapshot are shown, and in which order. Pure.
#ifndef MCR_STATS_ORDER_H
#define MCR_STATS_ORDER_H

#include "stats/delta.h"

#define STATS_SORTS(X)                                                                                                 \
    X(FILE, "as in the file")                                                                                          \
    X(RATE, "by rate")                                                                                                 \
    X(DROPS, "by drops")                                                                                               \
    X(NAME, "by name")

#define STATS_SORT_ENUM(NAME, text) STATS_SORT_##NAME,
enum stats_sort { STATS_SORTS(STATS_SORT_ENUM) STATS_SORT_KINDS };

// Puts into rules, which has room for all of them, the indices of those whose name, note or an output contains filter
// (without regard to case; "": all), the most first where it is by rate or drops: those since the snapshot before, or
// without one (d is NULL) all. Returns how many.
uint32_t stats_order(const struct stats_snapshot *now, const struct stats_delta *d, enum stats_sort sort,
                     const char *filter, uint32_t *rules);

#endif
