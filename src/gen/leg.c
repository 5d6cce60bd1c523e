// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/leg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arguments.h"
#include "gen/random.h"

#define AT(field)  offsetof(struct leg, field)
#define COUNT(of)  (sizeof(of) / sizeof((of)[0]))
#define PLACE_MOST ((uint64_t) INT64_MAX) // so that a run's end is a number, too
#define ALWAYS     (UINT64_C(1) << 32)    // of leg.loss

static bool take_loss(const char *value, void *into)
{
    struct leg *leg = into;
    size_t digits = strspn(value, "0123456789.");
    char *end;

    // Leaves strtod() no infinity, hexadecimal or sign.
    double percent = digits > 0 ? strtod(value, &end) : -1;
    if (digits == 0 || end != value + digits || (*end && strcmp(end, "%") != 0) || percent > 100)
        return false;
    leg->loss = (uint64_t) (percent / 100 * (double) ALWAYS + 0.5);
    return true;
}

// RUN[/EVERY][@FROM]
static bool take_pattern(const char *value, void *into)
{
    struct leg *leg = into;
    struct leg_pattern p = {0};
    char copy[LIST_TEXT_MAX], *from = copy;

    snprintf(copy, sizeof(copy), "%s", value); // part of a list, so it is no longer than this
    char *every = strsep(&from, "@"), *run = strsep(&every, "/");
    if (leg->n_patterns == LEG_PATTERNS || !arguments_number(run, 1, PLACE_MOST, &p.run) ||
        (every && !arguments_number(every, p.run + 1, PLACE_MOST, &p.every)) ||
        (from && !arguments_number(from, 0, PLACE_MOST, &p.from)))
        return false;
    leg->patterns[leg->n_patterns++] = p;
    return true;
}

static const struct list_key keys[] = {
    {"delay_ms", AT(delay_ms), .most = LEG_DELAY_MS},
    {"loss", .take = take_loss, .allowed = "a share of 0 to 100 %"},
    {"pattern", .take = take_pattern, .allowed = "RUN[/EVERY][@FROM], EVERY above RUN, RUN above 0, up to 8 times"},
    {"reorder", AT(reorder), .most = LEG_REORDER_MOST},
    {"repeat", AT(repeat), .most = LEG_REPEAT_MOST},
};
_Static_assert(LEG_PATTERNS == 8, "as said of a wrong pattern");

bool leg_parse(const char *text, struct leg *leg, char why[LIST_WHY_MAX])
{
    char copy[LIST_TEXT_MAX], *rest = copy;

    *leg = (struct leg){0};
    if (!list_copy(text, copy, why))
        return false;
    const char *interface = strsep(&rest, ","), *to = strsep(&rest, ","), *port = strsep(&rest, ",");
    if (*interface && !to)
        snprintf(why, LIST_WHY_MAX, "\"%.60s\": commas separate what a leg is: IF,ADDRESS,PORT", interface);
    else if (!*interface || strlen(interface) >= sizeof(leg->interface))
        snprintf(why, LIST_WHY_MAX, "\"%.60s\": allowed is one of `ip link`", interface);
    else if (!to || !addr_parse(to, &leg->to))
        snprintf(why, LIST_WHY_MAX, "\"%.60s\": allowed is a numeric IPv4 or IPv6 address", to ? to : "");
    else if (!port || !arguments_number(port, 1, 65535, &leg->port))
        snprintf(why, LIST_WHY_MAX, "\"%.60s\": allowed is a port, 1 to 65535", port ? port : "");
    else {
        snprintf(leg->interface, sizeof(leg->interface), "%s", interface);
        return list_take(rest, keys, COUNT(keys), leg, why);
    }
    return false;
}

void leg_seed(struct leg *leg, uint64_t seed, unsigned number)
{
    leg->key = random_mix(random_mix(seed) ^ number);
}

static bool in_pattern(const struct leg_pattern *p, uint64_t place)
{
    uint64_t after = place - p->from;

    return place >= p->from && (p->every ? after % p->every : after) < p->run;
}

bool leg_loses(const struct leg *leg, uint64_t place)
{
    for (unsigned i = 0; i < leg->n_patterns; i++)
        if (in_pattern(&leg->patterns[i], place))
            return true;
    return leg->loss && random_mix(leg->key ^ place) >> 32 < leg->loss;
}

uint64_t leg_oldest(const struct leg *leg, uint64_t turn)
{
    return turn - turn % (leg->reorder + 1);
}

bool leg_turn(const struct leg *leg, uint64_t turn, uint64_t made, bool ended, uint64_t *place)
{
    uint64_t first = leg_oldest(leg, turn);

    if (turn >= made)
        return false;
    if (turn - first == leg->reorder)
        *place = first;
    else if (turn + 1 < made)
        *place = turn + 1;
    else if (ended) // in the middle of a group: the first of it is the last of all
        *place = first;
    else
        return false;
    return true;
}
