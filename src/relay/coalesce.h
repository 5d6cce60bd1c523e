// SPDX-License-Identifier: Apache-2.0
// coalesce: how long the relay may wait between two passes so that datagrams gather into batches. Pure.
#ifndef MCR_RELAY_COALESCE_H
#define MCR_RELAY_COALESCE_H

#include <stdint.h>

// Below so many frames a second each leaves at once: a wait would gather too few to be worth its latency.
#define PACE_FROM 100000
// So many frames of each flow are waited for at most: they make a batch that is near to the least cost of each.
#define PACE_GATHER 48

struct coalesce {
    uint64_t since_ns; // when the present measurement began
    uint64_t frames;   // taken since
    uint64_t batches;  // that they made at least: one of each flow in a turn
    uint64_t turns;    // that took any
    uint64_t rate;     // frames a second, as last measured
    uint64_t gather;   // frames to wait for, as last measured
};

// Counts the frames of one turn of the loop, at its end, and of how many flows they were, and returns for how many
// nanoseconds to wait before the next: nothing at low rates, never more than `most`.
uint64_t coalesce_turn(struct coalesce *p, uint64_t frames, uint64_t flows, uint64_t most_ns, uint64_t now_ns);

#endif
