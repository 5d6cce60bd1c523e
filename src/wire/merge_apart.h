// SPDX-License-Identifier: Apache-2.0
// merge_apart: whether the legs of a merge bring two streams, by what has come lately. Pure.
#ifndef MCR_WIRE_MERGE_APART_H
#define MCR_WIRE_MERGE_APART_H

#include <stdint.h>

struct merge;

#define MERGE_APART_NS    UINT64_C(5000000000) // a leg brings a line as long as its last datagram is no older than this
#define MERGE_APART_FIRST 1000                 // first copies by a leg of each line before the legs are two streams

// Judges anew: sets counters.two_streams once the two lines have been brought by different legs, and by such a leg
// MERGE_APART_FIRST times each; takes it back when something came and that is no longer so. now_ns: as of merge_look().
void apart_look(struct merge *m, uint64_t now_ns);

// Takes over what the merge before knows of its legs; the counters have been carried. leg_map: as of merge_carry().
void apart_carry(struct merge *m, const struct merge *from, const uint8_t *leg_map);

#endif
