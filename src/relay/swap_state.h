// SPDX-License-Identifier: Apache-2.0
// swap_state: private to swap.c (what comes and what goes) and swap_change.c (the change of tables).
#ifndef MCR_RELAY_SWAP_STATE_H
#define MCR_RELAY_SWAP_STATE_H

#include "relay/swap.h"

// Sets s->why, unless an earlier reason is there. Always returns false.
bool __attribute__((format(printf, 2, 3))) swap_refuse(struct swap *s, const char *format, ...);

// f may be NULL.
bool swap_names_ring(const struct forward *f, uint64_t id);

// Returns the ring, which may rest, or NULL.
struct ingress *swap_find_ring(const struct swap *s, uint64_t id);

// Maps and verifies a table with its statistics and state, and opens what it needs. Returns NULL with s->why.
struct forward *swap_prepare(struct swap *s, const int offered[HANDOVER_PLAIN], uint64_t now_ns);

// Closes every ring and socket that neither the table in force nor the one to go back to names.
void swap_close_unnamed(struct swap *s);

// Closes the descriptors of tables and states that have come.
void swap_close_offer(struct swap *s);

#endif
