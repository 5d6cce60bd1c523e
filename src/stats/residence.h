// SPDX-License-Identifier: Apache-2.0
// residence: how long datagrams stayed in the relay, as a histogram in fixed memory. Pure: the caller measures.
#ifndef MCR_STATS_RESIDENCE_H
#define MCR_STATS_RESIDENCE_H

#include <stdint.h>

// Eight buckets for each power of two from 64 ns on, and one for all below: the middle of a bucket is no further than
// 6.25 % from any value in it.
#define RESIDENCE_LOWEST_BIT 6
#define RESIDENCE_SUB_BITS   3

// 103 s, where a bucket ends: longer than what can be waited for, which is 10 s (merge, reorder_ms) and, in a ring that
// a relay left behind, a restart of the service (systemd stops waiting after 90 s). What is longer, or below zero, is a
// step of the clock. A step forward of less cannot be told from a delay by the stamps alone: it is counted as time, for
// what was in the relay then.
#define RESIDENCE_MOST_NS ((UINT64_C(12) << 33) - 1)

#define RESIDENCE_BUCKETS (1 + (37 - RESIDENCE_LOWEST_BIT) * (1 << RESIDENCE_SUB_BITS)) // up to 2^37 ns

// 2,016 bytes. All zero is an empty one.
struct residence {
    uint64_t clock_steps; // datagrams whose time is none
    uint64_t sum_ns;      // of all others
    uint64_t max_ns;      // exact
    uint64_t buckets[RESIDENCE_BUCKETS];
};

_Static_assert(sizeof(struct residence) <= 2048, "a rule has one");

// How many last bits of a time its bucket does not tell.
static inline unsigned residence_shift(uint64_t ns)
{
    if (ns < UINT64_C(1) << RESIDENCE_LOWEST_BIT)
        return RESIDENCE_LOWEST_BIT;
    return 63u - (unsigned) __builtin_clzll(ns) - RESIDENCE_SUB_BITS;
}

// The bucket of a time; ns is less than 2^37.
static inline unsigned residence_bucket(uint64_t ns)
{
    unsigned shift = residence_shift(ns);

    if (ns < UINT64_C(1) << RESIDENCE_LOWEST_BIT)
        return 0;
    // ns >> shift is 8 to 15: the first bit and the three behind it.
    return ((shift - (RESIDENCE_LOWEST_BIT - RESIDENCE_SUB_BITS)) << RESIDENCE_SUB_BITS) + (unsigned) (ns >> shift) -
           ((1u << RESIDENCE_SUB_BITS) - 1);
}

// Counts n datagrams that stayed for ns. ns is the time now less the kernel's stamp, unsigned: a stamp from the future
// wraps, and counts as a step.
static inline void residence_add(struct residence *h, uint64_t ns, uint64_t n)
{
    if (ns > RESIDENCE_MOST_NS) {
        h->clock_steps += n;
        return;
    }
    h->buckets[residence_bucket(ns)] += n;
    h->sum_ns += ns * n;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

// Counts n datagrams with these stamps: neighbours of one bucket together, as most of a batch are.
void residence_add_each(struct residence *h, uint64_t now_ns, const uint64_t *stamps_ns, uint32_t n);

// The least time in a bucket. That of RESIDENCE_BUCKETS is where the last one ends.
uint64_t residence_least_ns(unsigned bucket);

// What was added between two snapshots of one histogram, of which `before` may be `out`. Its max_ns is exact where it
// is a new one, and else no more than 12.5 % too high.
void residence_difference(struct residence *out, const struct residence *now, const struct residence *before);

// Times that a share of the datagrams did not exceed, within 6.25 %; 0 where there were none.
struct residence_summary {
    uint64_t count;
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};

void residence_summarise(const struct residence *h, struct residence_summary *out);

#endif
