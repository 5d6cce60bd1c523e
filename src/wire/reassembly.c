// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/reassembly.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define UNIT      8      // bytes; a fragment begins at a multiple of it (RFC 791)
#define BYTES_MAX 65535u // of an IP payload: the length fields of UDP and IPv6 have 16 bits

enum state {
    FREE,
    WAITING, // for more fragments
    WHOLE,   // held until the release
    REFUSED, // its fragments overlap or disagree: the others are dropped until it expires (RFC 8200, section 4.5)
};

// One datagram. Its bytes are stored elsewhere, so that a search reads few cache lines.
struct set {
    enum state state;
    uint16_t vlan;
    uint8_t next, ttl, dscp; // of the first fragment
    uint32_t id;
    struct addr source, destination;
    uint64_t since_ns;
    uint32_t got;   // bytes received
    uint32_t end;   // offset of the end of the farthest fragment, bytes
    uint32_t total; // bytes; 0 until the last fragment has come
};

struct reassembly {
    uint32_t n_whole;
    struct set sets[REASSEMBLY_SETS];
    uint64_t units[REASSEMBLY_SETS][(BYTES_MAX / UNIT + 64) / 64]; // one bit for each unit that has come
    uint8_t bytes[REASSEMBLY_SETS][BYTES_MAX + 1];
};

struct reassembly *reassembly_new(void)
{
    // The 4 MiB cost little: the kernel provides a page when it is first written to.
    return calloc(1, sizeof(struct reassembly));
}

void reassembly_free(struct reassembly *r)
{
    free(r);
}

// Counts a dropped datagram. reason: a counter in c.
static void count(struct stats_interface_counters *c, uint64_t *reason)
{
    c->received++;
    ++*reason;
}

static void give_up(struct set *s, struct stats_interface_counters *c)
{
    if (s->state == WAITING)
        count(c, &c->fragments);
    s->state = FREE;
}

// Returns whether the fragment belongs to the datagram. The protocol, which is part of the key in IPv4, is always UDP.
static bool is_of(const struct set *s, const struct packet *p)
{
    return (s->state == WAITING || s->state == REFUSED) && s->id == p->fragment.id && s->vlan == p->vlan &&
           addr_equal(&s->source, &p->source) && addr_equal(&s->destination, &p->destination);
}

// Returns the set of this fragment, or a new one, for which the oldest set may be evicted. Returns NULL if all sets
// hold whole datagrams.
static struct set *find(struct reassembly *r, const struct packet *p, uint64_t now_ns,
                        struct stats_interface_counters *c)
{
    struct set *best = NULL;

    for (struct set *s = r->sets; s < r->sets + REASSEMBLY_SETS; s++) {
        if (is_of(s, p))
            return s;
        if (s->state == WHOLE || (best && best->state == FREE))
            continue;
        if (!best || s->state == FREE || s->since_ns < best->since_ns)
            best = s;
    }
    if (!best)
        return NULL;
    give_up(best, c);
    *best = (struct set){.state = WAITING,
                         .vlan = p->vlan,
                         .id = p->fragment.id,
                         .source = p->source,
                         .destination = p->destination,
                         .since_ns = now_ns};
    memset(r->units[best - r->sets], 0, sizeof(r->units[0]));
    return best;
}

// Marks the units from first to end - 1. Returns how many of them were marked already.
static uint32_t mark(uint64_t *units, uint32_t first, uint32_t end)
{
    uint32_t there = 0;

    while (first < end) {
        uint32_t at = first % 64, n = end - first < 64 - at ? end - first : 64 - at;
        uint64_t mask = (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << at;
        there += (uint32_t) __builtin_popcountll(units[first / 64] & mask);
        units[first / 64] |= mask;
        first += n;
    }
    return there;
}

// Stores the fragment in its set. Returns false if it contradicts the fragments that are there. An exact duplicate does
// not.
static bool put(struct set *s, uint64_t *units, uint8_t *bytes, const struct packet *p)
{
    const struct packet_fragment *f = &p->fragment;
    uint32_t length = (uint32_t) p->length, end = f->offset + length;
    uint32_t first_unit = f->offset / UNIT, end_unit = (end + UNIT - 1) / UNIT;

    if (s->total != 0 ? end > s->total || (!f->more && end != s->total) : !f->more && end < s->end)
        return false;
    uint32_t there = mark(units, first_unit, end_unit);
    if (there == end_unit - first_unit)
        return memcmp(bytes + f->offset, p->payload, length) == 0;
    if (there > 0)
        return false;
    memcpy(bytes + f->offset, p->payload, length);
    s->got += length;
    if (end > s->end)
        s->end = end;
    if (!f->more)
        s->total = end;
    if (f->offset == 0) {
        s->next = f->next;
        s->ttl = p->ttl;
        s->dscp = p->dscp;
    }
    return true;
}

bool reassembly_take(struct reassembly *r, struct packet *p, uint64_t now_ns, struct stats_interface_counters *c)
{
    const struct packet_fragment *f = &p->fragment;

    if (p->length == 0 || f->offset + p->length > BYTES_MAX || (f->more && p->length % UNIT != 0)) {
        count(c, &c->malformed);
        return false;
    }
    struct set *s = find(r, p, now_ns, c);
    if (!s) {
        count(c, &c->fragments);
        return false;
    }
    if (s->state == REFUSED)
        return false;
    uint8_t *bytes = r->bytes[s - r->sets];
    if (!put(s, r->units[s - r->sets], bytes, p)) {
        count(c, &c->overlapping);
        s->state = REFUSED;
        return false;
    }
    if (s->total == 0 || s->got != s->total)
        return false;
    s->state = WHOLE;
    r->n_whole++;
    p->payload = bytes;
    p->length = s->total;
    p->fragment.next = s->next;
    p->ttl = s->ttl;
    p->dscp = s->dscp;
    return true;
}

bool reassembly_is_crowded(const struct reassembly *r)
{
    return r->n_whole >= REASSEMBLY_SETS / 2;
}

void reassembly_release(struct reassembly *r)
{
    for (uint32_t i = 0; r->n_whole > 0 && i < REASSEMBLY_SETS; i++)
        if (r->sets[i].state == WHOLE) {
            r->sets[i].state = FREE;
            r->n_whole--;
        }
}

void reassembly_expire(struct reassembly *r, uint64_t now_ns, struct stats_interface_counters *c)
{
    for (struct set *s = r->sets; s < r->sets + REASSEMBLY_SETS; s++)
        if ((s->state == WAITING || s->state == REFUSED) && now_ns - s->since_ns >= REASSEMBLY_NS)
            give_up(s, c);
}
