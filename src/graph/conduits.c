// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "graph/conduits.h"

#include <stdlib.h>
#include <string.h>

#include "config/compare.h"

bool conduits_changed(const struct graph_file *file, bool **changed)
{
    struct diff d = {.n_rules = 0};
    bool ok;

    *changed = calloc(file->now->n_rules + 1, sizeof(**changed));
    ok = *changed && (!file->before || diff_make(&d, file->before, file->now));
    for (size_t i = 0; ok && i < d.n_rules; i++)
        if (d.rules[i].kind == DIFF_CHANGED)
            (*changed)[d.rules[i].to - file->now->rules] = true;
    if (ok)
        diff_free(&d);
    return ok;
}

static int compare(const void *a, const void *b)
{
    const struct flow *left = a, *right = b;

    if (left->file != right->file)
        return left->file < right->file ? -1 : 1;
    if (left->from != right->from)
        return left->from < right->from ? -1 : 1;
    if (left->to != right->to)
        return left->to < right->to ? -1 : 1;
    return strcmp(left->rule->name, right->rule->name);
}

static bool append(struct conduits *c, const struct flow *flow)
{
    if (c->n == c->room) {
        size_t room = c->room ? 2 * c->room : 256;
        struct flow *flows = realloc(c->flows, room * sizeof(*flows));
        if (!flows)
            return false;
        c->flows = flows;
        c->room = room;
    }
    c->flows[c->n++] = *flow;
    return true;
}

static int compare_zones(const void *a, const void *b)
{
    const uint32_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

// Sorts, and leaves one of each. Returns their number.
static size_t unique(uint32_t *list, size_t n)
{
    size_t kept = 0;

    qsort(list, n, sizeof(*list), compare_zones);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || list[kept - 1] != list[i])
            list[kept++] = list[i];
    return kept;
}

static bool add_rule(struct conduits *c, const struct zones *z, const struct config *config, struct flow flow)
{
    const struct config_rule *r = flow.rule;
    uint32_t from[CONFIG_INPUTS_MAX], to[CONFIG_OUTPUTS_MAX];
    size_t n_from, n_to;

    for (size_t i = 0; i < r->n_inputs; i++)
        from[i] = zones_find(z, flow.file, config, r->inputs[i].interface, r->inputs[i].vlan);
    for (size_t i = 0; i < r->n_outputs; i++)
        to[i] = zones_find(z, flow.file, config, r->outputs[i].interface, r->outputs[i].vlan);
    n_from = unique(from, r->n_inputs);
    n_to = unique(to, r->n_outputs);
    for (size_t i = 0; i < n_from * n_to; i++) {
        flow.from = from[i / n_to];
        flow.to = to[i % n_to];
        if (!append(c, &flow))
            return false;
    }
    return true;
}

static bool add_file(struct conduits *c, const struct zones *z, const struct graph_file *file, uint32_t index)
{
    const struct config *now = file->now, *before = file->before;
    bool *changed = NULL, ok = conduits_changed(file, &changed);

    for (size_t i = 0; ok && i < now->n_rules; i++)
        ok = add_rule(c, z, now,
                      (struct flow){.file = index,
                                    .rule = &now->rules[i],
                                    .versions = before ? GRAPH_NOW : GRAPH_BOTH,
                                    .changed = changed[i]});
    for (size_t i = 0; ok && before && i < before->n_rules; i++)
        ok = add_rule(c, z, before, (struct flow){.file = index, .rule = &before->rules[i], .versions = GRAPH_BEFORE});
    free(changed);
    return ok;
}

bool conduits_collect(struct conduits *c, const struct graph_file *files, size_t n, const struct zones *z)
{
    size_t kept = 0;

    *c = (struct conduits){.n = 0};
    for (uint32_t i = 0; i < n; i++)
        if (!add_file(c, z, &files[i], i))
            return false;
    if (c->n > 0)
        qsort(c->flows, c->n, sizeof(*c->flows), compare);
    for (size_t i = 0; i < c->n; i++) {
        struct flow *last = kept > 0 ? &c->flows[kept - 1] : NULL, f = c->flows[i];
        if (!last || compare(last, &f) != 0) {
            c->flows[kept++] = f;
            continue;
        }
        last->versions |= f.versions;
        last->changed |= f.changed;
        if (f.versions == GRAPH_NOW)
            last->rule = f.rule;
    }
    c->n = kept;
    return true;
}

size_t conduits_end(const struct conduits *c, size_t i)
{
    size_t end = i;

    while (end < c->n && c->flows[end].file == c->flows[i].file && c->flows[end].from == c->flows[i].from &&
           c->flows[end].to == c->flows[i].to)
        end++;
    return end;
}

void conduits_free(struct conduits *c)
{
    free(c->flows);
    *c = (struct conduits){.n = 0};
}
