// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/order.h"

#include <stdlib.h>
#include <string.h>

#include "stats/counters.h"

struct sorting {
    const struct stats_snapshot *now;
    const struct stats_delta *d;
    enum stats_sort sort;
};

static uint64_t count(const struct stats_rule_counters *c, enum stats_sort sort)
{
    return sort == STATS_SORT_RATE ? c->packets : stats_drops_total(&c->drops);
}

// How much of it there was since the snapshot before.
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

    if (s->sort == STATS_SORT_NAME) {
        order = strcmp(s->now->at.rules[left].name, s->now->at.rules[right].name);
    } else if (s->sort != STATS_SORT_FILE) {
        uint64_t x = amount(s, left), y = amount(s, right);
        order = (x < y) - (x > y);
    }
    return order != 0 ? order : (left > right) - (left < right);
}

static bool is_wanted(const struct stats_snapshot *now, const struct stats_rule *r, const char *filter)
{
    if (strcasestr(r->name, filter) || strcasestr(r->note, filter))
        return true;
    for (uint32_t i = 0; i < r->n_outputs; i++)
        if (strcasestr(now->at.outputs[r->first_output + i].to, filter))
            return true;
    return false;
}

uint32_t stats_order(const struct stats_snapshot *now, const struct stats_delta *d, enum stats_sort sort,
                     const char *filter, uint32_t *rules)
{
    struct sorting s = {now, d, sort};
    uint32_t n = 0;

    for (uint32_t i = 0; i < now->at.header->n_rules; i++)
        if (is_wanted(now, &now->at.rules[i], filter))
            rules[n++] = i;
    qsort_r(rules, n, sizeof(*rules), compare, &s);
    return n;
}
