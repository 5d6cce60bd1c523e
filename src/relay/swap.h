// SPDX-License-Identifier: Apache-2.0
// swap: takes a table and its descriptors over from the broker, whole or not at all.
#ifndef MCR_RELAY_SWAP_H
#define MCR_RELAY_SWAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handover/handover.h"
#include "relay/ingress.h"
#include "relay/swap_table.h"

// Everything that the relay has open for its tables.
struct swap {
    struct swap_table *now;           // NULL before the first table
    int pool[TABLE_RING_SOCKETS_MAX]; // sockets that rings are made of, from SANDBOX_INGRESS_FD up
    size_t n_pool;
    struct ingress **rings;
    size_t n_rings;
    struct egress **egress;
    size_t n_egress;
    struct swap_hold {
        uint64_t id;
        int fd;
    } * holds;
    size_t n_holds;
    // What the interfaces have counted that had a ring before, by name: a ring that is made anew goes on from there.
    struct swap_saved {
        char name[IFNAMSIZ];
        struct stats_interface_counters counters;
    } saved[2 * TABLE_INTERFACES_MAX];
    size_t n_saved;
    // An offer that is not complete yet.
    int offered_table, offered_stats; // -1: none
    char failed[SWAP_WHY_MAX];        // why an offer failed before its COMMIT
    uint32_t serial;
};

void swap_init(struct swap *s);

// OFFER, POOL (with the first table only) and SOCKETS messages, in order; takes over the descriptors in any case. False
// with why when the message makes no sense: then nothing has changed but swap_reject() is due.
bool swap_offer(struct swap *s, const struct handover_message *m, const int *fds, char why[SWAP_WHY_MAX]);
bool swap_pool(struct swap *s, const struct handover_message *m, const int *fds, char why[SWAP_WHY_MAX]);
bool swap_sockets(struct swap *s, const struct handover_message *m, const int *fds, char why[SWAP_WHY_MAX]);

// COMMIT: verifies and maps everything, then changes tables at once. Rings and egress sockets that the new table does
// not name are drained and closed; on_ring is told of each ring that comes (true) or is about to go. False with why:
// nothing has changed but swap_reject() is due.
bool swap_commit(struct swap *s, uint64_t now_ns, struct ingress_spill *spill,
                 void (*on_ring)(void *context, struct ingress *in, bool comes), void *context, char why[SWAP_WHY_MAX]);

// Closes what an offer brought and was not committed.
void swap_reject(struct swap *s);

// The same, for a reason that the COMMIT is then refused with.
void swap_fail(struct swap *s, const char *why);

// Closes everything.
void swap_close(struct swap *s, void (*on_ring)(void *context, struct ingress *in, bool comes), void *context);

#endif
