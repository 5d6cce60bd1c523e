// SPDX-License-Identifier: Apache-2.0
// reassembly: relay/reassembly.c with fragments of any datagrams in any order, overlapping, contradicting, too late.
// What comes out whole is, byte by byte, what came in for it, each byte from one fragment and all within the time;
// nothing is counted twice. The input is a list of fragments, each as take() reads it.
#include <config.h>

#include "fuzz.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "relay/reassembly.h"

#define FRAGMENTS_MAX 400
#define IDS           128

// What has come for one datagram, byte by byte; begun anew when it was given out, or is older than the time.
struct record {
    uint8_t *bytes, *there; // BYTES each; NULL: nothing
    uint64_t since_ns;
};

#define BYTES 65536u

struct rig {
    struct reassembly *r;
    struct stats_interface_counters c;
    struct record records[IDS];
    uint64_t now_ns, n_whole, n_fragments;
};

static void forget(struct record *k)
{
    free(k->bytes);
    free(k->there);
    *k = (struct record){.bytes = NULL};
}

static void remember(struct rig *x, struct record *k, const struct packet *p)
{
    if (!k->bytes) {
        k->bytes = calloc(1, BYTES);
        k->there = calloc(1, BYTES);
        k->since_ns = x->now_ns;
    }
    for (size_t i = 0; i < p->length && p->fragment.offset + i < BYTES; i++) {
        k->bytes[p->fragment.offset + i] = p->payload[i];
        k->there[p->fragment.offset + i] = 1;
    }
}

static void check_whole(struct rig *x, struct record *k, const struct packet *p)
{
    struct packet whole = *p;

    FUZZ_ASSERT(p->length > 0 && p->length <= 65535 && k->bytes);
    // Bytes that came twice were the same, or this would not be whole.
    FUZZ_ASSERT(memcmp(k->bytes, p->payload, p->length) == 0);
    FUZZ_ASSERT(!memchr(k->there, 0, p->length));
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
    struct record *k = &x->records[which];
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

    uint64_t counted = x->c.received;
    struct packet given = p;
    reassembly_expire(x->r, x->now_ns, &x->c);
    if (k->bytes && x->now_ns - k->since_ns >= REASSEMBLY_NS)
        forget(k);
    remember(x, k, &given);
    x->n_fragments++;
    if (reassembly_is_crowded(x->r))
        reassembly_release(x->r);
    if (reassembly_take(x->r, &p, x->now_ns, &x->c)) {
        check_whole(x, k, &p);
        forget(k);
    } else {
        FUZZ_ASSERT(x->c.received - counted <= REASSEMBLY_SETS + 1);
    }
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
    for (int i = 0; i < IDS; i++)
        forget(&x.records[i]);
    reassembly_free(x.r);
    return 0;
}
