// SPDX-License-Identifier: Apache-2.0
// limiter: what a rule's limit lets through, of all its datagrams or of each sender's. Pure: the caller gives the time.
#ifndef MCR_RELAY_LIMITER_H
#define MCR_RELAY_LIMITER_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "table/layout.h"

// A token bucket. Tokens are counted in billionths so that any rate fills exactly: rate tokens a second are rate
// billionths a nanosecond. rate is at most 1e12, the depth at most 1e13 tokens, so that only the multiplication needs
// 128 bits.
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

// Both rates of one rule, or of one of its senders.
struct limiter {
    struct bucket packets, bits;
};

// Full buckets as the rule says.
void limiter_init(struct limiter *l, const struct table_rule *rule, uint64_t now_ns);

// Takes over the levels of the one before (a reload).
void limiter_carry(struct limiter *l, const struct limiter *old);

// How many of n datagrams of `size` payload bytes pass now; their tokens are taken.
uint64_t limiter_admit(struct limiter *l, uint64_t n, size_t size, uint64_t now_ns);

// Senders that a rule with per_source distinguishes at one time. All senders without a place share one limiter, so that
// forged addresses neither take memory nor pass the limit.
#define SENDERS_MAX 512

struct senders;

// Creates an empty table, for free(3). `key` seeds the hash, so that a sender cannot choose whose place it competes
// for. NULL without memory.
struct senders *senders_new(const struct table_rule *rule, uint64_t key, uint64_t now_ns);

// Takes over all senders of the one before (a reload).
void senders_carry(struct senders *s, const struct senders *old);

// The limiter of this sender: its own, one that has just become its own, or the one that is shared.
struct limiter *senders_find(struct senders *s, const struct addr *sender, uint64_t now_ns);

#endif
