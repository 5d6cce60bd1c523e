// SPDX-License-Identifier: Apache-2.0
// swap: receives a table and its descriptors from the broker, and puts the whole table in force or none of it.
#ifndef MCR_RELAY_SWAP_H
#define MCR_RELAY_SWAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handover/handover.h"
#include "relay/forward.h"
#include "relay/ingress.h"
#include "relay/mapping.h"

// Everything that the relay has open for its tables.
struct swap {
    struct ev_loop *loop; // watches every ring of the table in force and calls on_readable
    void (*on_readable)(struct ev_loop *loop, ev_io *io, int events);
    struct forward *now;                             // NULL before the first table
    struct forward *back;                            // ready to go back to, while `now` is on trial; else NULL
    int pool[TABLE_RING_SOCKETS_MAX];                // sockets that rings are made of, from SANDBOX_INGRESS_FD up
    struct ingress *rings[TABLE_RING_SOCKETS_MAX];   // of `now`, each on a socket of the pool
    struct ingress *resting[TABLE_RING_SOCKETS_MAX]; // that only `back` uses
    size_t n_pool, n_rings, n_resting;
    struct swap_socket {
        uint64_t id; // the first member, for by_id(); the list is sorted by it
        int fd;
        struct egress *egress; // NULL: only held open
    } * sockets;
    size_t n_sockets;
    // Counters of interfaces whose ring is gone, by name: a new ring continues them.
    struct swap_saved {
        char name[IFNAMSIZ];
        struct stats_interface_counters counters;
    } saved[2 * TABLE_INTERFACES_MAX];
    size_t n_saved;
    // An offer that is not complete yet.
    int offered[HANDOVER_OFFER_FDS]; // -1: none
    uint32_t n_offered;
    uint32_t serial;
    char why[MAPPING_WHY_MAX]; // the first reason why the offer failed; later ones are consequences of it
};

void swap_init(struct swap *s, struct ev_loop *loop, void (*on_readable)(struct ev_loop *, ev_io *, int));

// Takes an OFFER, POOL (with the first table only) or SOCKETS message, in order. It owns the descriptors in any case.
// An invalid message rejects the offer.
void swap_take(struct swap *s, const struct handover_message *m, const int *fds);

// Handles COMMIT: verifies and maps everything, then changes tables at once. Rings that the new table does not name are
// drained, and closed as its other sockets. now_ns: CLOCK_MONOTONIC. Returns false with s->why set: the table in force
// has not changed, and the caller calls swap_reject().
bool swap_commit(struct swap *s, uint64_t now_ns, struct ingress_spill *spill);

// Goes back from a trial (s->back is not NULL), at once and without the broker. An offer that is under way fails.
void swap_return(struct swap *s, uint64_t now_ns, struct ingress_spill *spill);

// Closes what the uncommitted offer has brought.
void swap_reject(struct swap *s);

// Does the same, and sets the reason with which the COMMIT is refused.
void swap_fail(struct swap *s, const char *why);

// Closes everything.
void swap_close(struct swap *s);

#endif
