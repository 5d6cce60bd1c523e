// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include "common/arena.h"

Test(arena, pieces_begin_at_cache_lines)
{
    uint8_t block[4 * ARENA_ALIGN];
    struct arena a = {.base = block};

    cr_expect_eq(arena_place(&a, 3, 1), (void *) block);
    cr_expect_eq(arena_place(&a, 0, 8), (void *) (block + ARENA_ALIGN));
    cr_expect_eq(arena_place(&a, 2, ARENA_ALIGN), (void *) (block + ARENA_ALIGN));
    cr_expect_eq(a.at, 3 * ARENA_ALIGN);
}

// 20,000 merges of a million numbers are more than a 32-bit machine has: no sum may come round to a small one.
Test(arena, what_is_too_much_stays_so)
{
    static const size_t pieces[][2] = {{SIZE_MAX, 2}, {SIZE_MAX, 1}, {SIZE_MAX / 2 + 2, 2}, {ARENA_TOO_MUCH, 1}};

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct arena a = {.at = ARENA_ALIGN};
        cr_expect_null(arena_place(&a, pieces[i][0], pieces[i][1]));
        cr_expect_eq(a.at, ARENA_TOO_MUCH, "piece %zu", i);
        arena_place(&a, 3, 5);
        cr_expect_eq(a.at, ARENA_TOO_MUCH, "piece %zu", i);
        arena_place(&a, 1, ARENA_TOO_MUCH);
        cr_expect_eq(a.at, ARENA_TOO_MUCH, "piece %zu", i);
    }

    struct arena sum = {.at = 0};
    for (int i = 0; i < 20; i++)
        arena_place(&sum, 1, SIZE_MAX / 16 + 1);
    cr_expect_eq(sum.at, ARENA_TOO_MUCH);
}
