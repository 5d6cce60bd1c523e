// SPDX-License-Identifier: Apache-2.0
// residence: how long datagrams stayed in the relay, as a histogram in fixed memory. Pure: the caller measures.
#ifndef MCR_STATS_RESIDENCE_H
#define MCR_STATS_RESIDENCE_H

#include <stdbool.h>
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
    // The highest bit is 63 less the zeros before it, which is the same as "exclusive or" and one instruction.
    return (63u ^ (unsigned) __builtin_clzll(ns)) - RESIDENCE_SUB_BITS;
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

#define RESIDENCE_RUNS 64 // that leave together, at most

// What leaves together, in the order in which it came: runs of datagrams that have one stamp.
struct residence_runs {
    uint64_t stamps_ns; // the sum of all datagrams' stamps, modulo 2^64
    bool disordered;    // a stamp is below the one before
    struct residence_run {
        uint64_t stamp_ns;     // when the kernel received them, CLOCK_REALTIME
        uint64_t end;          // datagrams of this run and all before
    } run[1 + RESIDENCE_RUNS]; // from 1 on; run[0] is all zero
};

// Empties r, whose run[0] is all zero.
static inline void residence_begin(struct residence_runs *r)
{
    r->stamps_ns = 0;
    r->disordered = false;
}

// Notes the i-th run, of n datagrams with one stamp, `end` with all before; i is from 1 to RESIDENCE_RUNS.
static inline void residence_note(struct residence_runs *r, uint32_t i, uint64_t stamp_ns, uint64_t n, uint64_t end)
{
    r->run[i] = (struct residence_run){stamp_ns, end};
    r->stamps_ns += stamp_ns * n;
    if (stamp_ns < r->run[i - 1].stamp_ns)
        r->disordered = true;
}

// As residence_add_runs(), of stamps in order of which none is in the future and none too old.
void residence_add_ordered(struct residence *h, const struct residence_runs *r, uint32_t n, uint64_t now_ns);

// Counts the n runs of r, at least one, which leave now.
static inline void residence_add_runs(struct residence *h, const struct residence_runs *r, uint32_t n, uint64_t now_ns)
{
    // What is gained by neighbours is lost on a few. Where the order is another, the clock was set, or several
    // processors have stamped.
    if (n >= 6 && !r->disordered && now_ns - r->run[1].stamp_ns <= RESIDENCE_MOST_NS && r->run[n].stamp_ns <= now_ns) {
        residence_add_ordered(h, r, n, now_ns);
        return;
    }
    for (const struct residence_run *run = &r->run[1]; run <= &r->run[n]; run++)
        residence_add(h, now_ns - run->stamp_ns, run->end - run[-1].end);
}

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
