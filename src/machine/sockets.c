// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/membership.h"
#include "machine/ring_pool.h"
#include "log/log.h"

// If the relay keeps so many unused transmit rings mapped, no other one is made.
#define TX_RINGS_WITHHELD_MAX 8

struct sockets {
    const struct machine *machine;
    struct registry *registry;
    struct ring_pool *pool;
    int withheld[TABLE_INTERFACES_MAX + TX_RINGS_WITHHELD_MAX]; // transmit rings
    size_t n_withheld;
    struct memberships *memberships;
    unsigned without;
    // Interfaces whose index was given again while sockets of the old one were open.
    uint32_t gone[3 * TABLE_INTERFACES_MAX]; // a ring, frames, a transmit ring
    size_t n_gone;
};

struct sockets *sockets_new(const struct machine *machine, unsigned without)
{
    struct sockets *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->machine = machine;
    s->without = without;
    s->registry = registry_new();
    s->pool = ring_pool_new(machine);
    s->memberships = memberships_new();
    if (!s->registry || !s->pool || !s->memberships) {
        sockets_free(s);
        return NULL;
    }
    return s;
}

bool sockets_links(const struct sockets *s, struct link *links, size_t n)
{
    return s->machine->links(links, n);
}

// At the end of the broker sockets are closed but not revoked: the relay goes on with them.
static void close_only(void *context, struct registry_entry *e)
{
    const struct sockets *s = context;

    if (e->key.kind != REGISTRY_RING)
        s->machine->close(e->fd);
}

// A transmit ring that the relay still maps keeps its memory, so its socket is withheld.
static void close_tx_ring(struct sockets *s, int fd)
{
    if (s->machine->revoke_tx_ring(fd) || s->n_withheld == sizeof(s->withheld) / sizeof(s->withheld[0]))
        s->machine->close(fd);
    else
        s->withheld[s->n_withheld++] = fd;
}

// Closes and revokes a socket that no table uses: a relay that keeps its descriptor cannot use it.
static void close_entry(void *context, struct registry_entry *e)
{
    struct sockets *s = context;

    switch ((enum registry_kind) e->key.kind) {
    case REGISTRY_RING:
        // The pool keeps its socket.
        ring_pool_give_back(s->pool, e->pool_number);
        return;
    case REGISTRY_TX_RING:
        close_tx_ring(s, e->fd);
        return;
    case REGISTRY_FRAME:
        s->machine->revoke_frame(e->fd);
        break;
    case REGISTRY_SOCKET:
    case REGISTRY_RAW:
    case REGISTRY_RAW_UDP:
        s->machine->revoke_flow(e->fd);
        break;
    case REGISTRY_QUIET:
    case REGISTRY_MEMBERSHIP:
        break;
    }
    s->machine->close(e->fd);
}

void sockets_free(struct sockets *s)
{
    if (!s)
        return;
    memberships_free(s->memberships);
    if (s->registry) {
        // Nothing is wanted any more.
        registry_begin(s->registry);
        registry_settle(s->registry, true, close_only, s);
    }
    registry_free(s->registry);
    while (s->n_withheld > 0)
        s->machine->close(s->withheld[--s->n_withheld]);
    ring_pool_free(s->pool);
    free(s);
}

void sockets_begin(struct sockets *s)
{
    s->n_gone = 0;
    registry_begin(s->registry);
    memberships_begin(s->memberships);
}

void sockets_settle(struct sockets *s, bool committed)
{
    // A ring that could not be replaced waits for its turn again.
    for (size_t i = 0; !committed && i < registry_count(s->registry); i++)
        registry_at(s->registry, i)->stuck = false;
    registry_settle(s->registry, committed, close_entry, s);
    memberships_settle(s->memberships, committed);
}

static struct registry_entry *add(struct sockets *s, const struct registry_key *key, int fd, const char **step)
{
    if (fd < 0)
        return NULL;
    struct registry_entry *e = registry_add(s->registry, key, fd);
    if (!e) {
        s->machine->close(fd);
        *step = "memory";
        errno = ENOMEM;
    }
    return e;
}

// The living entry of this key with room for this MTU, now wanted; or NULL with a key that is free.
static struct registry_entry *want_living(struct sockets *s, struct registry_key *key, uint32_t mtu)
{
    const struct registry_entry *e;

    for (; (e = registry_find(s->registry, key)); key->outlived++) {
        if (!s->machine->outlived(e->fd)) {
            // Without super-frames a ring takes nothing that exceeds its slots.
            if (!e->stuck && (e->super_frames || e->fits_mtu >= mtu))
                return registry_want(s->registry, key);
            continue;
        }
        if (s->n_gone < sizeof(s->gone) / sizeof(s->gone[0]))
            s->gone[s->n_gone++] = key->ifindex;
    }
    return NULL;
}

static int open_ring(struct sockets *s, uint32_t ifindex, const struct ring_geometry *g,
                     const struct ring_filter *filter, bool *super_frames, uint32_t *number, const char **step)
{
    int fd = ring_pool_take(s->pool, number, step);

    if (fd < 0) {
        errno = 0; // *step tells all
        return -1;
    }
    if (s->machine->ring_open(fd, ifindex, g, filter, s->without, super_frames, step))
        return fd;
    int saved = errno;
    ring_pool_give_back(s->pool, *number);
    errno = saved;
    return -1;
}

struct registry_entry *sockets_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t ring_mib,
                                    const struct ring_filter *filter, struct ring_geometry *g, const char **step)
{
    struct registry_key key = {.kind = REGISTRY_RING, .ifindex = ifindex, .ring_mib = ring_mib};
    struct registry_entry *e = want_living(s, &key, mtu);
    bool super_frames = false;

    if (e) {
        *g = ring_geometry(e->fits_mtu, ring_mib);
        return e;
    }
    *g = ring_geometry(mtu, ring_mib);
    uint32_t number = 0;
    int fd = open_ring(s, ifindex, g, filter, &super_frames, &number, step);
    e = fd < 0 ? NULL : registry_add(s->registry, &key, fd);
    if (e) {
        e->fits_mtu = mtu;
        e->super_frames = super_frames;
        e->pool_number = number;
    } else if (fd >= 0) {
        ring_pool_give_back(s->pool, number);
        *step = "memory";
        errno = ENOMEM;
    }
    return e;
}

struct registry_entry *sockets_frame(struct sockets *s, uint32_t ifindex, const char **step)
{
    struct registry_key key = {.kind = REGISTRY_FRAME, .ifindex = ifindex};
    struct registry_entry *e = want_living(s, &key, 0);

    if (e)
        return e;
    e = add(s, &key, s->machine->open_frame(ifindex, step), step);
    // The kernel does not report whether it takes GSO frames; the first one shows it (egress.c).
    if (e)
        e->super_frames = !(s->without & FEATURE_PACKET_GSO);
    return e;
}

// Looks once more at the transmit rings that the relay has not given back. Returns how many are left.
static size_t reclaim_tx_rings(struct sockets *s)
{
    size_t left = 0;

    for (size_t i = 0; i < s->n_withheld; i++) {
        if (s->machine->revoke_tx_ring(s->withheld[i]))
            s->machine->close(s->withheld[i]);
        else
            s->withheld[left++] = s->withheld[i];
    }
    return s->n_withheld = left;
}

struct registry_entry *sockets_tx_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t *slot_size,
                                       const char **step)
{
    struct registry_key key = {.kind = REGISTRY_TX_RING, .ifindex = ifindex};
    struct registry_entry *e;
    uint32_t holds, size = output_slot_size(mtu, &holds);

    *step = NULL;
    if (!s->machine->open_tx_ring || s->without & FEATURE_TX_RING)
        return NULL;
    e = want_living(s, &key, mtu < holds ? mtu : holds);
    if (!e) {
        if (reclaim_tx_rings(s) >= TX_RINGS_WITHHELD_MAX) {
            *step = "the relay keeps transmit rings that it should have given back: restart mcrd";
            errno = ENOBUFS;
            return NULL;
        }
        e = add(s, &key, s->machine->open_tx_ring(ifindex, size, step), step);
        if (e)
            e->fits_mtu = holds;
    }
    if (e)
        *slot_size = output_slot_size(e->fits_mtu, &holds);
    return e;
}

struct registry_entry *sockets_flow(struct sockets *s, const struct output_address *flow, const char **step)
{
    struct registry_key key = {.kind = REGISTRY_SOCKET,
                               .ifindex = flow->ifindex,
                               .source = flow->source,
                               .destination = flow->destination,
                               .source_port = flow->source_port,
                               .port = flow->port};
    struct registry_entry *e;
    bool gso = false;

    if (!s->machine->open_socket)
        return sockets_raw(s, flow, false, step);
    if ((e = registry_want(s->registry, &key)))
        return e;
    e = add(s, &key, s->machine->open_socket(flow, s->without, &gso, step), step);
    if (e)
        e->super_frames = gso;
    return e;
}

struct registry_entry *sockets_raw(struct sockets *s, const struct output_address *flow, bool udp, const char **step)
{
    struct registry_key key = {.kind = REGISTRY_RAW, .ifindex = flow->ifindex, .destination = flow->destination};

    udp = udp && s->machine->open_socket;
    if (udp) {
        key.kind = REGISTRY_RAW_UDP;
        key.source = flow->source;
    }
    struct registry_entry *e = registry_want(s->registry, &key);
    return e ? e : add(s, &key, s->machine->open_raw(flow, udp, step), step);
}

struct registry_entry *sockets_quiet(struct sockets *s, const char *interface, uint32_t ifindex,
                                     const struct addr *address, uint16_t port, const char **step)
{
    struct registry_key key = {.kind = REGISTRY_QUIET, .ifindex = ifindex, .destination = *address, .port = port};
    struct registry_entry *e = registry_want(s->registry, &key);

    return e ? e : add(s, &key, s->machine->open_quiet(interface, ifindex, address, port, step), step);
}

bool sockets_join(struct sockets *s, uint32_t ifindex, const struct addr *group, const struct addr *source,
                  const char **step)
{
    bool again = false;

    *step = "join the group";
    for (size_t i = 0; i < s->n_gone; i++)
        again |= s->gone[i] == ifindex;
    return s->machine->join(s->memberships, ifindex, group, source, again);
}

struct listing {
    uint64_t *ids;
    size_t n, most;
};

static bool list_hold(void *context, uint64_t id, int fd, bool is_new)
{
    struct listing *l = context;

    (void) fd;
    (void) is_new;
    if (l->n < l->most)
        l->ids[l->n] = id;
    l->n++;
    return true;
}

size_t sockets_holds(const struct sockets *s, uint64_t *ids, size_t most)
{
    struct listing l = {.ids = ids, .most = most};

    memberships_for_each(s->memberships, list_hold, &l);
    for (size_t i = 0; i < registry_count(s->registry); i++) {
        const struct registry_entry *e = registry_at(s->registry, i);
        if (e->key.kind == REGISTRY_QUIET && e->wanted)
            list_hold(&l, e->id, e->fd, false);
    }
    return l.n;
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

static bool put_hold(void *context, uint64_t id, int fd, bool is_new)
{
    return !is_new || put(context, id, HANDOVER_HOLD, fd);
}

bool sockets_send_new(const struct sockets *s, int fd, uint32_t serial, size_t *n)
{
    struct sending out = {.fd = fd, .message = {.type = HANDOVER_SOCKETS, .serial = serial}};
    bool ok = true;

    for (size_t i = 0; ok && i < registry_count(s->registry); i++) {
        const struct registry_entry *e = registry_at(s->registry, i);
        // Rings are made of the pool, which the relay has.
        if (e->wanted && !e->running && e->key.kind != REGISTRY_RING)
            ok = put(&out, e->id, e->key.kind == REGISTRY_QUIET ? HANDOVER_HOLD : HANDOVER_EGRESS, e->fd);
    }
    ok = ok && memberships_for_each(s->memberships, put_hold, &out) && flush(&out);
    *n = out.n;
    return ok;
}

bool sockets_open_pool(struct sockets *s, size_t n_inputs, const char **step)
{
    return ring_pool_open(s->pool, n_inputs, step);
}

size_t sockets_inputs(const struct sockets *s)
{
    return ring_pool_inputs(s->pool);
}

bool sockets_send_pool(const struct sockets *s, int fd, uint32_t serial)
{
    struct sending out = {.fd = fd, .message = {.type = HANDOVER_POOL, .serial = serial}};
    bool ok = true;

    for (size_t i = 0; ok && i < ring_pool_size(s->pool); i++)
        ok = put(&out, 0, 0, ring_pool_fd(s->pool, i));
    return ok && flush(&out);
}

// Appends the keys of what the ring takes in for table.
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
    for (size_t i = 0; i < registry_count(s->registry); i++)
        if (registry_at(s->registry, i)->id == id)
            return registry_at(s->registry, i);
    return NULL;
}

void sockets_give_up_ring(struct sockets *s, uint64_t id, uint64_t now_ns)
{
    struct registry_entry *ring = id ? find_ring(s, id) : NULL;

    if (!ring || ring->key.kind != REGISTRY_RING || ring->stuck)
        return;
    ring->stuck = ring_pool_may_replace(s->pool, ring->key.ifindex, now_ns);
    if (!ring->stuck)
        log_warn("ring_stuck",
                 "index=%u reason=\"replaced a short time ago\" effect=\"it takes in nothing until it is "
                 "replaced again\"",
                 ring->key.ifindex);
}

bool sockets_set_filters(struct sockets *s, const struct table_view *table, const struct table_view *also)
{
    size_t most = table->n_destinations + (also ? also->n_destinations : 0);
    struct filter_key *keys = calloc(most ? most : 1, sizeof(*keys));
    bool ok = keys != NULL;

    // A filter that fails does not keep the others wider than needed.
    for (uint32_t i = 0; keys && i < table->n_interfaces; i++) {
        uint64_t id = table->interfaces[i].ring_id;
        const struct registry_entry *ring = id ? find_ring(s, id) : NULL;
        if (!ring)
            continue;
        size_t n = collect_keys(table, id, keys);
        if (also)
            n += collect_keys(also, id, keys + n);
        struct ring_filter filter = {
            .keys = keys, .n = n, .ethernet = table->interfaces[i].link == TABLE_LINK_ETHERNET};
        if (!s->machine->ring_set_filter(ring->fd, &filter))
            ok = false;
    }
    free(keys);
    return ok;
}
