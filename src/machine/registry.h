// SPDX-License-Identifier: Apache-2.0
// registry: what is open, by key: what the table in force uses, and what the table that is being prepared wants.
//
// A load begins with nothing wanted, wants each thing (reusing it by key or adding it), and ends in one of two ways:
// settled as committed (what is not wanted goes) or as rolled back (what is only wanted goes).
#ifndef MCR_MACHINE_REGISTRY_H
#define MCR_MACHINE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

enum registry_kind {
    REGISTRY_RING,
    REGISTRY_FRAME,
    REGISTRY_TX_RING,
    REGISTRY_SOCKET,
    REGISTRY_RAW,
    REGISTRY_RAW_UDP,
    REGISTRY_QUIET,
    REGISTRY_MEMBERSHIP,
    REGISTRY_MEMBER_SOCKET
};

// Compared by its bytes, of which none is padding: zero it before filling in.
struct registry_key {
    uint32_t kind; // enum registry_kind
    uint32_t ifindex;
    struct addr source, destination;
    uint16_t source_port, port;
    uint16_t outlived; // how many sockets of this key outlived their interface, whose index was given again
    uint32_t ring_mib;
};

struct registry_entry {
    struct registry_key key;
    uint64_t id;          // never given twice
    int fd;               // of a ring: the pool's; of a membership: its socket's
    bool super_frames;    // takes several datagrams in one frame or call (UDP GSO); of a ring: brings them
    bool stuck;           // a ring that takes nothing in any more
    bool full;            // a socket of memberships that takes no other group
    uint32_t fits_mtu;    // of a ring or transmit ring: the largest MTU whose frames fit its slots
    uint32_t pool_number; // of a ring (ring_pool.h)
    uint32_t table_index; // of an output's socket, in the table that is being compiled; scratch of a load
    bool wanted, running;
    struct registry_entry *socket; // of a membership
};

// All zero: empty.
struct registry {
    struct registry_entry **entries; // n of them, in the order in which they were added
    size_t n, room;
    void *tree; // of the same entries, by key
    uint64_t last_id;
};

// Frees the entries; what they stand for is the caller's to close before.
void registry_free(struct registry *r);

void registry_begin(struct registry *r);

// The entry of this key, or NULL.
struct registry_entry *registry_find(const struct registry *r, const struct registry_key *key);

// The same, now wanted.
struct registry_entry *registry_want(struct registry *r, const struct registry_key *key);

// Adds a wanted entry of a key that is not there. NULL with errno set without memory. Entries stay where they are until
// settled.
struct registry_entry *registry_add(struct registry *r, const struct registry_key *key, int fd);

// Ends a load. Every entry that goes is passed to close_entry first.
void registry_settle(struct registry *r, bool committed, void (*close_entry)(void *context, struct registry_entry *e),
                     void *context);

#endif
