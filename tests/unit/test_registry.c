// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include "machine/registry.h"

static void note(void *context, struct registry_entry *e)
{
    *(unsigned *) context |= 1u << e->fd;
}

static struct registry_key key_of(uint32_t n)
{
    return (struct registry_key){.kind = REGISTRY_SOCKET, .ifindex = n};
}

// Of what runs (0, 1), the table in preparation wants 1, and 2 anew: only 1 is left, and a later load goes on with it.
Test(registry, narrow)
{
    struct registry r = {.entries = NULL};
    struct registry_key keys[3] = {key_of(1), key_of(2), key_of(3)};
    unsigned closed = 0;

    registry_begin(&r);
    cr_assert_not_null(registry_add(&r, &keys[0], 0));
    cr_assert_not_null(registry_add(&r, &keys[1], 1));
    registry_settle(&r, true, note, &closed);
    cr_assert_eq(closed, 0);
    registry_begin(&r);
    cr_assert_not_null(registry_want(&r, &keys[1]));
    cr_assert_not_null(registry_add(&r, &keys[2], 2));
    registry_narrow(&r, note, &closed);
    cr_expect_eq(closed, 1u << 0 | 1u << 2);
    cr_expect_eq(r.n, 1);
    cr_expect_null(registry_find(&r, &keys[0]));
    cr_expect_null(registry_find(&r, &keys[2]));
    closed = 0;
    registry_begin(&r);
    cr_expect_not_null(registry_want(&r, &keys[1]));
    registry_settle(&r, true, note, &closed);
    cr_expect_eq(closed, 0);
    registry_free(&r);
}
