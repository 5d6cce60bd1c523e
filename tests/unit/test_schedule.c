// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/moment.h"
#include "common/schedule.h"
#include "config/load.h"
#include "config/times.h"

Test(schedule, moments)
{
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {
        {MOMENT_LEAST, 946684800},
        {"2000-02-29T12:00:00Z", 951825600},
        {"2026-12-01T22:00:00Z", 1796162400},
        {"2038-01-19T03:14:08Z", UINT64_C(1) << 31},
        {"2100-03-01T00:00:00Z", UINT64_C(4107542400)},
        {"2400-02-29T23:59:59Z", UINT64_C(13574649599)},
        {MOMENT_MOST, UINT64_C(253402300799)},
    };
    char text[MOMENT_TEXT_MAX];
    uint64_t seconds;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_expect(moment_parse(good[i].text, &seconds) && seconds == good[i].seconds, "%s: %llu", good[i].text,
                  (unsigned long long) seconds);
        cr_expect_str_eq(moment_format(good[i].seconds, text), good[i].text);
    }
    cr_expect_str_eq(moment_format(0, text), "1970-01-01T00:00:00Z");
    cr_expect_str_eq(moment_format(UINT64_MAX, text), MOMENT_MOST);
}

Test(schedule, no_moments)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-12-01",
        "2026-12-01T22:00Z",
        "2026-12-01T22:00:00",
        "2026-12-01 22:00:00Z",
        "2026-12-01t22:00:00Z",
        "2026-12-01T22:00:00z",
        "2026-12-01T22:00:00+00:00",
        "2026-12-01T22:00:00.0Z",
        "2026-12-01T22:00:00Z ",
        " 2026-12-01T22:00:00Z",
        "2026-13-01T22:00:00Z",
        "2026-00-01T22:00:00Z",
        "2026-02-29T22:00:00Z",
        "2100-02-29T22:00:00Z",
        "2026-04-31T22:00:00Z",
        "2026-12-00T22:00:00Z",
        "2026-12-01T24:00:00Z",
        "2026-12-01T22:60:00Z",
        "2026-12-31T23:59:60Z",
        "1999-12-31T23:59:59Z",
        "02026-12-01T22:00:00Z",
        "2026-12-1T22:00:00Z",
        "+026-12-01T22:00:00Z",
        "2026-12-01T22:00:-1Z",
        "10000-01-01T00:00:00Z",
        "2026/12/01T22:00:00Z",
        "2026-12-01T22.00.00Z",
        "2026-12-01Thh:00:00Z",
        "2026-12-01T22:mm:00Z",
        "2026-12-01T22:00:ssZ",
        "2026-12-",
        "2026-12x01T22:00:00Z",
    };
    uint64_t seconds;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(moment_parse(bad[i], &seconds), "\"%s\"", bad[i]);
}

// Every day of 400 years, held against the C library.
Test(schedule, days)
{
    char ours[MOMENT_TEXT_MAX], theirs[64];
    uint64_t back;

    for (time_t t = 946684800 + 3723; t < 946684800 + (time_t) 400 * 366 * 86400; t += 86400) {
        struct tm tm;
        strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
        cr_assert_str_eq(moment_format((uint64_t) t, ours), theirs);
        cr_assert(moment_parse(theirs, &back) && back == (uint64_t) t, "%s", theirs);
    }
}

Test(schedule, guesses)
{
    static const char *const texts[][2] = {
        {"2026-12-01", "2026-12-01T00:00:00Z"},
        {"2026-12-01T22:00Z", "2026-12-01T22:00:00Z"},
        {"2026-12-01 22:00:05", "2026-12-01T22:00:05Z"},
        {"2026-12-01T22:00:00+01:00", "2026-12-01T21:00:00Z"},
        {"2026-12-01T22:00:00.25-0530", "2026-12-02T03:30:00Z"},
        {"2026-12-31t23:30:00 -01", "2027-01-01T00:30:00Z"},
        {"2026-12-01T22:00:00Zulu", NULL},
        {"tomorrow", NULL},
        {"2026-12-01T22:00:00+99:00", NULL},
        {"9999-12-31T23:59:59-01:00", NULL},
        {"2026-12-01T22:00:00,", "2026-12-01T22:00:00Z"},
        {"2000-01-01T00:30:00+01:00", NULL},
        {"2026-12-01Thh:00:00Z", NULL},
        {"2026-12-01T22-00:00Z", NULL},
        {"2026-12-01T22:mm:00Z", NULL},
        {"2026-12-01T22:00:ssZ", NULL},
        {"2026-12-01T22:00:60Z", NULL},
        {"2026-12-01T22:60:00Z", NULL},
        {"2026-12-01T24:00:00Z", NULL},
        {"2026-12-01T22:00:00+h", NULL},
        {"2026-12-01T22:00:00+01:m", NULL},
        {"2026-12-01T22:00:00+01:60", NULL},
        {"2026-12-01T22:00:00+01 ", NULL},
    };
    char text[MOMENT_TEXT_MAX];
    uint64_t seconds;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        bool is = moment_guess(texts[i][0], &seconds);
        cr_expect_eq(is, texts[i][1] != NULL, "%s", texts[i][0]);
        if (is && texts[i][1])
            cr_expect_str_eq(moment_format(seconds, text), texts[i][1]);
    }
}

Test(schedule, phases)
{
    static const struct {
        struct schedule s;
        uint64_t now;
        enum schedule_phase phase;
        uint64_t next;
    } cases[] = {
        {{0, 0}, 5, SCHEDULE_OPEN, 0},     {{10, 0}, 9, SCHEDULE_BEFORE, 10},
        {{10, 0}, 10, SCHEDULE_OPEN, 0},   {{0, 20}, 19, SCHEDULE_OPEN, 20},
        {{0, 20}, 20, SCHEDULE_AFTER, 0},  {{10, 20}, 0, SCHEDULE_BEFORE, 10},
        {{10, 20}, 10, SCHEDULE_OPEN, 20}, {{10, 20}, 19, SCHEDULE_OPEN, 20},
        {{10, 20}, 20, SCHEDULE_AFTER, 0}, {{10, 20}, UINT64_MAX, SCHEDULE_AFTER, 0},
        {{20, 10}, 15, SCHEDULE_AFTER, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(schedule_phase(cases[i].s, cases[i].now), cases[i].phase, "%zu", i);
        cr_expect_eq(schedule_next(cases[i].s, cases[i].now), cases[i].next, "%zu", i);
    }
    cr_expect_eq(schedule_sooner(0, 5), 5);
    cr_expect_eq(schedule_sooner(5, 0), 5);
    cr_expect_eq(schedule_sooner(5, 4), 4);
    cr_expect_eq(schedule_sooner(0, 0), 0);
    // 1970, and a file from 2030.
    cr_expect_gt(schedule_clock_least(0), UINT64_C(1700000000));
    cr_expect_eq(schedule_clock_least(1900000000), UINT64_C(1900000000) - 86400);
}

#define RULE(name, group, times)                                                                                       \
    "{ name = \"" name "\"; " times " input = { interface = \"a0\"; group = \"" group                                  \
    "\"; port = 5000; }; outputs = ( { interface = \"b0\"; group = \"" group "\"; port = 5000; } ); }"

static struct config *load(const char *top)
{
    struct config_problems problems = {0};
    char text[4096];

    snprintf(
        text, sizeof(text), "version = 1; %s rules = ( %s, %s, %s );", top, RULE("always", "239.1.1.1", ""),
        RULE("soon", "239.1.1.2", "active_from = \"2027-01-01T00:00:00Z\";"),
        RULE("brief", "239.1.1.3", "active_from = \"2026-06-01T00:00:00Z\"; active_until = \"2026-07-01T00:00:00Z\";"));
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    if (!c)
        config_problems_print(&problems, "text", stderr);
    config_problems_free(&problems);
    cr_assert_not_null(c);
    return c;
}

static uint64_t at(const char *text)
{
    uint64_t seconds;

    cr_assert(moment_parse(text, &seconds), "%s", text);
    return seconds;
}

Test(schedule, rules)
{
    static const struct {
        const char *now;
        enum schedule_phase phases[3];
        const char *next; // NULL: nothing
    } cases[] = {
        {"2026-05-31T23:59:59Z", {SCHEDULE_OPEN, SCHEDULE_BEFORE, SCHEDULE_BEFORE}, "2026-06-01T00:00:00Z"},
        {"2026-06-01T00:00:00Z", {SCHEDULE_OPEN, SCHEDULE_BEFORE, SCHEDULE_OPEN}, "2026-07-01T00:00:00Z"},
        {"2026-07-01T00:00:00Z", {SCHEDULE_OPEN, SCHEDULE_BEFORE, SCHEDULE_AFTER}, "2027-01-01T00:00:00Z"},
        {"2027-01-01T00:00:00Z", {SCHEDULE_OPEN, SCHEDULE_OPEN, SCHEDULE_AFTER}, NULL},
    };
    struct config *c = load("");
    char text[TIMES_TEXT_MAX];

    cr_expect(times_matter(c));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        times_apply(c, at(cases[i].now), true);
        for (size_t j = 0; j < 3; j++)
            cr_expect_eq(c->rules[j].phase, cases[i].phases[j], "%s: rule %zu", cases[i].now, j);
        cr_expect_eq(c->next_change, cases[i].next ? at(cases[i].next) : 0, "%s", cases[i].now);
    }
    cr_expect_str_eq(times_reason(&c->rules[2], text), "until 2026-07-01T00:00:00Z");
    cr_expect_str_eq(times_text(c->rules[2].active, text), "from 2026-06-01T00:00:00Z until 2026-07-01T00:00:00Z");
    // Set back: what has ended stays so.
    times_apply(c, at("2026-06-15T00:00:00Z"), true);
    cr_expect_eq(c->rules[2].phase, SCHEDULE_AFTER);
    cr_expect_eq(c->rules[1].phase, SCHEDULE_BEFORE);
    // A clock at 1970 opens nothing that has a time.
    c->rules[2].phase = SCHEDULE_OPEN;
    times_apply(c, 5, times_clock_is_set(c, 5));
    cr_expect_eq(c->rules[0].phase, SCHEDULE_OPEN);
    cr_expect_eq(c->rules[1].phase, SCHEDULE_UNKNOWN);
    cr_expect_eq(c->rules[2].phase, SCHEDULE_UNKNOWN);
    cr_expect_str_eq(times_reason(&c->rules[1], text), "the clock is not set");
    // Nor does one before the file was written.
    c->file.mtime.tv_sec = (time_t) at("2026-06-20T00:00:00Z");
    cr_expect_not(times_clock_is_set(c, at("2026-06-18T00:00:00Z")));
    cr_expect(times_clock_is_set(c, at("2026-06-19T12:00:00Z")));
    // It becomes believable by ticking, without a step: that is a change, too.
    times_apply(c, at("2026-06-18T00:00:00Z"), false);
    cr_expect_eq(c->next_change, at("2026-06-19T00:00:00Z"));
    // Where the file must be signed, its mtime is nobody's word.
    c->written_s = at("2026-06-10T00:00:00Z");
    cr_expect(times_clock_is_set(c, at("2026-06-18T00:00:00Z")));
    c->written_s = 0;
    config_free(c);
}

Test(schedule, serials)
{
    static const struct {
        uint64_t runs, next;
        bool same, may;
        const char *why;
    } cases[] = {
        {0, 0, false, true, ""},
        {0, 5, false, true, ""},
        {5, 6, false, true, ""},
        {5, 5, true, true, ""},
        {5, 5, false, false, "whose text is another"},
        {5, 4, false, false, "\"serial\" is 4, and what runs has 5"},
        {5, 0, false, false, "\"serial\" is missing, and what runs has 5"},
        {CONFIG_SERIAL_MAX, 1, false, false, "9007199254740991"},
    };
    struct config next = {.file.sha256 = {1}};
    char why[TIMES_WHY_MAX];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t sha256[32] = {cases[i].same ? 1 : 2};
        next.serial = cases[i].next;
        cr_expect_eq(times_may_follow(cases[i].runs, sha256, &next, why), cases[i].may, "%zu", i);
        cr_expect(strstr(why, cases[i].why), "%s", why);
    }
}

Test(schedule, validity)
{
    struct config *c = load("valid_from = \"2026-01-01T00:00:00Z\"; valid_until = \"2028-01-01T00:00:00Z\";");
    static const struct {
        const char *now;
        size_t errors, warnings;
    } cases[] = {
        {"2025-12-31T23:59:59Z", 1, 0},
        {"2026-01-01T00:00:00Z", 0, 0},
        {"2026-07-01T00:00:00Z", 0, 1},
        {"2028-01-01T00:00:00Z", 1, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_problems problems = {0};
        times_check(c, at(cases[i].now), &problems);
        cr_expect_eq(problems.n_errors, cases[i].errors, "%s", cases[i].now);
        cr_expect_eq(problems.n - problems.n_errors, cases[i].warnings, "%s", cases[i].now);
        config_problems_free(&problems);
    }
    config_free(c);
}
