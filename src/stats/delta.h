// SPDX-License-Identifier: Apache-2.0
// delta: compares two snapshots. It finds records by name, so that a reload between them does no harm. Pure.
#ifndef MCR_STATS_DELTA_H
#define MCR_STATS_DELTA_H

#include "stats/reader.h"

// For each record of now, the one of the snapshot before, or NULL if it is new. That snapshot stays the caller's and
// must outlive the delta.
struct stats_delta {
    double seconds; // between the two snapshots, more than 0
    const struct stats_interface **interfaces;
    const struct stats_rule **rules;
    const struct stats_input **inputs;
    const struct stats_output **outputs;
};

// Returns false if the two cannot be compared: no time between them, another daemon, or no memory. Otherwise the caller
// frees *d with stats_delta_free().
bool stats_delta_make(struct stats_delta *d, const struct stats_snapshot *now, const struct stats_snapshot *before);
void stats_delta_free(struct stats_delta *d);

// Returns how much a counter has grown per second; 0 if it was reset.
double stats_delta_rate(const struct stats_delta *d, uint64_t now, uint64_t before);

#endif
