// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log/log.h"
#include "sandbox/sandbox.h"

void swap_init(struct swap *s)
{
    *s = (struct swap){.offered_table = -1, .offered_stats = -1};
}

// --- what a table names ----------------------------------------------------------------------------------------------

static bool names_ring(const struct swap_table *t, uint64_t id)
{
    for (uint32_t i = 0; t && i < t->view.n_interfaces; i++)
        if (t->view.interfaces[i].ring_id == id)
            return true;
    return false;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

// A set of ids, sorted, so that closing what is not among them stays fast for thousands. NULL without memory.
static uint64_t *sort_ids(uint64_t *ids, size_t n)
{
    if (ids)
        qsort(ids, n, sizeof(*ids), by_id);
    return ids;
}

static uint64_t *egress_ids(const struct swap_table *t, size_t *n)
{
    *n = t ? t->view.n_egress : 0;
    uint64_t *ids = calloc(*n + 1, sizeof(*ids));
    for (size_t i = 0; ids && i < *n; i++)
        ids[i] = t->view.egress[i].id;
    return sort_ids(ids, *n);
}

static uint64_t *hold_ids(const struct swap_table *t, size_t *n)
{
    *n = t ? t->view.n_holds : 0;
    uint64_t *ids = calloc(*n + 1, sizeof(*ids));
    if (ids && *n > 0)
        memcpy(ids, t->view.holds, *n * sizeof(*ids));
    return sort_ids(ids, *n);
}

static struct ingress *find_ring(const struct swap *s, uint64_t id)
{
    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i]->id == id)
            return s->rings[i];
    return NULL;
}

// --- what comes ------------------------------------------------------------------------------------------------------

bool swap_offer(struct swap *s, const struct handover_message *m, const int *fds, char why[SWAP_WHY_MAX])
{
    swap_reject(s);
    if (m->n_fds != 2) {
        handover_close(m, fds);
        return swap_refuse(why, "an offer needs a table and statistics");
    }
    s->failed[0] = '\0';
    s->offered_table = fds[0];
    s->offered_stats = fds[1];
    s->serial = m->serial;
    return true;
}

// A descriptor to hold that came with a failed offer comes again with the next one.
static bool keep_hold(struct swap *s, uint64_t id, int fd)
{
    for (size_t i = 0; i < s->n_holds; i++) {
        if (s->holds[i].id != id)
            continue;
        close(fd);
        return true;
    }
    struct swap_hold *grown = reallocarray(s->holds, s->n_holds + 1, sizeof(*grown));

    if (!grown)
        return false;
    s->holds = grown;
    s->holds[s->n_holds++] = (struct swap_hold){.id = id, .fd = fd};
    return true;
}

static bool keep_egress(struct swap *s, uint64_t id, int fd)
{
    struct egress **grown = reallocarray(s->egress, s->n_egress + 1, sizeof(struct egress *));

    if (!grown)
        return false;
    s->egress = grown;
    struct egress *e = malloc(sizeof(*e));
    if (!e)
        return false;
    egress_init(e, id, fd);
    s->egress[s->n_egress++] = e;
    return true;
}

static bool keep(struct swap *s, const struct handover_socket *what, int fd, char why[SWAP_WHY_MAX])
{
    bool kept = false;

    if (what->kind == HANDOVER_HOLD && (fd = sandbox_move_up(fd)) < 0)
        return swap_refuse_errno(why, "no descriptor for a membership");
    if (what->kind == HANDOVER_EGRESS)
        kept = fd < SANDBOX_INGRESS_FD && keep_egress(s, what->id, fd);
    else if (what->kind == HANDOVER_HOLD)
        kept = keep_hold(s, what->id, fd);
    if (!kept) {
        close(fd);
        swap_refuse(why, "a socket of no known kind, or one that is there already, or no memory for it");
    }
    return kept;
}

bool swap_pool(struct swap *s, const struct handover_message *m, const int *fds, char why[SWAP_WHY_MAX])
{
    // Once a table is in force the pool is complete: the relay may have been taken over by a packet.
    bool ok = m->serial == s->serial && s->offered_table >= 0 && !s->now;

    if (!ok)
        swap_refuse(why, "sockets for rings without a first offer");
    for (uint32_t i = 0; i < m->n_fds; i++) {
        int fd = sandbox_move_up(fds[i]);
        if (ok && fd >= 0 && s->n_pool < TABLE_RING_SOCKETS_MAX) {
            s->pool[s->n_pool++] = fd;
            continue;
        }
        if (fd >= 0)
            close(fd);
        ok = ok && swap_refuse(why, "no descriptor for a ring's socket");
    }
    return ok;
}

bool swap_sockets(struct swap *s, const struct handover_message *m, const int *fds, char why[SWAP_WHY_MAX])
{
    bool ok = m->serial == s->serial && s->offered_table >= 0;

    if (!ok)
        swap_refuse(why, "sockets without an offer");
    for (uint32_t i = 0; i < m->n_fds; i++) {
        if (ok)
            ok = keep(s, &m->sockets[i], fds[i], why);
        else
            close(fds[i]);
    }
    return ok;
}

// --- the new table ---------------------------------------------------------------------------------------------------

static int by_egress_id(const void *a, const void *b)
{
    const struct egress *x = *(struct egress *const *) a, *y = *(struct egress *const *) b;

    return (x->id > y->id) - (x->id < y->id);
}

// Gives every egress of the table its socket. The list is sorted by id from here on.
static bool bind_egress(struct swap *s, struct swap_table *t, char why[SWAP_WHY_MAX])
{
    if (s->n_egress > 0)
        qsort(s->egress, s->n_egress, sizeof(struct egress *), by_egress_id);
    for (uint32_t i = 0; i < t->view.n_egress; i++) {
        struct egress key = {.id = t->view.egress[i].id}, *key_pointer = &key;
        struct egress **found =
            s->n_egress ? bsearch(&key_pointer, s->egress, s->n_egress, sizeof(struct egress *), by_egress_id) : NULL;
        if (!found)
            return swap_refuse(why, "the table names an egress socket that did not come");
        t->forward->egress[i] = *found;
    }
    return true;
}

// Without a transmit ring each frame leaves by a call of its own.
static void map_tx_rings(struct swap_table *t)
{
    for (uint32_t i = 0; i < t->view.n_egress; i++) {
        const struct table_egress *from = &t->view.egress[i];
        struct egress *e = t->forward->egress[i];
        if (from->kind == TABLE_EGRESS_TX_RING && !e->ring && !(e->ring = tx_ring_new(e->fd, from->slot_size)))
            log_errno(LOG_LEVEL_WARNING, "tx_ring_missing",
                      "reason=\"mmap\" effect=\"datagrams of many flows leave by a call each\"");
    }
}

// The socket of the pool that a table names; -1: there is none, or a ring uses it.
static int pool_socket(const struct swap *s, uint32_t number)
{
    int fd = number < s->n_pool ? s->pool[number] : -1;

    for (size_t i = 0; i < s->n_rings; i++)
        if (s->rings[i]->fd == fd)
            return -1;
    return fd;
}

static bool map_ring(struct swap *s, const struct table_interface *t, char why[SWAP_WHY_MAX])
{
    int fd = pool_socket(s, t->ring_socket);
    struct ingress **grown = reallocarray(s->rings, s->n_rings + 1, sizeof(struct ingress *));
    struct ingress *in = malloc(sizeof(*in));

    if (grown)
        s->rings = grown;
    if (fd >= 0 && grown && in && ingress_init(in, t->ring_id, fd, t)) {
        s->rings[s->n_rings++] = in;
        return true;
    }
    free(in);
    return fd < 0 ? swap_refuse(why, "the table names a ring's socket that is not there or in use")
                  : swap_refuse_errno(why, "a ring cannot be mapped");
}

static bool map_rings(struct swap *s, const struct swap_table *t, char why[SWAP_WHY_MAX])
{
    for (uint32_t i = 0; i < t->view.n_interfaces; i++) {
        const struct table_interface *interface = &t->view.interfaces[i];
        if (interface->ring_id && !find_ring(s, interface->ring_id) && !map_ring(s, interface, why))
            return false;
    }
    return true;
}

static struct swap_table *prepare(struct swap *s, uint64_t now_ns, char why[SWAP_WHY_MAX])
{
    struct swap_table *t = swap_table_map(s->offered_table, s->offered_stats, now_ns, why);

    if (t && map_rings(s, t, why) && bind_egress(s, t, why)) {
        map_tx_rings(t);
        return t;
    }
    swap_table_free(t);
    return NULL;
}

// --- what goes -------------------------------------------------------------------------------------------------------

typedef void ring_callback(void *context, struct ingress *in, bool comes);

static void close_ring(struct swap *s, size_t i, ring_callback *on_ring, void *context)
{
    struct ingress *in = s->rings[i];

    if (on_ring)
        on_ring(context, in, false);
    ingress_close(in);
    free(in);
    s->rings[i] = s->rings[--s->n_rings];
}

// Descriptors that are only kept open: memberships, and bound ports that keep the kernel from sending ICMP errors.
static void close_holds(struct swap *s)
{
    size_t n_ids, kept = 0;
    uint64_t *ids = hold_ids(s->now, &n_ids);

    for (size_t i = 0; ids && i < s->n_holds; i++) {
        if (bsearch(&s->holds[i].id, ids, n_ids, sizeof(*ids), by_id))
            s->holds[kept++] = s->holds[i];
        else
            close(s->holds[i].fd);
    }
    if (ids)
        s->n_holds = kept;
    free(ids);
}

// Closes every ring and socket that the present table does not name.
static void close_unnamed(struct swap *s, ring_callback *on_ring, void *context)
{
    size_t n_ids, kept = 0;
    uint64_t *ids = egress_ids(s->now, &n_ids);

    for (size_t i = s->n_rings; i-- > 0;)
        if (!names_ring(s->now, s->rings[i]->id))
            close_ring(s, i, on_ring, context);
    // Without memory for the list they stay open until the next change.
    for (size_t i = 0; ids && i < s->n_egress; i++) {
        struct egress *e = s->egress[i];
        if (bsearch(&e->id, ids, n_ids, sizeof(*ids), by_id)) {
            s->egress[kept++] = e;
            continue;
        }
        egress_close(e);
        free(e);
    }
    if (ids)
        s->n_egress = kept;
    free(ids);
    close_holds(s);
}

static void close_offer(struct swap *s)
{
    if (s->offered_table >= 0)
        close(s->offered_table);
    if (s->offered_stats >= 0)
        close(s->offered_stats);
    s->offered_table = s->offered_stats = -1;
}

void swap_reject(struct swap *s)
{
    close_offer(s);
    close_unnamed(s, NULL, NULL);
}

static struct stats_interface_counters *saved_counters(struct swap *s, const char *name)
{
    size_t i = 0;

    while (i < s->n_saved && strcmp(s->saved[i].name, name) != 0)
        i++;
    // If there are more names than places, the newest name takes the last place.
    if (i == s->n_saved && s->n_saved < sizeof(s->saved) / sizeof(s->saved[0]))
        s->n_saved++;
    else if (i == s->n_saved)
        i--;
    if (strcmp(s->saved[i].name, name) != 0) {
        memset(&s->saved[i], 0, sizeof(s->saved[i]));
        snprintf(s->saved[i].name, sizeof(s->saved[i].name), "%s", name);
    }
    return &s->saved[i].counters;
}

void swap_fail(struct swap *s, const char *why)
{
    // The first reason is kept: later ones follow from it.
    if (!s->failed[0])
        snprintf(s->failed, sizeof(s->failed), "%s", why);
    swap_reject(s);
}

// What came in before the change leaves by the old table, and stays counted.
static void drain_unnamed(struct swap *s, const struct swap_table *next, uint64_t now_ns, struct ingress_spill *spill)
{
    for (size_t i = 0; s->now && i < s->n_rings; i++) {
        struct ingress *in = s->rings[i];
        if (!names_ring(s->now, in->id) || names_ring(next, in->id))
            continue;
        ingress_drain(in, s->now->forward, spill);
        ingress_count_drops(in, now_ns);
        *saved_counters(s, s->now->view.interfaces[in->interface].name) = in->counters;
    }
}

static void configure_egress(struct swap_table *t)
{
    for (uint32_t i = 0; i < t->view.n_egress; i++) {
        const struct table_egress *from = &t->view.egress[i];
        egress_configure(t->forward->egress[i], from,
                         from->tx_ring == TABLE_NONE ? NULL : t->forward->egress[from->tx_ring]->ring);
    }
}

// Whether the table takes an interface of this index in by some ring.
static bool has_ring_of(const struct swap_table *t, uint32_t ifindex)
{
    for (uint32_t i = 0; t && i < t->view.n_interfaces; i++)
        if (t->view.interfaces[i].ring_id != 0 && t->view.interfaces[i].ifindex == ifindex)
            return true;
    return false;
}

bool swap_commit(struct swap *s, uint64_t now_ns, struct ingress_spill *spill, ring_callback *on_ring, void *context,
                 char why[SWAP_WHY_MAX])
{
    if (s->offered_table < 0)
        return swap_refuse(why, s->failed[0] ? s->failed : "a commit without an offer");
    struct swap_table *before = s->now, *t = prepare(s, now_ns, why);
    if (!t)
        return false;

    // From here on nothing can fail. The counters are copied after the last datagram under the old table.
    drain_unnamed(s, t, now_ns, spill);
    forward_carry(t->forward, before ? before->forward : NULL);
    s->now = t;
    configure_egress(t);
    for (uint32_t i = 0; i < t->view.n_interfaces; i++) {
        const struct table_interface *interface = &t->view.interfaces[i];
        struct ingress *in = interface->ring_id ? find_ring(s, interface->ring_id) : NULL;
        if (!in) {
            t->forward->stats.interfaces[i].counters = *saved_counters(s, interface->name);
            continue;
        }
        in->interface = i;
        if (names_ring(before, in->id))
            continue;
        // A new ring that replaces another (ring_mib) holds the frames that the old one has just been drained of.
        if (has_ring_of(before, interface->ifindex)) {
            ingress_skip(in, spill);
            ingress_count_drops(in, now_ns); // of frames that the other ring took
        }
        in->counters = *saved_counters(s, interface->name);
        if (on_ring)
            on_ring(context, in, true);
    }
    close_unnamed(s, on_ring, context);
    close_offer(s);
    if (before)
        ((struct stats_header *) before->stats_memory)->state = STATS_SUPERSEDED;
    swap_table_free(before);
    return true;
}

void swap_close(struct swap *s, ring_callback *on_ring, void *context)
{
    close_offer(s);
    swap_table_free(s->now);
    s->now = NULL;
    close_unnamed(s, on_ring, context);
    while (s->n_pool > 0)
        close(s->pool[--s->n_pool]);
    free(s->holds);
    free(s->rings);
    free(s->egress);
    swap_init(s);
}
