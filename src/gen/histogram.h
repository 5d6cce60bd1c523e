// SPDX-License-Identifier: Apache-2.0
// histogram: the distribution of latencies, in fixed memory: 64 buckets for each power of two, so that a percentile is
// exact within 1.6 %. Pure.
#ifndef MCR_GEN_HISTOGRAM_H
#define MCR_GEN_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

// Zero it before use: an empty histogram.
struct histogram {
    uint64_t count;
    int64_t min, max; // exact; negative if the clocks of two hosts differ
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, int64_t value);

// Returns the value that `permille` of 1,000 values do not exceed; 0 if the histogram is empty.
int64_t histogram_percentile(const struct histogram *h, unsigned permille);

#endif
