// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/delta.h"

#include <stdlib.h>
#include <string.h>

// More than the records of one kind that a config file may have side by side: bounds the time that a hostile
// segment can cost.
#define FIND_MAX 10000

// Index of the record called name in n records of size bytes, from hint on and round: where nothing was added or
// removed, at once.
static uint32_t find(const char *name, const char *names, size_t size, uint32_t n, uint32_t hint)
{
    for (uint32_t i = 0; i < n && i < FIND_MAX; i++) {
        uint32_t at = (uint32_t) (((uint64_t) hint + i) % n);
        if (strcmp(names + at * size, name) == 0)
            return at;
    }
    return STATS_DELTA_NEW;
}

static void match_outputs(struct stats_delta *d, const struct stats_snapshot *now, uint32_t rule)
{
    const struct stats_rule *r = &now->at.rules[rule];
    const struct stats_rule *old = d->rules[rule] == STATS_DELTA_NEW ? NULL : &d->before->at.rules[d->rules[rule]];

    for (uint32_t i = 0; i < r->n_outputs; i++) {
        uint32_t *to = &d->outputs[r->first_output + i];
        uint32_t found = STATS_DELTA_NEW;
        if (old && old->n_outputs > 0)
            found = find(now->at.outputs[r->first_output + i].to, d->before->at.outputs[old->first_output].to,
                         sizeof(struct stats_output), old->n_outputs, i);
        *to = found == STATS_DELTA_NEW ? STATS_DELTA_NEW : old->first_output + found;
    }
}

bool stats_delta_make(struct stats_delta *d, const struct stats_snapshot *now, const struct stats_snapshot *before)
{
    const struct stats_header *h = now->at.header, *old = before->at.header;
    uint32_t hint = 0;

    *d = (struct stats_delta){.before = before};
    if (now->monotonic_ns <= before->monotonic_ns || h->pid != old->pid || h->started_ns != old->started_ns)
        return false;
    d->seconds = (double) (now->monotonic_ns - before->monotonic_ns) / 1e9;
    d->interfaces = malloc((h->n_interfaces + 1) * sizeof(*d->interfaces));
    d->rules = malloc((h->n_rules + 1) * sizeof(*d->rules));
    d->outputs = malloc((h->n_outputs + 1) * sizeof(*d->outputs));
    if (!d->interfaces || !d->rules || !d->outputs) {
        stats_delta_free(d);
        return false;
    }
    for (uint32_t i = 0; i < h->n_interfaces; i++)
        d->interfaces[i] = find(now->at.interfaces[i].name, before->at.interfaces->name, sizeof(struct stats_interface),
                                old->n_interfaces, i);
    for (uint32_t i = 0; i < h->n_outputs; i++)
        d->outputs[i] = STATS_DELTA_NEW;
    for (uint32_t i = 0; i < h->n_rules; i++) {
        d->rules[i] =
            find(now->at.rules[i].name, before->at.rules->name, sizeof(struct stats_rule), old->n_rules, hint);
        if (d->rules[i] != STATS_DELTA_NEW)
            hint = d->rules[i] + 1;
        match_outputs(d, now, i);
    }
    return true;
}

void stats_delta_free(struct stats_delta *d)
{
    free(d->interfaces);
    free(d->rules);
    free(d->outputs);
    *d = (struct stats_delta){.before = NULL};
}

double stats_delta_rate(const struct stats_delta *d, uint64_t now, uint64_t before)
{
    return now > before ? (double) (now - before) / d->seconds : 0;
}
