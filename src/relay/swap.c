// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/swap_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "log/log.h"
#include "relay/mapping.h"
#include "sandbox/sandbox.h"

void swap_init(struct swap *s, struct ev_loop *loop, void (*on_readable)(struct ev_loop *, ev_io *, int))
{
    *s = (struct swap){.loop = loop, .on_readable = on_readable};
    for (int i = 0; i < HANDOVER_OFFER_FDS; i++)
        s->offered[i] = -1;
}

bool swap_refuse(struct swap *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!s->why[0])
        vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
    return false;
}

// --- what there is ---------------------------------------------------------------------------------------------------

bool swap_names_ring(const struct forward *f, uint64_t id)
{
    for (uint32_t i = 0; f && i < f->table->n_interfaces; i++)
        if (f->table->interfaces[i].ring_id == id)
            return true;
    return false;
}

struct ingress *swap_find_ring(const struct swap *s, uint64_t id)
{
    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i]->id == id)
            return s->rings[i];
    for (size_t i = 0; i < s->n_resting; i++)
        if (s->resting[i]->id == id)
            return s->resting[i];
    return NULL;
}

// Compares structs that begin with a 64-bit id.
static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

static struct swap_socket *find_socket(const struct swap *s, uint64_t id)
{
    return s->n_sockets > 0 ? bsearch(&id, s->sockets, s->n_sockets, sizeof(*s->sockets), by_id) : NULL;
}

// --- what goes -------------------------------------------------------------------------------------------------------

static void close_socket(struct swap_socket *k)
{
    if (k->egress)
        egress_close(k->egress);
    else
        close(k->fd);
    free(k->egress);
}

// Returns the sorted ids of all sockets that the tables name, so that thousands of others are closed fast. The caller
// frees them. NULL without memory.
static uint64_t *named_sockets(const struct swap *s, size_t *n)
{
    static const struct table_view none;
    const struct table_view *tables[] = {s->now ? s->now->table : &none, s->back ? s->back->table : &none};
    uint64_t *ids =
        calloc(tables[0]->n_egress + tables[0]->n_holds + tables[1]->n_egress + tables[1]->n_holds + 1u, sizeof(*ids));

    *n = 0;
    for (size_t k = 0; ids && k < 2; k++) {
        for (uint32_t i = 0; i < tables[k]->n_egress; i++)
            ids[(*n)++] = tables[k]->egress[i].id;
        for (uint32_t i = 0; i < tables[k]->n_holds; i++)
            ids[(*n)++] = tables[k]->holds[i];
    }
    if (ids)
        qsort(ids, *n, sizeof(*ids), by_id);
    return ids;
}

// Closes those of the rings that no table names. Returns how many are left.
static size_t close_rings(struct swap *s, struct ingress **rings, size_t n)
{
    for (size_t i = n; i-- > 0;) {
        struct ingress *in = rings[i];
        if (swap_names_ring(s->now, in->id) || swap_names_ring(s->back, in->id))
            continue;
        ev_io_stop(s->loop, &in->watcher);
        ingress_close(in);
        free(in);
        rings[i] = rings[--n];
    }
    return n;
}

void swap_close_unnamed(struct swap *s)
{
    size_t n_ids, kept = 0;
    uint64_t *ids = named_sockets(s, &n_ids);

    s->n_rings = close_rings(s, s->rings, s->n_rings);
    s->n_resting = close_rings(s, s->resting, s->n_resting);
    // Without memory for the list, the sockets stay open until the next change.
    for (size_t i = 0; ids && i < s->n_sockets; i++)
        if (bsearch(&s->sockets[i].id, ids, n_ids, sizeof(*ids), by_id))
            s->sockets[kept++] = s->sockets[i];
        else
            close_socket(&s->sockets[i]);
    if (ids)
        s->n_sockets = kept;
    free(ids);
}

void swap_close_offer(struct swap *s)
{
    for (int i = 0; i < HANDOVER_OFFER_FDS; i++)
        s->offered[i] = descriptors_close(s->offered[i]);
}

void swap_reject(struct swap *s)
{
    swap_close_offer(s);
    swap_close_unnamed(s);
}

void swap_fail(struct swap *s, const char *why)
{
    swap_refuse(s, "%s", why);
    swap_reject(s);
}

// --- what comes ------------------------------------------------------------------------------------------------------

static bool take_offer(struct swap *s, const struct handover_message *m, const int *fds)
{
    swap_reject(s);
    s->why[0] = '\0';
    // What another process has left comes with the first table only, and that is never on trial.
    if (m->n_fds != HANDOVER_PLAIN && m->n_fds != (s->now ? HANDOVER_TRIAL : HANDOVER_CONTINUED)) {
        handover_close(m, fds);
        return swap_refuse(s, "an offer needs a table, statistics and memory");
    }
    memcpy(s->offered, fds, m->n_fds * sizeof(fds[0]));
    s->n_offered = m->n_fds;
    s->serial = m->serial;
    return true;
}

// Adds a socket to the list, which then owns fd and egress (allocated, or NULL). Returns false without memory; the
// caller then keeps both.
static bool keep_socket(struct swap *s, uint64_t id, int fd, struct egress *egress)
{
    struct swap_socket *grown = reallocarray(s->sockets, s->n_sockets + 1, sizeof(*grown));
    size_t at = s->n_sockets;

    if (!grown)
        return false;
    s->sockets = grown;
    for (; at > 0 && grown[at - 1].id > id; at--)
        grown[at] = grown[at - 1];
    grown[at] = (struct swap_socket){.id = id, .fd = fd, .egress = egress};
    s->n_sockets++;
    return true;
}

static bool take_socket(struct swap *s, const struct handover_socket *what, int fd)
{
    bool hold = what->kind == HANDOVER_HOLD, egress = what->kind == HANDOVER_EGRESS && fd < SANDBOX_INGRESS_FD;
    bool known = find_socket(s, what->id) != NULL;

    if (hold && (fd = sandbox_move_up(fd)) < 0)
        return swap_refuse(s, "no descriptor for a membership: %m");
    // A descriptor to hold that came with a failed offer comes again with the next offer.
    if (hold && known) {
        close(fd);
        return true;
    }
    struct egress *e = egress ? malloc(sizeof(*e)) : NULL;
    if (known || (!hold && !e) || !keep_socket(s, what->id, fd, e)) {
        free(e);
        close(fd);
        return swap_refuse(s, "a socket of no known kind, or one that is there already, or no memory for it");
    }
    if (e)
        egress_init(e, what->id, fd);
    return true;
}

static bool take_ring_socket(struct swap *s, int fd)
{
    fd = sandbox_move_up(fd);
    if (fd >= 0 && s->n_pool < TABLE_RING_SOCKETS_MAX) {
        s->pool[s->n_pool++] = fd;
        return true;
    }
    if (fd >= 0)
        close(fd);
    return swap_refuse(s, "no descriptor for a ring's socket");
}

void swap_take(struct swap *s, const struct handover_message *m, const int *fds)
{
    bool pool = m->type == HANDOVER_POOL, ok;

    if (m->type == HANDOVER_OFFER) {
        if (!take_offer(s, m, fds))
            swap_reject(s);
        return;
    }
    // Once a table is in force, the pool is complete, and a relay may have been compromised by a packet.
    ok = m->serial == s->serial && s->offered[HANDOVER_TABLE] >= 0 && (!pool || !s->now);
    if (!ok)
        swap_refuse(s, pool ? "sockets for rings without a first offer" : "sockets without an offer");
    for (uint32_t i = 0; i < m->n_fds; i++)
        if (!ok)
            close(fds[i]);
        else
            ok = pool ? take_ring_socket(s, fds[i]) : take_socket(s, &m->sockets[i], fds[i]);
    if (!ok)
        swap_reject(s);
}

// --- the new table ---------------------------------------------------------------------------------------------------

// Sets the socket of every egress of the table.
static bool bind_egress(struct swap *s, struct forward *f)
{
    for (uint32_t i = 0; i < f->table->n_egress; i++) {
        const struct swap_socket *found = find_socket(s, f->table->egress[i].id);
        if (!found || !found->egress)
            return swap_refuse(s, "the table names an egress socket that did not come");
        f->egress[i] = found->egress;
    }
    return true;
}

// Maps the transmit rings that are not mapped yet. A failure is only logged: each frame then needs a call of its own.
static void map_tx_rings(struct forward *f)
{
    for (uint32_t i = 0; i < f->table->n_egress; i++) {
        const struct table_egress *from = &f->table->egress[i];
        struct egress *e = f->egress[i];
        if (from->kind == TABLE_EGRESS_TX_RING && !e->ring && !(e->ring = tx_ring_new(e->fd, from->slot_size)))
            log_errno(LOG_LEVEL_WARNING, EVENT_TX_RING_MISSING,
                      "reason=\"mmap\" effect=\"datagrams of many flows leave by a call each\"");
    }
}

static bool map_ring(struct swap *s, const struct table_interface *t)
{
    int fd = t->ring_socket < s->n_pool ? s->pool[t->ring_socket] : -1;

    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i]->fd == fd)
            fd = -1;
    for (size_t i = 0; i < s->n_resting; i++)
        if (s->resting[i]->fd == fd)
            fd = -1;
    if (fd < 0 || s->n_rings == TABLE_RING_SOCKETS_MAX)
        return swap_refuse(s, "the table names a ring's socket that is not there or in use");
    struct ingress *in = malloc(sizeof(*in));
    if (in && ingress_init(in, t->ring_id, fd, t)) {
        s->rings[s->n_rings++] = in;
        return true;
    }
    free(in);
    return swap_refuse(s, "a ring cannot be mapped: %m");
}

static bool map_rings(struct swap *s, const struct table_view *t)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++) {
        const struct table_interface *interface = &t->interfaces[i];
        if (interface->ring_id && !swap_find_ring(s, interface->ring_id) && !map_ring(s, interface))
            return false;
    }
    return true;
}

struct forward *swap_prepare(struct swap *s, const int offered[HANDOVER_PLAIN], uint64_t now_ns)
{
    struct forward *f = mapping_new(offered, now_ns, s->why);

    if (f && map_rings(s, f->table) && bind_egress(s, f)) {
        map_tx_rings(f);
        return f;
    }
    if (f)
        mapping_drop(f);
    return NULL;
}

void swap_close(struct swap *s)
{
    mapping_drop(s->now);
    mapping_drop(s->back);
    s->now = s->back = NULL;
    swap_reject(s);
    while (s->n_pool > 0)
        close(s->pool[--s->n_pool]);
    free(s->sockets);
}
