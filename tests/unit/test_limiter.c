// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "relay/health.h"
#include "relay/limiter.h"
#include "relay/coalesce.h"

#define MILLISECOND UINT64_C(1000000)

static const struct table_rule ten = {.packets_per_second = 10, .burst_ms = 1000};

static struct addr sender(uint32_t i)
{
    return (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, (uint8_t) (i >> 8), (uint8_t) i}};
}

// How many of n single datagrams pass.
static unsigned pass(struct senders *s, const struct addr *a, unsigned n, uint64_t now)
{
    unsigned passed = 0;

    for (unsigned i = 0; i < n; i++)
        passed += (unsigned) limiter_admit(senders_find(s, a, now), 1, 100, now);
    return passed;
}

Test(limiter, both_rates_hold)
{
    struct table_rule r = {.packets_per_second = 1000, .bits_per_second = 8000, .burst_ms = 1000, .max_payload = 65507};
    struct limiter l;

    limiter_init(&l, &r, 0);
    // The bucket of bits holds one datagram of the largest size, 524,056 bits: 655 of 800.
    cr_expect_eq(limiter_admit(&l, 2000, 100, 0), 655);
    cr_expect_eq(limiter_admit(&l, 2000, 0, 0), 345);
    cr_expect_eq(limiter_admit(&l, 2000, 100, NS_PER_S), 10);
}

// One datagram of max_payload bytes is the least burst: a smaller bound makes burst_ms felt at lower rates.
Test(limiter, least_burst_is_the_largest_payload)
{
    struct table_rule r = {.bits_per_second = 1000000, .burst_ms = 20, .max_payload = 1000};
    struct limiter l;

    limiter_init(&l, &r, 0);
    cr_expect_eq(limiter_admit(&l, 100, 1000, 0), 2, "20,000 bits");
    r.burst_ms = 1;
    limiter_init(&l, &r, 0);
    cr_expect_eq(limiter_admit(&l, 100, 1000, 0), 1);
    cr_expect_eq(limiter_admit(&l, 100, 1000, 8 * MILLISECOND), 1);
    r.max_payload = 0;
    limiter_init(&l, &r, 0);
    cr_expect_eq(limiter_admit(&l, 100, 0, 0), 100, "empty datagrams cost no bits");
}

// Ten a second, at most ten at once. No mcrd ran for three seconds: what has waited passes as it would have; what is
// left of that is taken back.
Test(limiter, bridges_a_restart)
{
    const struct table_rule bits = {.bits_per_second = 8000, .burst_ms = 1000, .max_payload = 100}; // ten payloads
    struct limiter l;

    for (int round = 0; round < 4; round++) {
        bool settled = round % 2;
        limiter_init(&l, round < 2 ? &ten : &bits, 0);
        cr_expect_eq(limiter_admit(&l, 100, 100, NS_PER_S), 10, "idle until then");
        limiter_bridge(&l, 3 * NS_PER_S, 4 * NS_PER_S);
        cr_expect_eq(limiter_admit(&l, 15, 100, 4 * NS_PER_S), 15);
        if (settled)
            limiter_settle(&l);
        cr_expect_eq(limiter_admit(&l, 100, 100, 4 * NS_PER_S + 1), settled ? 10 : 15, "and no more");
        cr_expect_eq(limiter_admit(&l, 100, 100, 10 * NS_PER_S), 10, "then as ever");
    }
    // The last fill was within the gap.
    limiter_init(&l, &ten, 0);
    cr_expect_eq(limiter_admit(&l, 100, 100, 2 * NS_PER_S), 10);
    limiter_bridge(&l, 3 * NS_PER_S, 4 * NS_PER_S);
    cr_expect_eq(limiter_admit(&l, 100, 100, 4 * NS_PER_S), 20);
    // No limit, a gap that nobody knows, and one of centuries.
    struct table_rule none = {.burst_ms = 1000},
                      most = {.packets_per_second = UINT64_C(1000000000000), .burst_ms = 10000};
    limiter_init(&l, &none, 0);
    limiter_bridge(&l, NS_PER_S, NS_PER_S);
    cr_expect_eq(limiter_admit(&l, 100, 100, NS_PER_S), 100);
    limiter_init(&l, &most, 0);
    limiter_bridge(&l, UINT64_MAX, NS_PER_S);
    cr_expect_eq(limiter_admit(&l, 100, 100, NS_PER_S), 100);
}

Test(limiter, a_restart_bridges_for_each_sender)
{
    struct senders *s = senders_place(&ten, 1, 2 * NS_PER_S, calloc(1, senders_bytes())); // made by the start
    struct addr a = sender(1), b = sender(2);

    cr_expect_eq(pass(s, &a, 20, 0), 10);
    senders_bridge(s, 2 * NS_PER_S, 2 * NS_PER_S);
    cr_expect_eq(pass(s, &a, 100, 2 * NS_PER_S), 20);
    cr_expect_eq(pass(s, &b, 100, 2 * NS_PER_S), 30, "whoever has begun meanwhile");
    senders_settle(s);
    struct addr c = sender(3);
    cr_expect_eq(pass(s, &c, 100, 2 * NS_PER_S), 10);
    free(s);
}

Test(limiter, each_sender_has_its_own)
{
    struct senders *s = senders_place(&ten, 1, 0, calloc(1, senders_bytes()));
    struct addr a = sender(1), b = sender(2), c = {.family = ADDR_IPV6, .bytes = {198, 18, 0, 1}};

    cr_expect_eq(pass(s, &a, 20, 0), 10);
    cr_expect_eq(pass(s, &b, 20, 0), 10);
    cr_expect_eq(pass(s, &c, 20, 0), 10, "the same bytes of another family");
    cr_expect_eq(pass(s, &a, 20, 0), 0);
    cr_expect_eq(pass(s, &a, 20, NS_PER_S / 2), 5);
    free(s);
}

// Whatever addresses come, no more passes than the places and the shared limiter hold; and who has a place keeps it.
Test(limiter, forged_senders_share_what_is_left)
{
    struct senders *s = senders_place(&ten, 42, 0, calloc(1, senders_bytes()));
    struct addr known = sender(0xffff);
    unsigned passed = 0;

    cr_expect_eq(pass(s, &known, 5, 0), 5);
    for (uint32_t i = 0; i < 20000; i++) {
        struct addr a = sender(i);
        passed += pass(s, &a, 1, 0) + pass(s, &a, 1, 0);
    }
    // Each place lets two pass here; the shared one ten.
    cr_expect_leq(passed, 2 * SENDERS_MAX + 10, "%u", passed);
    cr_expect_geq(passed, 2 * (SENDERS_MAX - 1), "%u: nearly all places are used", passed);
    cr_expect_eq(pass(s, &known, 20, 0), 5);
    // A second later everybody's buckets are full again: newcomers find room.
    struct addr late = sender(30000);
    cr_expect_eq(pass(s, &late, 20, 2 * NS_PER_S), 10);
    free(s);
}

Test(limiter, senders_outlive_a_reload)
{
    struct table_rule five = {.packets_per_second = 5, .burst_ms = 1000};
    struct senders *old = senders_place(&ten, 7, 0, calloc(1, senders_bytes())),
                   *s = senders_place(&five, 8, 0, calloc(1, senders_bytes()));
    struct addr a = sender(1), b = sender(2);

    cr_expect_eq(pass(old, &a, 20, 0), 10);
    cr_expect_eq(pass(old, &b, 3, 0), 3);
    senders_carry(s, old);
    cr_expect_eq(pass(s, &a, 20, 0), 0);
    cr_expect_eq(pass(s, &b, 20, 0), 5, "the new limit's depth");
    cr_expect_eq(pass(s, &a, 20, NS_PER_S), 5);
    free(old);
    free(s);
}

// 10,000 rules with places for 512 senders each: what nobody has come to is not written, or a reload takes all of it.
Test(limiter, places_of_nobody_are_not_carried)
{
    struct senders *old = senders_place(&ten, 7, 0, calloc(1, senders_bytes())),
                   *s = senders_place(&ten, 7, 0, calloc(1, senders_bytes()));
    size_t size = malloc_usable_size(s), differing = 0;
    unsigned char *before = malloc(size);
    struct addr a = sender(1);

    memcpy(before, s, size);
    senders_carry(s, old);
    cr_expect_eq(memcmp(before, s, size), 0, "nobody has come");
    cr_expect_eq(pass(old, &a, 1, 0), 1);
    senders_carry(s, old);
    for (size_t i = 0; i < size; i++)
        differing += before[i] != ((unsigned char *) s)[i];
    cr_expect(differing > 0 && differing <= size / SENDERS_MAX, "%zu bytes are others, one place has %zu", differing,
              size / SENDERS_MAX);
    free(before);
    free(old);
    free(s);
}

// What comes at which time, and what is told.
Test(health, alarms_are_told_once)
{
    static const struct table_rule r = {.silence_ms = 1000, .min_packets_per_second = 10};
    enum { SILENT = 1 << STATS_ALARM_SILENCE, SLOW = 1 << STATS_ALARM_RATE, BOTH = SILENT | SLOW };
    static const struct {
        uint64_t ms, count;
        uint32_t changed, alarms;
    } looks[] = {
        {250, 0, 0, 0},          {999, 0, 0, 0},           {1000, 0, BOTH, BOTH}, // nothing from the start
        {1500, 0, 0, BOTH},                                                       // once, not repeatedly
        {1600, 1, SILENT, SLOW},                                                  // heard
        {2000, 5, 0, SLOW},                                                       // 5 a second
        {3000, 15, SLOW, 0},                                                      // 10 a second
        {3900, 15, 0, 0},        {4000, 15, BOTH, BOTH},                          // first seen at 3000
        {5000, 1015, BOTH, 0},   {6500, 1029, SLOW, SLOW},                        // 14 in 1.5 s
    };
    struct health h;

    health_init(&h, 5 * NS_PER_S);
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        uint32_t changed = health_look(&h, &r, looks[i].count, 0, 5 * NS_PER_S + looks[i].ms * MILLISECOND);
        cr_expect(changed == looks[i].changed && h.alarms == looks[i].alarms, "%zu: changed %u, alarms %u", i, changed,
                  h.alarms);
    }
    // Bounds that a reload took away.
    static const struct table_rule none = {.silence_ms = 0};
    cr_expect_eq(health_look(&h, &none, 1029, 0, 5 * NS_PER_S + 7500 * MILLISECOND), SLOW);
    cr_expect_eq(h.alarms, 0);
}

// How long one in a hundred stayed, in the second that ends then.
Test(health, residence_is_told_once_and_outlasts_pauses)
{
    static const struct table_rule r = {.max_residence_us = 500};
    static const struct table_rule none = {.max_residence_us = 0};
    static const struct {
        uint64_t s, us;
        bool changed, raised;
    } looks[] = {
        {1, 0, false, false},   {2, 500, false, false}, {3, 501, true, true},  {4, 900, false, true},
        {8, 100, false, true},  {9, 100, true, false},  {10, 501, true, true}, {14, 501, false, true},
        {16, 100, false, true}, {19, 0, true, false},
    };
    const uint32_t bit = 1u << STATS_ALARM_RESIDENCE;
    struct health h;

    health_init(&h, NS_PER_S);
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        uint32_t changed = health_residence(&h, &r, looks[i].us * 1000, looks[i].s * NS_PER_S);
        cr_expect(changed == (looks[i].changed ? bit : 0) && h.alarms == (looks[i].raised ? bit : 0), "%zu", i);
    }
    health_residence(&h, &r, 501000, 20 * NS_PER_S);
    cr_expect_eq(health_residence(&h, &none, 0, 21 * NS_PER_S), bit, "a reload took the bound away");
    cr_expect_eq(h.alarms, 0);
}

// What each of two legs has brought at which time, and which are silent for 1000 ms while the other is not.
Test(health, a_leg_is_silent_beside_another)
{
    static const struct {
        uint64_t ms, a, b;
        bool silent[2];
    } looks[] = {
        {500, 1, 0, {false, false}},  {999, 2, 0, {false, false}},
        {1000, 3, 0, {false, true}},  // b has brought nothing from the start
        {1100, 4, 1, {false, false}}, // heard at once
        {2050, 4, 2, {false, false}}, {2100, 4, 3, {true, false}},
        {9000, 4, 3, {true, false}}, // a stays so, and b, silent since, is the rule's silence
        {9100, 5, 3, {false, true}}, // a is back
    };
    struct leg_health legs[2] = {{.changed_ns = 0}, {.changed_ns = 0}};

    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        leg_health_note(&legs[0], looks[i].a, looks[i].ms * MILLISECOND);
        leg_health_note(&legs[1], looks[i].b, looks[i].ms * MILLISECOND);
        uint64_t last = legs[0].heard_ns > legs[1].heard_ns ? legs[0].heard_ns : legs[1].heard_ns;
        for (size_t j = 0; j < 2; j++) {
            cr_expect(leg_health_silent(&legs[j], 1000, last) == looks[i].silent[j], "look %zu, leg %zu", i, j);
            cr_expect(!leg_health_silent(&legs[j], 0, last), "without silence_ms");
        }
    }
}

Test(health, a_leg_is_silent_only_beside_one_that_was_heard)
{
    const struct leg_health first = {.changed_ns = 0}, added = {.changed_ns = 5000 * MILLISECOND};

    cr_expect_not(leg_health_silent(&first, 1000, added.heard_ns), "an added leg that has brought nothing");
    cr_expect_not(leg_health_silent(&added, 1000, 4900 * MILLISECOND), "what another brought before it was there");
    cr_expect_not(leg_health_silent(&added, 1000, 5999 * MILLISECOND));
    cr_expect(leg_health_silent(&added, 1000, 6000 * MILLISECOND));
}

// What has been counted in which second, and what is told. What counts is what came, but for senders that are not
// allowed.
Test(health, a_rule_that_drops_nearly_all_that_comes)
{
    static const struct {
        uint64_t s, packets, size, no_sequence, source;
        bool changed, on;
    } looks[] = {
        {1, 10, 0, 0, 0, false, false},                                      // all is relayed
        {2, 20, 0, 10, 0, false, false},    {3, 31, 0, 20, 0, false, false}, // one in eleven passes
        {4, 40, 5, 24, 0, true, true},      {5, 50, 5, 25, 9, false, true},  // others do not count
        {6, 60, 5, 35, 9, false, true},     {7, 71, 5, 44, 9, true, false},  // 2 of 11 pass
        {8, 80, 5, 53, 9, false, false},    {9, 90, 5, 63, 9, false, false},    {10, 110, 25, 63, 9, true, true},
        {14, 110, 25, 63, 9, false, true},  {15, 110, 25, 63, 9, true, false}, // nothing has come for five seconds
        {16, 111, 26, 63, 9, false, false}, {30, 111, 26, 63, 9, false, false}, {31, 112, 27, 63, 9, false, false},
        {50, 112, 27, 63, 9, false, false}, // seldom ones, far apart
        {51, 113, 28, 63, 9, false, false},
    };
    struct blockage b = {.on = false};
    struct stats_rule_counters c = {.packets = 0};
    char why[BLOCKAGE_TEXT_MAX];

    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        c.packets = looks[i].packets;
        c.drops.size = looks[i].size;
        c.drops.no_sequence = looks[i].no_sequence;
        c.drops.source = looks[i].source;
        bool changed = blockage_look(&b, &c, looks[i].s * NS_PER_S);
        cr_expect(changed == looks[i].changed && b.on == looks[i].on, "%zu: %d %d", i, changed, b.on);
        cr_expect_not(blockage_look(&b, &c, looks[i].s * NS_PER_S + NS_PER_S / 2), "%zu: within a second", i);
        if (i == 3)
            cr_expect_str_eq(blockage_why(&b, why), "no_sequence (has no number to be merged by)");
        if (i == 9)
            cr_expect_str_eq(blockage_why(&b, why), "size (payload is larger than max_payload)");
    }
}

// How much has been counted at which time, and what is told.
Test(health, a_spell_is_told_once_and_outlasts_pauses)
{
    static const struct {
        uint64_t ms, count, quiet_ns;
        bool turned, on;
    } looks[] = {
        {0, 7, SPELL_QUIET_NS, true, true},        // it begins with the first
        {200, 9, SPELL_QUIET_NS, false, true},     //
        {5100, 9, SPELL_QUIET_NS, false, true},    // a pause
        {5199, 10, SPELL_QUIET_NS, false, true},   // goes on
        {10198, 10, SPELL_QUIET_NS, false, true},  //
        {10199, 10, SPELL_QUIET_NS, true, false},  // 5 s after the last one was seen
        {20000, 10, SPELL_QUIET_NS, false, false}, //
        {30000, 11, SPELL_QUIET_NS, true, true},   // another one
        {99000, 11, UINT64_MAX, false, true},      // which may not end
        {99000, 11, 0, true, false},               // or must
        {99200, 12, 0, false, false},              // or may not begin
        {99400, 12, SPELL_QUIET_NS, false, false}, // what came then is not told later
    };
    struct spell s = {.count = 5};

    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        bool turned = spell_look(&s, looks[i].count, looks[i].quiet_ns, 9 * NS_PER_S + looks[i].ms * MILLISECOND);
        cr_expect(turned == looks[i].turned && s.on == looks[i].on, "%zu: turned %d, on %d", i, turned, s.on);
        if (i == 5)
            cr_expect(s.count - s.before == 5 && s.last_ns - s.began_ns == 5199 * MILLISECOND, "what it came to");
    }
}

Test(health, only_a_rule_with_a_limit_is_limited)
{
    static const struct table_rule limits[] = {{.packets_per_second = 1}, {.bits_per_second = 1}},
                                   none = {.silence_ms = 0};
    struct health h;

    for (int i = 0; i < 2; i++) {
        health_init(&h, NS_PER_S);
        cr_expect(health_wanted(&limits[i]) && !health_wanted(&none));
        cr_expect_eq(health_look(&h, &limits[i], 0, 0, 2 * NS_PER_S), 0);
        cr_expect_eq(health_look(&h, &limits[i], 0, 3, 3 * NS_PER_S), HEALTH_LIMIT);
        cr_expect_eq(health_look(&h, &limits[i], 0, 4, 4 * NS_PER_S), 0);
        // A reload takes the limit away, and more was dropped since the last look.
        cr_expect_eq(health_look(&h, &none, 0, 5, 5 * NS_PER_S), HEALTH_LIMIT);
        cr_expect(!h.limit.on && h.alarms == 0);
    }
}

Test(pace, waits_under_load_only)
{
    static const struct {
        uint64_t rate, flows, most_ns, wait_ns;
    } cases[] = {
        {1000, 1, 100000, 0},           {99000, 1, 100000, 0},
        {101000, 1, 100000, 100000},    {400000, 1, 100000, 100000},
        {480000, 1, 100000, 100000},    {960000, 1, 100000, 50000},
        {960000, 1, 20000, 20000},      {960000, 1, 0, 0},
        {960000, 0, 100000, 50000},     {960000, 4, 1000000, 200000},
        {960000, 64, 1000000, 1000000}, {99000, 64, 1000000, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct coalesce p = {.since_ns = 0};
        uint64_t wait = 0;
        for (uint64_t ms = 1; ms <= 10; ms++)
            wait = coalesce_turn(&p, cases[i].rate / 1000, cases[i].flows, cases[i].most_ns, ms * MILLISECOND);
        cr_expect_eq(wait, cases[i].wait_ns, "%zu: %lu", i, (unsigned long) wait);
        // The load ends: within a millisecond nothing waits any more.
        coalesce_turn(&p, 0, 0, cases[i].most_ns, 11 * MILLISECOND);
        cr_expect_eq(coalesce_turn(&p, 1, 1, cases[i].most_ns, 12 * MILLISECOND), 0);
    }
}
