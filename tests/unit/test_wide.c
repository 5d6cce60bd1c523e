// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include "common/clock.h"
#include "common/wide.h"

#define N(list) (sizeof(list) / sizeof((list)[0]))

static const uint64_t numbers[] = {0,
                                   1,
                                   2,
                                   3,
                                   999,
                                   NS_PER_S - 1,
                                   NS_PER_S,
                                   NS_PER_S + 1,
                                   UINT32_MAX - UINT64_C(1),
                                   UINT32_MAX,
                                   UINT64_C(1) << 32,
                                   UINT64_C(0x123456789abcdef0),
                                   UINT64_C(1000000000000),
                                   INT64_MAX,
                                   UINT64_C(1) << 63,
                                   UINT64_MAX - 1,
                                   UINT64_MAX};

Test(wide, products_by_hand)
{
    static const struct {
        uint64_t a, b, high, low;
    } rows[] = {
        {0, UINT64_MAX, 0, 0},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX - 1, 1},
        {UINT64_C(1) << 63, 2, 1, 0},
        {UINT32_MAX, UINT32_MAX, 0, UINT64_C(0xfffffffe00000001)},
        {UINT64_C(0x123456789abcdef0), UINT64_C(0x0fedcba987654321), UINT64_C(0x121fa00ad77d742),
         UINT64_C(0x2236d88fe5618cf0)},
    };

    for (size_t i = 0; i < N(rows); i++) {
        struct wide x = wide_product(rows[i].a, rows[i].b), y = wide_product_halves(rows[i].a, rows[i].b);
        cr_expect(x.high == rows[i].high && x.low == rows[i].low, "row %zu", i);
        cr_expect(y.high == rows[i].high && y.low == rows[i].low, "row %zu, by halves", i);
    }
}

Test(wide, scales_by_hand)
{
    static const struct {
        uint64_t a, by, more, per, quotient, rest;
    } rows[] = {
        {0, 0, 0, 1, 0, 0},
        {7, 3, 2, 5, 4, 3},
        {NS_PER_S, UINT64_C(1000000000000), NS_PER_S - 1, NS_PER_S, UINT64_C(1000000000000), NS_PER_S - 1},
        {UINT64_MAX, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX, 0},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX, UINT64_MAX - 1},
        {UINT64_MAX, UINT64_C(1000000000000), 0, NS_PER_S, UINT64_MAX, 0}, // more than 64 bits
        {UINT64_MAX, 1, 1, 1, UINT64_MAX, 0},
        {UINT64_MAX, 1000000, 0, UINT64_MAX, 1000000, 0},
    };

    for (size_t i = 0; i < N(rows); i++) {
        uint64_t rest, halves;
        cr_expect_eq(wide_scale(rows[i].a, rows[i].by, rows[i].more, rows[i].per, &rest), rows[i].quotient, "row %zu",
                     i);
        cr_expect_eq(rest, rows[i].rest, "row %zu", i);
        cr_expect_eq(wide_scale_halves(rows[i].a, rows[i].by, rows[i].more, rows[i].per, &halves), rows[i].quotient,
                     "row %zu, by halves", i);
        cr_expect_eq(halves, rows[i].rest, "row %zu, by halves", i);
    }
}

// Where the compiler has integers of 128 bits this holds one way against the other.
Test(wide, both_ways_say_the_same)
{
    for (size_t i = 0; i < N(numbers); i++)
        for (size_t j = 0; j < N(numbers); j++) {
            uint64_t a = numbers[i], b = numbers[j];
            struct wide x = wide_product(a, b), y = wide_product_halves(a, b);
            cr_assert(x.high == y.high && x.low == y.low, "%zu * %zu", i, j);
            for (size_t k = 1; k < N(numbers); k++) {
                uint64_t rest, halves, more = numbers[(i + j + k) % N(numbers)];
                uint64_t quotient = wide_scale(a, b, more, numbers[k], &rest);
                cr_assert_eq(quotient, wide_scale_halves(a, b, more, numbers[k], &halves), "%zu, %zu, %zu", i, j, k);
                cr_assert_eq(rest, halves, "%zu, %zu, %zu", i, j, k);
            }
        }
}
