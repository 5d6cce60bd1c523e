// SPDX-License-Identifier: Apache-2.0
// What mcrstat --watch does with its keys: which rules are shown, in which order, from which line on.
#include <config.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "stats/counters.h"
#include "stats/live.h"

#define RULES 4

// Rules a to d, with packets and drops, and one output each.
static struct stats_snapshot make(const uint64_t packets[RULES], const uint64_t drops[RULES])
{
    struct stats_snapshot s = {.memory = calloc(1, stats_segment_size(0, RULES, 0, RULES))};

    stats_segment_place(&s.at, s.memory, 0, RULES, 0);
    s.at.header->n_rules = s.at.header->n_outputs = RULES;
    for (uint32_t i = 0; i < RULES; i++) {
        struct stats_rule *r = &s.at.rules[i];
        r->name[0] = (char) ("badc"[i]);
        strcpy(r->note, i == 2 ? "Ticket 7" : "");
        strcpy(s.at.outputs[i].to, i == 3 ? "wan0 198.18.0.1:5000" : "dmz0 239.255.0.1:5000");
        r->first_output = i;
        r->n_outputs = 1;
        r->counters.packets = packets[i];
        r->counters.drops.rate = drops[i];
    }
    return s;
}

// The names in the order in which they are shown.
static const char *shown_by(struct live *l, const struct stats_snapshot *s, const struct stats_delta *d,
                            const char *filter)
{
    static char text[RULES + 1];
    uint32_t rules[RULES];

    strcpy(l->filter, filter);
    uint32_t n = live_rules(l, s, d, rules);

    memset(text, 0, sizeof(text));
    for (uint32_t i = 0; i < n; i++)
        text[i] = s->at.rules[rules[i]].name[0];
    return text;
}

static const char *shown(const struct stats_snapshot *s, const struct stats_delta *d, enum live_sort sort,
                         const char *filter)
{
    return shown_by(&(struct live){.sort = sort}, s, d, filter);
}

Test(live, order)
{
    static const uint64_t before_packets[RULES] = {100, 10, 0, 5}, before_drops[RULES] = {9, 0, 0, 0};
    static const uint64_t packets[RULES] = {100, 12, 7, 5}, drops[RULES] = {9, 1, 0, 3};
    struct stats_snapshot before = make(before_packets, before_drops), now = make(packets, drops);
    const struct stats_rule *old = before.at.rules, *same[RULES] = {old, old + 1, old + 2, old + 3};
    struct stats_delta d = {.seconds = 1, .rules = same};

    cr_expect_str_eq(shown(&now, NULL, LIVE_SORT_FILE, ""), "badc");
    cr_expect_str_eq(shown(&now, NULL, LIVE_SORT_NAME, ""), "abcd");
    cr_expect_str_eq(shown(&now, NULL, LIVE_SORT_RATE, ""), "badc");
    cr_expect_str_eq(shown(&now, &d, LIVE_SORT_RATE, ""), "dabc", "since the snapshot before");
    cr_expect_str_eq(shown(&now, NULL, LIVE_SORT_DROPS, ""), "bcad");
    cr_expect_str_eq(shown(&now, &d, LIVE_SORT_DROPS, ""), "cabd");
    cr_expect_str_eq(shown(&now, &d, LIVE_SORT_FILE, "ticket"), "d", "a note, without regard to case");
    cr_expect_str_eq(shown(&now, &d, LIVE_SORT_NAME, "DMZ0"), "abd", "an output");
    cr_expect_str_eq(shown(&now, &d, LIVE_SORT_NAME, "no such thing"), "");
    free(before.memory);
    free(now.memory);
}

Test(live, states)
{
    static const uint64_t none[RULES] = {0};
    static const uint32_t states[RULES] = {STATS_RULE_ACTIVE, STATS_RULE_WAITING, STATS_RULE_DISABLED,
                                           STATS_RULE_SILENT};
    static const struct {
        uint32_t only;
        const char *filter, *name, *shown;
    } cases[] = {
        {LIVE_ALL, "", "", "cadb"},
        {LIVE_TROUBLE, "", "in trouble", "ca"},
        {LIVE_TROUBLE, "wan0", "in trouble", "c"},
        {LIVE_STATE + STATS_RULE_WAITING, "", "waiting", "a"},
        {LIVE_STATE + STATS_RULE_DISABLED, "", "disabled", "d"},
        {LIVE_STATE + STATS_RULE_ACTIVE, "", "active", "b"},
        {LIVE_STATE + STATS_RULE_SLOW, "", "slow", ""},
        {LIVE_STATE + STATS_SHOWN_UNKNOWN, "", "unknown", ""},
    };
    struct stats_snapshot now = make(none, none);

    for (uint32_t i = 0; i < RULES; i++)
        now.at.rules[i].state = states[i];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct live l = {.sort = LIVE_SORT_STATE, .only = cases[i].only};
        cr_expect_str_eq(live_only_name(&l), cases[i].name);
        cr_expect_str_eq(shown_by(&l, &now, NULL, cases[i].filter), cases[i].shown, "%zu", i);
    }
    // A slow rule, and a number that is no state, are trouble.
    now.at.rules[0].state = STATS_RULE_SLOW;
    now.at.rules[2].state = UINT32_MAX;
    struct live l = {.sort = LIVE_SORT_STATE, .only = LIVE_TROUBLE};
    cr_expect_str_eq(shown_by(&l, &now, NULL, ""), "cbda");
    l.only = LIVE_STATE + STATS_RULE_SLOW;
    cr_expect_str_eq(shown_by(&l, &now, NULL, ""), "b");
    l.only = LIVE_STATE + STATS_SHOWN_UNKNOWN;
    cr_expect_str_eq(shown_by(&l, &now, NULL, ""), "d");
    free(now.memory);
}

Test(live, keys)
{
    static const struct {
        const char *bytes;
        struct live expected;
    } cases[] = {
        {"", {.page = 10}},
        {"q", {.page = 10, .quit = true}},
        {" ", {.page = 10, .paused = true}},
        {"pp", {.page = 10}},
        {"ss", {.page = 10, .sort = LIVE_SORT_DROPS}},
        {"ssss", {.page = 10, .sort = LIVE_SORT_STATE}},
        {"sssss", {.page = 10}},
        {"t", {.page = 10, .only = LIVE_TROUBLE}},
        {"tt", {.page = 10, .only = LIVE_STATE + STATS_RULE_ACTIVE}},
        {"ttt", {.page = 10, .only = LIVE_STATE + STATS_RULE_SLOW}}, // the states between them have no rule
        {"tttt", {.page = 10}},
        {"t/x\r", {.page = 10, .only = LIVE_TROUBLE, .filter = "x"}},
        {"t/x\r\033", {.page = 10}},
        // What is above the rules stays in sight; else they are shown from the first on.
        {"jjt", {.page = 10, .scroll = 2, .only = LIVE_TROUBLE}},
        {"jjs", {.page = 10, .scroll = 2, .sort = LIVE_SORT_RATE}},
        {"fft", {.page = 10, .scroll = 5, .only = LIVE_TROUBLE}},
        {"ffs", {.page = 10, .scroll = 5, .sort = LIVE_SORT_RATE}},
        {"ff/", {.page = 10, .scroll = 5, .typing = true}},
        {"ff\033", {.page = 10, .scroll = 5}},
        {"jjk", {.page = 10, .scroll = 1}},
        {"\033[B\033[B\033OA", {.page = 10, .scroll = 1}},
        {"k\033[A", {.page = 10}},
        {"\033[6~\033[6~\033[5~", {.page = 10, .scroll = 10}},
        {"ff\033[H", {.page = 10}},
        {"ff\033[1~j", {.page = 10, .scroll = 1}},
        {"j\033[7~j", {.page = 10, .scroll = 1}},
        {"\033[F", {.page = 10, .scroll = 99}},
        {"\033OFk", {.page = 10, .scroll = 98}},
        {"GGGjjfk", {.page = 10, .scroll = 98}},
        {"\033[4~", {.page = 10, .scroll = 99}},
        {"\033[8~\033[1;5H", {.page = 10}},
        {"Gg", {.page = 10}},
        {"ffffffffff", {.page = 10, .scroll = 99}},
        // F1 to F12, Insert and Delete do nothing.
        {"j\033OP\033[11~\033[13~\033[14~\033[15~\033[17~\033[18~\033[19~", {.page = 10, .scroll = 1}},
        {"j\033[20~\033[21~\033[23~\033[24~\033[2~\033[3~\033[15;2~", {.page = 10, .scroll = 1}},
        {"j\033[4294967297~\033[99999999999999999999~", {.page = 10, .scroll = 1}},
        {"?", {.page = 10, .help = true}},
        {"?\033", {.page = 10}},
        {"/ot0 q\r", {.page = 10, .filter = "ot0 q"}},
        {"jj/xy\x7f", {.page = 10, .scroll = 2, .filter = "x", .typing = true}},
        {"/\x7f\x7f", {.page = 10, .typing = true}},
        {"/abc\033", {.page = 10}},
        {"/a\r/b\r", {.page = 10, .filter = "b"}},
        {"\033[1;5C\033[200~", {.page = 10}},
        {"\033[", {.page = 10}},
        {"xyz\001\xff", {.page = 10}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct live k = {.page = 10, .first = 5, .last = 99};

        k.present = 1 << STATS_RULE_ACTIVE | 1 << STATS_RULE_SLOW;
        const struct live *e = &cases[i].expected;
        live_keys(&k, cases[i].bytes, strlen(cases[i].bytes));
        cr_expect(k.quit == e->quit && k.paused == e->paused && k.help == e->help && k.typing == e->typing &&
                      k.sort == e->sort && k.only == e->only && k.scroll == e->scroll &&
                      strcmp(k.filter, e->filter) == 0,
                  "%zu: sort %d, scroll %d, filter \"%s\"", i, (int) k.sort, k.scroll, k.filter);
    }
    // On a small screen, where what is above the rules takes all of it, they come into sight.
    struct live small = {.page = 10, .first = 15, .last = 99};
    live_keys(&small, "/", 1);
    cr_expect_eq(small.scroll, 15);
    // No text is too long.
    struct live k = {.typing = true};
    for (int i = 0; i < 1000; i++)
        live_keys(&k, "x", 1);
    cr_expect_eq(strlen(k.filter), LIVE_FILTER_MAX - 1);
}
