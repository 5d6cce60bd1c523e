// SPDX-License-Identifier: Apache-2.0
// pace: when the next datagrams are to be sent, by absolute time, so that no error adds up. Pure.
#ifndef MCR_GEN_PACE_H
#define MCR_GEN_PACE_H

#include <stdint.h>

// What is due within this time leaves together when the rate is high: one wake-up and one system call for
// all.
#define PACE_GROUP_NS 50000

// After a stall, what was missed is made up for at no more than twice the rate; what was missed longer ago
// than this is given up, and the rest of the schedule moves.
#define PACE_LAG_NS 100000000

struct pace {
    uint64_t rate;        // a second; 0: no pacing
    uint64_t start_ns;    // when number 0 is due
    uint64_t done;        // numbers handed out
    uint64_t not_before;  // the bound of catching up
    uint64_t given_up_ns; // by how much the schedule was moved
    uint64_t group;       // numbers handed out at once
    uint64_t unit;        // always whole multiples of this, but at the end
};

// rate is at most 100,000,000. most bounds a group.
void pace_init(struct pace *p, uint64_t rate, uint64_t unit, uint64_t most, uint64_t now_ns);

// How many may be sent now, at most `most`, which must be a multiple of the unit or all that are left. When
// 0, *wait_ns is when to ask again.
uint64_t pace_take(struct pace *p, uint64_t most, uint64_t now_ns, uint64_t *wait_ns);

#endif
