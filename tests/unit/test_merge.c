// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "wire/merge.h"

#define MS        UINT64_C(1000000)
#define T0        (1800000000 * NS_PER_S) // as of CLOCK_REALTIME
#define ROOM      1024
#define P         MERGE_PASSES
#define C         MERGE_COPY
#define L         MERGE_LATE
#define N         MERGE_NO_SEQUENCE
#define S         MERGE_STANDBY
#define H         MERGE_HELD
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define RTP_TICKS 90 // of the time stamp, from number to number

static const char *const verdicts[] = {"passes", "copy", "late", "no sequence", "standby", "held"};

static struct merge_settings rtp(void)
{
    return (struct merge_settings){.by = MERGE_RTP,
                                   .n_legs = 2,
                                   .window_ms = 50,
                                   .numbers = ROOM,
                                   .max_payload = 200,
                                   .switch_after_ms = 200,
                                   .return_after_ms = 1000,
                                   .key = {UINT64_C(0x243f6a8885a308d3), UINT64_C(0x13198a2e03707344)}};
}

static struct merge_settings field(uint8_t bytes, bool little)
{
    struct merge_settings s = rtp();

    s.by = MERGE_FIELD;
    s.field.at = 10;
    s.field.bytes = bytes;
    s.field.little = little;
    s.field.session_bytes = 10;
    return s;
}

static void put(uint8_t *at, uint64_t v, uint32_t bytes, bool little)
{
    for (uint32_t i = 0; i < bytes; i++)
        at[little ? i : bytes - 1 - i] = (uint8_t) (i < 8 ? v >> 8 * i : 0);
}

// A datagram with a number, in the form of s. epoch: what tells it from another one of the same session and number.
// Returns its length.
static size_t datagram(const struct merge_settings *s, uint8_t *p, uint32_t session, uint64_t number, uint32_t epoch)
{
    memset(p, 0, 60);
    if (s->by == MERGE_FIELD) {
        put(p + s->field.session_at, session, s->field.session_bytes, false);
        put(p + s->field.at, number, s->field.bytes, s->field.little);
        put(p + 24, epoch * UINT64_C(1000003) + number, 8, false);
        return 60;
    }
    p[0] = 0x80;
    p[1] = 96;
    put(p + 2, number, 2, false);
    put(p + 4, epoch * UINT64_C(2654435761) + number * RTP_TICKS, 4, false);
    put(p + 8, session, 4, false);
    return 60;
}

static enum merge_verdict take(struct merge *m, const struct merge_settings *s, uint32_t leg, uint64_t us,
                               uint32_t session, uint64_t number, uint32_t epoch)
{
    uint8_t p[64];
    size_t length = datagram(s, p, session, number, epoch);

    return merge_take(m, leg, T0 + us * 1000, p, length, number);
}

// --- tables ----------------------------------------------------------------------------------------------------------

struct step {
    uint32_t ms, leg;
    uint64_t number;
    enum merge_verdict want;
    uint32_t session, epoch;
    bool there;
};

// clang-format off
#define T(at, of, n, wanted)         {.there = true, .ms = at, .leg = of, .number = n, .want = wanted}
#define TS(at, of, n, wanted, which) {.there = true, .ms = at, .leg = of, .number = n, .want = wanted, .session = which}
#define TE(at, of, n, wanted, other) {.there = true, .ms = at, .leg = of, .number = n, .want = wanted, .epoch = other}
// clang-format on

struct row {
    const char *name;
    struct merge_settings s;
    struct step steps[20];
    uint64_t recovered, lost, together, resets;
    uint64_t missing[3], reordered[3], repeated[3];
};

static void run(const struct row *r)
{
    struct merge *m = merge_new(&r->s);
    const struct merge_counters *c = merge_counters(m);
    uint64_t us = 0;

    for (size_t i = 0; i < LENGTH(r->steps) && r->steps[i].there; i++) {
        const struct step *t = &r->steps[i];
        us = t->ms * UINT64_C(1000);
        enum merge_verdict got = take(m, &r->s, t->leg, us, t->session, t->number, t->epoch);
        cr_expect(got == t->want, "%s, step %zu: %s, not %s", r->name, i, verdicts[got], verdicts[t->want]);
    }
    merge_look(m, T0 + (us + 1000000) * 1000);
    cr_expect(c->recovered == r->recovered && c->lost == r->lost && c->lost_together == r->together &&
                  c->resets == r->resets,
              "%s: recovered %lu, lost %lu, together %lu, resets %lu", r->name, (unsigned long) c->recovered,
              (unsigned long) c->lost, (unsigned long) c->lost_together, (unsigned long) c->resets);
    for (uint32_t i = 0; i < r->s.n_legs; i++)
        cr_expect(c->legs[i].missing == r->missing[i] && c->legs[i].reordered == r->reordered[i] &&
                      c->legs[i].repeated == r->repeated[i],
                  "%s, leg %u: missing %lu, reordered %lu, repeated %lu", r->name, i,
                  (unsigned long) c->legs[i].missing, (unsigned long) c->legs[i].reordered,
                  (unsigned long) c->legs[i].repeated);
    merge_free(m);
}

// A leg that is further behind than others wait for it: what it brings for a gap is late, and neither lost nor missing.
Test(merge, behind_its_turn)
{
    struct merge_settings s = rtp();
    struct merge_held held;

    s.reorder_ms = 10;
    s.max_payload = 64;
    struct merge *m = merge_new(&s);
    const struct merge_counters *c = merge_counters(m);
    cr_expect_eq(take(m, &s, 0, 0, 0, 1, 0), MERGE_PASSES);
    cr_expect_eq(take(m, &s, 0, 2000, 0, 4, 0), MERGE_HELD);
    cr_expect(merge_next(m, T0 + 15 * UINT64_C(1000000), &held) && held.tag == 4);
    merge_sent(m);
    cr_expect_eq(take(m, &s, 1, 20000, 0, 1, 0), MERGE_COPY);
    cr_expect_eq(take(m, &s, 1, 20500, 0, 2, 0), MERGE_LATE);
    cr_expect_eq(take(m, &s, 1, 22000, 0, 4, 0), MERGE_COPY);
    merge_look(m, T0 + UINT64_C(2000000000));
    cr_expect_eq(c->lost, 1, "lost: %lu", (unsigned long) c->lost); // 3
    cr_expect_eq(c->recovered, 0);
    cr_expect_eq(c->legs[0].missing, 2);
    cr_expect_eq(c->legs[1].missing, 1, "missing: %lu", (unsigned long) c->legs[1].missing);
    merge_free(m);
}

Test(merge, the_first_copy_passes)
{
    struct merge_settings one = rtp(), three = rtp();
    one.n_legs = 1;
    three.n_legs = 3;
    const struct row rows[] = {
        {.name = "two legs", .s = rtp(), .steps = {T(0, 0, 7, P), T(1, 1, 7, C), T(2, 0, 8, P), T(2, 1, 8, C)}},
        {.name = "each leads at times",
         .s = rtp(),
         .steps = {T(0, 0, 7, P), T(1, 1, 7, C), T(2, 1, 8, P), T(2, 0, 8, C)}},
        {.name = "one leg",
         .s = one,
         .steps = {T(0, 0, 7, P), T(1, 0, 9, P), T(1, 0, 9, C), T(2, 0, 8, P), T(3, 0, 12, P)},
         .lost = 2,
         .missing = {2},
         .reordered = {1},
         .repeated = {1}},
        {.name = "copies on one leg only",
         .s = rtp(),
         .steps = {T(0, 0, 7, P), T(1, 0, 8, P), T(2, 0, 9, P)},
         .recovered = 3,
         .missing = {0, 3}},
        {.name = "each has lost another",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(1, 1, 1, C), T(2, 0, 3, P), T(3, 1, 2, P), T(4, 0, 4, P), T(5, 1, 4, C)},
         .recovered = 2,
         .missing = {1, 1}},
        {.name = "three legs",
         .s = three,
         .steps = {T(0, 0, 1, P), T(1, 1, 1, C), T(2, 2, 1, C), T(3, 2, 2, P), T(4, 0, 3, P), T(5, 1, 3, C)},
         .recovered = 2,
         .missing = {1, 1, 1}},
        {.name = "40 ms late",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(20, 0, 2, P), T(40, 0, 3, P), T(40, 1, 1, C), T(60, 0, 4, P), T(60, 1, 2, C),
                   T(80, 1, 3, C), T(100, 1, 4, C)}},
        {.name = "just within, and beyond the window",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(0, 0, 2, P), T(50, 1, 1, C), T(51, 1, 2, L)},
         .recovered = 1,
         .missing = {0, 1}},
        {.name = "a leg repeats each, a wanted copy among them",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(0, 0, 1, C), T(1, 1, 1, C), T(1, 1, 1, C), T(2, 1, 2, P), T(2, 1, 2, C),
                   T(3, 0, 2, C)},
         .repeated = {1, 2}},
        {.name = "reordered on one leg",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(1, 0, 3, P), T(1, 0, 2, P), T(2, 1, 1, C), T(2, 1, 3, C), T(2, 1, 2, C)},
         .reordered = {1, 1}},
        {.name = "both lose the same run",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(0, 1, 1, C), T(9, 0, 6, P), T(9, 1, 6, C), T(11, 0, 10, P), T(11, 1, 10, C)},
         .lost = 7,
         .together = 1,
         .missing = {7, 7}},
        {.name = "the runs of two legs overlap",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(0, 1, 1, C), T(9, 0, 7, P), T(9, 1, 4, P), T(9, 1, 7, C)},
         .recovered = 1,
         .lost = 4,
         .missing = {5, 4}},
        {.name = "silent, and back",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(0, 1, 1, C), T(300, 0, 2, P), T(600, 0, 3, P), T(900, 0, 4, P), T(901, 1, 4, C),
                   T(950, 1, 5, P), T(951, 0, 5, C)},
         .recovered = 2,
         .missing = {0, 2}},
        {.name = "a leg sends old numbers",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(0, 1, 1, C), T(20, 0, 2, P), T(40, 0, 3, P), T(60, 0, 4, P), T(80, 1, 1, L),
                   T(81, 1, 2, L), T(100, 0, 5, P), T(101, 0, 1, L)},
         .recovered = 4,
         .missing = {0, 4},
         .reordered = {0, 0},
         .repeated = {1, 1}},
        {.name = "a number that has left the window passes when it was never there",
         .s = rtp(),
         .steps = {T(0, 0, 1, P), T(0, 0, 3, P), T(400, 0, 4, P), T(401, 1, 2, P), T(402, 0, 2, C)},
         .recovered = 3,
         .missing = {0, 3},
         .reordered = {1}},
    };

    for (size_t i = 0; i < LENGTH(rows); i++)
        run(&rows[i]);
}

Test(merge, numbers_come_round)
{
    const struct row rows[] = {
        {.name = "16 bits",
         .s = rtp(),
         .steps = {T(0, 0, 0xfffe, P), T(1, 1, 0xfffe, C), T(1, 0, 0xffff, P), T(1, 0, 0x10001, P), T(1, 1, 0xffff, C),
                   T(2, 1, 0x10000, P), T(2, 1, 0x10001, C)},
         .recovered = 1,
         .missing = {1}},
        {.name = "8 bits",
         .s = field(1, false),
         .steps = {T(0, 0, 0xfe, P), T(1, 1, 0xfe, C), T(1, 0, 0xff, P), T(1, 0, 0x101, P), T(1, 1, 0xff, C),
                   T(2, 1, 0x100, P), T(2, 1, 0x101, C)},
         .recovered = 1,
         .missing = {1}},
        {.name = "16 bits in a field",
         .s = field(2, true),
         .steps = {T(0, 0, 0xffff, P), T(1, 0, 0, P), T(1, 1, 0xffff, C), T(2, 1, 0, C)}},
        {.name = "32 bits",
         .s = field(4, false),
         .steps = {T(0, 0, 0xfffffffe, P), T(1, 0, 0xffffffff, P), T(1, 1, 0xfffffffe, C), T(2, 0, 1, P), T(2, 1, 0, P),
                   T(2, 1, 1, C), T(2, 1, 0xffffffff, C)},
         .recovered = 1,
         .missing = {1},
         .reordered = {0, 1}},
        {.name = "64 bits",
         .s = field(8, true),
         .steps = {T(0, 0, UINT64_MAX - 1, P), T(1, 0, UINT64_MAX, P), T(1, 1, UINT64_MAX - 1, C), T(2, 0, 1, P),
                   T(2, 1, 0, P), T(2, 1, 1, C), T(2, 1, UINT64_MAX, C)},
         .recovered = 1,
         .missing = {1},
         .reordered = {0, 1}},
    };

    for (size_t i = 0; i < LENGTH(rows); i++)
        run(&rows[i]);
}

// The slower leg brings the tail of what was before.
Test(merge, a_new_beginning)
{
    const struct row rows[] = {
        {.name = "another SSRC",
         .s = rtp(),
         .steps = {T(0, 0, 100, P), T(1, 0, 101, P), TS(10, 0, 5, P, 9), TS(11, 0, 6, P, 9), TS(12, 0, 7, P, 9),
                   T(20, 1, 100, C), T(21, 1, 101, C), TS(30, 1, 5, C, 9), TS(31, 1, 6, C, 9), TS(32, 1, 7, C, 9),
                   TS(33, 1, 8, P, 9), TS(34, 0, 8, C, 9)},
         .resets = 1},
        {.name = "a number from anywhere, same SSRC",
         .s = rtp(),
         .steps = {T(0, 0, 100, P), T(1, 0, 101, P), TE(10, 0, 30005, P, 1), TE(11, 0, 30006, P, 1),
                   TE(12, 0, 30007, P, 1), T(20, 1, 100, C), T(21, 1, 101, C), TE(30, 1, 30005, C, 1),
                   TE(31, 1, 30006, C, 1), TE(32, 1, 30007, C, 1)},
         .resets = 1},
        {.name = "a number from within the window",
         .s = rtp(),
         .steps = {T(0, 0, 100, P), T(1, 0, 101, P), T(2, 0, 102, P), TE(10, 0, 100, P, 1), TE(11, 0, 101, P, 1),
                   TE(12, 0, 102, P, 1), T(20, 1, 100, C), T(21, 1, 101, C), T(22, 1, 102, C), TE(30, 1, 100, C, 1),
                   TE(31, 1, 101, C, 1), TE(32, 1, 102, C, 1), TE(33, 1, 103, P, 1), TE(34, 0, 103, C, 1)},
         .resets = 1},
        {.name = "a session of a field",
         .s = field(8, false),
         .steps = {TS(0, 0, 900000000000, P, 1), TS(1, 0, 900000000001, P, 1), TS(10, 0, 1, P, 2), TS(11, 0, 2, P, 2),
                   TS(20, 1, 900000000000, C, 1), TS(21, 1, 900000000001, C, 1), TS(22, 1, 1, C, 2),
                   TS(23, 1, 2, C, 2)},
         .resets = 1},
        {.name = "the same bytes again, a while later",
         .s = field(4, false),
         .steps = {T(1, 0, 1, P), T(2, 0, 2, P), T(3, 0, 3, P), T(3, 1, 1, C), T(4, 1, 2, C), T(2000, 0, 1, P),
                   T(2001, 0, 2, P), T(2002, 1, 1, C), T(2003, 1, 2, C), T(2003, 1, 3, P)},
         .resets = 1,
         .recovered = 2,
         .missing = {1, 1}},
        {.name = "the same bytes again, and a leg that was not there the first time comes first",
         .s = rtp(),
         .steps = {T(1, 0, 1, P), T(2, 0, 2, P), T(3, 0, 3, P), T(4, 0, 4, P), T(2000, 1, 1, P), T(2001, 0, 1, C),
                   T(2002, 1, 2, P), T(2003, 0, 2, C), T(2004, 1, 3, P), T(2005, 0, 4, P), T(2006, 1, 4, C)},
         .resets = 1,
         .recovered = 5,
         .missing = {1, 4}},
        {.name = "the same bytes again, first what the leg had lost the first time",
         .s = rtp(),
         .steps = {T(1, 0, 1, P), T(2, 0, 2, P), T(3, 0, 3, P), T(3, 1, 1, C), T(4, 1, 3, C), T(2000, 1, 2, P),
                   T(2001, 0, 2, C), T(2002, 1, 3, P), T(2003, 0, 3, C)},
         .resets = 1,
         .recovered = 1,
         .missing = {0, 1}},
        {.name = "a leg that is seconds late, once the other has ended",
         .s = rtp(),
         .steps = {T(1, 0, 1, P), T(900, 0, 2, P), T(1800, 0, 3, P), T(1801, 0, 4, P), T(2001, 1, 1, L),
                   T(2900, 1, 2, L), T(3800, 1, 3, L), T(3801, 1, 4, L)},
         .recovered = 4,
         .missing = {0, 4}},
        {.name = "two are alive, a third waits for its line",
         .s = rtp(),
         .steps = {TS(0, 0, 100, P, 1), TS(1, 0, 101, P, 1), TS(10, 0, 200, P, 2), TS(11, 0, 201, P, 2),
                   TS(30, 0, 300, P, 3), TS(31, 0, 301, P, 3), TS(32, 0, 302, P, 3), TS(33, 0, 303, P, 3),
                   TS(34, 1, 300, C, 3), TS(62, 1, 301, C, 3), TS(63, 0, 304, P, 3), TS(64, 1, 304, C, 3)},
         .resets = 2,
         .recovered = 5,
         .missing = {0, 5}},
        {.name = "and again",
         .s = rtp(),
         .steps = {TS(0, 0, 100, P, 1), TS(1, 0, 101, P, 1), TS(100, 0, 200, P, 2), TS(101, 0, 201, P, 2),
                   TS(200, 0, 300, P, 3), TS(201, 0, 301, P, 3), TS(202, 1, 300, C, 3), TS(203, 1, 301, C, 3)},
         .resets = 2,
         .recovered = 4,
         .missing = {0, 4}},
        {.name = "a tail that the new line has room for",
         .s = rtp(),
         .steps = {T(0, 0, 100, P), T(1, 0, 101, P), T(2, 0, 102, P), T(3, 0, 103, P), T(4, 0, 104, P),
                   TE(10, 0, 102, P, 1), TE(11, 0, 103, P, 1), T(12, 1, 100, C), T(13, 1, 101, C), T(14, 1, 102, C),
                   T(15, 1, 103, C), T(16, 1, 104, C), TE(17, 1, 102, C, 1), TE(18, 1, 103, C, 1), TE(19, 1, 104, P, 1),
                   TE(20, 0, 104, C, 1)},
         .resets = 1},
        {.name = "there and back",
         .s = rtp(),
         .steps = {TS(0, 0, 100, P, 1), TS(0, 1, 100, C, 1), TS(1, 0, 200, P, 2), TS(2, 0, 201, P, 2),
                   TS(3, 1, 200, C, 2), TS(4, 1, 201, C, 2), TS(60, 0, 101, P, 1), TS(61, 1, 101, C, 1),
                   TS(62, 1, 102, P, 1), TS(63, 0, 102, C, 1)},
         .resets = 2},
        {.name = "a single one of another SSRC changes nothing",
         .s = rtp(),
         .steps = {T(0, 0, 100, P), TS(1, 0, 5, P, 9), TS(2, 1, 5, C, 9), T(3, 0, 101, P), T(4, 1, 100, C),
                   T(5, 1, 101, C)}},
    };

    for (size_t i = 0; i < LENGTH(rows); i++)
        run(&rows[i]);
}

// --- forms -----------------------------------------------------------------------------------------------------------

Test(merge, what_has_no_number)
{
    struct merge_settings r = rtp(), f = field(4, false);
    struct merge *m = merge_new(&r), *g = merge_new(&f);
    uint8_t p[64];

    datagram(&r, p, 1, 1, 0);
    cr_expect_eq(merge_take(m, 0, T0, p, 11, 0), N);
    cr_expect_eq(merge_take(m, 0, T0, NULL, 0, 0), N);
    for (unsigned version = 0; version < 4; version++) {
        p[0] = (uint8_t) (version << 6);
        cr_expect_eq(merge_take(m, 0, T0, p, 60, 0), version == 2 ? P : N, "version %u", version);
    }
    p[0] = 0x80;
    p[1] = 200; // a sender report
    cr_expect_eq(merge_take(m, 0, T0, p, 28, 0), N);
    datagram(&f, p, 1, 1, 0);
    cr_expect_eq(merge_take(g, 0, T0, p, 13, 0), N);
    cr_expect_eq(merge_take(g, 0, T0, p, 60, 0), P);
    cr_expect_eq(merge_take(g, 0, T0, NULL, 0, 0), N);
    cr_expect_eq(merge_counters(m)->legs[0].first, 1);
    merge_free(m);
    merge_free(g);
}

Test(merge, rtp_padding_extension_and_sources_do_not_matter)
{
    struct merge_settings s = rtp();
    struct merge *m = merge_new(&s);
    uint8_t p[64];

    for (uint16_t i = 0; i < 64; i++) {
        datagram(&s, p, 1, i, 0);
        p[0] = (uint8_t) (0x80 | i); // P, X, CC
        cr_expect_eq(merge_take(m, 0, T0, p, 60, 0), P);
        cr_expect_eq(merge_take(m, 1, T0, p, 60, 0), C);
        cr_expect_eq(merge_take(m, 1, T0, p, 12, 0), C, "the shortest");
    }
    merge_free(m);
}

// A packet of MoldUDP64: session (10), number (8), count (2), and as many messages of 2 bytes.
static enum merge_verdict mold(struct merge *m, uint32_t leg, uint32_t ms, uint64_t number, uint16_t count)
{
    uint8_t p[256] = "SESSION  A";

    put(p + 10, number, 8, false);
    put(p + 18, count, 2, false);
    put(p + 20, number * 77, 8, false);
    return merge_take(m, leg, T0 + ms * MS, p, count == 0xffff ? 20 : 20 + count * 2u, 0);
}

Test(merge, heartbeats_do_not_take_the_place_of_their_number)
{
    struct merge_settings s = field(8, false);
    struct merge *m = merge_new(&s);

    cr_expect_eq(mold(m, 0, 0, 1, 0), P, "before anything");
    cr_expect_eq(mold(m, 1, 0, 1, 0), C);
    cr_expect_eq(mold(m, 0, 1, 1, 1), P);
    cr_expect_eq(mold(m, 1, 2, 1, 1), C);
    for (uint32_t ms = 1000; ms < 5000; ms += 1000) {
        cr_expect_eq(mold(m, 0, ms, 2, 0), P, "each heartbeat");
        cr_expect_eq(mold(m, 1, ms + 9, 2, 0), C, "and its copy");
    }
    cr_expect_eq(mold(m, 1, 5000, 2, 1), P);
    cr_expect_eq(mold(m, 0, 5001, 2, 1), C);
    cr_expect_eq(mold(m, 0, 5002, 3, 0), P);
    cr_expect_eq(mold(m, 0, 5003, 3, 0xffff), P, "the end of the session");
    cr_expect_eq(mold(m, 1, 5004, 3, 0xffff), C);
    cr_expect_eq(mold(m, 1, 5005, 3, 0), C);
    merge_look(m, T0 + 10000 * MS);
    cr_expect(merge_counters(m)->lost == 0 && merge_counters(m)->resets == 0 && merge_counters(m)->recovered == 0);
    merge_free(m);
}

// A sequenced unit whose number 0 says that it has none: each is another datagram.
Test(merge, what_shares_a_number_without_being_a_copy)
{
    struct merge_settings s = field(4, true);
    struct merge *m = merge_new(&s);

    for (uint32_t i = 0; i < 100; i++) {
        cr_expect_eq(take(m, &s, 0, i * 1000, 1, 5000 + i, 0), P);
        cr_expect_eq(take(m, &s, 0, i * 1000, 1, 0, 7 + i), P, "%u", i);
        cr_expect_eq(take(m, &s, 1, i * 1000, 1, 0, 7 + i), C, "%u", i);
        cr_expect_eq(take(m, &s, 1, i * 1000, 1, 5000 + i, 0), C);
    }
    cr_expect_eq(merge_counters(m)->resets, 0);
    merge_free(m);
}

static enum merge_verdict text(struct merge *m, uint32_t leg, uint32_t ms, const char *payload)
{
    return merge_take(m, leg, T0 + ms * MS, (const uint8_t *) payload, strlen(payload), 0);
}

Test(merge, by_payload_wanted_repeats_pass_as_often)
{
    struct merge_settings s = rtp();
    s.by = MERGE_PAYLOAD;
    struct merge *m = merge_new(&s);
    const struct merge_counters *c = merge_counters(m);

    cr_expect_eq(text(m, 0, 0, "a"), P);
    cr_expect_eq(text(m, 0, 1, "a"), P, "on purpose");
    cr_expect_eq(text(m, 1, 2, "a"), C);
    cr_expect_eq(text(m, 1, 3, "a"), C);
    cr_expect_eq(text(m, 1, 4, "a"), P, "it is the first to bring the third");
    cr_expect_eq(text(m, 0, 5, "a"), C);
    cr_expect_eq(text(m, 0, 6, ""), P);
    cr_expect_eq(text(m, 1, 6, ""), C);
    cr_expect_eq(text(m, 1, 7, "b"), P);
    cr_expect_eq(text(m, 0, 57, "b"), C);
    cr_expect_eq(text(m, 0, 60, "c"), P);
    cr_expect_eq(text(m, 1, 111, "c"), P, "beyond the window");
    cr_expect_eq(text(m, 0, 200, "d"), P);
    cr_expect_eq(text(m, 1, 199, "d"), C, "its ring was emptied later");
    cr_expect(c->legs[0].skew_max_us == 50000 && c->legs[0].skew_us == 52000, "%lu",
              (unsigned long) c->legs[0].skew_us);
    merge_look(m, T0 + 1000 * MS);
    cr_expect(c->recovered == 2 && c->legs[0].missing == 1 && c->legs[1].missing == 1 && c->lost == 0);
    cr_expect(c->legs[0].repeated == 1 && c->legs[1].repeated == 1);
    merge_free(m);
}

Test(merge, by_payload_the_oldest_leaves)
{
    struct merge_settings s = rtp();
    s.by = MERGE_PAYLOAD;
    s.numbers = 64;
    struct merge *m = merge_new(&s);
    char payload[16];

    for (int i = 0; i < 100; i++) {
        snprintf(payload, sizeof(payload), "%d", i);
        cr_expect_eq(text(m, 0, 0, payload), P);
    }
    for (int i = 36; i < 100; i++) {
        snprintf(payload, sizeof(payload), "%d", i);
        cr_expect_eq(text(m, 1, 0, payload), C, "%d", i);
    }
    cr_expect_eq(text(m, 1, 0, "35"), P);
    cr_expect_eq(merge_counters(m)->recovered, 36);
    merge_free(m);
}

Test(merge, one_leg_at_a_time)
{
    struct merge_settings s = rtp(), never = rtp();
    s.by = never.by = MERGE_ACTIVE;
    never.return_after_ms = 0;
    static const struct {
        uint32_t ms, leg;
        enum merge_verdict want, never;
    } steps[] = {
        {0, 1, P, P},    // the only one so far
        {1, 0, P, P},    // a better one, at the beginning
        {2, 1, S, S},    //
        {150, 1, S, S},  // the first is silent for less
        {201, 1, P, P},  // and now for 200 ms
        {300, 0, S, S},  // it is back
        {400, 1, P, P},  //
        {450, 0, S, S},  //
        {590, 0, S, S},  //
        {595, 1, P, P},  //
        {700, 0, S, S},  //
        {790, 1, P, P},  //
        {800, 0, S, S},  //
        {980, 0, S, S},  //
        {985, 1, P, P},  //
        {1150, 1, P, P}, //
        {1170, 0, S, S}, //
        {1300, 0, P, S}, // alive for a second
        {1310, 1, S, P}, //
        {1400, 0, P, S}, //
        {1600, 1, P, P}, // silent again
        {1601, 1, P, P},
    };
    struct merge *m = merge_new(&s), *n = merge_new(&never);

    cr_expect_eq(merge_counters(m)->active_leg, MERGE_NO_LEG);
    for (size_t i = 0; i < LENGTH(steps); i++) {
        enum merge_verdict got = merge_take(m, steps[i].leg, T0 + steps[i].ms * MS, NULL, 0, 0);
        cr_expect(got == steps[i].want, "%zu: %s", i, verdicts[got]);
        got = merge_take(n, steps[i].leg, T0 + steps[i].ms * MS, NULL, 0, 0);
        cr_expect(got == steps[i].never, "%zu: %s, without return", i, verdicts[got]);
    }
    cr_expect_eq(merge_counters(m)->active_leg, 1);
    // The clock is set back by an hour: a leg that is silent from now on does not stay the active one.
    cr_expect_eq(merge_take(m, 0, T0 + 2000 * MS - 3600 * NS_PER_S, NULL, 0, 0), S);
    cr_expect_eq(merge_take(m, 0, T0 + 2250 * MS - 3600 * NS_PER_S, NULL, 0, 0), P);
    merge_free(m);
    merge_free(n);
}

// After a pause the rings are read one after the other: a leg is silent only as far as its ring was read.
Test(merge, a_leg_whose_ring_waits_stays_active)
{
    struct merge_settings s = {.by = MERGE_ACTIVE, .n_legs = 2, .switch_after_ms = 100};
    struct merge *m = merge_new(&s);

    cr_expect_eq(merge_take(m, 0, T0, NULL, 0, 0), MERGE_PASSES);
    merge_settled(m, T0 + 10 * MS);
    cr_expect_eq(merge_take(m, 1, T0 + 500 * MS, NULL, 0, 0), MERGE_STANDBY);
    merge_settled(m, UINT64_MAX);
    cr_expect_eq(merge_take(m, 0, T0 + 10 * MS, NULL, 0, 0), MERGE_PASSES);
    merge_settled(m, T0 + 300 * MS);
    cr_expect_eq(merge_take(m, 1, T0 + 510 * MS, NULL, 0, 0), MERGE_PASSES, "read so far, it was silent");
    merge_free(m);
}

// --- properties ------------------------------------------------------------------------------------------------------

// A datagram on its way: numbers count from 0 here.
struct event {
    uint64_t us;
    uint32_t turn; // where in time the relay takes it
    uint32_t leg, number;
    bool again;
};

struct traffic {
    struct event *events;
    size_t n;
    uint32_t numbers;
    uint8_t *legs; // of each number: who brings it
};

static uint64_t seed;

static uint32_t dice(uint32_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return sides == 0 ? 0 : (uint32_t) (seed >> 20) % sides;
}

static int by_turn(const void *a, const void *b)
{
    const struct event *x = a, *y = b;

    if (x->turn != y->turn)
        return x->turn < y->turn ? -1 : 1;
    if (x->leg != y->leg)
        return x->leg < y->leg ? -1 : 1;
    return x->us < y->us ? -1 : x->us > y->us;
}

struct shape {
    uint32_t n_legs, numbers, apart_us; // between two numbers
    uint32_t skew_us[3], jitter_us;     // of each leg; what is more than apart_us reorders
    uint32_t loss, bursts, repeats;     // of a thousand
    uint32_t reloads;                   // of a thousand datagrams: the merge becomes one with other room behind it
    uint32_t pass_us;                   // so long one leg's ring fills before the relay empties it
};

// All legs have the first and the last number, so that the truth has the same bounds as the window.
static struct traffic make(const struct shape *s)
{
    struct traffic t = {.numbers = s->numbers};

    t.events = malloc(s->numbers * s->n_legs * 2 * sizeof(*t.events));
    t.legs = calloc(s->numbers, 1);
    for (uint32_t leg = 0; leg < s->n_legs; leg++) {
        uint32_t burst = 0;
        for (uint32_t i = 0; i < s->numbers; i++) {
            if (dice(1000) < s->bursts)
                burst = dice(20);
            bool lost = burst > 0 || dice(1000) < s->loss;
            burst -= burst > 0;
            if (lost && i > 0 && i + 1 < s->numbers)
                continue;
            uint64_t us = (uint64_t) i * s->apart_us + s->skew_us[leg] + (i > 0 ? dice(s->jitter_us) : 0);
            t.legs[i] |= (uint8_t) (1u << leg);
            for (uint32_t n = 0; n < 1 + (dice(1000) < s->repeats); n++)
                t.events[t.n++] = (struct event){
                    .us = us + n, .turn = (uint32_t) (us / s->pass_us), .leg = leg, .number = i, .again = n > 0};
        }
    }
    qsort(t.events, t.n, sizeof(*t.events), by_turn);
    return t;
}

static void free_traffic(struct traffic *t)
{
    free(t->events);
    free(t->legs);
}

// The counters against what is known of the traffic.
static void check_counters(const struct merge *m, const struct merge_settings *s, const struct traffic *t,
                           const char *name)
{
    const struct merge_counters *c = merge_counters(m);
    uint64_t recovered = 0, lost = 0, together = 0, run = 0, missing[MERGE_LEGS_MAX] = {0};
    uint8_t all = (uint8_t) ((1u << s->n_legs) - 1);

    for (uint32_t i = 0; i < t->numbers; i++) {
        for (uint32_t leg = 0; leg < s->n_legs; leg++)
            missing[leg] += !(t->legs[i] >> leg & 1);
        recovered += t->legs[i] != 0 && t->legs[i] != all;
        lost += t->legs[i] == 0;
        run = t->legs[i] == 0 ? run + 1 : 0;
        together += run == MERGE_TOGETHER && s->n_legs > 1;
    }
    cr_expect(c->recovered == recovered && c->lost == lost && c->lost_together == together && c->resets == 0,
              "%s: recovered %lu of %lu, lost %lu of %lu, together %lu of %lu, resets %lu", name,
              (unsigned long) c->recovered, (unsigned long) recovered, (unsigned long) c->lost, (unsigned long) lost,
              (unsigned long) c->lost_together, (unsigned long) together, (unsigned long) c->resets);
    for (uint32_t leg = 0; leg < s->n_legs; leg++)
        cr_expect(c->legs[leg].missing == missing[leg], "%s: leg %u has missed %lu of %lu", name, leg,
                  (unsigned long) c->legs[leg].missing, (unsigned long) missing[leg]);
}

// The merge goes over to one with as much room, or more. Nothing that is held stays behind.
static void reload(struct merge **m, const struct merge_settings *s)
{
    uint8_t same[MERGE_LEGS_MAX] = {0, 1, 2, 3, 4, 5, 6, 7};
    struct merge_settings other = *s;
    struct merge_held h;

    other.numbers <<= dice(3);
    other.max_payload += dice(2) * 100;
    struct merge *next = merge_new(&other);
    merge_carry(next, *m, same);
    cr_assert_not(merge_next(*m, UINT64_MAX, &h));
    merge_free(*m);
    *m = next;
}

// Without an order of its own: the first that comes of each number passes, and nothing else.
static void check_first(const struct merge_settings *s, const struct shape *shape, uint64_t from, const char *name)
{
    struct merge *m = merge_new(s);
    struct traffic t = make(shape);
    uint8_t *seen = calloc(t.numbers, 1);
    uint64_t repeated = 0, wrong = 0, last = 0;

    for (size_t i = 0; i < t.n; i++) {
        const struct event *e = &t.events[i];
        if (dice(1000) < shape->reloads)
            reload(&m, s);
        enum merge_verdict want = seen[e->number] ? C : P, got = take(m, s, e->leg, e->us, 3, from + e->number, 0);
        wrong += got != want;
        seen[e->number] |= (uint8_t) (1u << e->leg);
        repeated += e->again;
        last = e->us > last ? e->us : last;
    }
    cr_expect_eq(wrong, 0, "%s: %lu wrong verdicts of %zu", name, (unsigned long) wrong, t.n);
    merge_look(m, T0 + (last + 3 * s->window_ms * 1000) * 1000);
    check_counters(m, s, &t, name);
    uint64_t counted = 0;
    for (uint32_t leg = 0; leg < s->n_legs; leg++)
        counted += merge_counters(m)->legs[leg].repeated;
    cr_expect_eq(counted, repeated, "%s", name);
    free(seen);
    free_traffic(&t);
    merge_free(m);
}

Test(merge, each_number_once_whatever_the_legs_do)
{
    struct merge_settings all[] = {rtp(), field(1, false), field(2, true), field(4, false), field(8, true)};
    const uint32_t bytes[] = {2, 1, 2, 4, 8};

    for (uint32_t i = 0; i < 100; i++) {
        seed = 88172645463325252 + i;
        struct merge_settings s = all[i % LENGTH(all)];
        bool narrow = bytes[i % LENGTH(all)] == 1;
        s.n_legs = 1 + dice(3);
        struct shape shape = {.n_legs = s.n_legs,
                              .numbers = 3000,
                              .apart_us = (narrow ? 1500 : 50) + dice(1000),
                              .skew_us = {dice(20000), dice(20000), dice(20000)},
                              .jitter_us = dice(3) * 1000,
                              .loss = dice(300),
                              .bursts = dice(10),
                              .repeats = dice(2) * dice(500),
                              .reloads = i % 3 == 0 ? dice(50) : 0,
                              .pass_us = 1 + dice(3) * 5000};
        char name[64];
        snprintf(name, sizeof(name), "round %u", i);
        check_first(&s, &shape, UINT64_MAX - dice(3000), name);
    }
}

Test(merge, more_numbers_than_16_bits_can_tell_apart)
{
    struct merge_settings s = rtp();
    struct shape shape = {.n_legs = 2,
                          .numbers = 600000,
                          .apart_us = 1,
                          .skew_us = {0, 150000},
                          .jitter_us = 300,
                          .loss = 100,
                          .bursts = 1,
                          .pass_us = 5000};

    s.window_ms = 200;
    s.numbers = 1 << 19;
    seed = 4711;
    check_first(&s, &shape, 65000, "150,000 behind");
    shape.skew_us[0] = 190000;
    shape.skew_us[1] = 0;
    check_first(&s, &shape, 0, "190,000 behind");
    shape.reloads = 1;
    shape.numbers = 300000;
    check_first(&s, &shape, 64000, "reloads");
}

// The room of a rule without a limit: RTP's numbers are told apart by their time stamps, long after the first ones have
// left the ring, and however near the legs are.
Test(merge, a_long_stream)
{
    static const uint32_t skews_us[] = {0, 60, 2000, 19000, 40000};
    struct merge_settings s = rtp();

    s.window_ms = 50;
    s.numbers = 1 << 15;
    for (size_t i = 0; i < LENGTH(skews_us); i++) {
        struct shape shape = {.n_legs = 2,
                              .numbers = 250000,
                              .apart_us = 20,
                              .skew_us = {0, skews_us[i]},
                              .jitter_us = 10,
                              .loss = 100,
                              .pass_us = 5000};
        char name[64];
        snprintf(name, sizeof(name), "%u us behind", skews_us[i]);
        seed = 815 + i;
        check_first(&s, &shape, 60000, name);
    }
}

// With reorder_ms: what leaves is what any leg has brought, in order, soon enough, and each that is held once.
static void check_order(const struct merge_settings *s, const struct shape *shape, uint64_t from, const char *name)
{
    struct merge *m = merge_new(s);
    struct traffic t = make(shape);
    uint8_t *left = calloc(t.numbers, 1);
    uint64_t *since = malloc(t.numbers * sizeof(*since)), held = 0, released = 0, wrong = 0, slow = 0, order = 0;
    uint64_t next = from, now = 0;
    struct merge_held h;

    memset(since, 0xff, t.numbers * sizeof(*since));
    for (size_t i = 0; i <= t.n; i++) {
        const struct event *e = i < t.n ? &t.events[i] : NULL;
        // The relay's own time: the end of the pass, and what is due before.
        uint64_t until = e ? (e->turn + UINT64_C(1)) * shape->pass_us : now + s->reorder_ms * 2000;
        for (;;) {
            uint64_t due = merge_due_ns(m);
            bool in_time = due != UINT64_MAX && (due - T0) / 1000 <= until;
            if (in_time && (due - T0) / 1000 > now)
                now = (due - T0) / 1000;
            if (!merge_next(m, T0 + now * 1000, &h)) {
                if (!in_time)
                    break;
                cr_assert(merge_due_ns(m) > due, "%s: what is due does not leave", name);
                continue;
            }
            uint64_t number = h.tag - from;
            released++;
            order += h.tag < next;
            next = h.tag + 1;
            wrong += number >= t.numbers || left[number]++ > 0 || h.length != 60;
            slow += number < t.numbers && now - since[number] > s->reorder_ms * 1000 + shape->pass_us;
        }
        now = until;
        if (!e)
            break;
        if (dice(1000) < shape->reloads)
            reload(&m, s);
        bool first = since[e->number] == UINT64_MAX;
        if (first)
            since[e->number] = e->us;
        enum merge_verdict got = take(m, s, e->leg, e->us, 3, from + e->number, 0);
        wrong += first ? got != P && got != H : got != C;
        held += got == H;
        if (got == P) {
            order += from + e->number < next;
            next = from + e->number + 1;
            wrong += left[e->number]++ > 0;
        }
    }
    for (uint32_t i = 0; i < t.numbers; i++)
        wrong += left[i] != (t.legs[i] != 0);
    cr_expect(wrong == 0 && order == 0 && slow == 0 && held == released,
              "%s: %lu wrong, %lu out of order, %lu too late, %lu held, %lu released", name, (unsigned long) wrong,
              (unsigned long) order, (unsigned long) slow, (unsigned long) held, (unsigned long) released);
    cr_expect_eq(merge_due_ns(m), UINT64_MAX);
    merge_look(m, T0 + (now + 3 * s->window_ms * 1000) * 1000);
    check_counters(m, s, &t, name);
    free(since);
    free(left);
    free_traffic(&t);
    merge_free(m);
}

Test(merge, in_order_and_soon_enough)
{
    for (uint32_t i = 0; i < 100; i++) {
        seed = 1181783497276652981 + i;
        struct merge_settings s = i % 2 ? rtp() : field(8, false);
        s.n_legs = 1 + dice(3);
        s.reorder_ms = 30;
        s.numbers = 4096;
        struct shape shape = {.n_legs = s.n_legs,
                              .numbers = 3000,
                              .apart_us = 50 + dice(1000),
                              .skew_us = {dice(20000), dice(20000), dice(20000)},
                              .jitter_us = dice(3) * 1000,
                              .loss = dice(300),
                              .bursts = dice(10),
                              .repeats = dice(2) * dice(500),
                              .reloads = i % 3 == 0 ? dice(50) : 0,
                              .pass_us = 1 + dice(3) * 2000};
        char name[64];
        snprintf(name, sizeof(name), "round %u", i);
        check_order(&s, &shape, 60000 + dice(6000), name);
    }
}

// --- floods ----------------------------------------------------------------------------------------------------------

enum forgery { ANY_SESSION, SAME_SESSION, IN_ORDER };

// What a leg sends besides the stream.
static void forge(struct merge *m, const struct merge_settings *s, enum forgery how, uint64_t us, uint32_t n)
{
    static uint32_t session, number;

    if (how == SAME_SESSION)
        take(m, s, 1, us, 3, dice(1u << 31), 5 + dice(1000));
    if (how == SAME_SESSION)
        return;
    if (how == ANY_SESSION || n % 3 == 0) {
        session = 100 + dice(1u << 31);
        number = dice(1u << 31);
    }
    take(m, s, 1, us, session, number++, 0);
}

// A stream on two legs, 10 ms apart, whose sender starts again with another session in the middle, and a flood on one
// leg. How many of its numbers have not left exactly once, or not in order.
static uint32_t flooded(const struct merge_settings *s, enum forgery how, uint32_t rate)
{
    enum { NUMBERS = 10000, BEHIND = 100 };
    struct merge *m = merge_new(s);
    uint8_t *left = calloc(NUMBERS, 1);
    uint32_t wrong = 0;
    uint64_t next[2] = {0}; // of each session

    seed = 2463534242 + how;
    for (uint32_t i = 0; i < NUMBERS + BEHIND; i++) {
        uint64_t us = i * UINT64_C(100);
        struct merge_held h;
        for (uint32_t leg = 0; leg < 2; leg++) {
            uint32_t n = leg == 0 ? i : i - BEHIND;
            if (n >= NUMBERS || (dice(10) == 0 && leg == 0 && n != NUMBERS / 2))
                continue;
            enum merge_verdict got = take(m, s, leg, us, n < NUMBERS / 2 ? 3 : 4, n, 0);
            left[n] = (uint8_t) (left[n] + (got == P));
            if (got == P && s->reorder_ms > 0) {
                wrong += n < next[n >= NUMBERS / 2];
                next[n >= NUMBERS / 2] = n + UINT64_C(1);
            }
            while (merge_next(m, T0 + us * 1000, &h))
                if (h.tag < NUMBERS && h.length == 60 && h.payload[8] == 0 && h.payload[11] <= 4) {
                    left[h.tag]++;
                    wrong += h.tag < next[h.tag >= NUMBERS / 2];
                    next[h.tag >= NUMBERS / 2] = h.tag + 1;
                }
        }
        for (uint32_t k = 0; k < rate; k++) {
            forge(m, s, how, us, i * rate + k);
            while (merge_next(m, T0 + us * 1000, &h))
                left[h.tag % NUMBERS]++;
        }
    }
    for (uint32_t i = 0; i < NUMBERS; i++)
        wrong += left[i] != 1;
    free(left);
    merge_free(m);
    return wrong;
}

Test(merge, a_flood_does_not_touch_a_stream_in_order)
{
    struct merge_settings r = rtp(), f = field(8, false), f4 = field(4, false);

    cr_expect_eq(flooded(&r, ANY_SESSION, 5), 0);
    cr_expect_eq(flooded(&f, ANY_SESSION, 5), 0);
    cr_expect_eq(flooded(&r, IN_ORDER, 5), 0);
    cr_expect_eq(flooded(&f, IN_ORDER, 5), 0);
    cr_expect_eq(flooded(&f, SAME_SESSION, 5), 0);
    cr_expect_eq(flooded(&f4, SAME_SESSION, 5), 0);
    cr_expect_eq(flooded(&r, SAME_SESSION, 5), 0);
    r.reorder_ms = f.reorder_ms = 20;
    cr_expect_eq(flooded(&r, ANY_SESSION, 0), 0);
    cr_expect_eq(flooded(&f, ANY_SESSION, 0), 0);
}

// A line is moved far by a leg that may have lost so much in the time, not by what is forged.
Test(merge, a_jump_takes_time)
{
    struct merge_settings s = rtp();
    struct merge *m = merge_new(&s);
    const struct merge_counters *c = merge_counters(m);

    for (uint32_t i = 0; i < 100; i++) {
        cr_expect_eq(take(m, &s, 0, i * 100, 3, i, 0), P);
        cr_expect_eq(take(m, &s, 1, i * 100, 3, i, 0), C);
        cr_expect_eq(take(m, &s, 1, i * 100, 3, 1500 - 5 * i, 7), P, "what comes once is let through");
    }
    // The highest rate expected is 1024 numbers in two windows.
    cr_expect_eq(take(m, &s, 0, 60000, 3, 599, 0), P);
    merge_look(m, T0 + NS_PER_S);
    cr_expect(c->lost == 499 && c->lost_together == 1 && c->resets == 0, "%lu, %lu", (unsigned long) c->lost,
              (unsigned long) c->resets);
    merge_free(m);
}

// A leg that is behind by more than the ring holds goes on from where it was: it begins nothing.
Test(merge, far_behind)
{
    struct merge_settings s = rtp();
    struct merge *m = merge_new(&s);

    for (uint32_t i = 0; i < 30000; i++) {
        cr_expect_eq(take(m, &s, 0, i * 100, 3, i, 0), P);
        if (i < 10)
            cr_expect_eq(take(m, &s, 1, i * 100, 3, i, 0), C);
        if (i >= 14010)
            cr_expect_eq(take(m, &s, 1, i * 100, 3, i - 14000, 0), L);
    }
    cr_expect_eq(merge_counters(m)->resets, 0);
    merge_free(m);
}

Test(merge, skew_is_told_of_the_later_stamp)
{
    struct merge_settings s = rtp();
    struct merge *m = merge_new(&s);
    const struct merge_leg_counters *legs = merge_counters(m)->legs;

    take(m, &s, 0, 1000, 3, 1, 0);
    take(m, &s, 1, 1300, 3, 1, 0);
    take(m, &s, 1, 1400, 3, 1, 0); // a repeat is no skew
    take(m, &s, 0, 2500, 3, 2, 0); // its ring was emptied first
    take(m, &s, 1, 2000, 3, 2, 0);
    take(m, &s, 0, 3000, 3, 3, 0);
    take(m, &s, 1, 3100, 3, 3, 0);
    cr_expect(legs[0].skew_us == 500 && legs[0].skew_count == 1 && legs[0].skew_max_us == 500);
    cr_expect(legs[1].skew_us == 400 && legs[1].skew_count == 2 && legs[1].skew_max_us == 300);
    cr_expect(legs[0].first == 3 && legs[1].first == 0);
    merge_free(m);
}

// --- order -----------------------------------------------------------------------------------------------------------

// The numbers that leave at this time, as a text.
static const char *leaving(struct merge *m, uint64_t us)
{
    static char text[256];
    struct merge_held h;
    size_t at = 0;

    text[0] = '\0';
    while (merge_next(m, us == UINT64_MAX ? UINT64_MAX : T0 + us * 1000, &h) && at < sizeof(text) - 24)
        at += (size_t) snprintf(text + at, sizeof(text) - at, "%s%lu", at > 0 ? " " : "", (unsigned long) h.tag);
    return text;
}

static uint64_t due_us(const struct merge *m)
{
    return merge_due_ns(m) == UINT64_MAX ? UINT64_MAX : (merge_due_ns(m) - T0) / 1000;
}

static struct merge_settings ordered(void)
{
    struct merge_settings s = rtp();

    s.reorder_ms = 20;
    return s;
}

Test(merge, a_number_that_no_leg_brings_costs_reorder_ms)
{
    struct merge_settings s = ordered();
    struct merge *m = merge_new(&s);

    cr_expect_eq(take(m, &s, 0, 0, 3, 1, 0), P);
    cr_expect_eq(due_us(m), UINT64_MAX);
    cr_expect_eq(take(m, &s, 0, 1000, 3, 3, 0), H);
    cr_expect_eq(take(m, &s, 1, 1000, 3, 3, 0), C);
    cr_expect_str_eq(leaving(m, 900), "", "the time of the loop may be a little behind");
    cr_expect_eq(take(m, &s, 0, 5000, 3, 6, 0), H);
    cr_expect_eq(take(m, &s, 0, 5000, 3, 7, 0), H);
    cr_expect_str_eq(leaving(m, 20999), "");
    cr_expect_eq(due_us(m), 21000);
    cr_expect_str_eq(leaving(m, 21000), "3");
    cr_expect_eq(due_us(m), 25000);
    cr_expect_eq(take(m, &s, 1, 22000, 3, 2, 0), L, "its turn is over");
    cr_expect_eq(take(m, &s, 1, 22000, 3, 4, 0), P);
    cr_expect_str_eq(leaving(m, 22000), "");
    cr_expect_eq(take(m, &s, 1, 22000, 3, 5, 0), P);
    cr_expect_str_eq(leaving(m, 22000), "6 7");
    cr_expect_eq(due_us(m), UINT64_MAX);
    cr_expect_eq(take(m, &s, 1, 23000, 3, 8, 0), P);
    merge_free(m);
}

// The relay stood still, and the stamps of what waits in its rings are ahead of the time that it knows to be settled.
Test(merge, a_time_that_is_behind_gives_nothing_up)
{
    struct merge_settings s = ordered();
    struct merge *m = merge_new(&s);
    struct merge_held h;

    take(m, &s, 0, 0, 3, 1, 0);
    cr_expect_eq(take(m, &s, 0, 3000000, 3, 3, 0), H);
    cr_expect_not(merge_next(m, T0, &h));
    cr_expect_not(merge_next(m, 0, &h), "the time is not known");
    cr_expect_eq(take(m, &s, 1, 2900000, 3, 2, 0), P);
    cr_expect(merge_next(m, 0, &h), "it is in order");
    merge_free(m);
}

// One leg's ring has been read, the other's not: what has not been taken is no loss yet.
Test(merge, figures_wait_for_what_waits_in_a_ring)
{
    struct merge_settings s = rtp();
    struct merge *m = merge_new(&s);
    const struct merge_counters *c = merge_counters(m);

    for (uint32_t i = 0; i < 600; i++)
        if (i % 3 > 0)
            take(m, &s, 0, i * 1000, 3, i, 0);
    merge_look(m, T0);
    cr_expect_eq(c->legs[1].missing + c->lost, 0, "%lu of leg 1, %lu lost", (unsigned long) c->legs[1].missing,
                 (unsigned long) c->lost);
    for (uint32_t i = 0; i < 600; i++)
        take(m, &s, 1, i * 1000, 3, i, 0);
    merge_look(m, T0 + 5000 * UINT64_C(1000000));
    cr_expect_eq(c->lost, 0);
    cr_expect_eq(c->legs[1].missing, 0);
    cr_expect_eq(c->legs[0].missing, 199, "%lu", (unsigned long) c->legs[0].missing);
    merge_free(m);
}

// A limit takes memory for few numbers; a leg that is far behind is late all the same, and no new stream.
Test(merge, a_leg_that_is_far_behind_with_little_room)
{
    struct merge_settings s = rtp();
    struct merge *m = merge_new(&s);
    uint32_t wrong = 0;

    s.numbers = 128;
    merge_free(m);
    m = merge_new(&s);
    for (uint32_t i = 0; i < 3000; i++) {
        wrong += take(m, &s, 0, i * 1000, 3, i, 0) != P;
        if (i >= 500)
            wrong += take(m, &s, 1, i * 1000, 3, i - 500, 0) != L;
    }
    cr_expect_eq(wrong, 0, "%u of 5500", wrong);
    cr_expect(merge_counters(m)->resets == 0 && merge_counters(m)->legs[1].skew_max_us >= 499000,
              "how far it is behind is told");
    merge_free(m);
}

Test(merge, what_is_held_leaves_whatever_happens)
{
    struct merge_settings s = ordered();
    struct merge *m = merge_new(&s);
    struct merge_held h;
    uint8_t p[256] = {0};
    uint64_t n = 0;

    // All at once, at a drain.
    take(m, &s, 0, 0, 3, 1, 0);
    cr_expect_eq(take(m, &s, 0, 0, 3, 3, 0), H);
    cr_expect_eq(take(m, &s, 0, 0, 3, 5, 0), H);
    cr_expect_str_eq(leaving(m, UINT64_MAX), "3 5");
    cr_expect_eq(take(m, &s, 0, 0, 3, 6, 0), P);
    // A step of the clock, in both directions.
    cr_expect_eq(take(m, &s, 0, 0, 3, 8, 0), H);
    cr_expect_eq(merge_next(m, T0 - 3600 * NS_PER_S, &h), true);
    cr_expect_eq(take(m, &s, 0, 0, 3, 10, 0), H);
    cr_expect_eq(merge_next(m, T0 + 3600 * NS_PER_S, &h), true);
    // Another session does not wait for it, nor it for the other.
    cr_expect_eq(take(m, &s, 0, 0, 3, 12, 0), H);
    cr_expect_eq(take(m, &s, 0, 1000, 4, 1000, 0), P);
    cr_expect_eq(take(m, &s, 0, 1000, 4, 1001, 0), P);
    cr_expect_eq(take(m, &s, 0, 1000, 4, 1003, 0), H);
    cr_expect_eq(take(m, &s, 1, 2000, 3, 11, 0), P);
    cr_expect_str_eq(leaving(m, 2000), "12");
    cr_expect_str_eq(leaving(m, 21000), "1003");
    // More than the store has: the oldest leaves before its time.
    for (uint64_t i = 0; i < ROOM; i++) {
        cr_expect_eq(take(m, &s, 0, 30000, 4, 1005 + 2 * i, 0), H);
        while (merge_next(m, T0 + 30000000, &h))
            cr_expect_eq(h.tag, 1005 + 2 * n++);
    }
    cr_expect_eq(n, ROOM - 256);
    while (merge_next(m, T0 + 50000000, &h))
        cr_expect_eq(h.tag, 1005 + 2 * n++);
    cr_expect_eq(n, ROOM);
    for (uint64_t i = 0; i < 257; i++) {
        cr_expect_eq(merge_next(m, T0 + 50000000, &h), false);
        cr_expect_eq(take(m, &s, 0, 50000, 4, 1005 + 2 * ROOM + i, 0), H);
    }
    for (n = 0; merge_next(m, T0 + 50000000, &h); n++)
        cr_expect_eq(h.tag, 1005 + 2 * ROOM + n);
    cr_expect_eq(n, 257);
    // One that the store cannot take.
    datagram(&s, p, 4, 1005 + 2 * ROOM + 258, 0);
    cr_expect_eq(merge_take(m, 0, T0 + 51 * MS, p, 201, 0), P);
    cr_expect_eq(take(m, &s, 0, 51000, 4, 1005 + 2 * ROOM + 259, 0), P);
    cr_expect_eq(due_us(m), UINT64_MAX);
    merge_free(m);
}

Test(merge, a_clock_that_steps)
{
    struct merge_settings s = rtp();
    struct merge *m = merge_new(&s);
    uint64_t us = 0;

    for (uint64_t i = 0; i < 1000; i++) {
        us += i == 300 ? UINT64_C(7200000000) : i == 600 ? -UINT64_C(9000000000) : i == 800 ? -UINT64_C(700000) : 100;
        cr_expect_eq(take(m, &s, 0, us, 3, i, 0), P, "%lu", (unsigned long) i);
        enum merge_verdict got = take(m, &s, 1, us + 50, 3, i, 0);
        cr_expect_eq(got, C, "%lu: %s", (unsigned long) i, verdicts[got]);
    }
    merge_look(m, T0 + (us + 1000000) * 1000);
    cr_expect(merge_counters(m)->lost == 0 && merge_counters(m)->recovered == 0 && merge_counters(m)->resets == 0);
    merge_free(m);
}

// --- reload ----------------------------------------------------------------------------------------------------------

// Legs change places, one goes and one comes.
Test(merge, the_state_goes_over_a_reload)
{
    const uint8_t swapped[MERGE_LEGS_MAX] = {2, 0xff, 0};
    struct merge_settings all[] = {rtp(), field(4, false), ordered()};

    for (size_t i = 0; i < LENGTH(all); i++) {
        struct merge_settings s = all[i];
        s.n_legs = 3;
        struct merge *m = merge_new(&s), *n = merge_new(&s);
        const struct merge_counters *c = merge_counters(n);

        take(m, &s, 0, 0, 3, 1, 0);
        take(m, &s, 0, 100, 4, 70, 0); // a session that has no line yet
        take(m, &s, 1, 200, 3, 2, 0);
        take(m, &s, 2, 250, 3, 1, 0);
        take(m, &s, 2, 300, 3, 2, 0);
        merge_carry(n, m, swapped);
        merge_free(m);
        cr_expect_eq(take(n, &s, 0, 400, 3, 1, 0), C);
        cr_expect_eq(take(n, &s, 1, 400, 3, 1, 0), C);
        cr_expect_eq(take(n, &s, 2, 400, 3, 2, 0), C);
        cr_expect_eq(take(n, &s, 2, 500, 3, 3, 0), P);
        cr_expect_eq(take(n, &s, 0, 600, 4, 70, 0), C);
        cr_expect_eq(take(n, &s, 0, 700, 4, 71, 0), P);
        cr_expect_eq(take(n, &s, 2, 700, 4, 71, 0), C);
        cr_expect(c->legs[0].first == 1 && c->legs[2].first == 3 && c->legs[1].first == 0, "%zu", i);
        cr_expect(c->legs[0].skew_count == 2 && c->legs[1].skew_count == 0 && c->legs[2].skew_count == 2, "%zu", i);
        merge_look(n, T0 + NS_PER_S);
        // Leg 1 has missed nothing before it came; it has not brought 3 and 71.
        cr_expect(c->resets == 1 && c->lost == 0 && c->recovered == 2 && c->legs[1].missing == 2, "%zu: %lu, %lu, %lu",
                  i, (unsigned long) c->resets, (unsigned long) c->lost, (unsigned long) c->recovered);
        merge_free(n);
    }
}

// Too long for the new merge: it leaves by the old one, and its turn is over.
Test(merge, what_does_not_fit_is_left_behind)
{
    const uint8_t same[MERGE_LEGS_MAX] = {0, 1};
    struct merge_settings s = ordered(), small = s;
    small.max_payload = 59;
    struct merge *m = merge_new(&s), *n = merge_new(&small);

    cr_expect_eq(take(m, &s, 0, 0, 3, 1, 0), P);
    cr_expect_eq(take(m, &s, 0, 100, 3, 3, 0), H);
    merge_carry(n, m, same);
    cr_expect_eq(merge_due_ns(n), UINT64_MAX);
    struct merge_held h;
    cr_expect(merge_next(m, UINT64_MAX, &h) && h.length == 60);
    cr_expect_not(merge_next(m, UINT64_MAX, &h));
    cr_expect_eq(take(n, &s, 1, 200, 3, 2, 0), L);
    cr_expect_eq(take(n, &s, 1, 300, 3, 3, 0), C);
    cr_expect_eq(take(n, &s, 1, 300, 3, 4, 0), P);
    merge_free(m);
    merge_free(n);
}

Test(merge, a_reload_by_payload_and_of_the_active_leg)
{
    const uint8_t swapped[MERGE_LEGS_MAX] = {1, 0};
    struct merge_settings p = rtp(), a = rtp();
    p.by = MERGE_PAYLOAD;
    a.by = MERGE_ACTIVE;
    struct merge *m = merge_new(&p), *n = merge_new(&p), *b = merge_new(&a), *d = merge_new(&a);

    text(m, 0, 0, "a");
    merge_carry(n, m, swapped);
    cr_expect_eq(text(n, 1, 1, "a"), P, "the same leg again");
    cr_expect_eq(text(n, 0, 1, "a"), C);
    text(b, 0, 0, "a");
    merge_carry(d, b, swapped);
    cr_expect_eq(merge_counters(d)->active_leg, 1);
    cr_expect_eq(text(d, 0, 199, "a"), P, "the first of the list, at the beginning");
    // With other settings nothing is carried over.
    merge_carry(d, m, swapped);
    cr_expect_eq(merge_counters(d)->active_leg, 0);
    merge_free(m);
    merge_free(n);
    merge_free(b);
    merge_free(d);
    merge_free(NULL);
}

Test(merge, memory_is_stated_and_bounded)
{
    struct merge_settings s = rtp();

    s.numbers = 16384;
    cr_expect_leq(merge_bytes(&s), 300000);
    s.reorder_ms = 50;
    s.max_payload = 1472;
    cr_expect_leq(merge_bytes(&s), 8192 * 1600 + 600000);
    s.reorder_ms = 5;
    cr_expect_leq(merge_bytes(&s), 2048 * 1600 + 600000);
    s = field(1, false);
    s.numbers = 1 << 20;
    cr_expect_leq(merge_bytes(&s), 50000, "no more than the field can tell apart");
    s.by = MERGE_PAYLOAD;
    s.numbers = 16384;
    cr_expect_leq(merge_bytes(&s), 350000);
    s.by = MERGE_ACTIVE;
    cr_expect_leq(merge_bytes(&s), 2000);
}

// --- several numbers in one datagram ---------------------------------------------------------------------------------

static struct merge_settings counted(uint32_t reorder_ms)
{
    struct merge_settings s = field(8, false);

    s.field.count_at = 18;
    s.field.count_bytes = 2;
    s.reorder_ms = reorder_ms;
    return s;
}

Test(merge, a_count_says_what_is_missing)
{
    struct merge_settings s = counted(0);
    struct merge *m = merge_new(&s);
    const struct merge_counters *c = merge_counters(m);

    cr_expect_eq(mold(m, 0, 0, 1, 3), P);
    cr_expect_eq(mold(m, 1, 1, 1, 3), C);
    cr_expect_eq(mold(m, 0, 2, 4, 0), P, "a heartbeat");
    cr_expect_eq(mold(m, 1, 2, 4, 0), C);
    cr_expect_eq(mold(m, 0, 3, 4, 1), P);
    cr_expect_eq(mold(m, 0, 4, 10, 20), P, "5 to 9 are missing");
    cr_expect_eq(mold(m, 1, 5, 7, 3), P, "5 and 6 are");
    cr_expect_eq(mold(m, 1, 6, 10, 20), C);
    cr_expect_eq(mold(m, 1, 7, 30, 0xffff), P, "the end");
    cr_expect_eq(mold(m, 0, 7, 30, 0xffff), C);
    cr_expect_eq(mold(m, 0, 100, 30, 0xffff), P, "once more");
    merge_look(m, T0 + NS_PER_S);
    cr_expect(c->lost == 2 && c->recovered == 2 && c->legs[0].missing == 3 && c->legs[1].missing == 3,
              "%lu, %lu, %lu, %lu", (unsigned long) c->lost, (unsigned long) c->recovered,
              (unsigned long) c->legs[0].missing, (unsigned long) c->legs[1].missing);
    merge_free(m);
}

Test(merge, counts_at_a_new_beginning_and_in_order)
{
    struct merge_settings s = counted(20);
    struct merge *m = merge_new(&s);

    cr_expect_eq(mold(m, 0, 0, 1, 3), P);
    cr_expect_eq(mold(m, 0, 1, 10, 5), H);
    cr_expect_eq(mold(m, 0, 1, 15, 2), H);
    cr_expect_str_eq(leaving(m, 1000), "");
    cr_expect_eq(mold(m, 1, 2, 4, 6), P);
    cr_expect_str_eq(leaving(m, 2000), "0 0", "10 to 14 and 15 to 16 at once");
    cr_expect_eq(mold(m, 1, 3, 17, 1), P);
    cr_expect_eq(mold(m, 0, 4, 1000000, 100), P);
    cr_expect_eq(mold(m, 0, 5, 1000100, 100), P);
    cr_expect_eq(mold(m, 1, 6, 1000000, 100), C);
    cr_expect_eq(mold(m, 1, 7, 1000100, 100), C);
    merge_look(m, T0 + NS_PER_S);
    cr_expect(merge_counters(m)->resets == 1 && merge_counters(m)->lost == 0);
    merge_free(m);
}

Test(merge, counts_go_over_a_reload)
{
    const uint8_t same[MERGE_LEGS_MAX] = {0, 1};
    struct merge_settings s = counted(0);
    struct merge *m = merge_new(&s), *n = merge_new(&s);

    mold(m, 0, 0, 1, 3);
    mold(m, 1, 0, 1, 3);
    merge_carry(n, m, same);
    cr_expect_eq(mold(n, 0, 1, 4, 1), P);
    cr_expect_eq(mold(n, 1, 1, 4, 1), C);
    merge_look(n, T0 + NS_PER_S);
    cr_expect(merge_counters(n)->lost == 0 && merge_counters(n)->recovered == 0);
    merge_free(m);
    merge_free(n);
}

// With a count, a heartbeat may be of any length.
Test(merge, a_count_of_none)
{
    struct merge_settings s = counted(0);
    struct merge *m = merge_new(&s);
    uint8_t p[64] = "SESSION  A";

    cr_expect_eq(mold(m, 0, 0, 1, 3), P);
    put(p + 10, 4, 8, false);
    for (uint32_t ms = 100; ms < 500; ms += 100)
        cr_expect_eq(merge_take(m, 0, T0 + ms * MS, p, 40, 0), P);
    merge_free(m);
}

// Two legs lose some, one of them is 10 ms behind; what leaves is all that either has brought, with reorder_ms in
// order.
static void check_counted(uint64_t of, uint32_t reorder_ms)
{
    enum { DATAGRAMS = 2000, BEHIND = 10 };
    struct merge_settings s = counted(reorder_ms);
    s.numbers = 1 << 14;
    struct merge *m = merge_new(&s);
    const struct merge_counters *c = merge_counters(m);
    uint64_t numbers[DATAGRAMS + 1] = {1}, lost = 0, recovered = 0, left = 0, last = 0, wrong = 0, brought = 0;
    uint8_t legs[DATAGRAMS];
    struct merge_held h;

    seed = of;
    for (uint32_t i = 0; i < DATAGRAMS; i++) {
        legs[i] = (uint8_t) (i == 0 || i == DATAGRAMS - 1 ? 3 : (dice(10) > 0) | (dice(10) > 0) << 1);
        uint32_t count = 1 + dice(40);
        numbers[i + 1] = numbers[i] + count;
        lost += legs[i] == 0 ? count : 0;
        recovered += legs[i] == 1 || legs[i] == 2;
        brought += legs[i] != 0;
    }
    for (uint32_t ms = 0; ms < DATAGRAMS + 100; ms++) {
        for (uint32_t leg = 0; leg < 2; leg++) {
            uint32_t i = ms - leg * BEHIND;
            if (i >= DATAGRAMS || !(legs[i] >> leg & 1))
                continue;
            enum merge_verdict want = leg == 1 && legs[i] == 3 ? C : P;
            enum merge_verdict got = mold(m, leg, ms, numbers[i], (uint16_t) (numbers[i + 1] - numbers[i]));
            wrong += got != want && (got != H || want != P || reorder_ms == 0);
            left += got == P;
            wrong += got == P && reorder_ms > 0 && numbers[i] < last;
            last = got == P ? numbers[i] : last;
        }
        while (merge_next(m, T0 + ms * MS, &h)) {
            uint64_t number = 0;
            for (int k = 0; k < 8; k++)
                number = number << 8 | h.payload[10 + k];
            wrong += number < last;
            last = number;
            left++;
        }
    }
    merge_look(m, T0 + 10 * DATAGRAMS * MS);
    cr_expect(wrong == 0 && left == brought, "%lu wrong, %lu of %lu", (unsigned long) wrong, (unsigned long) left,
              (unsigned long) brought);
    cr_expect(c->lost == lost && c->recovered == recovered && c->resets == 0, "%lu of %lu, %lu of %lu, %lu",
              (unsigned long) c->lost, (unsigned long) lost, (unsigned long) c->recovered, (unsigned long) recovered,
              (unsigned long) c->resets);
    merge_free(m);
}

Test(merge, counted_datagrams_once_and_in_order)
{
    for (uint64_t i = 0; i < 20; i++) {
        check_counted(77 + i, 0);
        check_counted(77 + i, 20);
    }
}

// --- what a review found ---------------------------------------------------------------------------------------------

Test(merge, a_count_does_not_jump_over_what_is_held)
{
    struct merge_settings s = counted(20);
    struct merge *m = merge_new(&s);

    cr_expect_eq(mold(m, 0, 0, 109, 1), P);
    cr_expect_eq(mold(m, 0, 1, 112, 1), H, "110 and 111 are missing");
    cr_expect_eq(mold(m, 1, 2, 110, 5), P, "they come, with 112 to 114 once more");
    cr_expect_str_eq(leaving(m, 3000), "0", "112");
    for (uint32_t i = 0; i < 100; i++)
        cr_expect_eq(mold(m, i % 2, 4 + i, 115 + i, 1), P, "%u", 115 + i);
    cr_expect_str_eq(leaving(m, UINT64_MAX), "");
    merge_free(m);
}

Test(merge, one_leg_is_active_whatever_the_clock_does)
{
    struct merge_settings s = rtp();
    s.by = MERGE_ACTIVE;
    struct merge *m = merge_new(&s);
    uint64_t at = T0;

    // Both legs go on: 2 s, 0.9 s set back, and what has waited in a ring while the time was asked for.
    for (uint32_t i = 0; i < 6000; i++, at += MS) {
        if (i == 2000)
            at -= 900 * MS;
        if (i % 200 == 0)
            merge_look(m, at + (i > 4000 ? 400 * MS : 0));
        cr_assert_eq(merge_take(m, 0, at, NULL, 0, 0), P, "%u", i);
        cr_assert_eq(merge_take(m, 1, at, NULL, 0, 0), S, "%u", i);
    }
    merge_free(m);
}

Test(merge, in_order_a_sender_that_begins_below_the_first_number_is_no_late_one)
{
    struct merge_settings s = ordered();
    struct merge *m = merge_new(&s);
    uint32_t passed = 0;

    for (uint32_t i = 0; i < 100; i++)
        cr_expect_eq(take(m, &s, 0, i * 1000, 3, 1000 + i, 0), P);
    for (uint32_t i = 0; i < 100; i++) {
        passed += take(m, &s, 0, 5000000 + i * 1000, 3, 1 + i, 1) == P;
        leaving(m, 5000000 + i * 1000);
    }
    cr_expect_eq(passed, 100);
    cr_expect_eq(merge_counters(m)->resets, 1);
    merge_free(m);
}

Test(merge, a_leg_with_another_name_has_brought_nothing_by_payload)
{
    const uint8_t renamed[MERGE_LEGS_MAX] = {0, MERGE_LEGS_MAX};
    struct merge_settings s = rtp();
    s.by = MERGE_PAYLOAD;
    struct merge *m = merge_new(&s), *n = merge_new(&s);

    text(m, 0, 0, "a");
    merge_carry(n, m, renamed);
    cr_expect_eq(text(n, 1, 1, "a"), C);
    merge_free(m);
    merge_free(n);
}
