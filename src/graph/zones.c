// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "graph/zones.h"

#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/endpoint.h"

static int compare(const void *a, const void *b)
{
    const struct zone_member *left = a, *right = b;
    int order = (*left->zone == '\0') - (*right->zone == '\0');

    if (order == 0)
        order = strcmp(left->zone, right->zone);
    if (order == 0)
        order = (left->file > right->file) - (left->file < right->file);
    if (order == 0)
        order = strcmp(left->interface, right->interface);
    return order != 0 ? order : (int) left->vlan - (int) right->vlan;
}

// The most members of a file: its listed interfaces, its inputs and its outputs.
static size_t most_of(const struct config *c)
{
    size_t n = c ? c->n_interfaces : 0;

    for (size_t i = 0; c && i < c->n_rules; i++)
        n += c->rules[i].n_inputs + c->rules[i].n_outputs;
    return n;
}

static void add(struct zones *z, uint32_t file, const struct config *c, const char *interface, uint16_t vlan,
                unsigned versions)
{
    const struct zone_member m = {config_zone(c, interface), interface, file, vlan, versions};

    // Most rules follow one of the same interface.
    if (z->n_members > 0 && compare(&z->members[z->n_members - 1], &m) == 0)
        z->members[z->n_members - 1].versions |= versions;
    else
        z->members[z->n_members++] = m;
}

static void add_file(struct zones *z, uint32_t file, const struct config *c, unsigned versions)
{
    for (size_t i = 0; c && i < c->n_interfaces; i++)
        if (check_is_only_listed(c, &c->interfaces[i]))
            add(z, file, c, c->interfaces[i].name, 0, versions);
    for (size_t i = 0; c && i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        for (size_t j = 0; j < r->n_inputs; j++)
            add(z, file, c, r->inputs[j].interface, r->inputs[j].vlan, versions);
        for (size_t j = 0; j < r->n_outputs; j++)
            add(z, file, c, r->outputs[j].interface, r->outputs[j].vlan, versions);
    }
}

static void unite(struct zones *z)
{
    size_t n = 0;

    qsort(z->members, z->n_members, sizeof(*z->members), compare);
    for (size_t i = 0; i < z->n_members; i++)
        if (n > 0 && compare(&z->members[n - 1], &z->members[i]) == 0)
            z->members[n - 1].versions |= z->members[i].versions;
        else
            z->members[n++] = z->members[i];
    z->n_members = n;
}

static void make_zones(struct zones *z)
{
    for (size_t i = 0; i < z->n_members; i++) {
        const struct zone_member *m = &z->members[i];
        struct zone *last = z->n > 0 ? &z->list[z->n - 1] : NULL;
        if (!last || *m->zone == '\0' || strcmp(last->members->zone, m->zone) != 0) {
            z->list[z->n++] = (struct zone){.members = m};
            last = &z->list[z->n - 1];
        }
        last->n++;
        last->versions |= m->versions;
        last->changed |= m->versions != GRAPH_BOTH;
    }
}

bool zones_collect(struct zones *z, const struct graph_file *files, size_t n)
{
    size_t most = 1;

    *z = (struct zones){.n = 0};
    for (size_t i = 0; i < n; i++)
        most += most_of(files[i].now) + most_of(files[i].before);
    z->members = calloc(most, sizeof(*z->members));
    if (!z->members)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        add_file(z, i, files[i].now, files[i].before ? GRAPH_NOW : GRAPH_BOTH);
        add_file(z, i, files[i].before, GRAPH_BEFORE);
    }
    unite(z);
    z->list = calloc(z->n_members + 1, sizeof(*z->list));
    if (z->list)
        make_zones(z);
    return z->list != NULL;
}

uint32_t zones_find(const struct zones *z, uint32_t file, const struct config *c, const char *interface, uint16_t vlan)
{
    const struct zone_member wanted = {config_zone(c, interface), interface, file, vlan, 0};
    size_t low = 0, high = z->n;

    // The last zone that does not begin behind it.
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (compare(z->list[middle].members, &wanted) <= 0)
            low = middle;
        else
            high = middle;
    }
    return (uint32_t) low;
}

void zones_free(struct zones *z)
{
    free(z->members);
    free(z->list);
    *z = (struct zones){.n = 0};
}
