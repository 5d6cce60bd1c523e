// SPDX-License-Identifier: Apache-2.0
// Tests of wire/merge_apart.c: two streams by what came lately, beside one stream that legs bring in every other way.
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "common/clock.h"
#include "wire/merge.h"

#define MS UINT64_C(1000000)
#define T0 (1800000000 * NS_PER_S) // as of CLOCK_REALTIME

static struct merge_settings three_legs(void)
{
    return (struct merge_settings){
        .by = MERGE_RTP, .n_legs = 3, .window_ms = 50, .numbers = 1024, .max_payload = 200, .key = {1, 2}};
}

// What a leg brings each millisecond: the numbers of an SSRC, 0: nothing.
struct part {
    uint32_t ms;
    uint32_t ssrc[3];
    bool alternate; // the first two legs in turn
    bool two;       // at the end
};

static void bring(struct merge *m, uint32_t leg, uint64_t ms, uint32_t ssrc)
{
    uint8_t p[12] = {0x80, 96, (uint8_t) (ms >> 8), (uint8_t) ms};

    p[11] = (uint8_t) ssrc;
    memcpy(p + 4, &(uint32_t){(uint32_t) ms}, 4);
    merge_take(m, leg, T0 + ms * MS + leg * MS / 2, p, sizeof(p), 0);
}

static uint64_t play(struct merge *m, const struct part *part, uint64_t ms, const char *what)
{
    for (uint64_t end = ms + part->ms; ms < end; ms++) {
        for (uint32_t leg = 0; leg < 3; leg++)
            if (part->ssrc[leg] && !(part->alternate && leg == (ms & 1)))
                bring(m, leg, ms, part->ssrc[leg]);
        if (ms % 1000 == 0)
            merge_look(m, T0 + ms * MS);
    }
    merge_look(m, T0 + ms * MS);
    cr_expect_eq(merge_counters(m)->two_streams, part->two, "%s, at %lu ms", what, (unsigned long) ms);
    return ms;
}

static const struct row {
    const char *what;
    struct part parts[5];
} rows[] = {
    {"one encoder", {{20000, {5, 5}, false, false}}},
    {"two from the start", {{900, {5, 6}, false, false}, {1200, {5, 6}, false, true}}},
    {"copies once, two now", {{6000, {5, 5}, false, false}, {3000, {5, 6}, false, false}, {5000, {5, 6}, false, true}}},
    {"two, then copies", {{3000, {5, 6}, false, true}, {9000, {5, 5}, false, false}}},
    {"two, then one leg alone", {{3000, {5, 6}, false, true}, {9000, {5, 0}, false, false}}},
    {"two, then nothing", {{3000, {5, 6}, false, true}, {60000, {0}, false, true}, {5000, {5, 6}, false, true}}},
    {"a leg that begins later", {{9000, {5, 0}, false, false}, {9000, {5, 5}, false, false}}},
    {"legs that take turns",
     {{9000, {5, 0}, false, false}, {9000, {0, 5}, false, false}, {9000, {5, 0}, false, false}}},
    {"the other leg, another encoder", {{9000, {5, 0}, false, false}, {9000, {0, 6}, false, false}}},
    {"datagram by datagram", {{9000, {5, 5}, true, false}}},
    {"another encoder on both", {{9000, {5, 5}, false, false}, {9000, {6, 6}, false, false}}},
    {"two legs of three are one", {{3000, {5, 5, 6}, false, true}}},
    {"an encoder for each of three", {{3000, {5, 6, 7}, false, true}}},
};

Test(merge_apart, of_each_row)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct merge_settings s = three_legs();
        struct merge *m = merge_new(&s);
        uint64_t ms = 1;
        for (const struct part *part = rows[i].parts; part->ms > 0; part++)
            ms = play(m, part, ms, rows[i].what);
        merge_free(m);
    }
}

// What was found goes over a reload, with the time that is needed to find it.
Test(merge_apart, over_a_reload)
{
    static const struct part once = {6000, {5, 5}, false, false}, now = {5700, {5, 6}, false, false},
                             now_swapped = {1500, {6, 5}, false, true}, still = {1, {6, 5}, false, true};
    const uint8_t swapped[MERGE_LEGS_MAX] = {1, 0, 0xff};
    struct merge_settings s = three_legs();
    struct merge *m = merge_new(&s), *n = merge_new(&s), *o = merge_new(&s);

    uint64_t ms = play(m, &now, play(m, &once, 1, "copies"), "two, not for long enough");
    merge_carry(n, m, swapped);
    ms = play(n, &now_swapped, ms, "behind the reload");
    merge_carry(o, n, (const uint8_t[MERGE_LEGS_MAX]){0, 1, 2});
    play(o, &still, ms, "at once behind the second");
    merge_free(m);
    merge_free(n);
    merge_free(o);
}
