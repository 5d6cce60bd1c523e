// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "firewall/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What fits in one packet wherever IPv6 is carried (RFC 8200, section 5: 1280), less IP and UDP header.
#define UNFRAGMENTED_IPV4 (1280 - 20 - 8)
#define UNFRAGMENTED_IPV6 (1280 - 40 - 8)

static const struct flow_ports any_port = {0, UINT16_MAX};

static struct addr_prefix any_of(uint8_t family)
{
    return (struct addr_prefix){.addr = {.family = family}};
}

static struct addr_prefix one(const struct addr *a)
{
    return (struct addr_prefix){.addr = *a, .bits = (uint8_t) (8 * addr_length(a))};
}

static struct flow_ports ports(uint16_t first, unsigned n)
{
    return (struct flow_ports){first, (uint16_t) (first + n - 1)};
}

static bool is_any(struct flow_ports p)
{
    return p.first == 0 && p.last == UINT16_MAX;
}

static bool is_ranged(const struct addr_prefix *p)
{
    return p->bits != 0 && p->bits != 8 * addr_length(&p->addr);
}

unsigned flow_shape(const struct flow *f)
{
    unsigned shape = (f->source.bits ? FLOW_SOURCE : 0u) | (is_any(f->source_port) ? 0u : FLOW_SOURCE_PORT) |
                     (f->destination.bits ? FLOW_DESTINATION : 0u) | (is_any(f->port) ? 0u : FLOW_PORT);
    bool ranges = (!is_any(f->source_port) && f->source_port.first != f->source_port.last) ||
                  (!is_any(f->port) && f->port.first != f->port.last);

    return shape | (is_ranged(&f->source) || is_ranged(&f->destination) || ranges ? FLOW_RANGED : 0u);
}

static bool add(struct flows *flows, const struct flow *f)
{
    if (flows->n == FLOWS_MAX) {
        snprintf(flows->why, sizeof(flows->why),
                 "the rules make more than %u flows of senders and destinations: use prefixes", FLOWS_MAX);
        return false;
    }
    if (flows->n == flows->room) {
        size_t room = flows->room ? 2 * flows->room : 64;
        struct flow *list = realloc(flows->list, room * sizeof(*list));
        if (!list) {
            snprintf(flows->why, sizeof(flows->why), "out of memory");
            return false;
        }
        flows->list = list;
        flows->room = room;
    }
    flows->list[flows->n++] = *f;
    return true;
}

// --- from the config -------------------------------------------------------------------------------------------------

static bool is_fragmented(const struct config_rule *r, uint8_t family)
{
    return r->max_payload > (family == ADDR_IPV4 ? UNFRAGMENTED_IPV4 : UNFRAGMENTED_IPV6);
}

// One for each sender that the rule's input names.
static bool add_for_senders(struct flows *flows, struct flow *f, const struct config_input *in)
{
    bool ok = true;

    if (in->n_sources == 0)
        return add(flows, f);
    for (size_t i = 0; ok && i < in->n_sources; i++) {
        f->source = in->sources[i];
        ok = add(flows, f);
    }
    return ok;
}

bool flows_add_inputs(struct flows *flows, const struct config *c, bool senders)
{
    bool ok = true;

    for (size_t i = 0; ok && i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        const struct config_input *in = &r->input;
        if (!r->enabled)
            continue;
        uint8_t family = in->kind == CONFIG_BROADCAST ? ADDR_IPV4 : in->address.family;
        struct flow f = {.rule = r->name,
                         .interface = in->interface,
                         .vlan = in->vlan,
                         .broadcast = in->kind == CONFIG_BROADCAST,
                         .fragmented = is_fragmented(r, family),
                         .source = any_of(family),
                         .destination =
                             in->kind == CONFIG_BROADCAST ? any_of(family) : addr_prefix_of(&in->address, in->n_addresses),
                         .source_port = any_port,
                         .port = ports(in->port, in->n_ports)};
        ok = senders ? add_for_senders(flows, &f, in) : add(flows, &f);
    }
    return ok;
}

static bool add_output(struct flows *flows, const struct config_rule *r, const struct config_output *o)
{
    struct addr to = o->kind == CONFIG_BROADCAST ? addr_limited_broadcast : o->address;
    struct flow f = {.rule = r->name,
                     .interface = o->interface,
                     .vlan = o->vlan,
                     .fragmented = is_fragmented(r, to.family),
                     .source = o->source.family == ADDR_NONE ? any_of(to.family) : one(&o->source),
                     .destination = addr_prefix_of(&to, o->n_addresses),
                     .source_port = ports(o->source_port, 1),
                     .port = ports(o->port, o->n_ports)};

    if (o->keep_source_port)
        f.source_port = any_port;
    else if (o->source_port == 0) // that which it is sent to
        f.source_port = f.port;
    return o->keep_source ? add_for_senders(flows, &f, &r->input) : add(flows, &f);
}

bool flows_add_outputs(struct flows *flows, const struct config *c, bool (*wanted)(const struct config_output *o))
{
    bool ok = true;

    for (size_t i = 0; ok && i < c->n_rules; i++)
        for (size_t j = 0; ok && c->rules[i].enabled && !c->rules[i].shadow && j < c->rules[i].n_outputs; j++)
            if (wanted(&c->rules[i].outputs[j]))
                ok = add_output(flows, &c->rules[i], &c->rules[i].outputs[j]);
    return ok;
}

bool flows_add_fragments(struct flows *flows)
{
    size_t n = flows->n;

    for (size_t i = 0; i < n; i++) {
        struct flow f = flows->list[i];
        if (!f.fragmented || f.broadcast)
            continue;
        f.fragment = true;
        f.source_port = f.port = any_port;
        if (!add(flows, &f))
            return false;
    }
    return true;
}

// --- order -----------------------------------------------------------------------------------------------------------

// Whether they are of one set, but for the layer: 0. Those with a tag come last.
static int compare_kinds(const struct flow *a, const struct flow *b)
{
    int order = strcmp(a->interface, b->interface);

    if (order == 0)
        order = (int) a->vlan - (int) b->vlan;
    if (order == 0)
        order = (int) a->destination.addr.family - (int) b->destination.addr.family;
    if (order == 0)
        order = (int) a->fragment - (int) b->fragment;
    if (order == 0)
        order = (int) a->broadcast - (int) b->broadcast;
    return order != 0 ? order : (int) flow_shape(a) - (int) flow_shape(b);
}

static int compare_prefixes(const struct addr_prefix *a, const struct addr_prefix *b)
{
    int order = memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));

    return order != 0 ? order : (int) a->bits - (int) b->bits;
}

static int compare_ports(struct flow_ports a, struct flow_ports b)
{
    return a.first != b.first ? (int) a.first - (int) b.first : (int) a.last - (int) b.last;
}

static int compare_boxes(const struct flow *a, const struct flow *b)
{
    int order = compare_prefixes(&a->destination, &b->destination);

    if (order == 0)
        order = compare_ports(a->port, b->port);
    if (order == 0)
        order = compare_prefixes(&a->source, &b->source);
    return order != 0 ? order : compare_ports(a->source_port, b->source_port);
}

static int compare(const void *left, const void *right)
{
    const struct flow *a = left, *b = right;
    int order = compare_kinds(a, b);

    if (order == 0)
        order = (a->layer > b->layer) - (a->layer < b->layer);
    if (order == 0)
        order = compare_boxes(a, b);
    return order != 0 ? order : strcmp(a->rule, b->rule);
}

bool flow_equal(const struct flow *a, const struct flow *b)
{
    return compare_kinds(a, b) == 0 && compare_boxes(a, b) == 0;
}

size_t flows_set_end(const struct flows *flows, size_t i)
{
    size_t end = i;

    while (end < flows->n && flows->list[end].layer == flows->list[i].layer &&
           compare_kinds(&flows->list[end], &flows->list[i]) == 0)
        end++;
    return end;
}

static bool prefixes_overlap(const struct addr_prefix *a, const struct addr_prefix *b)
{
    return a->bits < b->bits ? addr_prefix_contains(a, &b->addr) : addr_prefix_contains(b, &a->addr);
}

static bool ports_overlap(struct flow_ports a, struct flow_ports b)
{
    return a.first <= b.last && b.first <= a.last;
}

static bool overlap(const struct flow *a, const struct flow *b)
{
    return ports_overlap(a->port, b->port) && ports_overlap(a->source_port, b->source_port) &&
           prefixes_overlap(&a->destination, &b->destination) && prefixes_overlap(&a->source, &b->source);
}

// Flows of one destination, side by side in their set.
struct run {
    size_t first, end;
};

// The runs whose destinations contain that of the flow at i, itself the last; n of them before. As the set is sorted,
// they are those before that still contain it.
static size_t enclosing(const struct flow *set, size_t i, struct run *runs, size_t n)
{
    const struct addr_prefix *to = &set[i].destination;

    if (n > 0 && compare_prefixes(&set[runs[n - 1].first].destination, to) == 0) {
        runs[n - 1].end = i + 1;
        return n;
    }
    while (n > 0 && !prefixes_overlap(&set[runs[n - 1].first].destination, to))
        n--;
    runs[n] = (struct run){.first = i, .end = i + 1};
    return n + 1;
}

// nftables refuses a set whose elements overlap: each flow gets the layer above those of the flows before it that it
// overlaps. Equal ones are written as one.
static void assign_layers(struct flow *set, size_t n)
{
    struct run runs[8 * sizeof(set->destination.addr.bytes) + 1]; // each of more bits than the one before
    size_t n_runs = 0;

    for (size_t i = 0; i < n; i++) {
        n_runs = enclosing(set, i, runs, n_runs);
        if (i > 0 && compare_boxes(&set[i - 1], &set[i]) == 0) {
            set[i].layer = set[i - 1].layer;
            continue;
        }
        for (size_t r = 0; r < n_runs; r++)
            for (size_t j = runs[r].first; j < runs[r].end && j < i; j++)
                if (set[j].layer >= set[i].layer && overlap(&set[j], &set[i]))
                    set[i].layer = set[j].layer + 1;
    }
}

bool flows_settle(struct flows *flows)
{
    if (flows->n == 0)
        return true;
    qsort(flows->list, flows->n, sizeof(*flows->list), compare);
    for (size_t i = 0, end; i < flows->n; i = end) {
        end = i;
        while (end < flows->n && compare_kinds(&flows->list[end], &flows->list[i]) == 0)
            end++;
        if (!(flow_shape(&flows->list[i]) & FLOW_RANGED))
            continue;
        if (end - i > FLOWS_RANGED_MAX) {
            snprintf(flows->why, sizeof(flows->why),
                     "interface \"%s\" has %zu flows with prefixes or ranges, allowed is up to %u",
                     flows->list[i].interface, end - i, FLOWS_RANGED_MAX);
            return false;
        }
        assign_layers(&flows->list[i], end - i);
    }
    qsort(flows->list, flows->n, sizeof(*flows->list), compare);
    return true;
}

void flows_free(struct flows *flows)
{
    free(flows->list);
    *flows = (struct flows){0};
}
