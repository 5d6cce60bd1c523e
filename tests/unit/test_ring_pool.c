// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include "machine/ring_pool.h"

#define SECONDS UINT64_C(1000000000)

// A stuck ring is replaced at once, then after 10, 20, 40, 80 and 160 s.
Test(ring_pool, who_is_replaced_again_and_again_waits_longer)
{
    static const uint64_t waits[] = {10, 20, 40, 80, 160, 160, 160};
    struct ring_pool p = {.machine = &machine_kernel};
    uint64_t now = 5 * SECONDS;

    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        cr_expect(ring_pool_may_replace(&p, 7, now), "replacement %zu", i);
        cr_expect_not(ring_pool_may_replace(&p, 7, now + 1));
        cr_expect_not(ring_pool_may_replace(&p, 7, now + waits[i] * SECONDS - 1));
        now += waits[i] * SECONDS;
    }
}

Test(ring_pool, a_quiet_time_is_a_new_beginning)
{
    struct ring_pool p = {.machine = &machine_kernel};

    cr_expect(ring_pool_may_replace(&p, 7, 0));
    cr_expect(ring_pool_may_replace(&p, 7, 10 * SECONDS));
    // It may be again from 30 s on. Another 20 s later the wait is 10 s again.
    cr_expect(ring_pool_may_replace(&p, 7, 50 * SECONDS));
    cr_expect_not(ring_pool_may_replace(&p, 7, 60 * SECONDS - 1));
    cr_expect(ring_pool_may_replace(&p, 7, 60 * SECONDS));
}

Test(ring_pool, each_interface_waits_for_itself)
{
    struct ring_pool p = {.machine = &machine_kernel};

    for (uint32_t i = 1; i <= 64; i++)
        cr_expect(ring_pool_may_replace(&p, i, i * SECONDS));
    for (uint32_t i = 1; i <= 64; i++)
        cr_expect_eq(ring_pool_may_replace(&p, i, 65 * SECONDS), i <= 55, "interface %u", i);
}
