// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/delta.h"

#include <stdlib.h>
#include <string.h>

// More than a config file can have records of one kind side by side. It bounds the time that a hostile segment can
// cost.
#define FIND_MAX 10000

// The size of a record, and where its name lies.
#define NAMED(type, name) sizeof(struct type), offsetof(struct type, name)

// Returns the record called name among n of them, or NULL. It begins at hint and wraps around: if no record was added
// or removed, the first one is it.
static const void *find(const char *name, const void *records, size_t size, size_t name_at, uint32_t n, uint32_t hint)
{
    for (uint32_t i = 0; i < n && i < FIND_MAX; i++) {
        const char *record = (const char *) records + ((uint64_t) hint + i) % n * size;
        if (strcmp(record + name_at, name) == 0)
            return record;
    }
    return NULL;
}

bool stats_delta_make(struct stats_delta *d, const struct stats_snapshot *now, const struct stats_snapshot *before)
{
    const struct stats_header *h = now->at.header, *old = before->at.header;
    uint32_t hint = 0;

    if (now->monotonic_ns <= before->monotonic_ns || h->pid != old->pid || h->started_ns != old->started_ns)
        return false;
    d->seconds = (double) (now->monotonic_ns - before->monotonic_ns) / 1e9;
    d->interfaces = calloc(h->n_interfaces + 1, sizeof(*d->interfaces));
    d->rules = calloc(h->n_rules + 1, sizeof(*d->rules));
    d->inputs = calloc(h->n_inputs + 1, sizeof(*d->inputs));
    d->outputs = calloc(h->n_outputs + 1, sizeof(*d->outputs));
    if (!d->interfaces || !d->rules || !d->inputs || !d->outputs) {
        stats_delta_free(d);
        return false;
    }
    for (uint32_t i = 0; i < h->n_interfaces; i++)
        d->interfaces[i] =
            find(now->at.interfaces[i].name, before->at.interfaces, NAMED(stats_interface, name), old->n_interfaces, i);
    for (uint32_t i = 0; i < h->n_rules; i++) {
        const struct stats_rule *r = &now->at.rules[i];
        const struct stats_rule *was = find(r->name, before->at.rules, NAMED(stats_rule, name), old->n_rules, hint);
        if (!was)
            continue;
        d->rules[i] = was;
        hint = (uint32_t) (was - before->at.rules) + 1;
        for (uint32_t j = 0; j < r->n_inputs; j++)
            d->inputs[r->first_input + j] =
                find(now->at.inputs[r->first_input + j].leg, &before->at.inputs[was->first_input],
                     NAMED(stats_input, leg), was->n_inputs, j);
        for (uint32_t j = 0; j < r->n_outputs; j++)
            d->outputs[r->first_output + j] =
                find(now->at.outputs[r->first_output + j].to, &before->at.outputs[was->first_output],
                     NAMED(stats_output, to), was->n_outputs, j);
    }
    return true;
}

void stats_delta_free(struct stats_delta *d)
{
    free(d->interfaces);
    free(d->rules);
    free(d->inputs);
    free(d->outputs);
}

double stats_delta_rate(const struct stats_delta *d, uint64_t now, uint64_t before)
{
    return now > before ? (double) (now - before) / d->seconds : 0;
}
