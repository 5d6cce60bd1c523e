// SPDX-License-Identifier: Apache-2.0
// merge_recent: the last datagrams by digest, each with the legs that have brought it. Pure.
//
// A ring, and chains through it by hash. An entry is named by its serial number; what the ring has overwritten ends a
// chain.
#ifndef MCR_WIRE_MERGE_RECENT_H
#define MCR_WIRE_MERGE_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One datagram.
struct recent_entry {
    uint64_t tag; // digest; its low 8 bits are the legs that have brought it
    uint32_t us;
    uint32_t before; // the one before with the same hash
};

struct recent {
    uint32_t size; // a power of two
    uint32_t window_us;
    uint32_t serial;
    uint32_t tail; // the oldest one that is still in the window
    uint32_t *heads;
    struct recent_entry *entries; // size of them, as of heads: the caller's memory, zero
};

// Empties the ring. size, window_us and the memory are set by the caller.
void recent_begin(struct recent *r);

// The oldest datagram of this digest in the window that `leg` has not brought; NULL: none. MERGE_NO_LEG: any leg.
struct recent_entry *recent_find(const struct recent *r, uint64_t tag, uint32_t leg, uint32_t us);

// The entry of a serial number that the ring still has.
struct recent_entry *recent_entry(const struct recent *r, uint32_t serial);

// Adds a datagram that the legs in the tag have brought, over the oldest one if the ring is full.
void recent_put(struct recent *r, uint64_t tag, uint32_t us);

// Adds a datagram that `leg` has brought, over the oldest one if the ring is full.
void recent_add(struct recent *r, uint64_t tag, uint32_t leg, uint32_t us);

// The leg that has brought e; where several have, the lowest one.
uint32_t recent_leg(const struct recent_entry *e);

// Whether the oldest one has left the window at time `us`.
bool recent_is_old(const struct recent *r, uint32_t us);

// Whether recent_add() takes the place of one that has not left.
bool recent_is_full(const struct recent *r);

// Lets the oldest one leave. Returns the mask of the legs that have brought it.
uint8_t recent_leave(struct recent *r);

#endif
