// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/histogram.h"

#define SUB (1u << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB)
        return (unsigned) value;
    unsigned shift = 63u - (unsigned) __builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (shift + 1) * SUB + (unsigned) (value >> shift & (SUB - 1));
}

static uint64_t middle_of(unsigned bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned shift = bucket / SUB - 1;
    return ((uint64_t) (SUB + bucket % SUB) << shift) + (UINT64_C(1) << shift) / 2;
}

void histogram_add(struct histogram *h, int64_t value)
{
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (h->count == 0 || value > h->max)
        h->max = value;
    h->count++;
    h->buckets[bucket_of(value < 0 ? 0 : (uint64_t) value)]++;
}

int64_t histogram_percentile(const struct histogram *h, unsigned permille)
{
    // count * permille / 1000, rounded up; in two parts, because the product could overflow.
    uint64_t rank = h->count / 1000 * permille + (h->count % 1000 * permille + 999) / 1000;
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= rank && seen > 0) {
            int64_t value = (int64_t) middle_of(i);
            return value < h->min ? h->min : value > h->max ? h->max : value;
        }
    }
    return 0;
}
