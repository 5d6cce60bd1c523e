// SPDX-License-Identifier: Apache-2.0
// delta: what happened between two snapshots, found by name, so that a reload between them does no harm. Pure.
#ifndef MCR_STATS_DELTA_H
#define MCR_STATS_DELTA_H

#include "stats/reader.h"

#define STATS_DELTA_NEW UINT32_MAX // has no counterpart in the snapshot before

// Both snapshots stay the caller's and must outlive it.
struct stats_delta {
    const struct stats_snapshot *before;
    double seconds;                         // between them, more than 0
    uint32_t *interfaces, *rules, *outputs; // for each record of now, its index in before, or STATS_DELTA_NEW
};

// False when nothing can be said: no time between them, another daemon, or no memory.
bool stats_delta_make(struct stats_delta *d, const struct stats_snapshot *now, const struct stats_snapshot *before);
void stats_delta_free(struct stats_delta *d);

// How much a second; 0 where the counter began anew.
double stats_delta_rate(const struct stats_delta *d, uint64_t now, uint64_t before);

#endif
