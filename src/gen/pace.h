// SPDX-License-Identifier: Apache-2.0
// pace: schedules datagrams by absolute time, so that errors do not accumulate. Pure.
#ifndef MCR_GEN_PACE_H
#define MCR_GEN_PACE_H

#include <stdint.h>

// At high rates, datagrams that are due within this time leave together, with one wake-up and one system call.
#define PACE_GROUP_NS 50000

// After a stall, missed datagrams are sent at no more than twice the rate. Those that were due longer ago than this are
// given up, and the rest of the schedule moves by that time.
#define PACE_LAG_NS 100000000

struct pace {
    uint64_t rate;        // datagrams a second; 0: no pacing
    uint64_t start_ns;    // when number 0 is due
    uint64_t done;        // numbers handed out
    uint64_t not_before;  // earliest time of the next group, which limits the rate of catching up
    uint64_t given_up_ns; // time by which the schedule was moved
    uint64_t group;       // numbers handed out at once
    uint64_t unit;        // numbers are handed out in multiples of this, except at the end
};

// rate: datagrams a second, at most 100,000,000; 0: no pacing. most: largest group. now_ns: CLOCK_MONOTONIC.
void pace_init(struct pace *p, uint64_t rate, uint64_t unit, uint64_t most, uint64_t now_ns);

// Returns how many datagrams to send now, at most `most`, which must be a multiple of the unit or all that are left. If
// it returns 0, *wait_ns is when to call it again.
uint64_t pace_take(struct pace *p, uint64_t most, uint64_t now_ns, uint64_t *wait_ns);

#endif
