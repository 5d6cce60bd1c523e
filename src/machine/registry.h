// SPDX-License-Identifier: Apache-2.0
// registry: the open sockets and memberships by key: those that the table in force uses (running), and those that the
// table in preparation needs (wanted).
//
// A load begins with no entry wanted. It then wants each entry that it needs, by its key, or adds it. It ends in one of
// two ways: committed (entries that are not wanted are closed) or rolled back (entries that are only wanted are
// closed).
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

// Keys are compared byte by byte and have no padding. Unused fields must be zero.
struct registry_key {
    uint32_t kind; // enum registry_kind
    uint32_t ifindex;
    struct addr source, destination;
    uint16_t source_port, port;
    uint16_t outlived; // number of sockets with this key that outlived their interface, whose index was reused
    uint32_t ring_mib;
};

struct registry_entry {
    struct registry_key key;
    uint64_t id;          // never reused
    int fd;               // of a ring: that of the pool; of a membership: that of its socket
    bool super_frames;    // output: takes several datagrams in one frame or call (UDP GSO); ring: receives super-frames
    bool stuck;           // ring: receives nothing any more
    bool full;            // membership socket: cannot join another group
    uint32_t fits_mtu;    // ring, transmit ring: the largest MTU whose frames fit its slots
    uint32_t pool_number; // ring: number of its socket (ring_pool.h)
    uint32_t table_index; // output: index in the table that is being compiled; scratch of a load
    bool wanted, running;
    struct registry_entry *socket; // membership: the socket that has joined
};

// Zero it before use: an empty registry.
struct registry {
    struct registry_entry **entries; // n entries, in the order in which they were added
    size_t n, room;
    void *tree; // the same entries by key (tsearch(3))
    uint64_t last_id;
};

// Frees the entries. The caller closes their descriptors before.
void registry_free(struct registry *r);

// Begins a load: marks every entry as unwanted.
void registry_begin(struct registry *r);

// Returns the entry with this key, or NULL.
struct registry_entry *registry_find(const struct registry *r, const struct registry_key *key);

// Returns the entry with this key, after marking it as wanted, or NULL.
struct registry_entry *registry_want(struct registry *r, const struct registry_key *key);

// Adds a wanted entry with a new key. Returns NULL with errno set without memory. The entry is valid until it is closed
// by registry_settle().
struct registry_entry *registry_add(struct registry *r, const struct registry_key *key, int fd);

// Removes every entry that the table in preparation does not want, and every one that only it wants: what is left is of
// both tables. Calls close_entry as registry_settle() does.
void registry_narrow(struct registry *r, void (*close_entry)(void *context, struct registry_entry *e), void *context);

// Ends a load. Calls close_entry for each entry that is removed, then frees it.
void registry_settle(struct registry *r, bool committed, void (*close_entry)(void *context, struct registry_entry *e),
                     void *context);

#endif
