// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/residence.h"

#define SUB (1u << RESIDENCE_SUB_BITS)

uint64_t residence_least_ns(unsigned bucket)
{
    if (bucket == 0)
        return 0;
    unsigned shift = (bucket - 1) / SUB + RESIDENCE_LOWEST_BIT - RESIDENCE_SUB_BITS;
    return (uint64_t) (SUB + (bucket - 1) % SUB) << shift;
}

void residence_add_ordered(struct residence *h, const struct residence_runs *r, uint32_t n, uint64_t now_ns)
{
    const struct residence_run *run = &r->run[1], *last = &r->run[n];
    const uint64_t most_ns = now_ns - run->stamp_ns;
    uint64_t counted = 0;

    // From the longest time to the shortest: each bucket ends at the last stamp that lies in it.
    for (; run <= last; counted = run++->end) {
        uint64_t ns = now_ns - run->stamp_ns, rest = (UINT64_C(1) << residence_shift(ns)) - 1;
        uint64_t until_ns = now_ns - (ns & ~rest);
        if (last->stamp_ns <= until_ns)
            run = last;
        else // it ends before the last one
            while (run[1].stamp_ns <= until_ns)
                run++;
        h->buckets[residence_bucket(ns)] += run->end - counted;
    }
    h->sum_ns += counted * now_ns - r->stamps_ns;
    if (most_ns > h->max_ns)
        h->max_ns = most_ns;
}

void residence_difference(struct residence *out, const struct residence *now, const struct residence *before)
{
    uint64_t max_before = before->max_ns, highest = 0;

    out->clock_steps = now->clock_steps - before->clock_steps;
    out->sum_ns = now->sum_ns - before->sum_ns;
    for (unsigned i = 0; i < RESIDENCE_BUCKETS; i++) {
        out->buckets[i] = now->buckets[i] - before->buckets[i];
        if (out->buckets[i] > 0)
            highest = residence_least_ns(i + 1) - 1;
    }
    out->max_ns = now->max_ns > max_before || highest > now->max_ns ? now->max_ns : highest;
}

// Rounded up without count * permille, which could overflow.
static uint64_t rank_of(uint64_t count, unsigned permille)
{
    return count / 1000 * permille + (count % 1000 * permille + 999) / 1000;
}

// The middle of the bucket in which the datagram of this rank is. rank is at most the sum of all buckets, so that the
// last one ends the search, even where a sum that another process wrote has wrapped.
static uint64_t at_rank(const struct residence *h, uint64_t rank)
{
    uint64_t seen = 0;
    unsigned i = 0;

    if (rank == 0)
        return 0;
    while ((seen += h->buckets[i]) < rank)
        i++;
    uint64_t middle = (residence_least_ns(i) + residence_least_ns(i + 1)) / 2;
    return middle < h->max_ns ? middle : h->max_ns;
}

void residence_summarise(const struct residence *h, struct residence_summary *out)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < RESIDENCE_BUCKETS; i++)
        count += h->buckets[i];
    *out = (struct residence_summary){.count = count,
                                      .p50_ns = at_rank(h, rank_of(count, 500)),
                                      .p90_ns = at_rank(h, rank_of(count, 900)),
                                      .p99_ns = at_rank(h, rank_of(count, 990)),
                                      .p999_ns = at_rank(h, rank_of(count, 999)),
                                      .max_ns = h->max_ns};
}
