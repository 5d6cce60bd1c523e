// SPDX-License-Identifier: Apache-2.0
// What mcrgen judges by: payloads, sequence numbers, latencies, and the sender's schedule.
#include <config.h>

#include "common/clock.h"
#include "common/progress.h"
#include "gen/histogram.h"
#include "gen/pace.h"
#include "gen/payload.h"
#include "gen/report.h"
#include "gen/sequence.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const size_t sizes[] = {0, 1, 2, 31, 32, 33, 63, 64, 100, 255, 256, 257, 1316, 1472, 9000, PAYLOAD_MAX};
static const uint64_t seqs[] = {0, 1, 255, 256, 65535, UINT32_MAX, UINT64_C(1) << 32, PAYLOAD_SEQ_MAX};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// As mcrgen sends it.
static void write_payload(uint8_t *buffer, size_t size, const struct payload_info *info)
{
    struct payload_maker *maker = payload_maker_new(size, info->stream, 0);
    size_t header = size < PAYLOAD_HEADER ? 0 : PAYLOAD_HEADER, length;

    cr_assert_not_null(maker);
    if (header)
        payload_maker_header(maker, info->seq, info->time_ns, buffer);
    const uint8_t *body = payload_maker_body(maker, info->seq, &length);
    cr_assert_eq(header + length, size);
    memcpy(buffer + header, body, length);
    free(maker);
}

Test(payload, layout_is_as_documented)
{
    static const uint8_t wanted[28] = {0x6d, 0x63, 0x72, 0x67, 0x01, 0x02, 0x03, 0x04, 0,    0,    0, 0, 0, 0,
                                       0x02, 0x01, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0, 0, 0, 40};
    struct payload_info info = {.stream = 0x01020304, .seq = 0x201, .time_ns = 0x1112131415161718};
    uint8_t payload[40];

    write_payload(payload, sizeof(payload), &info);
    cr_assert_arr_eq(payload, wanted, sizeof(wanted));
}

Test(payload, what_is_written_is_good)
{
    static uint8_t payload[PAYLOAD_MAX];

    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(seqs); j++) {
            struct payload_info info = {.stream = 7, .seq = seqs[j], .time_ns = 1234567890123456789}, found = {0};
            size_t header = sizes[i] < PAYLOAD_HEADER ? 0 : PAYLOAD_HEADER;
            uint8_t low = 0;

            write_payload(payload, sizes[i], &info);
            for (size_t at = header; at < sizes[i]; at++)
                cr_assert_eq(payload[at], (uint8_t) (seqs[j] + at), "size %zu, byte %zu", sizes[i], at);
            if (header == 0) {
                cr_assert_eq(payload_check(payload, sizes[i], 0, &found), PAYLOAD_FOREIGN);
                cr_assert(sizes[i] == 0 || payload_check_compact(payload, sizes[i], &low));
                cr_assert(sizes[i] == 0 || low == (uint8_t) seqs[j]);
                continue;
            }
            cr_assert_eq(payload_check(payload, sizes[i], 0, &found), PAYLOAD_GOOD);
            cr_assert_eq(found.stream, info.stream);
            cr_assert_eq(found.seq, info.seq);
            cr_assert_eq(found.time_ns, info.time_ns);
            uint32_t stored =
                (uint32_t) payload[28] << 24 | payload[29] << 16 | payload[30] << 8 | (uint32_t) payload[31];
            memset(payload + 28, 0, 4);
            cr_assert_eq(stored, crc32(0, payload, (uInt) sizes[i]), "size %zu, seq %zu", sizes[i], j);
        }
}

Test(payload, every_flipped_bit_is_found)
{
    struct payload_info info = {.stream = 1, .seq = 2, .time_ns = 3}, found;
    uint8_t payload[200];

    write_payload(payload, sizeof(payload), &info);
    for (size_t bit = 0; bit < 8 * sizeof(payload); bit++) {
        payload[bit / 8] ^= (uint8_t) (1u << bit % 8);
        cr_assert_eq(payload_check(payload, sizeof(payload), 0, &found), bit < 32 ? PAYLOAD_FOREIGN : PAYLOAD_CORRUPT);
        payload[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
    cr_assert_eq(payload_check(payload, sizeof(payload), 0, &found), PAYLOAD_GOOD);
}

Test(payload, every_flipped_bit_of_a_compact_one_is_found)
{
    struct payload_info info = {.seq = 250};
    uint8_t payload[20], low;

    write_payload(payload, sizeof(payload), &info);
    for (size_t bit = 0; bit < 8 * sizeof(payload); bit++) {
        payload[bit / 8] ^= (uint8_t) (1u << bit % 8);
        cr_assert_not(payload_check_compact(payload, sizeof(payload), &low));
        payload[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
}

Test(payload, a_wrong_length_is_found)
{
    struct payload_info info = {.seq = 9}, found;
    uint8_t payload[101];

    write_payload(payload, 100, &info);
    payload[100] = 109; // as the pattern goes on
    cr_assert_eq(payload_check(payload, 99, 0, &found), PAYLOAD_CORRUPT);
    cr_assert_eq(payload_check(payload, 101, 0, &found), PAYLOAD_CORRUPT);
    cr_assert_eq(payload_check(payload, PAYLOAD_HEADER, 0, &found), PAYLOAD_CORRUPT);
    cr_assert_eq(payload_check(payload, PAYLOAD_HEADER - 1, 0, &found), PAYLOAD_FOREIGN);
}

Test(payload, a_sequence_number_beyond_63_bits_is_corrupt)
{
    struct payload_info info = {.seq = PAYLOAD_SEQ_MAX + 1}, found;
    uint8_t payload[40];

    write_payload(payload, sizeof(payload), &info);
    cr_assert_eq(payload_check(payload, sizeof(payload), 0, &found), PAYLOAD_CORRUPT);
}

Test(payload, a_prefix_is_part_of_length_and_checksum)
{
    static const size_t prefixes[] = {1, 12, 63, 64};
    static uint8_t payload[PAYLOAD_MAX];
    struct payload_info found;

    for (size_t i = 0; i < COUNT(prefixes); i++)
        for (size_t j = 0; j < COUNT(sizes); j++) {
            size_t prefix = prefixes[i], header = prefix + PAYLOAD_HEADER, length;
            if (sizes[j] < header)
                continue;
            struct payload_maker *maker = payload_maker_new(sizes[j], 5, prefix);
            memset(payload, 0xa5, prefix);
            payload_maker_header(maker, 300, 77, payload);
            const uint8_t *body = payload_maker_body(maker, 300, &length);
            cr_assert_eq(header + length, sizes[j]);
            memcpy(payload + header, body, length);
            cr_assert(length == 0 || payload[header] == (uint8_t) (300 + header));
            cr_assert_eq(payload_check(payload, sizes[j], prefix, &found), PAYLOAD_GOOD);
            cr_assert(found.stream == 5 && found.seq == 300 && found.time_ns == 77);
            payload[prefix - 1] ^= 1;
            cr_assert_eq(payload_check(payload, sizes[j], prefix, &found), PAYLOAD_CORRUPT);
            payload[prefix - 1] ^= 1;
            cr_assert_eq(payload_check(payload, sizes[j], prefix - 1, &found), PAYLOAD_FOREIGN);
            cr_assert_eq(payload_check(payload, header - 1, prefix, &found), PAYLOAD_FOREIGN);
            free(maker);
        }
}

// --- sequence ----------------------------------------------------------------------------------------

static struct sequence fed(const uint64_t *numbers, size_t count, const uint64_t *expect)
{
    struct sequence s;

    cr_assert(sequence_init(&s, expect ? expect[0] : 0, expect ? expect[1] : SEQUENCE_ANY));
    for (size_t i = 0; i < count; i++)
        sequence_add(&s, numbers[i]);
    return s;
}

struct sequence_case {
    const char *name;
    uint64_t numbers[8];
    size_t count;
    uint64_t lost, duplicates, reordered;
};

Test(payload, sequence_counts)
{
    static const struct sequence_case cases[] = {
        {"nothing", {0}, 0, 0, 0, 0},
        {"in order", {5, 6, 7}, 3, 0, 0, 0},
        {"one lost", {5, 7, 8}, 3, 1, 0, 0},
        {"one twice", {5, 6, 6, 7}, 4, 0, 1, 0},
        {"two swapped", {5, 7, 6, 8}, 4, 0, 0, 1},
        {"below the first", {100, 99, 98, 101}, 4, 0, 0, 2},
        {"late and twice", {1, 3, 2, 2, 1}, 5, 0, 2, 1},
        {"far apart", {0, 1000000}, 2, 999999, 0, 0},
        {"at the end", {PAYLOAD_SEQ_MAX - 1, PAYLOAD_SEQ_MAX}, 2, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct sequence_case *c = &cases[i];
        struct sequence s = fed(c->numbers, c->count, NULL);
        cr_assert_eq(sequence_lost(&s, SEQUENCE_ANY), c->lost, "%s", c->name);
        cr_assert_eq(s.duplicates, c->duplicates, "%s", c->name);
        cr_assert_eq(s.reordered, c->reordered, "%s", c->name);
        cr_assert_eq(s.unique + s.duplicates, c->count, "%s", c->name);
        sequence_free(&s);
    }
}

Test(payload, sequence_expected)
{
    static const uint64_t expect[] = {10, 4}, numbers[] = {9, 10, 11, 11, 14, 12};
    struct sequence s = fed(numbers, COUNT(numbers), expect);

    cr_assert_eq(sequence_lost(&s, SEQUENCE_ANY), 1); // 13
    cr_assert_eq(s.unexpected, 2);                    // 9 and 14
    cr_assert_eq(s.duplicates, 1);
    sequence_free(&s);
}

Test(payload, sequence_lost_at_the_beginning)
{
    static const uint64_t numbers[] = {3, 4};
    struct sequence s = fed(numbers, COUNT(numbers), NULL);

    cr_assert_eq(sequence_lost(&s, SEQUENCE_ANY), 0);
    cr_assert_eq(sequence_lost(&s, 1), 2);
    cr_assert_eq(sequence_lost(&s, 4), 0);
    sequence_free(&s);
}

Test(payload, sequence_window_moves)
{
    struct sequence s;

    cr_assert(sequence_init(&s, 0, SEQUENCE_ANY));
    // Steps of which none divides the window, more than twice around it.
    for (uint64_t seq = 0; seq < 2 * SEQUENCE_WINDOW + 12345; seq += 1001)
        sequence_add(&s, seq);
    cr_assert_eq(s.duplicates, 0);
    uint64_t last = s.highest;
    sequence_add(&s, last - 1001);
    cr_assert_eq(s.duplicates, 1);
    sequence_add(&s, last - 1000);
    cr_assert_eq(s.reordered, 1);
    sequence_add(&s, last - SEQUENCE_WINDOW + 1);
    cr_assert_eq(s.too_old, 0);
    sequence_add(&s, last - SEQUENCE_WINDOW);
    cr_assert_eq(s.too_old, 1);
    sequence_add(&s, last + 5 * SEQUENCE_WINDOW);
    sequence_add(&s, last + 5 * SEQUENCE_WINDOW - 64);
    cr_assert_eq(s.duplicates, 1);
    sequence_free(&s);
}

// Against a plain array, with losses, duplicates and disorder from a fixed generator.
Test(payload, sequence_agrees_with_a_plain_count)
{
    enum { RANGE = 5000 };
    static uint8_t came[RANGE];
    struct sequence s;
    uint32_t random = 12345;
    uint64_t duplicates = 0, unique = 0;

    cr_assert(sequence_init(&s, 0, RANGE));
    for (unsigned i = 0; i < RANGE; i++) {
        random = random * 1664525u + 1013904223u;
        unsigned seq = i > 200 && (random >> 28) < 6 ? i - (random >> 8) % 200 : i;
        if ((random >> 24 & 0xf) == 3)
            continue;
        duplicates += came[seq];
        unique += !came[seq];
        came[seq] = 1;
        sequence_add(&s, seq);
    }
    cr_assert_gt(duplicates, 100);
    cr_assert_eq(s.duplicates, duplicates);
    cr_assert_eq(s.unique, unique);
    cr_assert_eq(sequence_lost(&s, SEQUENCE_ANY), RANGE - unique);
    sequence_free(&s);
}

Test(payload, sequence_widens_eight_bits)
{
    struct sequence s;

    cr_assert(sequence_init(&s, 0, SEQUENCE_ANY));
    cr_assert_eq(sequence_widen(&s, 0, 0), 0);
    cr_assert_eq(sequence_widen(&s, 127, 0), 127);
    cr_assert_eq(sequence_widen(&s, 200, 0), 200); // nothing lies below 0
    cr_assert_eq(sequence_widen(&s, 0, 1000), 1024);
    cr_assert_eq(sequence_widen(&s, 1000 & 0xff, 1000), 1000);
    sequence_add(&s, 1000);
    cr_assert_eq(sequence_widen(&s, 1001 & 0xff, 0), 1001);
    cr_assert_eq(sequence_widen(&s, 1000 & 0xff, 0), 1000);
    cr_assert_eq(sequence_widen(&s, (1001 + 127) & 0xff, 0), 1001 + 127);
    cr_assert_eq(sequence_widen(&s, (1001 - 128) & 0xff, 0), 1001 - 128);
    sequence_free(&s);
}

// --- histogram ---------------------------------------------------------------------------------------

Test(payload, histogram_percentiles_are_near)
{
    static const unsigned permille[] = {1, 10, 500, 900, 990, 999, 1000};
    static struct histogram h;

    cr_assert_eq(histogram_percentile(&h, 500), 0);
    for (int64_t value = 1; value <= 1000000; value++)
        histogram_add(&h, value);
    for (size_t i = 0; i < COUNT(permille); i++) {
        int64_t exact = permille[i] * 1000, found = histogram_percentile(&h, permille[i]);
        cr_assert_leq(llabs(found - exact), exact / 64 + 1, "p%u: %lld", permille[i], (long long) found);
    }
    cr_assert_eq(h.min, 1);
    cr_assert_eq(h.max, 1000000);
}

Test(payload, histogram_takes_all_values)
{
    static struct histogram h;

    histogram_add(&h, INT64_MIN);
    histogram_add(&h, INT64_MAX);
    histogram_add(&h, 0);
    cr_assert_eq(h.min, INT64_MIN);
    cr_assert_eq(h.max, INT64_MAX);
    cr_assert_eq(histogram_percentile(&h, 500), 0);
    cr_assert_geq(histogram_percentile(&h, 999), INT64_MAX - INT64_MAX / 64);
}

// --- pace --------------------------------------------------------------------------------------------

static const uint64_t rates[] = {1, 3, 7, 999, 1000, 30001, 200000, 3333333, 100000000};

Test(payload, pace_keeps_the_rate)
{
    for (size_t i = 0; i < COUNT(rates); i++)
        for (uint64_t unit = 1; unit <= 32; unit += 31) {
            uint64_t now = 5 * NS_PER_S, begin = now, most = 64 * unit, wait = 0;
            struct pace p;

            pace_init(&p, rates[i], unit, most, now);
            for (unsigned calls = 0; calls < 10000; calls++) {
                uint64_t n = pace_take(&p, most, now, &wait);
                cr_assert_leq(n, most);
                cr_assert_eq(n % unit, 0);
                if (n == 0) {
                    cr_assert_gt(wait, now, "rate %llu", (unsigned long long) rates[i]);
                    now = wait;
                }
                // Never ahead of time.
                double due = (double) (now - begin) * (double) rates[i] / 1e9 + 1;
                cr_assert_leq((double) p.done, due + 1e-3, "rate %llu", (unsigned long long) rates[i]);
            }
            double due = (double) (now - begin) * (double) rates[i] / 1e9 + 1;
            cr_assert_geq((double) p.done, due - 2 * (double) p.group - 1);
            cr_assert_eq(p.given_up_ns, 0);
        }
}

Test(payload, pace_groups_when_the_rate_is_high)
{
    struct pace p;

    pace_init(&p, 1000, 1, 64, 0);
    cr_assert_eq(p.group, 1);
    pace_init(&p, 200000, 1, 64, 0);
    cr_assert_eq(p.group, 10);
    pace_init(&p, 200000, 32, 64 * 32, 0);
    cr_assert_eq(p.group, 32);
    pace_init(&p, 100000000, 1, 64, 0);
    cr_assert_eq(p.group, 64);
}

Test(payload, pace_catches_up_at_twice_the_rate)
{
    struct pace p;
    uint64_t now = NS_PER_S, wait = 0, sent = 0;

    pace_init(&p, 10000, 1, 64, now);
    cr_assert_eq(pace_take(&p, 64, now, &wait), 1);
    now += 50000000; // stalled for 50 ms: 500 datagrams
    uint64_t resumed = now;
    while (now < resumed + 20000000) {
        uint64_t n = pace_take(&p, 64, now, &wait);
        sent += n;
        if (n == 0)
            now = wait;
    }
    cr_assert_leq(sent, 400 + 64);
    cr_assert_geq(sent, 400 - 64);
    cr_assert_eq(p.given_up_ns, 0);
}

Test(payload, pace_gives_up_what_is_long_past)
{
    struct pace p;
    uint64_t now = NS_PER_S, wait = 0;

    pace_init(&p, 1000, 1, 64, now);
    cr_assert_eq(pace_take(&p, 64, now, &wait), 1);
    now += 3 * NS_PER_S;
    cr_assert_eq(pace_take(&p, 64, now, &wait), 64);
    cr_assert_eq(p.given_up_ns, 3 * NS_PER_S - 1000000 - PACE_LAG_NS);
}

Test(payload, pace_without_a_rate_and_at_the_end)
{
    struct pace p;
    uint64_t wait = 0;

    pace_init(&p, 0, 1, 64, 0);
    cr_assert_eq(pace_take(&p, 64, 0, &wait), 64);
    cr_assert_eq(pace_take(&p, 5, 0, &wait), 5);
    pace_init(&p, 200000, 32, 64 * 32, 0);
    cr_assert_eq(pace_take(&p, 5, NS_PER_S, &wait), 5); // fewer than a unit, when no more are left
}

// --- the bar ---------------------------------------------------------------------------------------------------------

struct bar_case {
    uint64_t done, total, elapsed_ns;
    const char *text;
};

Test(progress, bars)
{
    static const struct bar_case cases[] = {
        {0, 100, NS_PER_S, "[........................................]   0 %"},
        {1, 4, 4 * NS_PER_S, "[##########..............................]  25 %, 12 s left"},
        {99, 100, 99 * NS_PER_S, "[#######################################.]  99 %, 1 s left"},
        {4, 4, NS_PER_S, "[########################################] 100 %, 0 s left"},
        {9, 4, NS_PER_S, "[########################################] 100 %, 0 s left"}, // estimated
        {0, 0, 0, "[########################################] 100 %, 0 s left"},
    };
    char text[PROGRESS_TEXT_MAX];

    for (size_t i = 0; i < COUNT(cases); i++)
        cr_assert_str_eq(progress_text(cases[i].done, cases[i].total, cases[i].elapsed_ns, text), cases[i].text);
}

// --- the report ------------------------------------------------------------------------------------------------------

// The last line that print() has added to what was redirected.
static const char *last_line(char said[8192])
{
    FILE *out = cr_get_redirected_stdout();

    fflush(stdout);
    size_t n = fread(said, 1, 8191, out);
    cr_assert_gt(n, 0);
    said[n - 1] = '\0'; // the end of the last line
    return strrchr(said, '\n') + 1;
}

struct received_case {
    struct gen_received of;
    uint64_t expect;
    const char *said;
    uint64_t size;
};

Test(report, ends_with_the_verdict_in_words, .init = cr_redirect_stdout)
{
    static const struct received_case cases[] = {
        {{.ok = true, .received = 5}, 5, "ok: 5 datagrams, nothing lost, duplicate or corrupt", 0},
        {{.ok = true}, 0, "ok: nothing came, as expected", 0},
        {{.received = 0}, GEN_NONE, "FAILED: nothing came", 0},
        {{.ok = true, .foreign = 3}, 0, "ok: nothing of the stream came, as expected; 3 foreign", 0},
        {{.foreign = 500},
         GEN_NONE,
         "FAILED: 500 foreign came and no other: is --as, --stream or --size missing or wrong?",
         0},
        {{.foreign = 500, .lost = 9},
         9,
         "FAILED: 9 lost, 500 foreign came and no other: is --as, --stream or --size missing or wrong?",
         0},
        {{.ok = true, .received = 5, .foreign = 500}, 5, "ok: 5 datagrams, nothing lost, duplicate or corrupt", 0},
        {{.received = 4, .lost = 1, .corrupt = 2}, 5, "FAILED: 1 lost, 2 corrupt", 0},
        {{.received = 9, .sequence = {.duplicates = 3, .too_old = 1}, .unexpected = 2},
         5,
         "FAILED: 3 duplicate, 2 unexpected, 1 too old",
         0},
        {{.received = 9, .socket_drops = 7},
         GEN_NONE,
         "FAILED: 7 dropped by the socket, so that the end may be missing",
         0},
        {{.received = 9}, 9, "FAILED: the socket failed", 0},
        {{.received = 4, .lost = 6, .coming = true}, 10, "FAILED: stopped after 60 s while datagrams still came", 0},
        {{.received = 4, .lost = 6, .coming = true, .sequence = {.any = true, .highest = 5, .wanted_count = 10}},
         10,
         "FAILED: stopped after 60 s while datagrams still came, 2 lost",
         1},
        {{.received = 4, .lost = 6, .coming = true, .sequence = {.any = true, .highest = 9, .wanted_count = 10}},
         10,
         "FAILED: 6 lost",
         1},
        {{.received = 4, .lost = 6, .sequence = {.any = true, .highest = 5, .wanted_count = 10}},
         10,
         "FAILED: 6 lost",
         1},
        {{.received = 4, .lost = 6, .coming = true, .sequence = {.any = true, .highest = 9}},
         GEN_NONE,
         "FAILED: 6 lost",
         1},
    };
    char said[8192];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gen_options o = {.interface = "in0", .expect = cases[i].expect, .seconds = 60, .size = cases[i].size};
        struct gen_received of = cases[i].of;
        of.stopped_by = "count";
        cr_assert(gen_report_received(&o, &of));
        cr_assert_str_eq(last_line(said), cases[i].said);
    }
    struct gen_options o = {.interface = "in0", .flows = 1};
    struct gen_sent sent = {.sent = 7};
    cr_assert(gen_report_sent(&o, &sent));
    cr_assert_str_eq(last_line(said), "ok: 7 datagrams sent");
    sent.failed = 3;
    cr_assert(gen_report_sent(&o, &sent));
    cr_assert_str_eq(last_line(said), "FAILED: 3 of 10 datagrams were not sent");
}
