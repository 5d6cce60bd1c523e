// SPDX-License-Identifier: Apache-2.0
// ring_pool: the packet sockets on which the rings of all tables are made.
//
// The broker opens all of them at the first load and hands them to the relay before the relay has seen a packet. The
// relay keeps each at a descriptor from SANDBOX_INGRESS_FD up, to which its system call filter forbids writes. The
// broker makes every later ring on one of these sockets, by its own descriptor. So the relay never gets another
// descriptor of a source zone, whatever it asks for. The memory of rings, which no cgroup counts, is limited by the
// size of the pool.
#ifndef MCR_MACHINE_RING_POOL_H
#define MCR_MACHINE_RING_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/machine.h"
#include "table/layout.h"

// Input interfaces that a later file may have beyond the number of the first one. Each interface needs two sockets,
// because a reload may replace every ring. More sockets would make each stop of mcrd slower: the kernel takes some
// milliseconds to close a packet socket.
#define RING_POOL_SPARE 4

// A stuck ring (relay/ingress.h) is replaced at once, but the next one of the same interface only after
// RING_REPLACE_MIN_NS. This time doubles with each replacement soon after the last one, up to RING_REPLACE_MAX_NS.
#define RING_REPLACE_MIN_NS UINT64_C(10000000000)
#define RING_REPLACE_MAX_NS UINT64_C(160000000000)

struct ring_pool {
    const struct machine *machine; // set by the caller, who zeroes the rest
    size_t n;
    struct {
        int fd;
        enum { RING_FREE, RING_USED, RING_WITHHELD } use; // WITHHELD: released, but the relay still maps the ring
    } sockets[TABLE_RING_SOCKETS_MAX];
    struct ring_replaced {
        uint32_t ifindex; // 0: free
        uint64_t wait_ns, due_ns;
    } replaced[TABLE_INTERFACES_MAX];
};

// Closes the sockets. The relay's rings stay in service.
void ring_pool_close(struct ring_pool *p);

// Opens the sockets for a file with n_inputs input interfaces, once. Returns false with errno set and *step the name of
// what failed; the pool is then as before.
bool ring_pool_open(struct ring_pool *p, size_t n_inputs, const char **step);

// Adds a socket with a ring that is in use, before ring_pool_open(), if there is room. The pool then owns fd. Returns
// its number.
bool ring_pool_has_room(const struct ring_pool *p);
uint32_t ring_pool_adopt(struct ring_pool *p, int fd);

// Takes a socket that no ring uses, and sets *number to its number. Returns its descriptor, which the pool owns, or -1
// with *why (static text) if there is none.
int ring_pool_take(struct ring_pool *p, uint32_t *number, const char **why);

// Takes socket `number` out of service: it receives no frame any more. Its ring's memory is freed at once, or, if the
// relay still maps it, before the socket is taken again.
void ring_pool_give_back(struct ring_pool *p, uint32_t number);

// Returns whether a stuck ring of this interface may be replaced at now_ns (CLOCK_MONOTONIC). If so, counts it as
// replaced.
bool ring_pool_may_replace(struct ring_pool *p, uint32_t ifindex, uint64_t now_ns);

#endif
