// SPDX-License-Identifier: Apache-2.0
// What a reload keeps of the monitors of a rule's legs.
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "relay/streams.h"
#include "../make_table.h"

#define RULE                                                                                                           \
    "version=1;rules=({name=\"r\";%smonitor={%s};"                                                                     \
    "input={interface=\"in0\";group=\"239.255.0.0\";port=5000;};"                                                      \
    "outputs=({interface=\"out0\";group=\"239.255.0.0\";port=6000;});});"

static struct streams *make(const struct table_view *view)
{
    struct arena size = {0};

    streams_free(streams_new(view, &size, false, 1));
    struct arena a = {.base = aligned_alloc(ARENA_ALIGN, size.at + ARENA_ALIGN)};
    cr_assert_not_null(a.base);
    memset(a.base, 0, size.at);
    struct streams *s = streams_new(view, &a, false, 1);
    cr_assert_not_null(s);
    return s;
}

Test(streams, monitors_go_on_under_other_limits_but_not_under_other_settings)
{
    static const struct {
        const char *rule, *monitor;
        uint64_t kept;
    } cases[] = {
        {"", "as=\"rtp\";clock_hz=90000;max_loss_ppm=100;max_jitter_us=5000;", 3},
        {"", "as=\"rtp\";clock_hz=90000;max_loss_ppm=200;max_jitter_us=5000;", 3},
        {"", "as=\"rtp\";clock_hz=90000;max_loss_ppm=100;max_jitter_us=6000;", 3},
        {"", "as=\"rtp\";clock_hz=90000;", 3},
        {"", "as=\"rtp\";clock_hz=8000;max_loss_ppm=100;max_jitter_us=5000;", 0},
        {"", "as=\"ts\";clock_hz=90000;max_loss_ppm=100;max_jitter_us=5000;", 0},
        {"enabled=false;", "as=\"rtp\";clock_hz=90000;max_loss_ppm=100;max_jitter_us=5000;", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table_view before, after;
        make_view(&before, NULL, RULE, "", cases[0].monitor);
        make_view(&after, &before, RULE, cases[i].rule, cases[i].monitor);
        struct streams *was = make(&before), *s = make(&after);
        for (uint8_t n = 1; n <= 3; n++) {
            const uint8_t rtp[12] = {0x80, 33, 0, n, 0, 0, 0, n, 1, 2, 3, 4};
            streams_take(was, 0, 0, n * 1000000u, rtp, 1, sizeof(rtp));
        }
        cr_assert_eq(streams_count(was, before.rules, 0).expected, 3);
        streams_carry(s, was);
        cr_expect_eq(streams_count(s, after.rules, 0).expected, cases[i].kept, "%zu", i);
        streams_free(s);
        streams_free(was);
        free((void *) after.header);
        free((void *) before.header);
    }
}
