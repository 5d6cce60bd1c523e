// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "firewall/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The largest payload that never needs a second packet: the MTU that every IPv6 link has (1280; RFC 8200, section 5),
// less the IP and UDP header.
#define UNFRAGMENTED_IPV4 (1280 - 20 - 8)
#define UNFRAGMENTED_IPV6 (1280 - 40 - 8)

// The shape bits of one end; address and port are the two that stand for its fields.
static unsigned shape_of(const struct flow_end *e, unsigned address, unsigned port)
{
    bool any_port = e->first == 0 && e->last == UINT16_MAX;
    bool ranged = (e->address.bits != 0 && e->address.bits != 8 * addr_length(&e->address.addr)) ||
                  (!any_port && e->first != e->last);

    return (e->address.bits ? address : 0u) | (any_port ? 0u : port) | (ranged ? FLOW_RANGED : 0u);
}

static bool add(struct flows *flows, const struct flow *f)
{
    if (flows->n == FLOWS_MAX) {
        snprintf(flows->why, FIREWALL_WHY_MAX,
                 "the rules make more than %u flows of senders and destinations: use prefixes", FLOWS_MAX);
        return false;
    }
    if (flows->n == flows->room) {
        size_t room = flows->room ? 2 * flows->room : 64;
        struct flow *list = realloc(flows->list, room * sizeof(*list));
        if (!list) {
            snprintf(flows->why, FIREWALL_WHY_MAX, "out of memory");
            return false;
        }
        flows->list = list;
        flows->room = room;
    }
    flows->list[flows->n] = *f;
    flows->list[flows->n++].shape =
        shape_of(&f->from, FLOW_SOURCE, FLOW_SOURCE_PORT) | shape_of(&f->to, FLOW_DESTINATION, FLOW_PORT);
    return true;
}

// --- from the config -------------------------------------------------------------------------------------------------

// A flow of this rule on this interface, with any sender and any destination: the caller narrows both ends.
static struct flow flow_of(const struct config_rule *r, const char *interface, uint16_t vlan, uint8_t family)
{
    struct flow_end any = {.address.addr.family = family, .last = UINT16_MAX};

    return (struct flow){.rule = r->name,
                         .interface = interface,
                         .vlan = vlan,
                         .fragmented = r->max_payload > (family == ADDR_IPV4 ? UNFRAGMENTED_IPV4 : UNFRAGMENTED_IPV6),
                         .from = any,
                         .to = any};
}

// One for each sender that the rule's input names.
static bool add_for_senders(struct flows *flows, struct flow *f, const struct config_input *in)
{
    for (size_t i = 0; i < in->n_sources; i++) {
        f->from.address = in->sources[i];
        if (!add(flows, f))
            return false;
    }
    return in->n_sources > 0 || add(flows, f);
}

// One for each sender that some input of the rule names; where one takes every sender, one for all.
static bool add_for_all_senders(struct flows *flows, struct flow *f, const struct config_rule *r)
{
    for (size_t i = 0; i < r->n_inputs; i++)
        if (r->inputs[i].n_sources == 0)
            return add(flows, f);
    for (size_t i = 0; i < r->n_inputs; i++)
        if (!add_for_senders(flows, f, &r->inputs[i]))
            return false;
    return true;
}

static bool add_input(struct flows *flows, const struct config_rule *r, const struct config_input *in, bool by_sender)
{
    bool broadcast = in->kind == CONFIG_BROADCAST;
    struct flow f = flow_of(r, in->interface, in->vlan, broadcast ? ADDR_IPV4 : in->address.family);

    f.broadcast = broadcast;
    if (!broadcast)
        f.to.address = addr_prefix_of(&in->address, in->n_addresses);
    f.to.first = in->port;
    f.to.last = (uint16_t) (in->port + in->n_ports - 1);
    return by_sender ? add_for_senders(flows, &f, in) : add(flows, &f);
}

static bool add_output(struct flows *flows, const struct config_rule *r, const struct config_output *o)
{
    struct addr to = o->kind == CONFIG_BROADCAST ? addr_limited_broadcast : o->address;
    struct flow f = flow_of(r, o->interface, o->vlan, to.family);

    f.to = (struct flow_end){addr_prefix_of(&to, o->n_addresses), .first = o->port,
                             .last = (uint16_t) (o->port + o->n_ports - 1)};
    if (o->source.family != ADDR_NONE)
        f.from.address = addr_prefix_of(&o->source, 1);
    if (!o->keep_source_port) { // without source_port, that which it is sent to
        f.from.first = o->source_port ? o->source_port : f.to.first;
        f.from.last = o->source_port ? o->source_port : f.to.last;
    }
    return o->keep_source ? add_for_all_senders(flows, &f, r) : add(flows, &f);
}

static bool by_the_stack(const struct config_output *o)
{
    return o->kind == CONFIG_ADDRESS || (o->mode != CONFIG_MODE_FRAME && o->vlan == 0);
}

static bool add_rule(struct flows *flows, const struct config_rule *r, enum flows_kind kind)
{
    if (kind == FLOWS_IN || kind == FLOWS_IN_BY_SENDER) {
        for (size_t i = 0; i < r->n_inputs; i++)
            if (!add_input(flows, r, &r->inputs[i], kind == FLOWS_IN_BY_SENDER))
                return false;
        return true;
    }
    for (size_t i = 0; !r->shadow && i < r->n_outputs; i++)
        if ((kind == FLOWS_OUT || by_the_stack(&r->outputs[i])) && !add_output(flows, r, &r->outputs[i]))
            return false;
    return true;
}

// Adds a flow for later fragments to each flow whose datagrams may need more than one packet. Later fragments have no
// ports, so they are matched by addresses alone; a broadcast flow has no address to match.
static bool add_fragments(struct flows *flows)
{
    size_t n = flows->n;

    for (size_t i = 0; i < n; i++) {
        struct flow f = flows->list[i];
        if (!f.fragmented || f.broadcast)
            continue;
        f.fragment = true;
        f.from.first = f.to.first = 0;
        f.from.last = f.to.last = UINT16_MAX;
        if (!add(flows, &f))
            return false;
    }
    return true;
}

// --- order -----------------------------------------------------------------------------------------------------------

// What the flows of one set have in common besides interface and layer, as a number; the tag is the highest part, so
// that tagged flows come last.
static int kind_of(const struct flow *f)
{
    return f->vlan << 8 | (f->to.address.addr.family == ADDR_IPV6) << 7 | f->fragment << 6 | f->broadcast << 5 |
           (int) f->shape;
}

// 0: the two belong to one set, apart from their layers.
static int compare_kinds(const struct flow *a, const struct flow *b)
{
    int order = strcmp(a->interface, b->interface);

    return order != 0 ? order : kind_of(a) - kind_of(b);
}

// By address, the wider prefix first, then by port.
static int compare_ends(const struct flow_end *a, const struct flow_end *b)
{
    int order = memcmp(&a->address, &b->address, sizeof(a->address)); // bytes only

    if (order == 0)
        order = (int) a->first - (int) b->first;
    return order != 0 ? order : (int) a->last - (int) b->last;
}

static int compare_boxes(const struct flow *a, const struct flow *b)
{
    int order = compare_ends(&a->to, &b->to);

    return order != 0 ? order : compare_ends(&a->from, &b->from);
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

static bool ends_overlap(const struct flow_end *a, const struct flow_end *b)
{
    return a->first <= b->last && b->first <= a->last && prefixes_overlap(&a->address, &b->address);
}

// The flows of one destination prefix, which lie side by side in their set.
struct run {
    size_t first, end;
};

// Updates the stack of runs (n of them) to those whose destination prefix contains that of the flow at i, with its own
// run on top, and returns how many they are. The set is sorted by prefix, so a run that does not contain it is never
// needed again.
static size_t enclosing(const struct flow *set, size_t i, struct run *runs, size_t n)
{
    const struct addr_prefix *to = &set[i].to.address;

    if (n > 0 && memcmp(&set[runs[n - 1].first].to.address, to, sizeof(*to)) == 0) {
        runs[n - 1].end = i + 1;
        return n;
    }
    while (n > 0 && !prefixes_overlap(&set[runs[n - 1].first].to.address, to))
        n--;
    runs[n] = (struct run){.first = i, .end = i + 1};
    return n + 1;
}

// nftables refuses a set whose elements overlap, so each layer becomes a set of its own: a flow gets the lowest layer
// above all earlier flows that it overlaps. Equal flows are one element and share a layer.
static void assign_layers(struct flow *set, size_t n)
{
    struct run runs[8 * sizeof(set->to.address.addr.bytes) + 1]; // each prefix is longer than the one below
    size_t n_runs = 0;

    for (size_t i = 0; i < n; i++) {
        n_runs = enclosing(set, i, runs, n_runs);
        if (i > 0 && compare_boxes(&set[i - 1], &set[i]) == 0) {
            set[i].layer = set[i - 1].layer;
            continue;
        }
        for (size_t r = 0; r < n_runs; r++)
            for (size_t j = runs[r].first; j < runs[r].end && j < i; j++)
                if (set[j].layer >= set[i].layer && ends_overlap(&set[j].to, &set[i].to) &&
                    ends_overlap(&set[j].from, &set[i].from))
                    set[i].layer = set[j].layer + 1;
    }
}

static bool settle(struct flows *flows)
{
    if (flows->n == 0)
        return true;
    qsort(flows->list, flows->n, sizeof(*flows->list), compare);
    for (size_t i = 0, end; i < flows->n; i = end) {
        end = flows_set_end(flows, i); // every layer is still 0
        if (!(flows->list[i].shape & FLOW_RANGED))
            continue;
        if (end - i > FLOWS_RANGED_MAX) {
            snprintf(flows->why, FIREWALL_WHY_MAX,
                     "interface \"%s\" has %zu flows with prefixes or ranges, allowed is up to %u",
                     flows->list[i].interface, end - i, FLOWS_RANGED_MAX);
            return false;
        }
        assign_layers(&flows->list[i], end - i);
    }
    qsort(flows->list, flows->n, sizeof(*flows->list), compare);
    return true;
}

bool flows_collect(struct flows *flows, const struct config *const *configs, size_t n, enum flows_kind kind)
{
    for (size_t c = 0; c < n; c++)
        for (size_t i = 0; i < configs[c]->n_rules; i++)
            if (config_rule_may_run(&configs[c]->rules[i]) && !add_rule(flows, &configs[c]->rules[i], kind))
                return false;
    return (kind == FLOWS_IN || add_fragments(flows)) && settle(flows);
}
