// SPDX-License-Identifier: Apache-2.0
// bucket: a token bucket. Pure: the caller gives the time.
#ifndef MCR_RELAY_BUCKET_H
#define MCR_RELAY_BUCKET_H

#include <stdint.h>

// Tokens are counted in billionths so that any rate fills exactly: rate tokens a second are rate billionths a
// nanosecond. rate is at most 1e12, the depth at most 1e13 tokens, so level needs 128 bits of head room only in the
// multiplication.
struct bucket {
    uint64_t rate;       // tokens a second; 0: unlimited
    uint64_t depth;      // most tokens that it holds, at least 1
    uint64_t tokens;     // whole tokens in it
    uint64_t billionths; // of one more token
    uint64_t then_ns;    // when it was last filled
};

// A full bucket that holds burst_ms milliseconds of rate, and never less than `least` tokens, so that one datagram
// of the largest size can pass whatever the rate is.
void bucket_init(struct bucket *b, uint64_t rate, uint32_t burst_ms, uint64_t least, uint64_t now_ns);

// Takes over the level of an old bucket into one with a new rate or depth (a reload).
void bucket_carry(struct bucket *b, const struct bucket *old);

// Adds what has accrued since the last call. Time that goes back adds nothing.
void bucket_fill(struct bucket *b, uint64_t now_ns);

// How many units of `cost` tokens each, at most n, the bucket can pay for now.
uint64_t bucket_affords(const struct bucket *b, uint64_t n, uint64_t cost);

// Takes tokens that bucket_affords() granted.
void bucket_take(struct bucket *b, uint64_t tokens);

#endif
