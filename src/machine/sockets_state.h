// SPDX-License-Identifier: Apache-2.0
// sockets_state: what is open. Private to sockets.c (loads) and sockets_keep.c (what outlives the process).
#ifndef MCR_MACHINE_SOCKETS_STATE_H
#define MCR_MACHINE_SOCKETS_STATE_H

#include "common/service.h"
#include "machine/ring_pool.h"
#include "machine/sockets.h"

// If the relay keeps this number of unused transmit rings mapped, no other one is made.
#define TX_RINGS_WITHHELD_MAX 8

struct sockets {
    const struct machine *machine;
    struct registry registry;
    struct ring_pool pool;
    int withheld[TABLE_INTERFACES_MAX + TX_RINGS_WITHHELD_MAX]; // transmit rings
    size_t n_withheld;
    struct memberships memberships;
    // Sockets of the mcrd before that are only held, until this one's first table is in force.
    int held[SERVICE_FDS_MAX];
    size_t n_held;
    unsigned without;
    // Indexes that another interface has got while sockets of the old one were open.
    uint32_t gone[3 * TABLE_INTERFACES_MAX]; // an interface has at most a ring, a FRAME socket and a transmit ring
    size_t n_gone;
};

#endif
