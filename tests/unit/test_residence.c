// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "stats/residence.h"

#define SECOND UINT64_C(1000000000)

// xorshift64* (Vigna 2016)
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static struct residence_summary summary(const struct residence *h)
{
    struct residence_summary s;

    residence_summarise(h, &s);
    return s;
}

// Buckets lie side by side from 0 to 2^37, and each bound is in its bucket.
Test(residence, buckets_are_without_gap)
{
    cr_expect_eq(residence_least_ns(0), 0);
    cr_expect_eq(residence_least_ns(1), 64);
    cr_expect_eq(residence_least_ns(2), 72);
    cr_expect_eq(residence_least_ns(9), 128);
    cr_expect_eq(residence_least_ns(RESIDENCE_BUCKETS), UINT64_C(1) << 37);
    for (unsigned i = 0; i < RESIDENCE_BUCKETS; i++) {
        uint64_t least = residence_least_ns(i), end = residence_least_ns(i + 1);
        cr_expect_lt(least, end, "bucket %u", i);
        cr_expect_eq(residence_bucket(least), i, "bucket %u", i);
        cr_expect_eq(residence_bucket(end - 1), i, "bucket %u", i);
        cr_expect(i == 0 || (end - least) * 8 <= least, "bucket %u", i);
    }
}

Test(residence, tables_of_times)
{
    static const struct {
        const char *what;
        uint64_t ns, n, count, steps, sum, max;
    } cases[] = {
        {"none", 100, 0, 0, 0, 0, 100},
        {"at once", 0, 3, 3, 0, 0, 0},
        {"shortest", 100, 1, 1, 0, 100, 100},
        {"a batch", 20000, 64, 64, 0, 1280000, 20000},
        {"longest", RESIDENCE_MOST_NS, 2, 2, 0, 2 * RESIDENCE_MOST_NS, RESIDENCE_MOST_NS},
        {"longer", RESIDENCE_MOST_NS + 1, 2, 0, 2, 0, 0},
        {"a stamp from the future", (uint64_t) -1, 5, 0, 5, 0, 0},
        {"from an hour ahead", (uint64_t) -3600 * SECOND, 5, 0, 5, 0, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct residence h = {0};
        residence_add(&h, cases[i].ns, cases[i].n);
        struct residence_summary s = summary(&h);
        cr_expect_eq(s.count, cases[i].count, "%s", cases[i].what);
        cr_expect_eq(h.clock_steps, cases[i].steps, "%s", cases[i].what);
        cr_expect_eq(h.sum_ns, cases[i].sum, "%s", cases[i].what);
        cr_expect_eq(s.max_ns, cases[i].max, "%s", cases[i].what);
        cr_expect_leq(s.p999_ns, s.max_ns, "%s", cases[i].what);
        cr_expect(s.count == 0 || s.p50_ns * 10 >= s.max_ns * 9, "%s", cases[i].what);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}

// Neighbours counted together are what they are one by one, whatever the clock does.
Test(residence, a_batch_is_the_sum_of_its_datagrams)
{
    uint64_t state = 5, stamps[RESIDENCE_RUNS];
    static struct residence_runs runs;

    for (int round = 0; round < 4000; round++) {
        struct residence one = {0}, together = {0};
        uint64_t now = draw(&state) >> 8, gap = UINT64_C(1) << draw(&state) % 40, end = 0;
        uint32_t n = (uint32_t) (1 + draw(&state) % RESIDENCE_RUNS);
        for (uint32_t i = 0; i < n; i++)
            stamps[i] = now - draw(&state) % gap + (round % 3 == 0 && draw(&state) % 16 == 0 ? gap : 0);
        if (round % 2 == 0) // as the kernel's are
            qsort(stamps, n, sizeof(*stamps), by_value);
        residence_begin(&runs);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t datagrams = round % 5 == 0 ? 1 + draw(&state) % 48 : 1;
            end += datagrams;
            residence_add(&one, now - stamps[i], datagrams);
            residence_note(&runs, i + 1, stamps[i], datagrams, end);
        }
        residence_add_runs(&together, &runs, n, now);
        cr_assert(memcmp(&one, &together, sizeof(one)) == 0, "round %d", round);
    }
}

Test(residence, an_empty_one_has_no_times)
{
    struct residence h = {0};
    struct residence_summary s = summary(&h);

    cr_expect_eq(s.count | s.p50_ns | s.p90_ns | s.p99_ns | s.p999_ns | s.max_ns, 0);
}

static void near(uint64_t got, uint64_t wanted, const char *what)
{
    uint64_t apart = got > wanted ? got - wanted : wanted - got;

    cr_expect(apart * 16 <= wanted || (wanted < 64 && got < 64), "%s: %llu, not %llu", what, (unsigned long long) got,
              (unsigned long long) wanted);
}

// The smallest value that permille of all do not exceed.
static uint64_t exact(const uint64_t *sorted, size_t n, size_t permille)
{
    return sorted[(n * permille + 999) / 1000 - 1];
}

Test(residence, percentiles_are_right_within_a_sixteenth)
{
    enum { N = 3000 };
    static uint64_t values[N];
    uint64_t state = 5;

    for (unsigned round = 0; round < 60; round++) {
        struct residence h = {0};
        size_t n = 1 + draw(&state) % N;
        unsigned bits = 7 + round % 30;
        for (size_t i = 0; i < n; i++) {
            values[i] = draw(&state) >> (64 - bits + draw(&state) % bits);
            residence_add(&h, values[i], 1);
        }
        qsort(values, n, sizeof(values[0]), by_value);
        struct residence_summary s = summary(&h);
        cr_expect_eq(s.count, n);
        near(s.p50_ns, exact(values, n, 500), "p50");
        near(s.p90_ns, exact(values, n, 900), "p90");
        near(s.p99_ns, exact(values, n, 990), "p99");
        near(s.p999_ns, exact(values, n, 999), "p999");
        cr_expect_eq(s.max_ns, values[n - 1]);
    }
}

Test(residence, the_difference_is_what_came_between)
{
    static struct residence now, before;
    uint64_t state = 9;

    for (unsigned round = 0; round < 200; round++) {
        struct residence alone = {0}, difference;
        bool new_max = false;
        for (unsigned i = draw(&state) % 50; i > 0; i--) {
            uint64_t ns = draw(&state) % 8 == 0 ? (uint64_t) -5 : draw(&state) >> (28 + draw(&state) % 36),
                     n = draw(&state) % 64;
            new_max |= ns <= RESIDENCE_MOST_NS && ns > now.max_ns;
            residence_add(&alone, ns, n);
            residence_add(&now, ns, n);
        }
        residence_difference(&difference, &now, &before);
        cr_expect_eq(memcmp(difference.buckets, alone.buckets, sizeof(alone.buckets)), 0);
        cr_expect_eq(difference.clock_steps, alone.clock_steps);
        cr_expect_eq(difference.sum_ns, alone.sum_ns);
        if (new_max)
            cr_expect_eq(difference.max_ns, alone.max_ns);
        else if (summary(&alone).p999_ns > 64)
            cr_expect(difference.max_ns <= now.max_ns && difference.max_ns * 8 <= alone.max_ns * 9 &&
                      residence_bucket(difference.max_ns) >= residence_bucket(summary(&alone).p999_ns));
        residence_difference(&before, &now, &before);
        cr_expect_eq(memcmp(&before, &difference, sizeof(before)), 0, "in place");
        before = now;
    }
}

// Without a new longest time, it is the end of the highest bucket, or the longest of all where that is in it.
Test(residence, the_longest_of_a_difference)
{
    static const struct {
        uint64_t before, then, max;
    } cases[] = {{0, 0, 0}, {5000, 100, 103}, {5000, 4990, 5000}, {5000, 5000, 5000}, {5000, 5001, 5001}, {63, 10, 63}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct residence now = {0}, before;
        residence_add(&now, cases[i].before, 1);
        before = now;
        residence_add(&now, cases[i].then, 1);
        residence_difference(&before, &now, &before);
        cr_expect_eq(before.max_ns, cases[i].max, "case %zu: %llu", i, (unsigned long long) before.max_ns);
    }
}

// Counts that have wrapped end the search, too: another process may have written them.
Test(residence, hostile_counts_are_read)
{
    struct residence h;

    memset(&h, 0xff, sizeof(h));
    struct residence_summary s = summary(&h);
    cr_expect_leq(s.p999_ns, UINT64_C(1) << 37);
    h.max_ns = 0;
    cr_expect_eq(summary(&h).p50_ns, 0);
}
