// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/clock.h"

#include "relay/coalesce.h"

// One measurement: long enough for dozens of frames at PACE_FROM, short enough to follow a burst.
#define MEASURE_NS UINT64_C(500000)

uint64_t coalesce_turn(struct coalesce *p, uint64_t frames, uint64_t flows, uint64_t most_ns, uint64_t now_ns)
{
    uint64_t elapsed = now_ns - p->since_ns;

    p->frames += frames;
    p->batches += flows;
    p->turns += frames > 0;
    if (elapsed >= MEASURE_NS) {
        p->rate = p->frames * NS_PER_S / elapsed;
        p->gather = p->turns > 0 && p->batches > p->turns ? PACE_GATHER * p->batches / p->turns : PACE_GATHER;
        p->frames = p->batches = p->turns = 0;
        p->since_ns = now_ns;
    }
    if (p->rate < PACE_FROM)
        return 0;
    uint64_t wait = p->gather * NS_PER_S / p->rate;
    return wait < most_ns ? wait : most_ns;
}
