// SPDX-License-Identifier: Apache-2.0
// coalesce: computes how long the relay waits between two passes, so that datagrams gather into batches. Pure.
#ifndef MCR_RELAY_COALESCE_H
#define MCR_RELAY_COALESCE_H

#include <stdint.h>

// Frames a second below which there is no wait: too few would gather to be worth the latency.
#define PACE_FROM 100000
// Frames of each flow to wait for: a larger batch hardly lowers the cost of a frame.
#define PACE_GATHER 48

struct coalesce {
    uint64_t since_ns; // start of the present measurement
    uint64_t frames;   // frames since then
    uint64_t batches;  // smallest number of batches of these frames: one for each flow in a turn
    uint64_t turns;    // turns of the loop that took frames
    uint64_t rate;     // result of the last measurement: frames a second
    uint64_t gather;   // result of the last measurement: frames to wait for
};

// Counts the frames, and their flows, of one turn of the loop, at its end. now_ns: CLOCK_MONOTONIC. Returns the
// nanoseconds to wait before the next turn: 0 at low rates, at most most_ns.
uint64_t coalesce_turn(struct coalesce *p, uint64_t frames, uint64_t flows, uint64_t most_ns, uint64_t now_ns);

#endif
