// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct config_rule *site_rule(const struct site *s, const struct place *p)
{
    return &s->files[p->file]->rules[p->rule];
}

const struct config_input *site_input(const struct site *s, const struct place *p)
{
    return &site_rule(s, p)->inputs[p->end];
}

const struct config_output *site_output(const struct site *s, const struct place *p)
{
    return &site_rule(s, p)->outputs[p->end];
}

// --- places ----------------------------------------------------------------------------------------------------------

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    int order = endpoint_compare(&left->endpoint, &right->endpoint);

    if (order != 0)
        return order;
    if (left->file != right->file)
        return left->file < right->file ? -1 : 1;
    if (left->rule != right->rule)
        return left->rule < right->rule ? -1 : 1;
    return (left->end > right->end) - (left->end < right->end);
}

// Adds each destination of an endpoint whose interface is in a zone. False when out of memory.
static bool add_places(struct places *p, const struct config *c, struct endpoint e, struct place place)
{
    uint32_t span = endpoint_span(&e);
    size_t most = p->n + span;

    place.vlan = e.vlan;
    e.vlan = 0;
    e.interface = config_zone(c, e.interface);
    if (*e.interface == '\0')
        return true;
    // Room for 1, 2, 4, ...
    while (p->n < most) {
        if ((p->n & (p->n - 1)) == 0) {
            struct place *list = realloc(p->list, (p->n ? 2 * p->n : 1) * sizeof(*list));
            if (!list)
                return false;
            p->list = list;
        }
        place.endpoint = endpoint_at(&e, span - (uint32_t) (most - p->n));
        p->list[p->n++] = place;
    }
    return true;
}

bool site_collect(struct site *s)
{
    for (uint32_t f = 0; f < s->n; f++) {
        const struct config *c = s->files[f];
        for (uint32_t i = 0; s->counts[f] && i < c->n_rules; i++) {
            const struct config_rule *r = &c->rules[i];
            for (uint32_t j = 0; r->enabled && j < r->n_inputs; j++)
                if (!add_places(&s->inputs, c, endpoint_of_input(&r->inputs[j], 0), (struct place){{0}, f, i, j, 0}))
                    return false;
            for (uint32_t j = 0; r->enabled && !r->shadow && j < r->n_outputs; j++)
                if (!add_places(&s->outputs, c, endpoint_of_output(&r->outputs[j], 0), (struct place){{0}, f, i, j, 0}))
                    return false;
        }
    }
    if (s->inputs.n > 0)
        qsort(s->inputs.list, s->inputs.n, sizeof(struct place), compare_places);
    if (s->outputs.n > 0)
        qsort(s->outputs.list, s->outputs.n, sizeof(struct place), compare_places);
    return true;
}

// The index of the first place that is not before the endpoint.
size_t site_find(const struct places *p, const struct endpoint *wanted)
{
    size_t low = 0, high = p->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (endpoint_compare(&p->list[middle].endpoint, wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// --- who takes what --------------------------------------------------------------------------------------------------

static bool overlaps(const struct config_input *a, const struct config_input *b)
{
    if (a->n_sources == 0)
        return true;
    for (size_t i = 0; i < a->n_sources; i++)
        for (size_t j = 0; j < b->n_sources; j++)
            if (addr_prefix_contains(&a->sources[i], &b->sources[j].addr) ||
                addr_prefix_contains(&b->sources[j], &a->sources[i].addr))
                return true;
    return false;
}

// Whether the input lets the output's sender in. rule: that of the output.
static enum takes lets_in(const struct config_input *in, const struct config_rule *rule,
                          const struct config_output *out)
{
    if (in->n_sources == 0)
        return TAKES;
    if (out->keep_source) {
        for (size_t i = 0; i < rule->n_inputs; i++)
            if (overlaps(&rule->inputs[i], in))
                return TAKES;
        return TAKES_NOT;
    }
    if (out->source.family == ADDR_NONE)
        return TAKES_PERHAPS; // the interface's own address
    for (size_t i = 0; i < in->n_sources; i++)
        if (addr_prefix_contains(&in->sources[i], &out->source))
            return TAKES;
    return TAKES_NOT;
}

bool site_same_tag(const struct place *a, const struct place *b)
{
    return a->vlan == b->vlan || a->vlan == 0 || b->vlan == 0;
}

enum takes site_takes(const struct site *s, const struct place *in, const struct place *out)
{
    if (in->file == out->file || !site_same_tag(in, out))
        return TAKES_NOT;
    return lets_in(site_input(s, in), site_rule(s, out), site_output(s, out));
}

void site_free(struct site *s)
{
    free(s->inputs.list);
    free(s->outputs.list);
}

// --- messages --------------------------------------------------------------------------------------------------------

// 'group 239.1.1.1, port 5000, zone "dmz"'; returns text.
const char *site_where(const struct place *p, char text[SITE_WHERE_MAX])
{
    static const char *const kinds[] = {"group ", "address ", "broadcast"};
    char address[ADDR_TEXT_MAX] = "";

    if (p->endpoint.kind != CONFIG_BROADCAST)
        addr_format(&p->endpoint.address, address);
    snprintf(text, SITE_WHERE_MAX, "%s%s, port %u, zone \"%s\"", kinds[p->endpoint.kind], address, p->endpoint.port,
             p->endpoint.interface);
    return text;
}
