// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/limiter.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/wide.h"

// --- bucket ----------------------------------------------------------------------------------------------------------

void bucket_init(struct bucket *b, uint64_t rate, uint32_t burst_ms, uint64_t least, uint64_t now_ns)
{
    uint64_t depth = rate / 1000 * burst_ms + rate % 1000 * burst_ms / 1000;

    *b = (struct bucket){
        .rate = rate,
        .depth = depth > least ? depth : least,
        .then_ns = now_ns,
    };
    b->tokens = b->depth;
}

void bucket_carry(struct bucket *b, const struct bucket *old)
{
    if (b->rate == 0 || old->rate == 0)
        return;
    b->tokens = old->tokens < b->depth ? old->tokens : b->depth;
    b->billionths = b->tokens < b->depth && old->billionths < NS_PER_S ? old->billionths : 0;
    // Not a time to come: it would not be filled until then.
    if (old->then_ns < b->then_ns)
        b->then_ns = old->then_ns;
}

void bucket_fill(struct bucket *b, uint64_t now_ns)
{
    if (b->rate == 0 || now_ns <= b->then_ns)
        return;

    uint64_t rest, accrued = wide_scale(now_ns - b->then_ns, b->rate, b->billionths, NS_PER_S, &rest);
    uint64_t room = b->tokens < b->depth ? b->depth - b->tokens : 0; // none where bucket_bridge() has filled it

    b->then_ns = now_ns;
    b->tokens += accrued < room ? accrued : room;
    b->billionths = accrued < room ? rest : 0;
}

void bucket_bridge(struct bucket *b, uint64_t gap_ns, uint64_t now_ns)
{
    uint64_t from = gap_ns < now_ns ? now_ns - gap_ns : 0, rest;

    bucket_fill(b, from);
    from = b->then_ns > from ? b->then_ns : from;
    if (b->rate == 0 || from >= now_ns)
        return;
    b->tokens += wide_scale(now_ns - from, b->rate, 0, NS_PER_S, &rest);
    b->then_ns = now_ns;
}

void bucket_settle(struct bucket *b)
{
    if (b->tokens > b->depth)
        b->tokens = b->depth;
}

uint64_t bucket_affords(const struct bucket *b, uint64_t n, uint64_t cost)
{
    if (b->rate == 0 || cost == 0)
        return n;

    uint64_t most = b->tokens / cost;
    return most < n ? most : n;
}

void bucket_take(struct bucket *b, uint64_t tokens)
{
    if (b->rate != 0)
        b->tokens -= tokens < b->tokens ? tokens : b->tokens;
}

// --- limiter ---------------------------------------------------------------------------------------------------------

void limiter_init(struct limiter *l, const struct table_rule *rule, uint64_t now_ns)
{
    // The largest datagram passes a full bucket at any rate; what is larger never comes here.
    bucket_init(&l->packets, rule->packets_per_second, rule->burst_ms, 1, now_ns);
    bucket_init(&l->bits, rule->bits_per_second, rule->burst_ms, rule->max_payload * UINT64_C(8), now_ns);
}

void limiter_carry(struct limiter *l, const struct limiter *old)
{
    bucket_carry(&l->packets, &old->packets);
    bucket_carry(&l->bits, &old->bits);
}

void limiter_bridge(struct limiter *l, uint64_t gap_ns, uint64_t now_ns)
{
    bucket_bridge(&l->packets, gap_ns, now_ns);
    bucket_bridge(&l->bits, gap_ns, now_ns);
}

void limiter_settle(struct limiter *l)
{
    bucket_settle(&l->packets);
    bucket_settle(&l->bits);
}

uint64_t limiter_admit(struct limiter *l, uint64_t n, size_t size, uint64_t now_ns)
{
    if (l->packets.rate == 0 && l->bits.rate == 0)
        return n;
    bucket_fill(&l->packets, now_ns);
    bucket_fill(&l->bits, now_ns);
    n = bucket_affords(&l->packets, n, 1);
    n = bucket_affords(&l->bits, n, size * 8);
    bucket_take(&l->packets, n);
    bucket_take(&l->bits, n * size * 8);
    return n;
}

// --- senders ---------------------------------------------------------------------------------------------------------

#define WAYS 16 // slots in which one sender may be
#define SETS (SENDERS_MAX / WAYS)

struct sender {
    struct addr addr; // ADDR_NONE: the slot is free
    struct limiter limiter;
};

struct senders {
    uint64_t key;
    struct limiter fresh;  // the state of a new sender
    struct limiter shared; // of all senders without a slot
    struct sender sets[SETS][WAYS];
};

size_t senders_bytes(void)
{
    return sizeof(struct senders);
}

struct senders *senders_place(const struct table_rule *rule, uint64_t key, uint64_t now_ns, void *memory)
{
    struct senders *s = memory;

    s->key = key;
    limiter_init(&s->fresh, rule, now_ns);
    s->shared = s->fresh;
    return s;
}

static struct sender *set_of(struct senders *s, const struct addr *a)
{
    uint64_t words[2];

    memcpy(words, a->bytes, sizeof(words));
    // SplitMix64's finaliser over the keyed address.
    uint64_t h = (words[0] ^ s->key) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ (h >> 27) ^ words[1] ^ (s->key << 32 | s->key >> 32)) * UINT64_C(0x94d049bb133111eb);
    return s->sets[(h >> 32) % SETS];
}

// A sender with full buckets is indistinguishable from a new one, so its slot can be reused.
static bool is_idle(struct limiter *l, uint64_t now_ns)
{
    bucket_fill(&l->packets, now_ns);
    bucket_fill(&l->bits, now_ns);
    return (l->packets.rate == 0 || l->packets.tokens >= l->packets.depth) &&
           (l->bits.rate == 0 || l->bits.tokens >= l->bits.depth);
}

struct limiter *senders_find(struct senders *s, const struct addr *sender, uint64_t now_ns)
{
    struct sender *set = set_of(s, sender), *place = NULL;

    for (unsigned i = 0; i < WAYS; i++)
        if (addr_equal(&set[i].addr, sender))
            return &set[i].limiter;
    for (unsigned i = 0; i < WAYS && !place; i++)
        if (set[i].addr.family == ADDR_NONE || is_idle(&set[i].limiter, now_ns))
            place = &set[i];
    if (!place)
        return &s->shared;
    place->addr = *sender;
    place->limiter = s->fresh;
    place->limiter.packets.then_ns = place->limiter.bits.then_ns = now_ns;
    return &place->limiter;
}

void senders_carry(struct senders *s, const struct senders *old)
{
    s->key = old->key; // keeps each sender in its set
    for (unsigned i = 0; i < SETS; i++)
        for (unsigned j = 0; j < WAYS; j++) {
            struct sender *to = &s->sets[i][j];
            const struct sender *from = &old->sets[i][j];
            if (from->addr.family == ADDR_NONE)
                continue;
            to->addr = from->addr;
            to->limiter = s->fresh;
            limiter_carry(&to->limiter, &from->limiter);
        }
    limiter_carry(&s->shared, &old->shared);
}

void senders_bridge(struct senders *s, uint64_t gap_ns, uint64_t now_ns)
{
    for (unsigned i = 0; i < SETS; i++)
        for (unsigned j = 0; j < WAYS; j++)
            if (s->sets[i][j].addr.family != ADDR_NONE)
                limiter_bridge(&s->sets[i][j].limiter, gap_ns, now_ns);
    // Who has begun meanwhile finds what a sender has who was silent before.
    s->fresh.packets.then_ns = s->fresh.bits.then_ns = gap_ns < now_ns ? now_ns - gap_ns : 0;
    limiter_bridge(&s->fresh, gap_ns, now_ns);
    limiter_bridge(&s->shared, gap_ns, now_ns);
}

void senders_settle(struct senders *s)
{
    for (unsigned i = 0; i < SETS; i++)
        for (unsigned j = 0; j < WAYS; j++)
            limiter_settle(&s->sets[i][j].limiter);
    limiter_settle(&s->fresh);
    limiter_settle(&s->shared);
}
