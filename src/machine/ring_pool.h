// SPDX-License-Identifier: Apache-2.0
// ring_pool: the packet sockets that the rings of all tables are made of.
//
// The broker opens all of them at the first load and hands them to the relay before that has seen a packet. The relay
// keeps each at a descriptor from SANDBOX_INGRESS_FD up, where its filter forbids to write. The broker makes every
// later ring on one of these sockets, by its own descriptor of it. So the relay never gets another descriptor of a
// source zone, whatever it asks for; and the memory of rings, which no cgroup counts, is bounded by the size of the
// pool.
#ifndef MCR_MACHINE_RING_POOL_H
#define MCR_MACHINE_RING_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/machine.h"
#include "table/layout.h"

// How many input interfaces more than the first file a later one may have. There are two sockets for each, because a
// reload may make every ring anew. More sockets would make each stop of mcrd slower: the kernel waits some milliseconds
// for each packet socket that it closes.
#define RING_POOL_SPARE 4

// A stuck ring (relay/ingress.h) is replaced at once. The next one of the same interface is replaced no sooner than
// RING_REPLACE_MIN_NS later, then twice as long, up to RING_REPLACE_MAX_NS.
#define RING_REPLACE_MIN_NS UINT64_C(10000000000)
#define RING_REPLACE_MAX_NS UINT64_C(160000000000)

struct ring_pool {
    const struct machine *machine; // the caller's, who zeroes the rest
    size_t n;
    struct {
        int fd;
        enum { RING_FREE, RING_USED, RING_WITHHELD } use; // WITHHELD: given back, but the relay still maps the ring
    } sockets[TABLE_RING_SOCKETS_MAX];
    struct ring_replaced {
        uint32_t ifindex; // 0: free
        uint64_t wait_ns, due_ns;
    } replaced[TABLE_INTERFACES_MAX];
};

// Closes the sockets. A ring that the relay uses goes on.
void ring_pool_close(struct ring_pool *p);

// Opens the sockets for a file with n_inputs input interfaces, once. False with errno set and *step the name of what
// failed; the pool is then empty.
bool ring_pool_open(struct ring_pool *p, size_t n_inputs, const char **step);

// Takes a socket that no ring uses, whose number becomes *number. Returns its descriptor, which stays the pool's, or -1
// when there is none: *why then says why not.
int ring_pool_take(struct ring_pool *p, uint32_t *number, const char **why);

// Takes socket `number` out of service: it takes in no frame any more, and its ring's memory is freed, at once or,
// where the relay still maps it, before it is taken again.
void ring_pool_give_back(struct ring_pool *p, uint32_t number);

// Whether a stuck ring of this interface may be replaced at now_ns (CLOCK_MONOTONIC); if so, it is taken as done.
bool ring_pool_may_replace(struct ring_pool *p, uint32_t ifindex, uint64_t now_ns);

#endif
