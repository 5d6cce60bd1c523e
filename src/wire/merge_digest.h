// SPDX-License-Identifier: Apache-2.0
// merge_digest: what two copies have in common, by a secret of the process: no sender can choose what it collides with.
// Pure.
#ifndef MCR_WIRE_MERGE_DIGEST_H
#define MCR_WIRE_MERGE_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/wide.h"

// SipHash-1-3 (Aumasson and Bernstein, 2012), with words in the host's order.
uint64_t digest(const uint64_t key[2], const uint8_t *bytes, size_t n);

static inline uint64_t load64(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static inline uint64_t rotate(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

// Of the length and of up to 32 bytes behind the header: another datagram with the same number is no copy. No more, so
// that a copy is read no further.
static inline uint16_t digest_check(const uint64_t key[2], const uint8_t *behind, size_t length)
{
    uint64_t words[4] = {0};

    if (length >= sizeof(words))
        memcpy(words, behind, sizeof(words));
    else if (length > 0)
        memcpy(words, behind, length);
    uint64_t a = words[0] ^ rotate(words[2], 31) ^ key[0] ^ length, b = words[1] ^ rotate(words[3], 31) ^ key[1];
    struct wide product = wide_product(a, b);
    return (uint16_t) ((product.high ^ product.low) * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}

#endif
