// SPDX-License-Identifier: Apache-2.0
// A merge in memory that outlives its process: it goes on there, whatever that memory holds.
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/clock.h"
#include "wire/merge.h"

#define T0     (1800000000 * NS_PER_S)
#define MS     UINT64_C(1000000)
#define LENGTH 40u

static struct merge_settings settings(enum merge_by by, uint32_t reorder_ms)
{
    struct merge_settings s = {.by = by,
                               .n_legs = 2,
                               .window_ms = 100,
                               .reorder_ms = reorder_ms,
                               .numbers = 1024,
                               .max_payload = 100,
                               .switch_after_ms = 200,
                               .key = {1, 2}};
    s.field.bytes = 4;
    return s;
}

static void *memory_of(const struct merge_settings *s)
{
    void *memory = NULL;

    cr_assert_eq(posix_memalign(&memory, ARENA_ALIGN, merge_bytes(s)), 0);
    return memset(memory, 0, merge_bytes(s));
}

static enum merge_verdict take(struct merge *m, uint32_t leg, uint64_t ms, uint32_t number)
{
    uint8_t p[LENGTH] = {0x80, 96, (uint8_t) (number >> 8), (uint8_t) number, 0, 0, 0, 0, 1, 2, 3, 4, (uint8_t) number};

    if (m && number % 2 == 0)
        p[20] = 1;
    return merge_take(m, leg, T0 + ms * MS, p, sizeof(p), number);
}

static uint32_t release(struct merge *m, uint64_t now_ns)
{
    struct merge_held held;
    uint32_t n = 0;

    while (merge_next(m, now_ns, &held)) {
        cr_assert_leq(held.length, 100);
        n++;
    }
    return n;
}

// What one process has seen passes in none of the next, in every way to merge; what was held leaves once.
Test(merge_resume, goes_on_elsewhere)
{
    static const enum merge_by ways[] = {MERGE_RTP, MERGE_FIELD, MERGE_PAYLOAD};

    for (size_t i = 0; i < 3; i++)
        for (uint32_t reorder = 0; reorder <= (i < 2 ? 50 : 0); reorder += 50) {
            struct merge_settings s = settings(ways[i], reorder), other = s;
            struct merge *m = merge_place(&s, memory_of(&s));
            void *elsewhere = memory_of(&s);
            for (uint32_t n = 0; n < 40; n++)
                if (n != 30)
                    take(m, 0, n, n);
            cr_expect_eq(release(m, 0), 0);
            other.key[0] = 77; // the next process has a key of its own
            memcpy(elsewhere, m, merge_bytes(&s));
            memset(m, 0xff, merge_bytes(&s));
            free(m);
            struct merge *next = merge_resume(&other, elsewhere);
            cr_assert(next == elsewhere);
            for (uint32_t n = 0; n < 40; n++)
                if (n != 30)
                    cr_expect_eq(take(next, 1, 41 + n / 8, n), MERGE_COPY, "way %zu, reorder %u, number %u", i, reorder,
                                 n);
            cr_expect_eq(take(next, 1, 46, 30), MERGE_PASSES);
            cr_expect_eq(release(next, 0), reorder ? 9 : 0);
            free(elsewhere);
        }
}

// The state of a stream that is longer than the room of its merge is one, in order or not.
Test(merge_resume, goes_on_with_a_long_stream)
{
    for (uint32_t reorder = 0; reorder <= 50; reorder += 50) {
        struct merge_settings s = settings(MERGE_RTP, reorder);
        void *memory = memory_of(&s);
        struct merge *m = merge_place(&s, memory);
        for (uint32_t n = 0; n < 20000; n++)
            take(m, 0, n / 4, n);
        m = merge_resume(&s, memory);
        cr_assert_not_null(m, "reorder %u", reorder);
        cr_expect_eq(take(m, 1, 5001, 19999), MERGE_COPY);
        cr_expect_eq(take(m, 0, 5001, 20000), MERGE_PASSES);
        free(memory);
    }
}

// A process was killed between a release and the call that sends it: the next one releases the same. What was sent does
// not leave again.
Test(merge_resume, a_release_that_was_not_sent)
{
    for (int sent = 0; sent < 2; sent++) {
        struct merge_settings s = settings(MERGE_RTP, 50);
        void *memory = memory_of(&s);
        struct merge *m = merge_place(&s, memory);
        for (uint32_t n = 0; n < 40; n++)
            if (n != 30)
                take(m, 0, n, n);
        take(m, 1, 41, 30);
        cr_expect_eq(release(m, 0), 9);
        if (sent)
            merge_sent(m);
        m = merge_resume(&s, memory);
        cr_assert_not_null(m);
        cr_expect_eq(take(m, 1, 42, 39), MERGE_COPY);
        cr_expect_eq(release(m, 0), sent ? 0 : 9);
        merge_sent(m);
        cr_expect_eq(take(m, 1, 43, 40), MERGE_PASSES, "its turn is next");
        cr_expect_eq(release(m, 0), 0);
        free(memory);
    }
}

// The same by a copy within the process.
Test(merge_resume, copies)
{
    struct merge_settings s = settings(MERGE_RTP, 50);
    struct merge *m = merge_new(&s), *copy = merge_new(&s);

    for (uint32_t n = 0; n < 40; n++)
        if (n != 30)
            take(m, 0, n, n);
    merge_copy(copy, m);
    merge_free(m);
    cr_expect_eq(merge_counters(copy)->legs[0].first, 39);
    cr_expect_eq(take(copy, 1, 41, 29), MERGE_COPY);
    cr_expect_eq(take(copy, 1, 41, 30), MERGE_PASSES);
    cr_expect_eq(release(copy, 0), 9);
    merge_free(copy);
}

// However much has passed: a state of any age is one, with turns and without, behind as many sessions and heartbeats.
Test(merge_resume, goes_on_at_any_age)
{
    static const enum merge_by ways[] = {MERGE_RTP, MERGE_FIELD, MERGE_PAYLOAD, MERGE_ACTIVE};

    for (uint32_t i = 0; i < 8; i++) {
        struct merge_settings s = settings(ways[i / 2], i % 2 && i < 4 ? 50 : 0);
        void *memory = memory_of(&s), *elsewhere = memory_of(&s);
        struct merge *m = merge_place(&s, memory);
        uint8_t bare[6] = {0};
        for (uint32_t n = 0; n < 70000; n++) {
            if (n % 1000 != 7)
                take(m, 0, n, n);
            if (n % 1000 != 9)
                take(m, 1, n + 1, n);
            if (i % 4 == 2 || i % 4 == 3) // what brings nothing but the next number
                merge_take(m, 0, T0 + n * MS, bare, sizeof(bare), 0);
            release(m, T0 + n * MS);
            merge_sent(m);
            if (n % 10000 != 9999)
                continue;
            struct merge_counters before = *merge_counters(m);
            m = merge_resume(&s, memory);
            cr_assert_not_null(m, "way %u, reorder %u: nothing left after %u", i / 2, i % 2, n);
            cr_expect_eq(memcmp(&before, merge_counters(m), sizeof(before)), 0);
            // A restart that finds the same file copies it.
            struct merge *next = merge_place(&s, memset(elsewhere, 0, merge_bytes(&s)));
            merge_copy(next, m);
            elsewhere = memory;
            memory = m = next;
        }
        free(memory);
        free(elsewhere);
    }
}

// A process was killed in a pass: what leg 0 has brought from 20 ms on comes again, and passes again; nothing else
// does.
Test(merge_resume, forgets_a_pass)
{
    static const enum merge_by ways[] = {MERGE_RTP, MERGE_FIELD, MERGE_PAYLOAD};

    for (size_t i = 0; i < 3; i++) {
        struct merge_settings s = settings(ways[i], 0);
        struct merge *m = merge_new(&s);
        for (uint32_t n = 0; n < 40; n++)
            take(m, n % 4 == 3, n, n);
        merge_forget(m, 0, T0 + 20 * MS);
        for (uint32_t n = 0; n < 40; n++) {
            enum merge_verdict wanted = n >= 20 && n % 4 != 3 ? MERGE_PASSES : MERGE_COPY;
            cr_expect_eq(take(m, n % 4 == 3, 40, n),
                         wanted == MERGE_COPY && ways[i] == MERGE_PAYLOAD ? MERGE_PASSES : wanted, "way %zu, number %u",
                         i, n);
        }
        merge_free(m);
    }
}

// With turns: what was forgotten and comes again is not late.
Test(merge_resume, forgets_turns)
{
    struct merge_settings s = settings(MERGE_RTP, 50);
    struct merge *m = merge_new(&s);

    for (uint32_t n = 0; n < 40; n++)
        cr_expect_eq(take(m, 0, n, n), MERGE_PASSES);
    merge_forget(m, 0, T0 + 20 * MS);
    for (uint32_t n = 20; n < 40; n++)
        cr_expect_eq(take(m, 0, n, n), MERGE_PASSES, "number %u", n);
    merge_free(m);
}

// Whatever bytes are there: no call reads or writes elsewhere (the sanitizers tell), and none runs for long.
Test(merge_resume, believes_nothing)
{
    static const enum merge_by ways[] = {MERGE_RTP, MERGE_FIELD, MERGE_PAYLOAD, MERGE_ACTIVE};
    uint64_t value = 1;

    for (uint32_t round = 0; round < 4000; round++) {
        struct merge_settings s = settings(ways[round % 4], round % 8 < 4 ? 50 : 0);
        uint8_t *memory = memory_of(&s);
        struct merge *m = merge_place(&s, memory);
        for (uint32_t n = 0; n < 60; n++)
            if (n % 10 != 3)
                take(m, n % 2, n, n);
        // The first bytes are what all else hangs on.
        size_t size = round % 3 == 0 ? merge_bytes(&s) : 1000;
        for (uint32_t i = 0; i < 1u << round % 9; i++) {
            value = value * UINT64_C(6364136223846793005) + 1442695040888963407u;
            memory[(value >> 20) % (size < merge_bytes(&s) ? size : merge_bytes(&s))] = (uint8_t) (value >> 56);
        }
        merge_resume(&s, memory);
        m = (struct merge *) memory;
        if (round % 5 == 0)
            merge_forget(m, 0, T0 + 20 * MS);
        struct merge *copy = merge_new(&s);
        merge_copy(copy, m);
        for (uint32_t n = 40; n < 120; n++) {
            take(copy, n % 2, n, n);
            release(copy, T0 + n * MS);
        }
        merge_look(copy, T0 + 500 * MS);
        release(copy, UINT64_MAX);
        cr_assert_eq(merge_due_ns(copy), UINT64_MAX, "round %u: it still holds something", round);
        merge_free(copy);
        free(memory);
    }
}
