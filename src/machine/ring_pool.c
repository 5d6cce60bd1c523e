// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/ring_pool.h"

#include <stdlib.h>

#include "log/log.h"
#include "table/layout.h"

enum use {
    FREE,
    USED,
    WITHHELD // given back, but the relay still maps the ring
};

struct ring_pool {
    const struct machine *machine;
    size_t n;
    struct {
        int fd;
        enum use use;
    } sockets[TABLE_RING_SOCKETS_MAX];
    struct replaced {
        uint32_t ifindex; // 0: free
        uint64_t wait_ns, due_ns;
    } replaced[TABLE_INTERFACES_MAX];
};

struct ring_pool *ring_pool_new(const struct machine *machine)
{
    struct ring_pool *p = calloc(1, sizeof(*p));

    if (p)
        p->machine = machine;
    return p;
}

static void close_all(struct ring_pool *p)
{
    while (p->n > 0)
        p->machine->close(p->sockets[--p->n].fd);
}

void ring_pool_free(struct ring_pool *p)
{
    if (!p)
        return;
    close_all(p);
    free(p);
}

bool ring_pool_open(struct ring_pool *p, size_t n_inputs, const char **step)
{
    size_t wanted = 2 * (n_inputs + RING_POOL_SPARE);

    if (wanted > TABLE_RING_SOCKETS_MAX)
        wanted = TABLE_RING_SOCKETS_MAX;
    while (p->n < wanted) {
        int fd = p->machine->ring_socket(step);
        if (fd < 0) {
            close_all(p);
            return false;
        }
        p->sockets[p->n].fd = fd;
        p->sockets[p->n++].use = FREE;
    }
    return true;
}

size_t ring_pool_inputs(const struct ring_pool *p)
{
    return p->n / 2;
}

size_t ring_pool_size(const struct ring_pool *p)
{
    return p->n;
}

int ring_pool_fd(const struct ring_pool *p, size_t i)
{
    return p->sockets[i].fd;
}

// Looks once more at the rings that the relay has not given back. Returns how many are left.
static size_t reclaim(struct ring_pool *p)
{
    size_t left = 0;

    for (size_t i = 0; i < p->n; i++) {
        if (p->sockets[i].use == WITHHELD && p->machine->ring_release(p->sockets[i].fd))
            p->sockets[i].use = FREE;
        left += p->sockets[i].use == WITHHELD;
    }
    return left;
}

static int take_free(struct ring_pool *p, uint32_t *number)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->sockets[i].use == FREE) {
            p->sockets[i].use = USED;
            *number = (uint32_t) i;
            return p->sockets[i].fd;
        }
    return -1;
}

int ring_pool_take(struct ring_pool *p, uint32_t *number, const char **why)
{
    int fd = take_free(p, number);
    size_t withheld = fd < 0 ? reclaim(p) : 0;

    if (fd < 0)
        fd = take_free(p, number);
    if (fd >= 0)
        return fd;
    *why = "the relay keeps rings that it should have given back: restart mcrd";
    log_error("ring_withheld",
              "rings=%zu sockets=%zu reason=\"the relay still maps rings that are out of use\" "
              "effect=\"no other ring is made\"",
              withheld, p->n);
    return -1;
}

void ring_pool_give_back(struct ring_pool *p, uint32_t number)
{
    p->sockets[number].use = p->machine->ring_release(p->sockets[number].fd) ? FREE : WITHHELD;
}

// The record of this interface; else a free one, or the one that has waited longest.
static struct replaced *find_replaced(struct ring_pool *p, uint32_t ifindex)
{
    struct replaced *best = &p->replaced[0];

    for (size_t i = 0; i < TABLE_INTERFACES_MAX; i++) {
        if (p->replaced[i].ifindex == ifindex)
            return &p->replaced[i];
        if (p->replaced[i].due_ns < best->due_ns)
            best = &p->replaced[i];
    }
    *best = (struct replaced){.ifindex = ifindex};
    return best;
}

bool ring_pool_may_replace(struct ring_pool *p, uint32_t ifindex, uint64_t now_ns)
{
    struct replaced *r = find_replaced(p, ifindex);

    if (now_ns < r->due_ns)
        return false;
    // A replacement soon after the last one doubles the wait; after a quiet time it starts at the minimum again.
    bool soon = r->wait_ns != 0 && now_ns - r->due_ns < r->wait_ns;
    r->wait_ns = soon ? 2 * r->wait_ns : RING_REPLACE_MIN_NS;
    if (r->wait_ns > RING_REPLACE_MAX_NS)
        r->wait_ns = RING_REPLACE_MAX_NS;
    r->due_ns = now_ns + r->wait_ns;
    return true;
}
