// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/sockets_state.h"

#include <errno.h>
#include <netpacket/packet.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "log/log.h"
#include "machine/option.h"

struct sockets *sockets_new(const struct machine *machine, unsigned without)
{
    struct sockets *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->machine = s->pool.machine = machine;
    s->without = without;
    memberships_init(&s->memberships);
    return s;
}

bool sockets_links(const struct sockets *s, struct link *links, size_t n)
{
    return s->machine->links(links, n);
}

// Closes the socket of a transmit ring. If the relay still maps the ring, its memory stays, so the socket is withheld.
static void close_tx_ring(struct sockets *s, int fd)
{
    if (output_revoke(REGISTRY_TX_RING, fd) || s->n_withheld == sizeof(s->withheld) / sizeof(s->withheld[0]))
        close(fd);
    else
        s->withheld[s->n_withheld++] = fd;
}

// Revokes and closes a socket that no table uses, so that a relay that keeps its descriptor cannot use it.
static void close_entry(void *context, struct registry_entry *e)
{
    struct sockets *s = context;

    if (e->key.kind == REGISTRY_RING) {
        // The pool keeps its socket.
        ring_pool_give_back(&s->pool, e->pool_number);
    } else if (e->key.kind == REGISTRY_TX_RING) {
        close_tx_ring(s, e->fd);
    } else {
        output_revoke(e->key.kind, e->fd);
        close(e->fd);
    }
}

static void release_held(struct sockets *s)
{
    while (s->n_held > 0)
        close(s->held[--s->n_held]);
}

// Closes the sockets when the broker ends, but does not revoke them: the relay continues with them.
void sockets_free(struct sockets *s)
{
    if (!s)
        return;
    memberships_free(&s->memberships);
    for (size_t i = 0; i < s->registry.n; i++)
        if (s->registry.entries[i]->key.kind != REGISTRY_RING)
            close(s->registry.entries[i]->fd);
    registry_free(&s->registry);
    while (s->n_withheld > 0)
        close(s->withheld[--s->n_withheld]);
    ring_pool_close(&s->pool);
    release_held(s);
    free(s);
}

// --- a load ----------------------------------------------------------------------------------------------------------

void sockets_begin(struct sockets *s)
{
    s->n_gone = 0;
    registry_begin(&s->registry);
    memberships_begin(&s->memberships);
}

void sockets_settle(struct sockets *s, bool committed)
{
    // After a failed load, a stuck ring must be given up again before it is replaced.
    for (size_t i = 0; !committed && i < s->registry.n; i++)
        s->registry.entries[i]->stuck = false;
    registry_settle(&s->registry, committed, close_entry, s);
    memberships_settle(&s->memberships, committed);
    if (committed)
        release_held(s);
}

void sockets_narrow(struct sockets *s)
{
    registry_narrow(&s->registry, close_entry, s);
    memberships_narrow(&s->memberships);
}

static struct registry_entry *add(struct sockets *s, const struct registry_key *key, int fd, const char **step)
{
    struct registry_entry *e = fd < 0 ? NULL : registry_add(&s->registry, key, fd);

    if (!e && fd >= 0) {
        *step = "memory";
        descriptors_close(fd);
    }
    return e;
}

// Returns whether the interface of a packet socket is gone. The kernel unbinds the socket then, and does not bind it to
// another interface with the same index.
static bool outlived(int fd)
{
    struct sockaddr_ll where;
    socklen_t length = sizeof(where);

    return getsockname(fd, (struct sockaddr *) &where, &length) == 0 &&
           length >= offsetof(struct sockaddr_ll, sll_hatype) && where.sll_ifindex <= 0;
}

// Returns the entry with this key whose interface exists and whose slots fit this MTU, and marks it as wanted. Returns
// NULL if there is none, with key->outlived set so that the key is new.
static struct registry_entry *want_living(struct sockets *s, struct registry_key *key, uint32_t mtu)
{
    const struct registry_entry *e;

    for (; (e = registry_find(&s->registry, key)); key->outlived++) {
        if (!outlived(e->fd)) {
            // A ring without super-frames cannot receive frames that exceed its slots.
            if (!e->stuck && (e->super_frames || e->fits_mtu >= mtu))
                return registry_want(&s->registry, key);
            continue;
        }
        if (s->n_gone < sizeof(s->gone) / sizeof(s->gone[0]))
            s->gone[s->n_gone++] = key->ifindex;
    }
    return NULL;
}

struct registry_entry *sockets_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t ring_mib,
                                    const struct ring_filter *filter, struct ring_geometry *g, const char **step)
{
    struct registry_key key = {.kind = REGISTRY_RING, .ifindex = ifindex, .ring_mib = ring_mib};
    struct registry_entry *e = want_living(s, &key, mtu);
    bool super_frames = false;
    uint32_t number;

    *g = ring_geometry(e ? e->fits_mtu : mtu, ring_mib);
    if (e)
        return e;
    int fd = ring_pool_take(&s->pool, &number, step);
    if (fd < 0) {
        errno = 0; // *step says everything
        return NULL;
    }
    if (s->machine->ring_open(fd, ifindex, g, filter, s->without, &super_frames, step)) {
        if ((e = registry_add(&s->registry, &key, fd))) {
            e->fits_mtu = mtu;
            e->super_frames = super_frames;
            e->pool_number = number;
            return e;
        }
        *step = "memory";
    }
    int saved = errno;
    ring_pool_give_back(&s->pool, number);
    errno = saved;
    return NULL;
}

// Tries again to close the withheld transmit rings. Returns how many are left.
static size_t reclaim_tx_rings(struct sockets *s)
{
    size_t n = s->n_withheld;

    s->n_withheld = 0;
    for (size_t i = 0; i < n; i++)
        close_tx_ring(s, s->withheld[i]);
    return s->n_withheld;
}

struct registry_entry *sockets_tx_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t *slot_size,
                                       const char **step)
{
    struct registry_key key = {.kind = REGISTRY_TX_RING, .ifindex = ifindex};
    struct output_address to = {.ifindex = ifindex};
    bool gso;
    uint32_t holds;

    *step = NULL;
    if (s->without & FEATURE_TX_RING)
        return NULL;
    to.slot_size = output_slot_size(mtu, &holds);
    struct registry_entry *e = want_living(s, &key, mtu < holds ? mtu : holds);
    if (!e) {
        if (reclaim_tx_rings(s) >= TX_RINGS_WITHHELD_MAX) {
            *step = "the relay keeps transmit rings that it should have given back: restart mcrd";
            errno = ENOBUFS;
            return NULL;
        }
        e = add(s, &key, s->machine->open(REGISTRY_TX_RING, &to, s->without, &gso, step), step);
        if (e)
            e->fits_mtu = holds;
    }
    if (e)
        *slot_size = output_slot_size(e->fits_mtu, &holds);
    return e;
}

// Returns whether a socket that another load has bound would send from an address that has gone. Each is asked for once
// in a load.
static bool lost_source(const struct sockets *s, const struct registry_key *key, const struct output_address *a)
{
    const struct registry_entry *e = a->own_source ? NULL : registry_find(&s->registry, key);

    return e && !e->wanted && !s->machine->has_source(a);
}

struct registry_entry *sockets_output(struct sockets *s, enum registry_kind kind, const struct output_address *a,
                                      const char **step)
{
    const bool bound = kind == REGISTRY_SOCKET || kind == REGISTRY_RAW_UDP;
    bool gso;

    // The key has only what matters to a socket of this kind, so that outputs share sockets.
    struct registry_key key = {.kind = bound && s->machine->only_raw ? REGISTRY_RAW : kind, .ifindex = a->ifindex};
    if (kind != REGISTRY_FRAME)
        key.destination = a->destination;
    if (bound)
        key.source = a->source;
    if (key.kind == REGISTRY_SOCKET)
        key.source_port = a->source_port;
    if (key.kind == REGISTRY_SOCKET || kind == REGISTRY_QUIET)
        key.port = a->port;
    if (bound && lost_source(s, &key, a)) {
        *step = "bind to source";
        errno = EADDRNOTAVAIL;
        return NULL;
    }
    struct registry_entry *e = kind == REGISTRY_FRAME ? want_living(s, &key, 0) : registry_want(&s->registry, &key);
    if (!e && (e = add(s, &key, s->machine->open(kind, a, s->without, &gso, step), step)))
        e->super_frames = gso;
    return e;
}

bool sockets_join(struct sockets *s, uint32_t ifindex, const struct addr *group, const struct addr *source,
                  const char **step)
{
    bool again = false;

    *step = "join the group";
    for (size_t i = 0; i < s->n_gone; i++)
        again |= s->gone[i] == ifindex;
    return s->machine->join(&s->memberships, ifindex, group, source, again);
}

static bool is_hold(const struct registry_entry *e)
{
    return e->key.kind == REGISTRY_QUIET || e->key.kind == REGISTRY_MEMBER_SOCKET;
}

size_t sockets_holds(const struct sockets *s, uint64_t *ids, size_t most)
{
    const struct registry *both[] = {&s->memberships.sockets, &s->registry};
    size_t n = 0;

    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < both[i]->n; j++) {
            const struct registry_entry *e = both[i]->entries[j];
            if (!e->wanted || !is_hold(e))
                continue;
            if (n < most)
                ids[n] = e->id;
            n++;
        }
    return n;
}

struct sending {
    int fd;
    size_t n; // descriptors so far
    struct handover_message message;
    int fds[HANDOVER_FDS_MAX];
};

static bool flush(struct sending *out)
{
    bool ok = out->message.n_fds == 0 || handover_send(out->fd, &out->message, out->fds);

    out->message.n_fds = 0;
    return ok;
}

static bool put(struct sending *out, uint64_t id, enum handover_socket_kind kind, int fd)
{
    uint32_t n = out->message.n_fds++;

    out->n++;
    out->message.sockets[n] = (struct handover_socket){.id = id, .kind = kind};
    out->fds[n] = fd;
    return n + 1 < HANDOVER_FDS_MAX || flush(out);
}

static bool put_new(struct sending *out, const struct registry *r)
{
    bool ok = true;

    for (size_t i = 0; ok && i < r->n; i++) {
        const struct registry_entry *e = r->entries[i];
        // The relay has the sockets of rings already (sockets_send_pool()).
        if (e->wanted && !e->running && e->key.kind != REGISTRY_RING)
            ok = put(out, e->id, is_hold(e) ? HANDOVER_HOLD : HANDOVER_EGRESS, e->fd);
    }
    return ok;
}

bool sockets_send_new(const struct sockets *s, int fd, uint32_t serial, size_t *n)
{
    struct sending out = {.fd = fd, .message = {.type = HANDOVER_SOCKETS, .serial = serial}};
    bool ok = put_new(&out, &s->registry) && put_new(&out, &s->memberships.sockets) && flush(&out);

    *n = out.n;
    return ok;
}

bool sockets_open_pool(struct sockets *s, size_t n_inputs, const char **step)
{
    return ring_pool_open(&s->pool, n_inputs, step);
}

size_t sockets_inputs(const struct sockets *s)
{
    return s->pool.n / 2;
}

bool sockets_send_pool(const struct sockets *s, int fd, uint32_t serial)
{
    struct sending out = {.fd = fd, .message = {.type = HANDOVER_POOL, .serial = serial}};
    bool ok = true;

    // A ring of the mcrd before that the table does not use has the filter of its origin.
    for (size_t i = 0; i < s->registry.n; i++)
        if (s->registry.entries[i]->key.kind == REGISTRY_RING && !s->registry.entries[i]->wanted)
            option_refuse_everything(s->registry.entries[i]->fd);
    for (size_t i = 0; ok && i < s->pool.n; i++)
        ok = put(&out, 0, 0, s->pool.sockets[i].fd);
    return ok && flush(&out);
}

// Writes the keys of the destinations that the ring receives for this table. Returns how many.
static size_t collect_keys(const struct table_view *table, uint64_t ring_id, struct filter_key *keys)
{
    size_t n = 0;

    for (uint32_t i = 0; i < table->n_destinations; i++) {
        const struct table_destination *d = &table->destinations[i];
        if (table->interfaces[d->interface].ring_id == ring_id)
            keys[n++] = (struct filter_key){.address = d->address, .port = d->port};
    }
    return n;
}

static struct registry_entry *find_ring(const struct sockets *s, uint64_t id)
{
    for (size_t i = 0; id && i < s->registry.n; i++)
        if (s->registry.entries[i]->id == id)
            return s->registry.entries[i];
    return NULL;
}

void sockets_give_up_ring(struct sockets *s, uint64_t id, uint64_t now_ns)
{
    struct registry_entry *ring = find_ring(s, id);

    if (!ring || ring->key.kind != REGISTRY_RING || ring->stuck)
        return;
    ring->stuck = ring_pool_may_replace(&s->pool, ring->key.ifindex, now_ns);
    if (!ring->stuck)
        log_warn(EVENT_RING_STUCK,
                 "index=%u reason=\"replaced a short time ago\" effect=\"it takes in nothing until it is "
                 "replaced again\"",
                 ring->key.ifindex);
}

// Sets the filters of the rings of t to what both tables take in by them. Returns false if one could not be set; the
// others are set nevertheless.
static bool set_filters(struct sockets *s, const struct table_view *t, const struct table_view *other,
                        struct filter_key *keys)
{
    bool ok = true;

    for (uint32_t i = 0; i < t->n_interfaces; i++) {
        uint64_t id = t->interfaces[i].ring_id;
        const struct registry_entry *ring = find_ring(s, id);
        if (!ring)
            continue;
        size_t n = collect_keys(t, id, keys);
        if (other)
            n += collect_keys(other, id, keys + n);
        struct ring_filter filter = {.keys = keys, .n = n, .ethernet = t->interfaces[i].link == TABLE_LINK_ETHERNET};
        ok &= s->machine->ring_set_filter(ring->fd, &filter);
    }
    return ok;
}

bool sockets_set_filters(struct sockets *s, const struct table_view *table, const struct table_view *also)
{
    size_t most = table->n_destinations + (also ? also->n_destinations : 0);
    struct filter_key *keys = calloc(most ? most : 1, sizeof(*keys));
    bool ok = keys && set_filters(s, table, also, keys);

    if (keys && also)
        ok &= set_filters(s, also, table, keys);
    free(keys);
    return ok;
}
