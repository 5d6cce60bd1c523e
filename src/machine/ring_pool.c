// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/ring_pool.h"

#include <unistd.h>

#include "log/log.h"

void ring_pool_close(struct ring_pool *p)
{
    while (p->n > 0)
        close(p->sockets[--p->n].fd);
}

bool ring_pool_open(struct ring_pool *p, size_t n_inputs, const char **step)
{
    size_t before = p->n, wanted = 2 * (n_inputs + RING_POOL_SPARE), used = 0;

    // Rings that were adopted may all be replaced.
    for (size_t i = 0; i < p->n; i++)
        used += p->sockets[i].use != RING_FREE;
    if (wanted < used + n_inputs + RING_POOL_SPARE)
        wanted = used + n_inputs + RING_POOL_SPARE;
    if (wanted > TABLE_RING_SOCKETS_MAX)
        wanted = TABLE_RING_SOCKETS_MAX;
    while (p->n < wanted) {
        int fd = p->machine->ring_socket(step);
        if (fd < 0) {
            while (p->n > before)
                close(p->sockets[--p->n].fd);
            return false;
        }
        p->sockets[p->n].fd = fd;
        p->sockets[p->n++].use = RING_FREE;
    }
    return true;
}

bool ring_pool_has_room(const struct ring_pool *p)
{
    return p->n < TABLE_RING_SOCKETS_MAX;
}

uint32_t ring_pool_adopt(struct ring_pool *p, int fd)
{
    p->sockets[p->n].fd = fd;
    p->sockets[p->n].use = RING_USED;
    return (uint32_t) p->n++;
}

int ring_pool_take(struct ring_pool *p, uint32_t *number, const char **why)
{
    size_t withheld = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        // Try again: the relay may have unmapped the ring meanwhile.
        if (p->sockets[i].use == RING_WITHHELD)
            ring_pool_give_back(p, i);
        if (p->sockets[i].use == RING_FREE) {
            p->sockets[i].use = RING_USED;
            *number = i;
            return p->sockets[i].fd;
        }
        withheld += p->sockets[i].use == RING_WITHHELD;
    }
    *why = "the relay keeps rings that it should have given back: restart mcrd";
    log_error(EVENT_RING_WITHHELD,
              "rings=%zu sockets=%zu reason=\"the relay still maps rings that are out of use\" "
              "effect=\"no other ring is made\"",
              withheld, p->n);
    return -1;
}

void ring_pool_give_back(struct ring_pool *p, uint32_t number)
{
    p->sockets[number].use = p->machine->ring_release(p->sockets[number].fd) ? RING_FREE : RING_WITHHELD;
}

// Returns the record of this interface; else a new one in place of a free one or of that with the earliest due_ns.
static struct ring_replaced *find_replaced(struct ring_pool *p, uint32_t ifindex)
{
    struct ring_replaced *best = &p->replaced[0];

    for (size_t i = 0; i < TABLE_INTERFACES_MAX; i++) {
        if (p->replaced[i].ifindex == ifindex)
            return &p->replaced[i];
        if (p->replaced[i].due_ns < best->due_ns)
            best = &p->replaced[i];
    }
    *best = (struct ring_replaced){.ifindex = ifindex};
    return best;
}

bool ring_pool_may_replace(struct ring_pool *p, uint32_t ifindex, uint64_t now_ns)
{
    struct ring_replaced *r = find_replaced(p, ifindex);

    if (now_ns < r->due_ns)
        return false;
    // A replacement soon after the last one doubles the wait; after a quiet period the wait is the minimum again.
    bool soon = r->wait_ns != 0 && now_ns - r->due_ns < r->wait_ns;
    r->wait_ns = soon ? 2 * r->wait_ns : RING_REPLACE_MIN_NS;
    if (r->wait_ns > RING_REPLACE_MAX_NS)
        r->wait_ns = RING_REPLACE_MAX_NS;
    r->due_ns = now_ns + r->wait_ns;
    return true;
}
