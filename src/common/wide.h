// SPDX-License-Identifier: Apache-2.0
// wide: products of two 64-bit numbers, which have 128 bits. Pure. Compilers for 32-bit machines have no integers of
// that size; there the functions that end in _halves do the same by 64-bit steps.
#ifndef MCR_COMMON_WIDE_H
#define MCR_COMMON_WIDE_H

#include <stdint.h>

struct wide {
    uint64_t high, low;
};

// Returns a * b, by the products of their halves.
static inline struct wide wide_product_halves(uint64_t a, uint64_t b)
{
    uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX), left = (a >> 32) * (b & UINT32_MAX);
    uint64_t right = (a & UINT32_MAX) * (b >> 32), high = (a >> 32) * (b >> 32);
    uint64_t middle = (low >> 32) + (left & UINT32_MAX) + (right & UINT32_MAX);

    return (struct wide){high + (left >> 32) + (right >> 32) + (middle >> 32), middle << 32 | (low & UINT32_MAX)};
}

// As wide_scale(), bit by bit where the product needs more than 64.
static inline uint64_t wide_scale_halves(uint64_t a, uint64_t by, uint64_t more, uint64_t per, uint64_t *rest)
{
    struct wide x = wide_product_halves(a, by);

    x.low += more;
    x.high += x.low < more;
    *rest = 0;
    if (x.high >= per)
        return UINT64_MAX;
    if (x.high == 0) {
        *rest = x.low % per;
        return x.low / per;
    }
    for (int i = 0; i < 64; i++) {
        uint64_t carry = x.high >> 63;
        x.high = x.high << 1 | x.low >> 63;
        x.low <<= 1;
        if (carry || x.high >= per) {
            x.high -= per;
            x.low |= 1;
        }
    }
    *rest = x.high;
    return x.low;
}

#ifdef __SIZEOF_INT128__

static inline struct wide wide_product(uint64_t a, uint64_t b)
{
    __uint128_t x = (__uint128_t) a * b;

    return (struct wide){(uint64_t) (x >> 64), (uint64_t) x};
}

// Returns (a * by + more) / per, which must not be 0, and in *rest what remains; UINT64_MAX and 0 if the quotient has
// more than 64 bits.
static inline uint64_t wide_scale(uint64_t a, uint64_t by, uint64_t more, uint64_t per, uint64_t *rest)
{
    __uint128_t x = (__uint128_t) a * by + more;

    *rest = 0;
    if ((uint64_t) (x >> 64) >= per)
        return UINT64_MAX;
    *rest = (uint64_t) (x % per);
    return (uint64_t) (x / per);
}

#else

static inline struct wide wide_product(uint64_t a, uint64_t b)
{
    return wide_product_halves(a, b);
}

static inline uint64_t wide_scale(uint64_t a, uint64_t by, uint64_t more, uint64_t per, uint64_t *rest)
{
    return wide_scale_halves(a, by, more, per, rest);
}

#endif

#endif
