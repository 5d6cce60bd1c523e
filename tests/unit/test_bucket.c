// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include "common/clock.h"
#include "relay/limiter.h"

// Takes one token at a time, as often as the bucket affords it.
static uint64_t drain(struct bucket *b)
{
    uint64_t n = 0;

    while (bucket_affords(b, 1, 1)) {
        bucket_take(b, 1);
        n++;
    }
    return n;
}

Test(bucket, starts_full_and_holds_the_burst)
{
    struct bucket b;

    bucket_init(&b, 1000, 100, 1, 5 * NS_PER_S);
    cr_expect_eq(drain(&b), 100);
    bucket_fill(&b, 5 * NS_PER_S);
    cr_expect_eq(drain(&b), 0);
    bucket_fill(&b, 60 * NS_PER_S);
    cr_expect_eq(drain(&b), 100, "never more than the burst, however long it rests");
}

Test(bucket, depth_is_never_less_than_one_unit)
{
    struct bucket b;

    bucket_init(&b, 1, 1, 65535 * 8, 0);
    cr_expect_eq(b.depth, 65535 * 8);
    cr_expect_eq(bucket_affords(&b, 5, 65535 * 8), 1);
}

Test(bucket, fills_exactly_over_many_small_steps)
{
    static const uint64_t rates[] = {1, 3, 7, 999, 44100, 1000000, 999999999};

    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct bucket b;
        uint64_t got = 0, now = 1;
        bucket_init(&b, rates[i], 10000, 1, now);
        got = b.depth;
        bucket_take(&b, b.tokens);
        uint64_t taken = 0;
        // Uneven steps of about 10 us for one second.
        while (now < NS_PER_S) {
            now += 9973;
            if (now > NS_PER_S)
                now = NS_PER_S;
            bucket_fill(&b, now);
            taken += b.tokens;
            bucket_take(&b, b.tokens);
        }
        bucket_fill(&b, NS_PER_S + 1);
        taken += b.tokens;
        cr_expect_eq(taken, rates[i], "rate %llu gave %llu in a second (depth %llu)", (unsigned long long) rates[i],
                     (unsigned long long) taken, (unsigned long long) got);
    }
}

Test(bucket, time_that_goes_back_adds_nothing)
{
    struct bucket b;

    bucket_init(&b, 1000, 100, 1, 10 * NS_PER_S);
    bucket_take(&b, 100);
    bucket_fill(&b, 9 * NS_PER_S);
    cr_expect_eq(b.tokens, 0);
    bucket_fill(&b, 10 * NS_PER_S + NS_PER_S / 1000);
    cr_expect_eq(b.tokens, 1);
}

Test(bucket, largest_rate_and_longest_rest_do_not_overflow)
{
    struct bucket b;

    bucket_init(&b, UINT64_C(1000000000000), 10000, 1, 0);
    bucket_take(&b, b.tokens);
    bucket_fill(&b, UINT64_MAX);
    cr_expect_eq(b.tokens, b.depth);
}

Test(bucket, no_rate_is_no_limit)
{
    struct bucket b;

    bucket_init(&b, 0, 100, 1, 0);
    cr_expect_eq(bucket_affords(&b, 1000000, 12000), 1000000);
    bucket_take(&b, 1000000);
    cr_expect_eq(bucket_affords(&b, 1, 1), 1);
}

Test(bucket, affords_whole_units_only)
{
    struct bucket b;

    bucket_init(&b, 1000, 100, 1, 0); // 100 tokens
    cr_expect_eq(bucket_affords(&b, 10, 30), 3);
    cr_expect_eq(bucket_affords(&b, 2, 30), 2);
    cr_expect_eq(bucket_affords(&b, 10, 0), 10);
    bucket_take(&b, 90);
    cr_expect_eq(bucket_affords(&b, 10, 30), 0);
}

Test(bucket, a_reload_keeps_the_level)
{
    struct bucket old, b;

    bucket_init(&old, 1000, 100, 1, 0);
    bucket_take(&old, 60);
    bucket_init(&b, 2000, 100, 1, NS_PER_S);
    bucket_carry(&b, &old);
    cr_expect_eq(b.tokens, 40);
    cr_expect_eq(b.then_ns, 0);

    bucket_init(&b, 100, 100, 1, NS_PER_S); // depth 10
    bucket_carry(&b, &old);
    cr_expect_eq(b.tokens, 10);

    struct bucket none;
    bucket_init(&none, 0, 100, 1, 0);
    bucket_init(&b, 1000, 100, 1, NS_PER_S);
    bucket_carry(&b, &none);
    cr_expect_eq(b.tokens, 100, "a limit that is new starts full");
}
