// SPDX-License-Identifier: Apache-2.0
// slice: how the relay shares its core with others, above all with a broker that compiles a table.
#ifndef MCR_RELAY_SLICE_H
#define MCR_RELAY_SLICE_H

// Asks the scheduler for short slices: since Linux 6.12 a process that wakes then goes before one of its core with longer
// ones, and no one gets less in all. Needs no right. Leaves a real-time policy as it is. Before the sandbox, which
// allows no such call.
void slice_ask(void);

#endif
