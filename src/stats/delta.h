// SPDX-License-Identifier: Apache-2.0
// delta: what happened between two snapshots, found by name, so that a reload between them does no harm. Pure.
#ifndef MCR_STATS_DELTA_H
#define MCR_STATS_DELTA_H

#include "stats/reader.h"

// For each record of now, the one before, or NULL: it is new. The snapshot before stays the caller's and must outlive
// it.
struct stats_delta {
    double seconds; // between the two snapshots, more than 0
    const struct stats_interface **interfaces;
    const struct stats_rule **rules;
    const struct stats_output **outputs;
};

// False when nothing can be said: no time between them, another daemon, or no memory. Otherwise stats_delta_free()
// gives its memory back.
bool stats_delta_make(struct stats_delta *d, const struct stats_snapshot *now, const struct stats_snapshot *before);
void stats_delta_free(struct stats_delta *d);

// How much a second; 0 where the counter began anew.
double stats_delta_rate(const struct stats_delta *d, uint64_t now, uint64_t before);

#endif
