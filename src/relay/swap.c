// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/swap.h"

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

// Sets s->why, unless an earlier reason is there. Always returns false.
static bool __attribute__((format(printf, 2, 3))) refuse(struct swap *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!s->why[0])
        vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
    return false;
}

// --- what there is ---------------------------------------------------------------------------------------------------

static bool names_ring(const struct forward *f, uint64_t id)
{
    for (uint32_t i = 0; f && i < f->table->n_interfaces; i++)
        if (f->table->interfaces[i].ring_id == id)
            return true;
    return false;
}

static struct ingress *find_ring(const struct swap *s, uint64_t id)
{
    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i]->id == id)
            return s->rings[i];
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

// Returns the sorted ids of all sockets that the table in force names, so that thousands of others are closed fast. The
// caller frees them. NULL without memory.
static uint64_t *named_sockets(const struct swap *s, size_t *n)
{
    const struct table_view *t = s->now ? s->now->table : &(struct table_view){0};
    uint64_t *ids = calloc(t->n_egress + t->n_holds + 1, sizeof(*ids));

    *n = 0;
    for (uint32_t i = 0; ids && i < t->n_egress; i++)
        ids[(*n)++] = t->egress[i].id;
    for (uint32_t i = 0; ids && i < t->n_holds; i++)
        ids[(*n)++] = t->holds[i];
    if (ids)
        qsort(ids, *n, sizeof(*ids), by_id);
    return ids;
}

// Closes every ring and socket that the table in force does not name.
static void close_unnamed(struct swap *s)
{
    size_t n_ids, kept = 0;
    uint64_t *ids = named_sockets(s, &n_ids);

    for (size_t i = s->n_rings; i-- > 0;) {
        struct ingress *in = s->rings[i];
        if (names_ring(s->now, in->id))
            continue;
        ev_io_stop(s->loop, &in->watcher);
        ingress_close(in);
        free(in);
        s->rings[i] = s->rings[--s->n_rings];
    }
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

static void close_offer(struct swap *s)
{
    for (int i = 0; i < HANDOVER_OFFER_FDS; i++)
        s->offered[i] = descriptors_close(s->offered[i]);
}

void swap_reject(struct swap *s)
{
    close_offer(s);
    close_unnamed(s);
}

void swap_fail(struct swap *s, const char *why)
{
    refuse(s, "%s", why);
    swap_reject(s);
}

// --- what comes ------------------------------------------------------------------------------------------------------

static bool take_offer(struct swap *s, const struct handover_message *m, const int *fds)
{
    swap_reject(s);
    s->why[0] = '\0';
    // What another process has left comes with the first table only.
    if (m->n_fds != HANDOVER_TABLE_BEFORE && (m->n_fds != HANDOVER_OFFER_FDS || s->now)) {
        handover_close(m, fds);
        return refuse(s, "an offer needs a table, statistics and memory");
    }
    memcpy(s->offered, fds, m->n_fds * sizeof(fds[0]));
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
        return refuse(s, "no descriptor for a membership: %m");
    // A descriptor to hold that came with a failed offer comes again with the next offer.
    if (hold && known) {
        close(fd);
        return true;
    }
    struct egress *e = egress ? malloc(sizeof(*e)) : NULL;
    if (known || (!hold && !e) || !keep_socket(s, what->id, fd, e)) {
        free(e);
        close(fd);
        return refuse(s, "a socket of no known kind, or one that is there already, or no memory for it");
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
    return refuse(s, "no descriptor for a ring's socket");
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
        refuse(s, pool ? "sockets for rings without a first offer" : "sockets without an offer");
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
            return refuse(s, "the table names an egress socket that did not come");
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
    if (fd < 0)
        return refuse(s, "the table names a ring's socket that is not there or in use");
    struct ingress *in = malloc(sizeof(*in));
    if (in && ingress_init(in, t->ring_id, fd, t)) {
        s->rings[s->n_rings++] = in;
        return true;
    }
    free(in);
    return refuse(s, "a ring cannot be mapped: %m");
}

static bool map_rings(struct swap *s, const struct table_view *t)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++) {
        const struct table_interface *interface = &t->interfaces[i];
        if (interface->ring_id && !find_ring(s, interface->ring_id) && !map_ring(s, interface))
            return false;
    }
    return true;
}

static struct forward *prepare(struct swap *s, uint64_t now_ns)
{
    struct forward *f = mapping_new(s->offered, now_ns, s->why);

    if (f && map_rings(s, f->table) && bind_egress(s, f)) {
        map_tx_rings(f);
        return f;
    }
    if (f)
        mapping_drop(f);
    return NULL;
}

// --- the change ------------------------------------------------------------------------------------------------------

static struct stats_interface_counters *saved_counters(struct swap *s, const char *name)
{
    size_t i = 0;

    while (i < s->n_saved && strcmp(s->saved[i].name, name) != 0)
        i++;
    if (i == s->n_saved) {
        // If there are more names than places, the newest name takes the last place.
        if (s->n_saved < sizeof(s->saved) / sizeof(s->saved[0]))
            s->n_saved++;
        i = s->n_saved - 1;
        memset(&s->saved[i], 0, sizeof(s->saved[i]));
        snprintf(s->saved[i].name, sizeof(s->saved[i].name), "%s", name);
    }
    return &s->saved[i].counters;
}

// Drains the rings that the next table does not name. Their frames leave by the old table, and their counters are
// saved.
static void drain_unnamed(struct swap *s, const struct forward *next, uint64_t now_ns, struct ingress_spill *spill)
{
    for (size_t i = 0; s->now && i < s->n_rings; i++) {
        struct ingress *in = s->rings[i];
        if (!names_ring(s->now, in->id) || names_ring(next, in->id))
            continue;
        ingress_drain(in, s->now, spill);
        ingress_count_drops(in, now_ns);
        *saved_counters(s, s->now->table->interfaces[in->interface].name) = in->counters;
    }
}

static void configure_egress(struct forward *f)
{
    for (uint32_t i = 0; i < f->table->n_egress; i++) {
        const struct table_egress *from = &f->table->egress[i];
        f->egress[i]->refusals = &f->refusals;
        egress_configure(f->egress[i], from, from->tx_ring == TABLE_NONE ? NULL : f->egress[from->tx_ring]->ring);
    }
}

// Returns whether the table has a ring on the interface with this index.
static bool has_ring_of(const struct forward *f, uint32_t ifindex)
{
    for (uint32_t i = 0; f && i < f->table->n_interfaces; i++)
        if (f->table->interfaces[i].ring_id != 0 && f->table->interfaces[i].ifindex == ifindex)
            return true;
    return false;
}

// What a ring of the mcrd before still holds was judged by its merges, if it was ended in a pass, and is judged again.
// Of super-frames that exceed a slot, some were read from the socket's queue, and no one tells which.
static void forget_pass(struct swap *s, const struct forward *f, struct forward *before, struct ingress_spill *spill)
{
    if (!before->memory->in_pass)
        return;
    for (size_t i = 0; i < s->n_rings; i++)
        ingress_drop_queue(s->rings[i], spill);
    for (uint32_t i = 0; i < before->table->n_inputs; i++) {
        const struct table_input *leg = &before->table->inputs[i];
        const struct table_rule *r = &before->table->rules[leg->rule];
        const char *name = before->table->interfaces[leg->interface].name;
        const struct ingress *in = NULL;
        for (uint32_t j = 0; (r->flags & TABLE_RULE_MERGES) && j < f->table->n_interfaces; j++)
            if (strcmp(f->table->interfaces[j].name, name) == 0 && f->table->interfaces[j].ring_id)
                in = find_ring(s, f->table->interfaces[j].ring_id);
        for (uint32_t j = 0; in && ingress_ready(in) && j < r->n_paths; j++)
            merge_forget(before->merges[r->first_path + j], i - r->first_input, ingress_next_stamp(in));
    }
}

// Goes on with the counters of interfaces of the mcrd before.
static void continue_counters(struct swap *s, const struct forward *before)
{
    for (uint32_t i = 0; i < before->table->n_interfaces; i++)
        *saved_counters(s, before->table->interfaces[i].name) = before->interfaces[i];
}

// Returns the state that the mcrd before has left, to be carried over; NULL if there is none that can be used, for
// which the reason is logged. The caller calls mapping_drop().
static struct forward *take_up(struct swap *s, const struct forward *f, uint64_t now_ns, struct ingress_spill *spill)
{
    char why[sizeof(s->why)] = "", quoted[4 * sizeof(why)];
    struct forward *before = mapping_resume(s->offered, now_ns, why);

    if (before) {
        forget_pass(s, f, before, spill);
        continue_counters(s, before);
    } else {
        log_warn(EVENT_CONTINUED, "reason=%s effect=\"counters, limits and merges begin anew\"",
                 log_quote(why, quoted, sizeof(quoted)));
    }
    return before;
}

// Goes on with the rings that were taken over of the mcrd before, and counts what is found in them.
static void resume(struct swap *s, struct stats_continued *c, uint64_t now_ns)
{
    for (size_t i = 0; i < s->n_rings; i++) {
        struct ingress *in = s->rings[i];
        c->waiting += ingress_resume(in);
        ingress_count_drops(in, now_ns);
        c->dropped += in->counters.ring_drops;
    }
    c->gap_ns = c->ended_ns != 0 && c->ended_ns < now_ns ? now_ns - c->ended_ns : 0;
}

bool swap_commit(struct swap *s, uint64_t now_ns, struct ingress_spill *spill)
{
    if (s->offered[HANDOVER_TABLE] < 0)
        return refuse(s, "a commit without an offer");
    struct forward *before = s->now, *f = prepare(s, now_ns);
    if (!f)
        return false;

    // From here on nothing can fail. Counters are copied only after the last datagram under the old table.
    drain_unnamed(s, f, now_ns, spill);
    if (!before && f->stats.header->continued.rings > 0)
        resume(s, &f->stats.header->continued, now_ns);
    struct forward *left = !before && s->offered[HANDOVER_STATE_BEFORE] >= 0 ? take_up(s, f, now_ns, spill) : NULL;
    forward_carry(f, left ? left : before);
    if (left)
        forward_bridge(f, f->stats.header->continued.gap_ns, now_ns);
    mapping_drop(left);
    s->now = f;
    configure_egress(f);
    for (uint32_t i = 0; i < f->table->n_interfaces; i++) {
        const struct table_interface *interface = &f->table->interfaces[i];
        struct ingress *in = interface->ring_id ? find_ring(s, interface->ring_id) : NULL;
        if (!in) {
            f->stats.interfaces[i].counters = *saved_counters(s, interface->name);
            continue;
        }
        in->interface = i;
        if (names_ring(before, in->id))
            continue;
        uint64_t dropped = in->counters.ring_drops; // as resume() has counted
        // A ring that replaces another one of the interface (ring_mib) has the frames that were just drained from that.
        if (has_ring_of(before, interface->ifindex)) {
            ingress_skip(in, spill);
            ingress_count_drops(in, now_ns); // clears drops of frames that the other ring has taken
        }
        in->counters = *saved_counters(s, interface->name);
        in->counters.ring_drops += dropped;
        ev_io_init(&in->watcher, s->on_readable, in->fd, EV_READ);
        in->watcher.data = in;
        ev_io_start(s->loop, &in->watcher);
    }
    close_unnamed(s);
    close_offer(s);
    if (before) {
        before->stats.header->state = STATS_SUPERSEDED;
        mapping_drop(before);
    }
    return true;
}

void swap_close(struct swap *s)
{
    if (s->now)
        mapping_drop(s->now);
    s->now = NULL;
    swap_reject(s);
    while (s->n_pool > 0)
        close(s->pool[--s->n_pool]);
    free(s->sockets);
}
