// SPDX-License-Identifier: Apache-2.0
// limiter: what a rule's limit lets through, of all its datagrams or of each sender's. Pure: the caller gives the time.
#ifndef MCR_RELAY_LIMITER_H
#define MCR_RELAY_LIMITER_H

#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "relay/bucket.h"
#include "table/layout.h"

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
