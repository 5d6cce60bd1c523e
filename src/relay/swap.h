// SPDX-License-Identifier: Apache-2.0
// swap: takes a table and its descriptors over from the broker, whole or not at all.
#ifndef MCR_RELAY_SWAP_H
#define MCR_RELAY_SWAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handover/handover.h"
#include "relay/forward.h"
#include "relay/ingress.h"

// Everything that the relay has open for its tables.
struct swap {
    struct ev_loop *loop; // watches every ring of the table in force, and calls on_readable
    void (*on_readable)(struct ev_loop *loop, ev_io *io, int events);
    struct forward *now;                           // NULL before the first table
    int pool[TABLE_RING_SOCKETS_MAX];              // sockets that rings are made of, from SANDBOX_INGRESS_FD up
    struct ingress *rings[TABLE_RING_SOCKETS_MAX]; // each on a socket of the pool
    size_t n_pool, n_rings;
    struct swap_socket {
        uint64_t id; // first, and the list is in its order
        int fd;
        struct egress *egress; // NULL: only held open
    } * sockets;
    size_t n_sockets;
    // What the interfaces have counted that had a ring before, by name: a ring that is made anew goes on from there.
    struct swap_saved {
        char name[IFNAMSIZ];
        struct stats_interface_counters counters;
    } saved[2 * TABLE_INTERFACES_MAX];
    size_t n_saved;
    // An offer that is not complete yet.
    int offered_table, offered_stats; // -1: none
    uint32_t serial;
    char why[256]; // it failed, or could not be committed: the first reason, of which later ones follow
};

void swap_init(struct swap *s, struct ev_loop *loop, void (*on_readable)(struct ev_loop *, ev_io *, int));

// Takes an OFFER, POOL (with the first table only) or SOCKETS message, in order, and its descriptors in any case. A
// message that makes no sense rejects the offer.
void swap_take(struct swap *s, const struct handover_message *m, const int *fds);

// COMMIT: verifies and maps everything, then changes tables at once. Rings and sockets that the new table does not name
// are drained and closed. False, with s->why: nothing has changed but swap_reject() is due.
bool swap_commit(struct swap *s, uint64_t now_ns, struct ingress_spill *spill);

// Closes what an offer brought and was not committed.
void swap_reject(struct swap *s);

// The same, for a reason that the COMMIT is then refused with.
void swap_fail(struct swap *s, const char *why);

// Closes everything.
void swap_close(struct swap *s);

#endif
