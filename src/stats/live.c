// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/live.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "stats/counters.h"
#include "stats/show.h"

// --- keys ------------------------------------------------------------------------------------------------------------

const struct live_key live_help[] = {
    {"q, ^C", "end"},
    {"space, p", "stop and go on"},
    {"s", "sort: as in the file, by rate, by drops, by name, by state"},
    {"t", "show only rules in trouble, then those of each state, then all"},
    {"/", "show only rules whose name, note or output contains a text; Enter keeps it"},
    {"Esc", "show all rules"},
    {"up, down", "scroll by a line (also k, j)"},
    {"PgUp, PgDn", "by a page (also b, f)"},
    {"Home, g", "to the top"},
    {"End, G", "to the bottom"},
    {"?, h", "this help, and back"},
    {NULL, NULL},
};

// Keys that scroll. Each is a letter, or a sequence that begins with ESC [ or ESC O (ECMA-48): its last byte, and the
// number before it, 0 for any. Home and End have several: xterm, the console of Linux and rxvt differ.
static const struct move {
    char letter, last;
    int number, lines, pages;
} moves[] = {
    {'k', 'A', 0, -1, 0},      // up
    {'j', 'B', 0, 1, 0},       // down
    {'b', '~', 5, 0, -1},      // PgUp
    {'f', '~', 6, 0, 1},       // PgDn
    {'g', 'H', 0, INT_MIN, 0}, // Home
    {'g', '~', 1, INT_MIN, 0}, // Home
    {'g', '~', 7, INT_MIN, 0}, // Home
    {'G', 'F', 0, INT_MAX, 0}, // End
    {'G', '~', 4, INT_MAX, 0}, // End
    {'G', '~', 8, INT_MAX, 0}, // End
};

#define MOVES_END (moves + sizeof(moves) / sizeof(moves[0]))

static void scroll(struct live *l, const struct move *move)
{
    int64_t to = (int64_t) l->scroll + move->lines + (int64_t) move->pages * l->page;

    l->scroll = to < 0 ? 0 : to > l->last ? l->last : (int) to;
}

// Scrolls back to the beginning of the rules. The lines above them stay visible if they leave a third of the screen.
static void rewind_rules(struct live *l)
{
    if (l->scroll > l->first || l->first > l->page * 2 / 3)
        l->scroll = l->first;
}

static void show_all(struct live *l)
{
    memset(l->filter, 0, sizeof(l->filter));
    l->only = LIVE_ALL;
    rewind_rules(l);
}

// Selects the next choice of states. Skips states that no rule has.
static void next_only(struct live *l)
{
    do
        l->only = (l->only + 1) % (LIVE_STATE + STATS_SHOWN);
    while (l->only >= LIVE_STATE && !(l->present >> (l->only - LIVE_STATE) & 1));
    rewind_rules(l);
}

static void type(struct live *l, char c)
{
    size_t length = strlen(l->filter);

    if (c == '\r' || c == '\n')
        l->typing = false;
    else if ((c == 0x7f || c == '\b') && length > 0)
        l->filter[length - 1] = '\0';
    else if (c >= ' ' && c < 0x7f && length + 1 < sizeof(l->filter))
        l->filter[length] = c;
    rewind_rules(l);
}

static void press(struct live *l, char c)
{
    switch (c) {
    case 'q':
    case 'Q':
        l->quit = true;
        break;
    case ' ':
    case 'p':
        l->paused = !l->paused;
        break;
    case 's':
        l->sort = (l->sort + 1) % LIVE_SORT_KINDS;
        rewind_rules(l);
        break;
    case 't':
        next_only(l);
        break;
    case '/':
        l->typing = true;
        memset(l->filter, 0, sizeof(l->filter));
        rewind_rules(l);
        break;
    case '?':
    case 'h':
        l->help = !l->help;
        break;
    default:
        for (const struct move *m = moves; m < MOVES_END; m++)
            if (m->letter == c)
                scroll(l, m);
        break;
    }
}

// Handles ESC, alone or as a sequence. A terminal sends a sequence at once, so an ESC at the end is the key.
static size_t take_escape(struct live *l, const char *bytes, size_t n)
{
    size_t i = 2;
    int number = 0;

    if (n < 2 || (bytes[1] != '[' && bytes[1] != 'O')) {
        l->typing = l->help = false;
        show_all(l);
        return 1;
    }
    // A longer number is that of no key.
    for (; i < n && bytes[i] >= '0' && bytes[i] <= '9'; i++)
        number = number < 1000 ? number * 10 + bytes[i] - '0' : number;
    while (i < n && bytes[i] >= 0x20 && bytes[i] < 0x40)
        i++;
    for (const struct move *m = moves; i < n && m < MOVES_END; m++)
        if (m->last == bytes[i] && (!m->number || m->number == number))
            scroll(l, m);
    return i < n ? i + 1 : n;
}

void live_keys(struct live *l, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (bytes[i] == 0x1b)
            i += take_escape(l, bytes + i, n - i);
        else if (l->typing)
            type(l, bytes[i++]);
        else
            press(l, bytes[i++]);
    }
}

// --- rules -----------------------------------------------------------------------------------------------------------

struct sorting {
    const struct stats_snapshot *now;
    const struct stats_delta *d;
    enum live_sort sort;
};

static uint64_t count(const struct stats_rule_counters *c, enum live_sort sort)
{
    return sort == LIVE_SORT_RATE ? c->packets : stats_drops_faults(&c->drops);
}

// Returns the packets or drops of a rule since the previous snapshot.
static uint64_t amount(const struct sorting *s, uint32_t rule)
{
    const struct stats_rule *old = s->d ? s->d->rules[rule] : NULL;
    uint64_t now = count(&s->now->at.rules[rule].counters, s->sort), before = old ? count(&old->counters, s->sort) : 0;

    return now > before ? now - before : 0;
}

static int compare(const void *a, const void *b, void *context)
{
    uint32_t left = *(const uint32_t *) a, right = *(const uint32_t *) b;
    const struct sorting *s = context;
    int order = 0;

    if (s->sort == LIVE_SORT_NAME) {
        order = strcmp(s->now->at.rules[left].name, s->now->at.rules[right].name);
    } else if (s->sort == LIVE_SORT_STATE) {
        uint32_t x = stats_shown_state(&s->now->at.rules[left]), y = stats_shown_state(&s->now->at.rules[right]);
        order = show_rank(x) - show_rank(y);
        order = order != 0 ? order : (int) x - (int) y;
    } else if (s->sort != LIVE_SORT_FILE) {
        uint64_t x = amount(s, left), y = amount(s, right);
        order = (x < y) - (x > y);
    }
    return order != 0 ? order : (left > right) - (left < right);
}

static bool has_state(const struct stats_rule *r, uint32_t only)
{
    uint32_t shown = stats_shown_state(r);

    return only == LIVE_TROUBLE ? show_rank(shown) < SHOW_RANKS_BAD : only == LIVE_ALL || only == LIVE_STATE + shown;
}

const char *live_only_name(const struct live *l)
{
    return l->only == LIVE_ALL       ? ""
           : l->only == LIVE_TROUBLE ? "in trouble"
                                     : stats_rule_state_name(l->only - LIVE_STATE);
}

static bool contains(const struct stats_snapshot *now, const struct stats_rule *r, const char *filter)
{
    if (strcasestr(r->name, filter) || strcasestr(r->note, filter))
        return true;
    for (uint32_t i = 0; i < r->n_outputs; i++)
        if (strcasestr(now->at.outputs[r->first_output + i].to, filter))
            return true;
    return false;
}

uint32_t live_rules(const struct live *l, const struct stats_snapshot *now, const struct stats_delta *d,
                    uint32_t *rules)
{
    struct sorting s = {now, d, l->sort};
    uint32_t n = 0;

    for (uint32_t i = 0; i < now->at.header->n_rules; i++)
        if (has_state(&now->at.rules[i], l->only) && contains(now, &now->at.rules[i], l->filter))
            rules[n++] = i;
    qsort_r(rules, n, sizeof(*rules), compare, &s);
    return n;
}
