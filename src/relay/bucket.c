// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/clock.h"

#include "relay/bucket.h"

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
    b->billionths = b->tokens < b->depth ? old->billionths : 0;
    b->then_ns = old->then_ns;
}

void bucket_fill(struct bucket *b, uint64_t now_ns)
{
    if (b->rate == 0 || now_ns <= b->then_ns)
        return;

    __uint128_t accrued = (__uint128_t) (now_ns - b->then_ns) * b->rate + b->billionths;
    b->then_ns = now_ns;
    if (accrued / NS_PER_S >= b->depth - b->tokens) {
        b->tokens = b->depth;
        b->billionths = 0;
    } else {
        b->tokens += (uint64_t) (accrued / NS_PER_S);
        b->billionths = (uint64_t) (accrued % NS_PER_S);
    }
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
