// SPDX-License-Identifier: Apache-2.0
// limiter: applies a rule's limit, to all its datagrams or to each sender separately. Pure: the caller gives the time.
// Every now_ns is CLOCK_MONOTONIC.
#ifndef MCR_RELAY_LIMITER_H
#define MCR_RELAY_LIMITER_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "table/layout.h"

// A token bucket. Tokens are counted in billionths so that any rate fills exactly: `rate` tokens a second are `rate`
// billionths a nanosecond. rate is at most 1e12, the depth at most 1e13 tokens, so only the multiplication needs 128
// bits.
struct bucket {
    uint64_t rate;       // tokens a second; 0: unlimited
    uint64_t depth;      // largest number of tokens
    uint64_t tokens;     // whole tokens present
    uint64_t billionths; // of a token, present besides
    uint64_t then_ns;    // when it was last filled
};

// Makes a full bucket that holds burst_ms milliseconds of rate, but at least `least` tokens, so that a datagram of the
// rule's largest size can pass at any rate.
void bucket_init(struct bucket *b, uint64_t rate, uint32_t burst_ms, uint64_t least, uint64_t now_ns);

// Copies the level of an old bucket into one with a new rate or depth (a reload).
void bucket_carry(struct bucket *b, const struct bucket *old);

// Adds the tokens that have accrued since the last call. Adds none if the time goes back.
void bucket_fill(struct bucket *b, uint64_t now_ns);

// Adds what accrues in the last gap_ns before now_ns even beyond the depth: what waited for so long, because no mcrd
// ran, is judged as if it had come in its time. bucket_settle() takes back what is left of that.
void bucket_bridge(struct bucket *b, uint64_t gap_ns, uint64_t now_ns);
void bucket_settle(struct bucket *b);

// Returns how many of n units of `cost` tokens each the bucket can pay for.
uint64_t bucket_affords(const struct bucket *b, uint64_t n, uint64_t cost);

// Removes tokens that bucket_affords() granted.
void bucket_take(struct bucket *b, uint64_t tokens);

// Both buckets of one rule, or of one of its senders.
struct limiter {
    struct bucket packets, bits;
};

// Makes full buckets with the rule's limit.
void limiter_init(struct limiter *l, const struct table_rule *rule, uint64_t now_ns);

// Copies the levels of the previous limiter (a reload).
void limiter_carry(struct limiter *l, const struct limiter *old);

// The same as for its buckets.
void limiter_bridge(struct limiter *l, uint64_t gap_ns, uint64_t now_ns);
void limiter_settle(struct limiter *l);

// Returns how many of n datagrams of `size` payload bytes pass now, and removes their tokens.
uint64_t limiter_admit(struct limiter *l, uint64_t n, size_t size, uint64_t now_ns);

// Senders that a rule with per_source distinguishes at one time. All senders without a slot share one limiter, so
// forged addresses can neither use up memory nor exceed the limit.
#define SENDERS_MAX 512

struct senders;

// Creates an empty table in senders_bytes() of the caller's memory, which are zero. `key` seeds the hash, so that a
// sender cannot choose whose slot it competes for.
size_t senders_bytes(void);
struct senders *senders_place(const struct table_rule *rule, uint64_t key, uint64_t now_ns, void *memory);

// Copies all senders and levels of the previous table (a reload).
void senders_carry(struct senders *s, const struct senders *old);

// The same as for a limiter, for all senders, also one that is new meanwhile.
void senders_bridge(struct senders *s, uint64_t gap_ns, uint64_t now_ns);
void senders_settle(struct senders *s);

// Returns the limiter of this sender: its own, which may be a new one, or the shared one.
struct limiter *senders_find(struct senders *s, const struct addr *sender, uint64_t now_ns);

#endif
