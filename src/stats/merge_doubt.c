// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/merge_doubt.h"

#include <stddef.h>

#include "stats/counters.h"

#define NUMBERS_LEAST 1000 // fewer say nothing

bool merge_doubt_two_streams(const struct stats_rule *r)
{
    return stats_merge_numbered(r->merge) && r->two_streams != 0;
}

// Whether a quarter of all numbers and more never came, and three quarters of what each leg misses are among them. Loss
// that is not common stays below that, since what one leg misses another one brings; common loss is hardly ever so
// large. A number that counts messages skips all but one of each datagram, on every leg.
static bool misses_alike(const struct stats_segment *at, const struct stats_rule *r)
{
    double lost = (double) r->merged.lost, numbers = lost;
    uint32_t legs = 0;

    for (uint32_t i = r->first_input; i < r->first_input + r->n_inputs; i++) {
        const struct stats_input *in = &at->inputs[i];
        if (in->counters.packets == 0)
            continue;
        if (4 * lost < 3 * (double) in->merged.missing)
            return false;
        legs++;
        numbers += (double) in->merged.first;
    }
    return r->merge == STATS_MERGE_FIELD && !r->messages && legs > 1 && numbers >= NUMBERS_LEAST && 4 * lost >= numbers;
}

// Whether a leg comes so far behind another one that what it brings for a gap is late.
static bool is_behind(const struct stats_segment *at, const struct stats_rule *r)
{
    uint64_t waits_us = r->reorder_ms * UINT64_C(1000);

    for (uint32_t i = r->first_input; waits_us > 0 && i < r->first_input + r->n_inputs; i++) {
        const struct stats_input *in = &at->inputs[i];
        if (in->skew_count >= NUMBERS_LEAST && in->skew_us / in->skew_count > waits_us)
            return true;
    }
    return false;
}

const char *merge_doubt(const struct stats_segment *at, const struct stats_rule *r)
{
    if (merge_doubt_two_streams(r))
        return "the legs have no number in common: they are two streams, and both leave";
    if (misses_alike(at, r))
        return "many numbers are missing by every leg alike: do they count messages, not datagrams (count_at), or is "
               "the field's offset wrong? If neither, the legs lose them where they share a path";
    if (is_behind(at, r))
        return "a leg comes further behind than reorder_ms waits, so that it fills no gap: write a reorder_ms that is "
               "longer than its skew";
    return NULL;
}
