// SPDX-License-Identifier: Apache-2.0
// reassembly: wire/reassembly.c with fragments of any datagrams in any order, overlapping, contradicting, too late.
// What comes out whole is, unit by unit, what came for it within the time, and nothing is counted twice. The input is a
// list of fragments, each as take() reads it.
#include <config.h>

#include "fuzz.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "wire/reassembly.h"

#define FRAGMENTS_MAX 400
#define IDS           128
#define BYTES         65536u
#define UNIT          8u

// What has come.
struct record {
    uint8_t which;
    uint32_t offset;
    size_t length;
    uint64_t at_ns;
    uint8_t *bytes;
};

struct rig {
    struct reassembly *r;
    struct stats_interface_counters c;
    struct record records[FRAGMENTS_MAX];
    size_t n_records;
    // Of each datagram: since when there is a set for it (0: there is none), and its first record.
    uint64_t since_ns[IDS];
    size_t first[IDS], n_ids;
    bool seen[IDS];
    uint64_t now_ns, n_fragments, n_whole;
};

static void remember(struct rig *x, uint8_t which, const struct packet *p)
{
    struct record *k = &x->records[x->n_records];

    if (x->since_ns[which] == 0 || x->now_ns - x->since_ns[which] >= REASSEMBLY_NS) {
        x->since_ns[which] = x->now_ns;
        x->first[which] = x->n_records;
    }
    x->n_ids += !x->seen[which];
    x->seen[which] = true;
    x->n_records++;
    *k = (struct record){.which = which, .offset = p->fragment.offset, .length = p->length, .at_ns = x->now_ns};
    k->bytes = malloc(p->length + 1);
    memcpy(k->bytes, p->payload, p->length);
}

// Marks the units of the whole that are as k has brought them.
static void mark(const struct record *k, const struct packet *p, bool *found)
{
    for (size_t at = k->offset; at < p->length && at < k->offset + k->length; at += UNIT) {
        size_t wanted = p->length - at < UNIT ? p->length - at : UNIT, there = k->offset + k->length - at;
        if (there >= wanted && memcmp(k->bytes + (at - k->offset), p->payload + at, wanted) == 0)
            found[at / UNIT] = true;
    }
}

// As long as no set has had to go, nothing that came for it may contradict the whole.
static bool contradicts(const struct rig *x, uint8_t which, const struct packet *p)
{
    for (size_t i = x->first[which]; x->n_ids <= REASSEMBLY_SETS / 2 && i < x->n_records; i++) {
        const struct record *k = &x->records[i];
        if (k->which == which &&
            (k->offset + k->length > p->length || memcmp(k->bytes, p->payload + k->offset, k->length) != 0))
            return true;
    }
    return false;
}

static void check_whole(struct rig *x, uint8_t which, const struct packet *p)
{
    static bool found[BYTES / UNIT];
    struct packet whole = *p;

    FUZZ_ASSERT(p->length > 0 && p->length < BYTES);
    memset(found, 0, sizeof(found));
    for (size_t i = 0; i < x->n_records; i++)
        if (x->records[i].which == which && x->now_ns - x->records[i].at_ns < REASSEMBLY_NS)
            mark(&x->records[i], p, found);
    FUZZ_ASSERT(!memchr(found, false, (p->length + UNIT - 1) / UNIT));
    FUZZ_ASSERT(!contradicts(x, which, p));
    x->since_ns[which] = 0;
    if (packet_parse_whole(&whole, p->payload, p->length, p->fragment.next) == PACKET_OK) {
        FUZZ_ASSERT(whole.payload >= p->payload + 8 && whole.length <= p->length - 8);
        FUZZ_ASSERT((size_t) (whole.payload - p->payload) <= p->length - whole.length && whole.datagrams == 1);
    }
    x->n_whole++;
}

// Which datagram, how much time has passed (ms), flags, offset, length, and the byte that the payload begins with.
static void take(struct rig *x, struct fuzz_input *in)
{
    static uint8_t payload[BYTES];
    uint8_t which = fuzz_u8(in) % IDS, ms = fuzz_u8(in), flags = fuzz_u8(in);
    bool v4 = which & 1;
    struct packet p = {.source = {.family = v4 ? ADDR_IPV4 : ADDR_IPV6, .bytes = {198, 18, 0, 1}},
                       .destination = {.family = v4 ? ADDR_IPV4 : ADDR_IPV6, .bytes = {239, 255, 0, 1}},
                       .vlan = which >> 1 & 1,
                       .ttl = flags,
                       .payload = payload,
                       .fragment = {.id = which >> 2, .more = flags & 1, .next = flags & 2 ? 0 : IPPROTO_UDP}};

    x->now_ns += ms * UINT64_C(10000000);
    p.fragment.offset = fuzz_u16(in) & 0xfff8;
    p.length = fuzz_u16(in) % (flags & 64 ? 9000 : 1500);
    if (p.fragment.more && !(flags & 4))
        p.length &= ~(size_t) 7;
    // The same bytes at the same place, unless something else is wanted.
    for (size_t i = 0; i < p.length; i++)
        payload[i] = (uint8_t) ((p.fragment.offset + i + which) * 2654435761u >> 24);
    if (flags & 8)
        fuzz_patch(in, payload, p.length + 1);
    if (p.fragment.offset == 0 && p.length >= 8 && !(flags & 16)) {
        uint16_t length = fuzz_u16(in);
        payload[4] = (uint8_t) (length >> 8);
        payload[5] = (uint8_t) length;
    }

    reassembly_expire(x->r, x->now_ns, &x->c);
    bool malformed =
        p.length == 0 || p.fragment.offset + p.length >= BYTES || (p.fragment.more && p.length % UNIT != 0);
    if (!malformed)
        remember(x, which, &p);
    if (reassembly_is_crowded(x->r))
        reassembly_release(x->r);
    uint64_t n_malformed = x->c.malformed;
    x->n_fragments++;
    if (reassembly_take(x->r, &p, x->now_ns, &x->c))
        check_whole(x, which, &p);
    FUZZ_ASSERT(x->c.malformed == n_malformed + malformed);
    if (flags & 32)
        reassembly_release(x->r);
    FUZZ_ASSERT(x->c.received == x->c.fragments + x->c.overlapping + x->c.malformed);
    FUZZ_ASSERT(x->c.received + x->n_whole <= x->n_fragments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig x;
    struct fuzz_input in = {.at = data, .left = size};

    memset(&x, 0, sizeof(x));
    x.now_ns = REASSEMBLY_NS;
    x.r = reassembly_new();
    FUZZ_ASSERT(x.r);
    for (unsigned n = 0; in.left > 0 && n < FRAGMENTS_MAX; n++)
        take(&x, &in);
    // In the end nothing waits.
    reassembly_expire(x.r, x.now_ns + REASSEMBLY_NS, &x.c);
    uint64_t counted = x.c.received;
    reassembly_expire(x.r, x.now_ns + 2 * REASSEMBLY_NS, &x.c);
    FUZZ_ASSERT(x.c.received == counted && counted + x.n_whole <= x.n_fragments);
    for (size_t i = 0; i < x.n_records; i++)
        free(x.records[i].bytes);
    reassembly_free(x.r);
    return 0;
}
