// SPDX-License-Identifier: Apache-2.0
// What the service manager keeps of the sockets while mcrd does not run, and what the next start makes of it.
#include <config.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "machine/option.h"
#include "machine/sockets_state.h"

// The name says what a ring is, so that the next start knows what to look for.
#define RING_NAME "ring,index=%u,ring_mib=%u,mtu=%u,super_frames=%u"

// What is only held until the next start has opened its like: memberships, lest the groups be left, and packet sockets,
// each of which takes the kernel some milliseconds to close, which would make the restart longer.
#define MEMBER_NAME "member,%llu"
#define OUTPUT_NAME "output,%llu"
#define SPARE_NAME  "spare,%llu"

static bool is_held(const char *name)
{
    static const char *const names[] = {MEMBER_NAME, OUTPUT_NAME, SPARE_NAME};
    bool held = false;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        held |= strncmp(name, names[i], strcspn(names[i], "%")) == 0;
    return held;
}

// A ring may be made of what was a spare socket, and the manager keeps one name for one socket: so the news of both are
// told in their order.
bool sockets_told_first(const char *name)
{
    return !is_held(name) || strncmp(name, SPARE_NAME, strcspn(SPARE_NAME, "%")) == 0;
}

static void __attribute__((format(printf, 3, 4))) keep_named(struct store *store, int fd, const char *format, ...)
{
    char name[STORE_NAME_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof(name), format, args);
    va_end(args);
    store_keep(store, name, fd, sockets_told_first(name));
}

static bool names_ring(const struct table_view *t, uint64_t id)
{
    for (uint32_t i = 0; t && i < t->n_interfaces; i++)
        if (t->interfaces[i].ring_id == id)
            return true;
    return !t;
}

void sockets_keep(const struct sockets *s, const struct table_view *t, struct store *store)
{
    for (size_t i = 0; i < s->registry.n; i++) {
        const struct registry_entry *e = s->registry.entries[i];
        if (e->wanted && e->key.kind == REGISTRY_RING && names_ring(t, e->id))
            keep_named(store, e->fd, RING_NAME, e->key.ifindex, e->key.ring_mib, e->fits_mtu, e->super_frames);
    }
    for (size_t i = 0; i < s->memberships.sockets.n; i++)
        if (s->memberships.sockets.entries[i]->wanted)
            keep_named(store, s->memberships.sockets.entries[i]->fd, MEMBER_NAME,
                       (unsigned long long) s->memberships.sockets.entries[i]->id);
    for (size_t i = 0; i < s->registry.n; i++) {
        const struct registry_entry *e = s->registry.entries[i];
        if (e->wanted && (e->key.kind == REGISTRY_FRAME || e->key.kind == REGISTRY_TX_RING))
            keep_named(store, e->fd, OUTPUT_NAME, (unsigned long long) e->id);
    }
    for (size_t i = 0; i < s->pool.n; i++)
        if (s->pool.sockets[i].use != RING_USED)
            keep_named(store, s->pool.sockets[i].fd, SPARE_NAME, (unsigned long long) i);
}

uint32_t sockets_unwanted_rings(const struct sockets *s)
{
    uint32_t n = 0;

    for (size_t i = 0; i < s->registry.n; i++) {
        const struct registry_entry *e = s->registry.entries[i];
        n += e->key.kind == REGISTRY_RING && e->running && !e->wanted;
    }
    return n;
}

// Adds the ring of this name to the pool and to the registry, as one of a table in force. Returns false with *why.
static bool inherit_ring(struct sockets *s, const char *name, int fd, int own, const char **why)
{
    struct registry_key key = {.kind = REGISTRY_RING};
    unsigned mtu, super_frames;
    char again[STORE_NAME_MAX];

    if (sscanf(name, RING_NAME, &key.ifindex, &key.ring_mib, &mtu, &super_frames) != 4)
        return option_step(why, "an unknown name", false);
    snprintf(again, sizeof(again), RING_NAME, key.ifindex, key.ring_mib, mtu, super_frames);
    if (strcmp(again, name) != 0 || key.ring_mib == 0 || key.ring_mib > RING_MIB_MAX || super_frames > 1)
        return option_step(why, "an unknown name", false);
    if (super_frames && s->without & FEATURE_SUPER_FRAMES)
        return option_step(why, "super-frames are not to be used", false);
    struct ring_geometry g = ring_geometry(mtu, key.ring_mib);
    if (!ring_verify(fd, own, key.ifindex, &g, super_frames, why) ||
        !option_step(why, "there is one of this name already", !registry_find(&s->registry, &key)) ||
        !option_step(why, "too many", ring_pool_has_room(&s->pool)))
        return false;
    struct registry_entry *e = registry_add(&s->registry, &key, fd);
    if (!e)
        return option_step(why, "no memory", false);
    e->fits_mtu = mtu;
    e->super_frames = super_frames;
    e->pool_number = ring_pool_adopt(&s->pool, fd);
    // A load that fails leaves it as it is.
    e->running = true;
    return true;
}

enum sockets_inherited sockets_inherit(struct sockets *s, const char *name, int fd, int own, const char **why)
{
    if (is_held(name) && s->n_held < SERVICE_FDS_MAX) {
        s->held[s->n_held++] = fd;
        return SOCKETS_HELD;
    }
    return inherit_ring(s, name, fd, own, why) ? SOCKETS_RING : SOCKETS_REFUSED;
}
