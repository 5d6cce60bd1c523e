// SPDX-License-Identifier: Apache-2.0
// merge_order: the store of datagrams that are held back until those before them have come or are given up; in it stand
// merge_next() and merge_due_ns(), too.
#ifndef MCR_WIRE_MERGE_ORDER_H
#define MCR_WIRE_MERGE_ORDER_H

#include "wire/merge_state.h"

// d is the first copy of its number, which has the slot s: MERGE_PASSES, or MERGE_HELD until its turn.
enum merge_verdict order_take(struct merge *m, struct line *l, struct slot *s, const struct datagram *d,
                              uint64_t number);

// A number has passed. Where nothing is held, nothing waits for those before it.
void order_pass_by(struct line *l, uint64_t number, uint32_t count);

#endif
