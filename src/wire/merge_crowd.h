// SPDX-License-Identifier: Apache-2.0
// merge_crowd: datagrams of sessions without a line, their copies, and how such a session comes to a line.
#ifndef MCR_WIRE_MERGE_CROWD_H
#define MCR_WIRE_MERGE_CROWD_H

#include "wire/merge_state.h"

// The datagram of the crowd that d is a copy of; NULL: none.
struct recent_entry *crowd_find(const struct merge *m, const struct datagram *d);

// A datagram that belongs to no line passes, unless a copy of it is in the crowd.
enum merge_verdict crowd_take(struct merge *m, const struct datagram *d);

// A line for a datagram that belongs to none: the very first, or that of a session that has shown two numbers in order.
// NULL: it has none yet.
struct line *crowd_line(struct merge *m, const struct datagram *d);

#endif
