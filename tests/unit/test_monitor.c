// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/wide.h"
#include "wire/monitor.h"

#define MILLISECOND UINT64_C(1000000)
#define TS          188

static const struct monitor_settings rtp = {.as = MONITOR_RTP, .clock_hz = 90000};
static const struct monitor_settings ts = {.as = MONITOR_TS, .clock_hz = 90000};

// xorshift64* (Vigna 2016)
static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t) ((*state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % below;
}

static void put_u32(uint8_t *at, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t) (n >> (24 - 8 * i));
}

static void put_rtp(uint8_t *p, uint16_t number, uint32_t timestamp, uint32_t ssrc)
{
    put_u32(p, 0x80210000u | number);
    put_u32(p + 4, timestamp);
    put_u32(p + 8, ssrc);
}

static void take_rtp(struct monitor *m, uint64_t ns, uint16_t number, uint32_t timestamp, uint32_t ssrc)
{
    uint8_t p[12];

    put_rtp(p, number, timestamp, ssrc);
    monitor_take(m, ns, p, sizeof(p));
}

static void expect(struct monitor *m, struct monitor_counters c, const char *what)
{
    const struct monitor_counters *got = monitor_counters(m);
#define SAME(field)                                                                                                    \
    cr_expect_eq(got->field, c.field, "%s: " #field " %llu, not %llu", what, (unsigned long long) got->field,          \
                 (unsigned long long) c.field)
    SAME(expected);
    SAME(lost);
    SAME(reordered);
    SAME(repeated);
    SAME(resets);
    SAME(jitter_us);
    SAME(unjudged);
    SAME(ts_packets);
    SAME(sync_errors);
    SAME(continuity_errors);
    SAME(transport_errors);
    SAME(pids);
#undef SAME
}

// --- settings --------------------------------------------------------------------------------------------------------

Test(monitor, settings_and_memory)
{
    static const struct {
        struct monitor_settings s;
        bool valid;
    } cases[] = {
        {{.as = MONITOR_RTP, .clock_hz = 1}, true},
        {{.as = MONITOR_RTP, .clock_hz = 0}, false},
        {{.as = MONITOR_TS, .clock_hz = MONITOR_CLOCK_HZ_MAX}, true},
        {{.as = MONITOR_TS, .clock_hz = MONITOR_CLOCK_HZ_MAX + 1}, false},
        {{.as = MONITOR_FIELD, .field = {.bytes = 1}}, true},
        {{.as = MONITOR_FIELD, .field = {.bytes = 0}}, false},
        {{.as = MONITOR_FIELD, .field = {.bytes = 3}}, false},
        {{.as = MONITOR_FIELD, .field = {.bytes = 16}}, false},
        {{.as = MONITOR_FIELD, .field = {.at = 65535, .bytes = 8, .session_at = 65535, .session_bytes = 16}}, true},
        {{.as = MONITOR_FIELD, .field = {.at = 65536, .bytes = 8}}, false},
        {{.as = MONITOR_FIELD, .field = {.bytes = 8, .session_at = 65536}}, false},
        {{.as = MONITOR_FIELD, .field = {.bytes = 8, .session_bytes = 17}}, false},
        {{.as = MONITOR_FIELD + 1, .clock_hz = 1, .field = {.bytes = 1}}, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct monitor *m = monitor_new(&cases[i].s);
        size_t bytes = monitor_bytes(&cases[i].s);
        cr_expect_eq(m != NULL, cases[i].valid, "case %zu", i);
        cr_expect_eq(bytes > 0, cases[i].valid, "case %zu", i);
        cr_expect_leq(bytes, 640u + (cases[i].s.as == MONITOR_TS ? 8192 : 0), "case %zu: %zu bytes", i, bytes);
        free(m);
    }
}

// --- numbers ---------------------------------------------------------------------------------------------------------

// Of one SSRC, a millisecond between two.
Test(monitor, tables_of_numbers)
{
    static const struct {
        const char *what;
        unsigned n;
        uint16_t numbers[8];
        struct monitor_counters c;
    } cases[] = {
        {"nothing", 0, {0}, {.expected = 0}},
        {"one alone", 1, {7}, {.unjudged = 1}},
        {"in order", 3, {1, 2, 3}, {.expected = 3}},
        {"wrap", 4, {65534, 65535, 0, 1}, {.expected = 4}},
        {"from the last", 2, {65535, 0}, {.expected = 2}},
        {"two lost", 3, {1, 2, 5}, {.expected = 5, .lost = 2}},
        {"lost over the wrap", 3, {65533, 65534, 2}, {.expected = 6, .lost = 3}},
        {"one late", 4, {1, 2, 4, 3}, {.expected = 4, .reordered = 1}},
        {"one of two late", 4, {1, 2, 5, 3}, {.expected = 5, .lost = 1, .reordered = 1}},
        {"late over the wrap", 4, {65534, 65535, 1, 0}, {.expected = 4, .reordered = 1}},
        {"late and again", 5, {1, 2, 4, 3, 3}, {.expected = 4, .reordered = 1, .repeated = 1}},
        {"twice and more", 5, {1, 2, 2, 2, 3}, {.expected = 3, .repeated = 2}},
        {"the first again", 3, {1, 2, 1}, {.expected = 2, .repeated = 1}},
        {"a repetition hides no loss", 4, {1, 2, 2, 4}, {.expected = 4, .lost = 1, .repeated = 1}},
        {"from before the first", 4, {5, 6, 4, 4}, {.expected = 2, .reordered = 1, .repeated = 1}},
        {"each twice from the start", 6, {1, 1, 2, 2, 3, 3}, {.expected = 3, .repeated = 2, .unjudged = 1}},
        {"probation begins anew", 4, {1, 3, 5, 6}, {.expected = 2, .unjudged = 2}},
        {"backwards is no beginning", 4, {9, 8, 7, 6}, {.unjudged = 4}},
        {"the furthest ahead", 3, {1, 2, 3001}, {.expected = 3001, .lost = 2998}},
        {"too far ahead", 3, {1, 2, 3002}, {.expected = 2, .unjudged = 1}},
        {"then in order", 4, {1, 2, 3002, 3}, {.expected = 3, .unjudged = 1}},
        {"the furthest behind", 4, {1, 2, 102, 3}, {.expected = 102, .lost = 98, .reordered = 1}},
        {"too far behind", 4, {1, 2, 102, 2}, {.expected = 102, .lost = 99, .unjudged = 1}},
        {"the middle of the circle", 3, {1, 2, 32770}, {.expected = 2, .unjudged = 1}},
        {"what came is forgotten behind a gap",
         5,
         {1, 2, 130, 31, 31},
         {.expected = 130, .lost = 126, .reordered = 1, .repeated = 1}},
        {"what came is kept over steps",
         7,
         {1, 2, 40, 70, 80, 2, 3},
         {.expected = 80, .lost = 74, .reordered = 1, .repeated = 1}},
        {"a gap of 128", 4, {1, 2, 130, 129}, {.expected = 130, .lost = 126, .reordered = 1}},
        {"a gap of 127", 4, {1, 2, 129, 128}, {.expected = 129, .lost = 125, .reordered = 1}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct monitor *m = monitor_new(&rtp);
        for (unsigned j = 0; j < cases[i].n; j++)
            take_rtp(m, j * MILLISECOND, cases[i].numbers[j], 90 * j, 1);
        expect(m, cases[i].c, cases[i].what);
        free(m);
    }
}

// What was sent is known: n numbers, of which some are left out, repeated, or exchanged with one a little later.
static void send_some(uint64_t seed, uint16_t first)
{
    enum { N = 5000 };
    static uint16_t order[2 * N];
    static bool came[N];
    struct monitor_counters c = {.expected = N};
    uint64_t state = seed;
    unsigned n = 0;

    memset(came, 0, sizeof(came));
    for (uint16_t i = 0; i < N; i++) {
        if (i > 1 && i < N - 1 && draw(&state, 10) == 0)
            continue;
        order[n++] = i;
        if (i > 1 && draw(&state, 10) == 0)
            order[n++] = i;
    }
    // Each moves by less than MONITOR_MISORDER, gaps included.
    for (unsigned i = 2; i + 33 < n; i += 1 + draw(&state, 40)) {
        unsigned j = i + draw(&state, 32);
        uint16_t moved = order[i];
        order[i] = order[j];
        order[j] = moved;
        i = j;
    }
    struct monitor *m = monitor_new(&rtp);
    uint16_t highest = 0;
    for (unsigned i = 0; i < n; i++) {
        take_rtp(m, i * MILLISECOND, (uint16_t) (first + order[i]), 90 * i, 1);
        c.repeated += came[order[i]];
        c.reordered += !came[order[i]] && order[i] < highest;
        came[order[i]] = true;
        highest = order[i] > highest ? order[i] : highest;
    }
    for (unsigned i = 0; i < N; i++)
        c.lost += !came[i];
    cr_assert(c.lost > 100 && c.repeated > 100 && c.reordered > 100);
    expect(m, c, "what was sent");
    free(m);
}

Test(monitor, counts_what_was_sent)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        send_some(seed, (uint16_t) (seed * 40503));
}

// --- sources ---------------------------------------------------------------------------------------------------------

struct step {
    unsigned ms; // since the one before
    uint32_t ssrc;
    uint16_t number;
};

Test(monitor, tables_of_sources)
{
    static const struct {
        const char *what;
        struct step steps[10]; // until ssrc 0
        struct monitor_counters c;
    } cases[] = {
        {"another while the first flows",
         {{1, 1, 1}, {1, 1, 2}, {600, 2, 8}, {300, 2, 9}, {1, 1, 3}, {900, 2, 10}},
         {.expected = 3, .unjudged = 3}},
        {"another when the first is gone, with all it sent",
         {{1, 1, 1}, {1, 1, 3}, {1, 1, 4}, {1, 2, 8}, {500, 2, 9}, {498, 2, 11}, {1, 2, 13}},
         {.expected = 2 + 6, .lost = 2, .resets = 1, .unjudged = 1}},
        {"another, not yet", // as above, a nanosecond's worth of a millisecond earlier
         {{1, 1, 1}, {1, 1, 2}, {1, 2, 8}, {500, 2, 9}, {498, 2, 10}},
         {.expected = 2, .unjudged = 3}},
        {"one datagram of another is none",
         {{1, 1, 1}, {1, 1, 2}, {5000, 2, 8}, {1, 1, 3}},
         {.expected = 3, .unjudged = 1}},
        {"a restart at another number",
         {{1, 1, 1}, {1, 1, 2}, {1, 1, 40000}, {1, 1, 40001}, {1000, 1, 40002}, {1, 1, 40003}},
         {.expected = 6, .resets = 1}},
        {"a jump over a long outage",
         {{1, 1, 1}, {1, 1, 2}, {2000, 1, 9000}, {1, 1, 9001}},
         {.expected = 4, .resets = 1}},
        {"a short jump over a long outage", {{1, 1, 1}, {1, 1, 2}, {9000, 1, 5}}, {.expected = 5, .lost = 2}},
        {"the tail of the first",
         {{1, 1, 1}, {1, 1, 2}, {1000, 2, 8}, {1, 2, 9}, {1, 1, 3}, {1, 1, 4}, {1, 2, 10}},
         {.expected = 5, .resets = 1, .unjudged = 2}},
        {"the second is gone before the third comes",
         {{1, 1, 1}, {1, 1, 2}, {1, 2, 8}, {1, 2, 9}, {1500, 3, 5}, {1, 3, 6}},
         {.expected = 4, .resets = 1, .unjudged = 2}},
        {"the second waits, the third does not replace it",
         {{1, 1, 1}, {1, 1, 2}, {1, 2, 8}, {1, 2, 9}, {990, 3, 5}, {9, 3, 6}, {1, 2, 10}},
         {.expected = 5, .resets = 1, .unjudged = 2}},
        {"a forged number that fits, until the true ones take over",
         {{1, 1, 1}, {1, 1, 2}, {1, 1, 2002}, {1, 1, 3}, {1, 1, 4}, {999, 1, 5}, {1, 1, 6}},
         {.expected = 2002 + 4, .lost = 1999, .resets = 1}},
        {"a stray does not keep the next one out for long",
         {{1, 1, 1}, {1, 1, 2}, {1, 3, 7}, {1000, 2, 8}, {1, 2, 9}},
         {.expected = 4, .resets = 1, .unjudged = 1}},
        {"two in probation, one with a gap",
         {{1, 1, 1}, {1, 2, 8}, {1, 1, 3}, {1, 2, 9}, {1, 1, 4}},
         {.expected = 2, .unjudged = 3}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct monitor *m = monitor_new(&rtp);
        uint64_t ms = 0;
        for (const struct step *s = cases[i].steps; s->ssrc > 0; s++) {
            ms += s->ms;
            take_rtp(m, ms * MILLISECOND, s->number, (uint32_t) ms * 90, s->ssrc);
        }
        expect(m, cases[i].c, cases[i].what);
        free(m);
    }
}

// The clock is set back by a day while a source flows, and it does not end; then it is gone a second later.
Test(monitor, a_clock_that_goes_back)
{
    const uint64_t day = 86400 * NS_PER_S;
    struct monitor *m = monitor_new(&rtp);

    take_rtp(m, day + 1, 1, 0, 1);
    take_rtp(m, day + 2, 2, 0, 1);
    take_rtp(m, 0, 100, 0, 2);
    take_rtp(m, 1, 101, 0, 2);
    expect(m, (struct monitor_counters){.expected = 2, .unjudged = 2}, "still there");
    take_rtp(m, NS_PER_S, 102, 0, 2);
    expect(m, (struct monitor_counters){.expected = 2, .unjudged = 3}, "nearly gone");
    take_rtp(m, NS_PER_S + 1, 103, 90000, 2);
    expect(m, (struct monitor_counters){.expected = 6, .resets = 1, .jitter_us = monitor_counters(m)->jitter_us},
           "gone");
    free(m);
}

// For each datagram of the stream 20 of random SSRCs, one of a forger with numbers in order, and one of the stream's
// own SSRC with numbers in order, far away.
Test(monitor, forged_sources_do_not_end_one_that_flows)
{
    struct monitor *m = monitor_new(&rtp);
    uint64_t state = 7, forged = 0, ns = 0;

    take_rtp(m, ns, 0, 0, 1);
    take_rtp(m, ns, 1, 0, 1);
    for (uint16_t i = 2; i < 20000; i++) {
        ns += MILLISECOND;
        for (unsigned j = 0; j < 20; j++)
            take_rtp(m, ns, (uint16_t) draw(&state, 65536), 0, 2 + draw(&state, 1000000));
        take_rtp(m, ns, (uint16_t) (i + 7), 0, 0xffffffff);
        take_rtp(m, ns, (uint16_t) (i + 20000), 0, 1);
        forged += 22;
        if (i % 100 != 0)
            take_rtp(m, ns, i, 90u * i, 1);
    }
    expect(m, (struct monitor_counters){.expected = 20000, .lost = 199, .unjudged = forged}, "flood");
    free(m);
}

// Random SSRCs, 50 to each datagram of the stream, from the start.
Test(monitor, a_stream_is_found_among_forged_sources)
{
    struct monitor *m = monitor_new(&rtp);
    uint64_t state = 7;

    for (uint16_t i = 0; i < 2000; i++) {
        for (unsigned j = 0; j < 50; j++)
            take_rtp(m, i * MILLISECOND, (uint16_t) draw(&state, 65536), 0, 2 + draw(&state, 1000000));
        take_rtp(m, i * MILLISECOND, i, 90u * i, 1);
    }
    const struct monitor_counters *c = monitor_counters(m);
    cr_expect_gt(c->expected, 1500, "%llu", (unsigned long long) c->expected);
    cr_expect_eq(c->lost, 0);
    cr_expect_eq(c->resets, 0);
    cr_expect_eq(c->unjudged, 51 * 2000 - c->expected);
    free(m);
}

// One datagram in probation, then so many of others, then the next of the first.
Test(monitor, probation_lasts_for_so_many_datagrams)
{
    for (unsigned others = MONITOR_PATIENCE; others <= MONITOR_PATIENCE + 1; others++) {
        struct monitor *m = monitor_new(&rtp);
        bool found = others == MONITOR_PATIENCE;
        take_rtp(m, 0, 7, 0, 1);
        for (uint16_t i = 0; i < others; i++)
            take_rtp(m, 0, 1000, 0, 2u + i);
        take_rtp(m, 0, 8, 0, 1);
        expect(m, (struct monitor_counters){.expected = found ? 2 : 0, .unjudged = others + (found ? 0 : 2)},
               "probation");
        free(m);
    }
}

Test(monitor, one_of_two_side_by_side)
{
    struct monitor *m = monitor_new(&rtp);

    for (uint16_t i = 0; i < 100; i++) {
        take_rtp(m, i * MILLISECOND, i, 90u * i, 1);
        take_rtp(m, i * MILLISECOND, (uint16_t) (i + 500), 90u * i, 2);
    }
    expect(m, (struct monitor_counters){.expected = 100, .unjudged = 100}, "side by side");
    free(m);
}

// --- RTP headers -----------------------------------------------------------------------------------------------------

Test(monitor, tables_of_headers)
{
    static const struct {
        const char *what;
        uint8_t bytes[32];
        size_t length;
        bool judged;
    } cases[] = {
        {"plain", {0x80, 33}, 12, true},
        {"too short", {0x80, 33}, 11, false},
        {"empty", {0}, 0, false},
        {"version 1", {0x40, 33}, 12, false},
        {"version 3", {0xc0, 33}, 12, false},
        {"marker, type 71", {0x80, 199}, 12, true},
        {"RTCP, sender report", {0x80, 200}, 28, false},
        {"RTCP, APP", {0x80, 204}, 28, false},
        {"marker, type 77", {0x80, 205}, 12, true},
        {"two CSRC", {0x82, 33}, 20, true},
        {"two CSRC, cut", {0x82, 33}, 19, false},
        {"extension of no words", {0x90, 33}, 16, true},
        {"extension, its head cut", {0x90, 33}, 15, false},
        {"extension of a word", {0x90, 33, [15] = 1}, 20, true},
        {"extension of a word, cut", {0x90, 33, [15] = 1}, 19, false},
        {"extension beyond all lengths", {0x90, 33, [14] = 0xff, 0xff}, 32, false},
        {"CSRC and extension", {0x91, 33, [19] = 2}, 28, true},
        {"CSRC and extension, cut", {0x91, 33, [19] = 2}, 27, false},
        {"padding of nobody knows how much", {0xa0, 33}, 13, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct monitor *m = monitor_new(&rtp);
        uint8_t *p = malloc(cases[i].length); // so that a read beyond it is seen
        memcpy(p, cases[i].bytes, cases[i].length);
        for (uint8_t j = 0; j < 2; j++) {
            if (cases[i].length > 3)
                p[3] = j;
            monitor_take(m, 0, p, cases[i].length);
        }
        expect(m, (struct monitor_counters){.expected = cases[i].judged ? 2 : 0, .unjudged = cases[i].judged ? 0 : 2},
               cases[i].what);
        free(p);
        free(m);
    }
}

// --- jitter ----------------------------------------------------------------------------------------------------------

// Of nanoseconds, in units of a clock.
static uint32_t arrival_of(uint64_t ns, uint32_t hz)
{
    uint64_t rest;

    return (uint32_t) wide_scale(ns, hz, 0, 1000000000, &rest);
}

// RFC 3550, A.8, as it stands there, but for the bound.
struct reference {
    uint32_t transit, jitter;
    bool any;
};

static uint64_t reference_take(struct reference *s, uint64_t ns, uint32_t timestamp, uint32_t hz)
{
    uint32_t arrival = arrival_of(ns, hz), transit = arrival - timestamp;
    int32_t d = (int32_t) (transit - s->transit);

    s->transit = transit;
    if (d < 0)
        d = -d;
    if (s->any && d <= (int64_t) hz)
        s->jitter += (uint32_t) d - ((s->jitter + 8) >> 4);
    s->any = true;
    return (uint64_t) (s->jitter >> 4) * 1000000 / hz;
}

Test(monitor, tables_of_jitter)
{
    static const struct {
        const char *what;
        uint32_t hz;
        struct {
            uint64_t us; // since the one before
            uint32_t units;
        } steps[6];
        unsigned n;
        uint64_t jitter_us;
    } cases[] = {
        {"regular", 90000, {{10000, 900}, {10000, 900}, {10000, 900}}, 3, 0},
        {"together, with one time stamp", 90000, {{0, 0}, {0, 0}, {0, 0}}, 3, 0},
        {"one is a millisecond late", 90000, {{10000, 900}, {11000, 900}}, 2, 55},          // 90 / 16 units
        {"and the next in time", 90000, {{10000, 900}, {11000, 900}, {9000, 900}}, 3, 111}, // (90 + 90 - 6) / 16 units
        {"time stamps go back", 90000, {{10000, 900}, {10000, (uint32_t) -900}}, 2, 1244},  // 1800 / 16 units
        {"just a second", 90000, {{1000000, 0}}, 1, 62500},
        {"a little more", 90000, {{1000012, 0}}, 1, 0},
        {"the clock steps by an hour", 90000, {{10000, 900}, {3600000000, 900}, {10000, 900}}, 3, 0},
        {"and the sender's", 90000, {{10000, 900}, {10000, 90000 + 901}, {10000, 900}}, 3, 0},
        {"a coarse clock", 1, {{1000000, 1}, {2000000, 1}}, 2, 0}, // 1 / 16 units
        {"the finest clock", 1000000000, {{1000, 1000000}, {2000, 1000000}}, 2, 62},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct monitor_settings s = {.as = MONITOR_RTP, .clock_hz = cases[i].hz};
        struct monitor *m = monitor_new(&s);
        uint64_t us = 5000000;
        uint32_t units = UINT32_MAX - 100; // wraps
        take_rtp(m, us * 1000, 0, units, 1);
        for (uint16_t j = 0; j < cases[i].n; j++) {
            us += cases[i].steps[j].us;
            units += cases[i].steps[j].units;
            take_rtp(m, us * 1000, j + 1, units, 1);
        }
        uint64_t got = monitor_counters(m)->jitter_us;
        cr_expect_eq(got, cases[i].jitter_us, "%s: %llu", cases[i].what, (unsigned long long) got);
        free(m);
    }
}

Test(monitor, jitter_is_that_of_the_rfc)
{
    static const uint32_t clocks[] = {1, 8000, 44100, 48000, 90000, 27000000};
    uint64_t state = 3;

    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct monitor_settings s = {.as = MONITOR_RTP, .clock_hz = clocks[i]};
        struct monitor *m = monitor_new(&s);
        struct reference r = {.any = false};
        uint64_t sent = UINT64_C(1796000000123456789);
        for (uint16_t j = 0; j < 3000; j++) {
            uint64_t ns = sent + draw(&state, 1u << draw(&state, 31));
            uint32_t timestamp = arrival_of(sent, clocks[i]) + 0xfffff000;
            if (draw(&state, 500) == 0)
                sent += UINT64_C(3600000000000);
            take_rtp(m, ns, j, timestamp, 1);
            uint64_t wanted = reference_take(&r, ns, timestamp, clocks[i]);
            cr_assert_eq(monitor_counters(m)->jitter_us, wanted, "%u Hz, datagram %u", clocks[i], j);
            sent += 1000000;
        }
        free(m);
    }
}

// --- field -----------------------------------------------------------------------------------------------------------

static void take_field(struct monitor *m, const struct monitor_settings *s, uint64_t ns, uint64_t number,
                       uint8_t session)
{
    uint8_t p[64];
    size_t n = s->field.bytes, length = s->field.at + n;

    memset(p, 0xee, sizeof(p));
    for (size_t i = 0; i < n; i++)
        p[s->field.at + (s->field.little ? i : n - 1 - i)] = (uint8_t) (number >> 8 * i);
    if (s->field.session_bytes > 0) {
        memset(p + s->field.session_at, session, s->field.session_bytes);
        if (s->field.session_at + s->field.session_bytes > length)
            length = s->field.session_at + s->field.session_bytes;
    }
    monitor_take(m, ns, p, length - 1);
    monitor_take(m, ns, p, length);
}

// Each width and byte order: over its wrap, with two lost, one late, one repeated; a byte too short is not judged. Then
// the furthest that is followed.
Test(monitor, fields_of_each_width)
{
    static const uint64_t dropout[] = {[1] = 64, [2] = 3000, [4] = 1 << 20, [8] = 1 << 20};
    static const uint64_t misorder[] = {[1] = 32, [2] = 100, [4] = 100, [8] = 100};

    for (unsigned i = 0; i < 16; i++) {
        struct monitor_settings s = {.as = MONITOR_FIELD,
                                     .field = {.at = i & 4 ? 20 : 0,
                                               .bytes = (uint8_t) (1 << (i & 3)),
                                               .little = i & 8,
                                               .session_at = i & 4 ? 2 : 30,
                                               .session_bytes = i & 4 ? 16 : 1}};
        uint64_t far = dropout[s.field.bytes], near = misorder[s.field.bytes];
        struct monitor *m = monitor_new(&s);
        uint64_t n = UINT64_MAX - 2;
        static const uint8_t order[] = {0, 1, 2, 4, 3, 3, 7};
        for (unsigned j = 0; j < sizeof(order); j++)
            take_field(m, &s, 0, n + order[j], 9);
        struct monitor_counters c = {.expected = 8, .lost = 2, .reordered = 1, .repeated = 1, .unjudged = 7};
        expect(m, c, "order");
        n += 7;
        take_field(m, &s, 0, n + far, 9);
        take_field(m, &s, 0, n - near, 9);
        c.unjudged += 4;
        expect(m, c, "too far");
        take_field(m, &s, 0, n - near + 1, 9); // from before the first
        c.unjudged++;
        c.reordered++;
        expect(m, c, "near");
        take_field(m, &s, 0, n + far - 1, 9);
        c.unjudged++;
        c.expected += far - 1;
        c.lost += far - 2;
        expect(m, c, "far");
        take_field(m, &s, NS_PER_S, 1, 10);
        take_field(m, &s, NS_PER_S, 2, 10);
        c.unjudged += 2;
        c.expected += 2;
        c.resets = 1;
        expect(m, c, "another session");
        free(m);
    }
}

Test(monitor, the_place_of_no_session_is_not_looked_at)
{
    struct monitor_settings s = {.as = MONITOR_FIELD, .field = {.bytes = 1, .session_at = 60000}};
    struct monitor *m = monitor_new(&s);

    for (uint8_t i = 0; i < 3; i++)
        monitor_take(m, 0, &i, 1);
    expect(m, (struct monitor_counters){.expected = 3}, "no session");
    free(m);
}

// The last byte of a long session tells one from the other.
Test(monitor, sessions_differ_in_any_byte)
{
    struct monitor_settings s = {.as = MONITOR_FIELD, .field = {.at = 16, .bytes = 2, .session_bytes = 16}};

    for (unsigned i = 0; i < 16; i++) {
        struct monitor *m = monitor_new(&s);
        uint8_t p[18] = {0};
        for (uint8_t j = 0; j < 4; j++) {
            p[17] = j;
            p[i] = j / 2;
            monitor_take(m, 0, p, sizeof(p));
        }
        expect(m, (struct monitor_counters){.expected = 2, .unjudged = 2}, "sessions");
        free(m);
    }
}

// --- transport stream ------------------------------------------------------------------------------------------------

enum {
    PAYLOAD = 0x10,
    ADAPTATION = 0x20,
    BOTH = 0x30,
    DISCONTINUITY = 1,
    TRANSPORT_ERROR = 2,
    NO_SYNC = 4,
    NO_FLAGS = 8
};

struct ts_packet {
    uint16_t pid;
    uint8_t control, counter, flags;
};

static void put_ts(uint8_t *p, const struct ts_packet *t)
{
    memset(p, 0xff, TS);
    p[0] = t->flags & NO_SYNC ? 0x48 : 0x47;
    p[1] = (uint8_t) ((t->flags & TRANSPORT_ERROR ? 0x80 : 0) | 0x40 | t->pid >> 8);
    p[2] = (uint8_t) t->pid;
    p[3] = (uint8_t) (0xc0 | t->control | t->counter);
    if (t->control & ADAPTATION) {
        p[4] = t->flags & NO_FLAGS ? 0 : t->control & PAYLOAD ? 1 : 183;
        p[5] = t->flags & (DISCONTINUITY | NO_FLAGS) ? 0x80 : 0x10;
    }
}

#define P(counter)                                                                                                     \
    {                                                                                                                  \
        100, PAYLOAD, counter, 0                                                                                       \
    }
#define A(counter)                                                                                                     \
    {                                                                                                                  \
        100, ADAPTATION, counter, 0                                                                                    \
    }

static const struct ts_case {
    const char *what;
    unsigned n;
    struct ts_packet packets[18];
    struct monitor_counters c;
} ts_cases[] = {
    {"in order, over the wrap", 4, {P(14), P(15), P(0), P(1)}, {.ts_packets = 4, .pids = 1}},
    {"one lost", 3, {P(1), P(2), P(4)}, {.ts_packets = 3, .continuity_errors = 1, .pids = 1}},
    {"exchanged", 5, {P(1), P(3), P(2), P(4), P(5)}, {.ts_packets = 5, .continuity_errors = 3, .pids = 1}},
    {"repeated", 4, {P(1), P(2), P(2), P(3)}, {.ts_packets = 4, .pids = 1}},
    {"the first repeated", 3, {P(1), P(1), P(2)}, {.ts_packets = 3, .pids = 1}},
    {"each repeated", 6, {P(1), P(1), P(2), P(2), P(3), P(3)}, {.ts_packets = 6, .pids = 1}},
    {"more than twice", 4, {P(1), P(2), P(2), P(2)}, {.ts_packets = 4, .continuity_errors = 1, .pids = 1}},
    {"four times", 5, {P(1), P(2), P(2), P(2), P(2)}, {.ts_packets = 5, .continuity_errors = 2, .pids = 1}},
    {"on after more than twice",
     5,
     {P(2), P(2), P(2), P(3), P(3)},
     {.ts_packets = 5, .continuity_errors = 1, .pids = 1}},
    {"repeated behind an error", 4, {P(1), P(5), P(5), P(6)}, {.ts_packets = 4, .continuity_errors = 1, .pids = 1}},
    {"adaptation field alone", 5, {P(1), A(1), A(1), P(2), A(2)}, {.ts_packets = 5, .pids = 1}},
    {"adaptation field first", 3, {A(7), A(7), P(8)}, {.ts_packets = 3, .pids = 1}},
    {"adaptation field that counts", 3, {P(1), A(2), P(3)}, {.ts_packets = 3, .continuity_errors = 1, .pids = 1}},
    {"repeated around one", 3, {P(1), A(1), P(1)}, {.ts_packets = 3, .continuity_errors = 1, .pids = 1}},
    {"neither field nor payload", 3, {P(1), {100, 0, 1, 0}, P(2)}, {.ts_packets = 3, .pids = 1}},
    {"discontinuity told", 3, {P(1), {100, BOTH, 9, DISCONTINUITY}, P(10)}, {.ts_packets = 3, .pids = 1}},
    {"discontinuity told, no payload",
     3,
     {P(1), {100, ADAPTATION, 9, DISCONTINUITY}, P(10)},
     {.ts_packets = 3, .pids = 1}},
    {"repeated behind a discontinuity", 3, {P(1), {100, BOTH, 9, DISCONTINUITY}, P(9)}, {.ts_packets = 3, .pids = 1}},
    {"discontinuity with the same counter",
     4,
     {P(1), P(1), {100, BOTH, 1, DISCONTINUITY}, P(1)},
     {.ts_packets = 4, .pids = 1}},
    {"another flag", 2, {P(1), {100, BOTH, 9, 0}}, {.ts_packets = 2, .continuity_errors = 1, .pids = 1}},
    {"a field without flags",
     2,
     {P(1), {100, BOTH, 9, NO_FLAGS}},
     {.ts_packets = 2, .continuity_errors = 1, .pids = 1}},
    {"null packets", 4, {{0x1fff, PAYLOAD, 3, 0}, P(1), {0x1fff, PAYLOAD, 9, 0}, P(2)}, {.ts_packets = 4, .pids = 1}},
    {"each PID by itself",
     6,
     {P(1), {101, PAYLOAD, 7, 0}, {0, PAYLOAD, 0, 0}, P(2), {0, PAYLOAD, 1, 0}, {101, PAYLOAD, 9, 0}},
     {.ts_packets = 6, .continuity_errors = 1, .pids = 3}},
    {"PIDs that differ in the high bits",
     3,
     {{0x1001, PAYLOAD, 1, 0}, {0x0001, PAYLOAD, 5, 0}, {0x1ffe, PAYLOAD, 9, 0}},
     {.ts_packets = 3, .pids = 3}},
    {"transport error: nothing else is read",
     3,
     {P(1), {77, PAYLOAD, 9, TRANSPORT_ERROR}, P(2)},
     {.ts_packets = 3, .transport_errors = 1, .pids = 1}},
    {"transport error: its packet is missing",
     3,
     {P(1), {100, PAYLOAD, 2, TRANSPORT_ERROR}, P(3)},
     {.ts_packets = 3, .transport_errors = 1, .continuity_errors = 1, .pids = 1}},
    {"no sync byte", 3, {P(1), {100, PAYLOAD, 2, NO_SYNC}, P(2)}, {.ts_packets = 2, .sync_errors = 1, .pids = 1}},
    {"no sync byte at first", 2, {{100, PAYLOAD, 2, NO_SYNC}, P(2)}, {.ts_packets = 1, .sync_errors = 1, .pids = 1}},
    {"16 lost are not seen", 2, {P(1), P(2)}, {.ts_packets = 2, .pids = 1}},
};

// Each as one datagram, as a datagram for each packet, and in RTP with CSRC, extension and padding.
Test(monitor, tables_of_packets)
{
    static uint8_t packets[18 * TS], datagram[12 + 8 + 8 + 18 * TS + 4];

    for (size_t i = 0; i < sizeof(ts_cases) / sizeof(ts_cases[0]); i++) {
        const struct ts_case *t = &ts_cases[i];
        struct monitor *one = monitor_new(&ts), *each = monitor_new(&ts), *in_rtp = monitor_new(&ts);
        for (unsigned j = 0; j < t->n; j++) {
            put_ts(packets + j * TS, &t->packets[j]);
            monitor_take(each, 0, packets + j * TS, TS);
        }
        monitor_take(one, 0, packets, t->n * TS);
        expect(one, t->c, t->what);
        expect(each, t->c, t->what);

        memset(datagram, 0, sizeof(datagram));
        put_rtp(datagram, 1, 0, 1);
        datagram[0] = 0x80 | 0x20 | 0x10 | 2;
        datagram[12 + 8 + 3] = 1; // a word of extension
        memcpy(datagram + 28, packets, t->n * TS);
        datagram[28 + t->n * TS + 3] = 4;
        monitor_take(in_rtp, 0, datagram, 28 + t->n * TS + 4);
        struct monitor_counters c = t->c;
        c.unjudged = 1;
        expect(in_rtp, c, t->what);
        free(one);
        free(each);
        free(in_rtp);
    }
}

// Lengths, and what is RTP and what is not.
Test(monitor, tables_of_ts_datagrams)
{
    static const struct {
        const char *what;
        size_t header, packets, more;
        uint8_t first, padding, sync;
        struct monitor_counters c; // twice the same, but for the number
    } cases[] = {
        {"empty", 0, 0, 0, 0, 0, 0x47, {.sync_errors = 2}},
        {"part of a packet", 0, 0, 187, 0x47, 0, 0x47, {.sync_errors = 2}},
        {"a packet and a part", 0, 1, 1, 0x47, 0, 0x47, {.ts_packets = 2, .sync_errors = 2, .pids = 1}},
        {"seven", 0, 7, 0, 0x47, 0, 0x47, {.ts_packets = 14, .pids = 1}},
        {"seven, the first with a byte of RTP",
         0,
         7,
         0,
         0x80,
         0,
         0x47,
         {.ts_packets = 12, .sync_errors = 2, .pids = 1}},
        {"in RTP", 12, 7, 0, 0x80, 0, 0x47, {.ts_packets = 14, .pids = 1, .expected = 2}},
        {"in RTP, the first without sync",
         12,
         2,
         0,
         0x80,
         0,
         0x48,
         {.ts_packets = 2, .sync_errors = 2, .pids = 1, .expected = 2}},
        {"in RTP, with padding to a multiple of 188",
         12,
         1,
         176,
         0xa0,
         176,
         0x47,
         {.ts_packets = 2, .pids = 1, .expected = 2}},
        {"in RTP, padding of none",
         12,
         1,
         4,
         0xa0,
         0,
         0x47,
         {.ts_packets = 2, .sync_errors = 2, .pids = 1, .expected = 2}},
        {"in RTP, more padding than there is", 12, 1, 4, 0xa0, 193, 0x47, {.sync_errors = 2, .expected = 2}},
        {"in RTP, nothing but padding", 12, 0, 4, 0xa0, 4, 0, {.sync_errors = 2, .expected = 2}},
        {"RTP without anything", 12, 0, 0, 0x80, 0, 0, {.sync_errors = 2, .expected = 2}},
        {"RTP of 188 bytes without anything", 188, 0, 0, 0x8f, 0, 0, {.sync_errors = 2}},
        {"RTCP", 0, 0, 28, 0x80, 0, 0, {.sync_errors = 2}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct monitor *m = monitor_new(&ts);
        size_t length = cases[i].header + cases[i].packets * TS + cases[i].more;
        uint8_t *p = calloc(1, length ? length : 1);
        for (uint8_t j = 0; j < 2; j++) {
            // Packets whose counter stays, so that one that is not read is not missing either.
            for (size_t k = 0; k < cases[i].packets; k++)
                put_ts(p + cases[i].header + k * TS, &(struct ts_packet){100, ADAPTATION, 0, 0});
            if (cases[i].header > 0)
                put_rtp(p, j, 0, 1);
            if (cases[i].packets > 0)
                p[cases[i].header] = cases[i].sync;
            if (cases[i].more > 0)
                p[length - 1] = cases[i].padding;
            if (length > 0)
                p[0] = cases[i].first;
            if (strcmp(cases[i].what, "RTCP") == 0)
                p[1] = 200;
            monitor_take(m, 0, p, length);
        }
        expect(m, cases[i].c, cases[i].what);
        free(p);
        free(m);
    }
}

// --- alarms ----------------------------------------------------------------------------------------------------------

#define LOSS   (1u << MONITOR_ALARM_LOSS)
#define JITTER (1u << MONITOR_ALARM_JITTER)

Test(monitor, tables_of_alarms)
{
    static const struct {
        const char *what;
        struct monitor_limits limits;
        struct monitor_counters before, now;
        uint32_t alarms;
        uint64_t loss_ppm;
    } cases[] = {
        {"nothing", {1, 1}, {0}, {0}, 0, 0},
        {"no limits", {0, 0}, {0}, {.expected = 100, .lost = 100, .jitter_us = 1000}, 0, 1000000},
        {"at the limit", {10000, 500}, {0}, {.expected = 100, .lost = 1, .jitter_us = 500}, 0, 10000},
        {"above it", {9999, 499}, {0}, {.expected = 100, .lost = 1, .jitter_us = 500}, LOSS | JITTER, 10000},
        {"what was before", {1, 0}, {.expected = 100, .lost = 90}, {.expected = 200, .lost = 90}, 0, 0},
        {"taken back", {1, 0}, {.expected = 100, .lost = 90}, {.expected = 200, .lost = 80}, 0, 0},
        {"nothing comes",
         {1, 1},
         {.expected = 9, .lost = 5, .jitter_us = 7},
         {.expected = 9, .lost = 5, .jitter_us = 7},
         0,
         0},
        {"continuity",
         {1, 0},
         {.ts_packets = 7, .continuity_errors = 1},
         {.ts_packets = 14, .continuity_errors = 2},
         LOSS,
         142857},
        {"no packet", {1, 9}, {0}, {.expected = 4, .sync_errors = 16}, LOSS, 0},
        {"few that are none", {1, 9}, {0}, {.expected = 4, .sync_errors = 15}, 0, 0},
        {"nearly no packet", {1, 0}, {0}, {.sync_errors = 90, .ts_packets = 10}, LOSS, 0},
        {"a tenth are packets", {1, 0}, {0}, {.sync_errors = 90, .ts_packets = 11}, 0, 0},
        {"the worse of the two",
         {1, 0},
         {0},
         {.expected = 4, .lost = 1, .ts_packets = 28, .continuity_errors = 14},
         LOSS,
         500000},
        {"large", {1, 0}, {0}, {.expected = UINT64_MAX, .lost = UINT64_MAX / 2}, LOSS, 499999},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct monitor_alarms a;
        monitor_alarms_init(&a, &cases[i].before, 5);
        cr_expect_eq(monitor_alarms_look(&a, &cases[i].limits, &cases[i].now, NS_PER_S + 4), 0, "%s: early",
                     cases[i].what);
        cr_expect_eq(monitor_alarms_look(&a, &cases[i].limits, &cases[i].now, NS_PER_S + 5), cases[i].alarms, "%s",
                     cases[i].what);
        cr_expect_eq(a.alarms, cases[i].alarms, "%s", cases[i].what);
        cr_expect_eq(a.loss_ppm, cases[i].loss_ppm, "%s: %llu", cases[i].what, (unsigned long long) a.loss_ppm);
    }
}

// One bad second, a good one, a bad one: one alarm, which ends 5 s after the last.
Test(monitor, an_alarm_begins_once_and_ends_when_it_is_over)
{
    const struct monitor_limits limits = {.max_loss_ppm = 1000, .max_jitter_us = 100};
    struct monitor_counters c = {.expected = 0};
    struct monitor_alarms a;

    monitor_alarms_init(&a, &c, 0);
    for (unsigned s = 1; s <= 12; s++) {
        c.expected += 1000;
        c.lost += s == 2 || s == 4 ? 2 : 0;
        c.jitter_us = s == 3 ? 101 : 100;
        uint32_t wanted = s == 2 ? LOSS : s == 3 ? JITTER : s == 8 ? JITTER : s == 9 ? LOSS : 0;
        cr_expect_eq(monitor_alarms_look(&a, &limits, &c, s * NS_PER_S), wanted, "second %u", s);
        cr_expect_eq(a.alarms, (s >= 2 && s < 9 ? LOSS : 0) | (s >= 3 && s < 8 ? JITTER : 0), "second %u", s);
    }
    cr_expect_eq(a.raised_ns[MONITOR_ALARM_LOSS], 2 * NS_PER_S);
    cr_expect_eq(a.raised_ns[MONITOR_ALARM_JITTER], 3 * NS_PER_S);

    c.expected += 1000;
    c.lost += 2;
    cr_expect_eq(monitor_alarms_look(&a, &limits, &c, 13 * NS_PER_S), LOSS);
    cr_expect_eq(a.raised_ns[MONITOR_ALARM_LOSS], 13 * NS_PER_S);
    cr_expect_eq(monitor_alarms_look(&a, &(struct monitor_limits){0}, &c, 13 * NS_PER_S + 1), LOSS,
                 "its limit is gone");
    cr_expect_eq(a.alarms, 0);
}
