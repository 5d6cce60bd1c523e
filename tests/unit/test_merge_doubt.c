// SPDX-License-Identifier: Apache-2.0
// Tests of stats/merge_doubt.c: two streams, and numbers that count messages, beside loss that is none of them.
#include <criterion/criterion.h>

#include <string.h>

#include "stats/merge_doubt.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define LEGS         3

enum { NOTHING, STREAMS, ALIKE };

static const struct row {
    const char *what;
    enum stats_merge merge;
    uint64_t lost;
    uint32_t two_streams;
    uint64_t copy;
    struct {
        uint64_t packets, first, missing;
    } legs[LEGS]; // the rule begins with a leg that is another rule's
    int doubt;
} rows[] = {
    {"two encoders", STATS_MERGE_RTP, 0, 1, 0, {{0}}, STREAMS},
    {"two encoders, numbers in a field", STATS_MERGE_FIELD, 0, 1, 0, {{0}}, STREAMS},
    {"two encoders that once were one", STATS_MERGE_RTP, 0, 1, 5000, {{5000, 5000, 0}, {5000, 0, 0}}, STREAMS},
    {"one encoder", STATS_MERGE_RTP, 0, 0, 0, {{2000, 2000, 0}, {2000, 2000, 0}}, NOTHING},
    {"no numbers", STATS_MERGE_PAYLOAD, 0, 1, 0, {{0}}, NOTHING},
    {"no merge", STATS_MERGE_NONE, 0, 1, 0, {{0}}, NOTHING},

    {"messages are counted", STATS_MERGE_FIELD, 667, 0, 475, {{475, 470, 667}, {475, 5, 667}}, ALIKE},
    {"and a leg loses some", STATS_MERGE_FIELD, 667, 0, 375, {{475, 470, 667}, {375, 5, 767}}, ALIKE},
    {"and a third leg is dead", STATS_MERGE_FIELD, 9000, 0, 1, {{6000, 6000, 9000}, {6000, 0, 9000}, {0}}, ALIKE},
    {"a quarter", STATS_MERGE_FIELD, 250, 0, 750, {{750, 750, 250}, {750, 0, 250}}, ALIKE},
    {"less than a quarter", STATS_MERGE_FIELD, 249, 0, 751, {{751, 751, 249}, {751, 0, 249}}, NOTHING},
    {"common loss of 20 %", STATS_MERGE_FIELD, 2000, 0, 8000, {{8000, 8000, 2000}, {8000, 0, 2000}}, NOTHING},
    {"too few numbers", STATS_MERGE_FIELD, 600, 0, 399, {{399, 399, 600}, {399, 0, 600}}, NOTHING},
    {"loss on one leg", STATS_MERGE_FIELD, 0, 0, 5000, {{10000, 10000, 0}, {5000, 0, 5000}}, NOTHING},
    {"loss of half on both", STATS_MERGE_FIELD, 2500, 0, 2500, {{5000, 3750, 5000}, {5000, 3750, 5000}}, NOTHING},
    {"one leg has gone", STATS_MERGE_FIELD, 3000, 0, 10, {{7000, 7000, 3000}, {10, 0, 9990}}, NOTHING},
    {"one leg only", STATS_MERGE_FIELD, 667, 0, 0, {{475, 475, 667}}, NOTHING},
    {"RTP counts datagrams", STATS_MERGE_RTP, 667, 0, 475, {{475, 475, 667}, {475, 0, 667}}, NOTHING},
    {"the most", STATS_MERGE_FIELD, UINT64_MAX, 0, 0, {{UINT64_MAX, 0, UINT64_MAX}, {1, 0, UINT64_MAX}}, ALIKE},
};

Test(merge_doubt, of_each_row)
{
    static const char *const said[] = {[STREAMS] = "no number in common", [ALIKE] = "missing by every leg alike"};

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct stats_input inputs[1 + LEGS] = {{.counters.packets = 5000, .merged.first = 5000}};
        struct stats_rule r = {.first_input = 1, .n_inputs = LEGS, .merge = row->merge};
        struct stats_segment at = {.rules = &r, .inputs = inputs};

        r.merged.lost = row->lost;
        r.two_streams = row->two_streams;
        r.counters.drops.copy = row->copy;
        for (size_t leg = 0; leg < LEGS; leg++) {
            inputs[1 + leg].counters.packets = row->legs[leg].packets;
            inputs[1 + leg].merged.first = row->legs[leg].first;
            inputs[1 + leg].merged.missing = row->legs[leg].missing;
        }
        const char *doubt = merge_doubt(&at, &r);
        cr_expect(row->doubt ? doubt && strstr(doubt, said[row->doubt]) : !doubt, "%s: %s", row->what, doubt);
        cr_expect_eq(merge_doubt_two_streams(&r), row->doubt == STREAMS, "%s", row->what);
        r.messages = 1; // the rule counts them, so that what is missing is missing
        cr_expect_eq(merge_doubt(&at, &r) != NULL, row->doubt == STREAMS, "%s, messages", row->what);
    }
}

// A leg that is behind by more than reorder_ms.
Test(merge_doubt, further_behind_than_others_wait)
{
    struct stats_input inputs[2] = {{.skew_count = 0}, {.skew_us = 20000 * 1000, .skew_count = 1000}};
    struct stats_rule r = {.n_inputs = 2, .merge = STATS_MERGE_RTP};
    const struct stats_segment at = {.rules = &r, .inputs = inputs};

    cr_expect_null(merge_doubt(&at, &r), "the order of arrival");
    r.reorder_ms = 20;
    cr_expect_null(merge_doubt(&at, &r), "as long as it waits");
    r.reorder_ms = 19;
    cr_expect(merge_doubt(&at, &r) && strstr(merge_doubt(&at, &r), "reorder_ms"));
    inputs[1].skew_count = 999;
    inputs[1].skew_us = 999 * 20000;
    cr_expect_null(merge_doubt(&at, &r), "too few");
}
