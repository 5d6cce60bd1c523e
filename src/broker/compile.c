// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/compile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/header.h"
#include "broker/link.h"
#include "log/log.h"

struct compilation {
    const struct config *config;
    const struct table_view *before;
    struct sockets *sockets;
    bool reject_missing;
    bool running; // these rules run already: what cannot be opened waits
    struct link *links;
    struct table_interface *interfaces;
    uint32_t n_interfaces;
    struct table_rule *rules;
    struct table_output *outputs;
    uint32_t n_outputs;
    struct table_egress *egress;
    uint32_t n_egress;
    struct addr_prefix *sources;
    uint32_t n_sources;
    struct table_destination *destinations;
    uint32_t n_destinations;
    struct table_slot *slots;
    uint32_t n_slots, longest_probe;
    char *why;
};

static bool __attribute__((format(printf, 2, 3))) refuse(struct compilation *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->why, COMPILE_WHY_MAX, format, args);
    va_end(args);
    return false;
}

// --- interfaces ------------------------------------------------------------------------------------------------------

static uint32_t interface_index(struct compilation *c, const char *name)
{
    for (uint32_t i = 0; i < c->n_interfaces; i++)
        if (strcmp(c->interfaces[i].name, name) == 0)
            return i;
    uint32_t i = c->n_interfaces++;
    snprintf(c->interfaces[i].name, IFNAMSIZ, "%s", name);
    snprintf(c->links[i].name, IFNAMSIZ, "%s", name);
    return i;
}

static void name_interfaces(struct compilation *c, bool enabled)
{
    for (size_t i = 0; i < c->config->n_rules; i++) {
        const struct config_rule *r = &c->config->rules[i];
        if (r->enabled != enabled)
            continue;
        interface_index(c, r->input.interface);
        for (size_t j = 0; j < r->n_outputs; j++)
            interface_index(c, r->outputs[j].interface);
    }
}

static bool find_interfaces(struct compilation *c)
{
    name_interfaces(c, true);
    // Those that only disabled rules name may be missing.
    uint32_t n_used = c->n_interfaces;
    name_interfaces(c, false);
    if (!link_query(c->links, c->n_interfaces))
        return refuse(c, "the kernel does not list the interfaces: %s", strerror(errno));
    for (uint32_t i = 0; i < c->n_interfaces; i++) {
        const struct link *l = &c->links[i];
        c->interfaces[i].ifindex = l->ifindex;
        c->interfaces[i].link = l->ethernet ? TABLE_LINK_ETHERNET : TABLE_LINK_NONE;
        c->interfaces[i].state = !l->ifindex ? TABLE_INTERFACE_MISSING
                                 : l->up     ? TABLE_INTERFACE_UP
                                             : TABLE_INTERFACE_DOWN;
        if (l->ifindex || i >= n_used)
            continue;
        if (c->reject_missing)
            return refuse(c, "interface \"%s\" does not exist and missing_interface is \"reject\"", l->name);
        log_warn("interface_missing", "interface=%s reason=\"its rules wait for it\"", l->name);
    }
    return true;
}

// --- inputs ----------------------------------------------------------------------------------------------------------

static bool open_ring(struct compilation *c, uint32_t interface, struct filter_key *keys)
{
    struct table_interface *t = &c->interfaces[interface];
    struct ingress_geometry g;
    const char *step = "";
    size_t n = 0;

    for (uint32_t i = 0; i < c->n_destinations; i++)
        if (c->destinations[i].interface == interface)
            keys[n++] = (struct filter_key){.address = c->destinations[i].address, .port = c->destinations[i].port};
    if (n == 0)
        return true;
    struct ingress_filter filter = {.keys = keys, .n = n, .ethernet = c->links[interface].ethernet};
    const struct registry_entry *e =
        sockets_ring(c->sockets, t->ifindex, c->links[interface].mtu, c->config->ring_mib, &filter, &g, &step);
    if (!e)
        return refuse(c, "interface \"%s\": %s: %s", t->name, step, strerror(errno));
    t->ring_id = e->id;
    t->slot_size = g.slot_size;
    t->n_slots = g.n_slots;
    t->block_size = g.block_size;
    return true;
}

static bool open_rings(struct compilation *c)
{
    struct filter_key *keys = calloc(c->n_destinations + 1, sizeof(*keys));
    bool ok = keys != NULL;

    if (!ok)
        return refuse(c, "%s", strerror(ENOMEM));
    for (uint32_t i = 0; ok && i < c->n_interfaces; i++)
        if (c->links[i].ifindex)
            ok = open_ring(c, i, keys);
    free(keys);
    return ok;
}

// Exact addresses alone make a source-specific membership (RFC 4607); a prefix can only be filtered by the relay.
static bool names_senders(const struct config_input *in)
{
    for (size_t i = 0; i < in->n_sources; i++)
        if (in->sources[i].bits < 8 * addr_length(&in->sources[i].addr))
            return false;
    return in->n_sources > 0;
}

static bool join_for_rule(struct compilation *c, const struct config_rule *r, const struct link *l)
{
    size_t n = names_senders(&r->input) ? r->input.n_sources : 1;
    const char *step = "";

    for (size_t i = 0; i < n; i++) {
        const struct addr *source = names_senders(&r->input) ? &r->input.sources[i].addr : NULL;
        if (!sockets_join(c->sockets, l->ifindex, &r->input.address, source, &step))
            return refuse(c, "rule \"%s\": %s on interface \"%s\": %s", r->name, step, l->name, strerror(errno));
    }
    return true;
}

// The kernel must not answer datagrams to this host that only the ring reads with ICMP errors. Where somebody else has
// bound the port, it is quiet already; without the right to bind it, the relay works all the same.
static void keep_quiet(struct compilation *c, const struct config_rule *r, const struct link *l)
{
    const char *step = "";

    if (!sockets_quiet(c->sockets, l->name, l->ifindex, &r->input.address, r->input.port, &step) && errno != EADDRINUSE)
        log_errno(LOG_LEVEL_WARNING, "input_not_quiet",
                  "rule=%s interface=%s reason=\"%s\" effect=\"the kernel answers its senders with ICMP errors\"",
                  r->name, l->name, step);
}

static bool join_groups(struct compilation *c)
{
    // First those that take every sender (memberships_want()).
    for (int with_senders = 0; with_senders <= 1; with_senders++)
        for (size_t i = 0; i < c->config->n_rules; i++) {
            const struct config_rule *r = &c->config->rules[i];
            const struct link *l = &c->links[c->rules[i].interface];
            if (r->enabled && l->ifindex && r->input.kind == CONFIG_GROUP &&
                names_senders(&r->input) == (with_senders == 1) && !join_for_rule(c, r, l))
                return false;
        }
    for (size_t i = 0; i < c->config->n_rules; i++) {
        const struct config_rule *r = &c->config->rules[i];
        if (r->enabled && r->input.kind == CONFIG_ADDRESS && c->links[c->rules[i].interface].ifindex)
            keep_quiet(c, r, &c->links[c->rules[i].interface]);
    }
    return true;
}

// --- outputs ---------------------------------------------------------------------------------------------------------

// Whether an output that cannot be opened for this reason may become possible by itself.
static bool is_passing(int error)
{
    return error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL || error == ENETDOWN ||
           error == ENODEV || error == ENXIO;
}

static bool output_waits(struct compilation *c, const struct config_rule *r, const struct config_output *o,
                         const char *reason, int error)
{
    if (c->reject_missing || (error && !c->running && !is_passing(error)))
        return refuse(c, "rule \"%s\": output on interface \"%s\": %s%s%s", r->name, o->interface, reason,
                      error ? ": " : "", error ? strerror(error) : "");
    log_warn("output_waiting", "rule=%s interface=%s reason=\"%s\"", r->name, o->interface, reason);
    return true;
}

static struct table_egress *place_egress(struct compilation *c, struct registry_entry *e, const struct link *l)
{
    // An entry that several outputs share has its place from the first of them.
    if (e->place < c->n_egress && c->egress[e->place].id == e->id)
        return &c->egress[e->place];
    e->place = c->n_egress++;
    c->egress[e->place] = (struct table_egress){
        .id = e->id,
        .kind = e->key.kind == REGISTRY_FRAME ? TABLE_EGRESS_FRAME
                : e->key.kind == REGISTRY_RAW ? TABLE_EGRESS_RAW
                                              : TABLE_EGRESS_SOCKET,
        .flags = e->gso ? TABLE_EGRESS_GSO : 0,
        .mtu = l->mtu,
    };
    return &c->egress[e->place];
}

// What the kernel binds for nobody but root (ip_unprivileged_port_start) must be written by ourselves.
#define PRIVILEGED_PORTS 1024

static enum registry_kind way_of(const struct config_output *o, const struct link *l)
{
    if (o->kind != CONFIG_ADDRESS && (o->mode == CONFIG_MODE_FRAME || (o->mode == CONFIG_MODE_AUTO && l->ethernet)))
        return REGISTRY_FRAME;
    return o->keep_source || o->keep_source_port || o->source_port < PRIVILEGED_PORTS ? REGISTRY_RAW : REGISTRY_SOCKET;
}

static bool open_output(struct compilation *c, const struct config_rule *r, const struct config_output *o,
                        struct table_output *t)
{
    const struct link *l = &c->links[t->interface];
    const struct addr *source = o->source.family == ADDR_NONE ? link_source(l, &t->to) : &o->source;
    static const struct addr kept[2] = {{.family = ADDR_IPV4}, {.family = ADDR_IPV6}};
    enum registry_kind way = way_of(o, l);
    struct registry_entry *e = NULL;
    const char *step = "";

    if (!l->ifindex)
        return output_waits(c, r, o, "the interface does not exist", 0);
    if (o->keep_source)
        source = &kept[t->to.family == ADDR_IPV6];
    if (source->family == ADDR_NONE)
        return output_waits(c, r, o, "the interface has no address to send from: give it one, or set source", 0);
    if ((way == REGISTRY_FRAME || o->vlan != 0) && !l->ethernet)
        return refuse(
            c, "rule \"%s\": interface \"%s\" has no Ethernet headers: use mode \"socket\" or \"auto\", and no vlan",
            r->name, o->interface);

    struct egress_flow flow = {
        .ifindex = l->ifindex, .source = *source, .destination = t->to, .source_port = o->source_port, .port = o->port};
    memcpy(flow.interface, l->name, sizeof(flow.interface));
    if (way == REGISTRY_FRAME)
        e = sockets_frame(c->sockets, l->ifindex, &step);
    else if (way == REGISTRY_RAW)
        e = sockets_raw(c->sockets, &flow, &step);
    else
        e = sockets_flow(c->sockets, &flow, &step);
    if (!e)
        return output_waits(c, r, o, step, errno);
    t->egress = (uint32_t) (place_egress(c, e, l) - c->egress);
    if (way != REGISTRY_SOCKET)
        header_write(t, way == REGISTRY_FRAME ? l->mac : NULL, source, o->source_port);
    return true;
}

// --- what is carried over from the table before ----------------------------------------------------------------------

struct named {
    const char *name;
    uint32_t rule;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named *) a)->name, ((const struct named *) b)->name);
}

static bool same_output(const struct compilation *c, const struct table_output *a, const struct table_output *b)
{
    return a->port == b->port && a->vlan == b->vlan && addr_equal(&a->to, &b->to) &&
           strcmp(c->interfaces[a->interface].name, c->before->interfaces[b->interface].name) == 0;
}

static void carry_outputs(struct compilation *c, const struct table_rule *now, const struct table_rule *then)
{
    for (uint32_t i = 0; i < now->n_outputs; i++)
        for (uint32_t j = 0; j < then->n_outputs; j++)
            if (same_output(c, &c->outputs[now->first_output + i], &c->before->outputs[then->first_output + j])) {
                c->outputs[now->first_output + i].carried_from = then->first_output + j;
                break;
            }
}

static bool carry_over(struct compilation *c)
{
    if (!c->before || c->before->n_rules == 0)
        return true;

    uint32_t n = c->before->n_rules;
    struct named *names = calloc(n, sizeof(*names));
    if (!names)
        return refuse(c, "%s", strerror(ENOMEM));
    for (uint32_t i = 0; i < n; i++)
        names[i] = (struct named){.name = c->before->rules[i].name, .rule = i};
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < c->config->n_rules; i++) {
        struct named key = {.name = c->rules[i].name};
        const struct named *found = bsearch(&key, names, n, sizeof(*names), by_name);
        if (!found)
            continue;
        c->rules[i].carried_from = found->rule;
        carry_outputs(c, &c->rules[i], &c->before->rules[found->rule]);
    }
    free(names);
    return true;
}

// --- rules -----------------------------------------------------------------------------------------------------------

static const struct addr limited_broadcast = {.family = ADDR_IPV4, .bytes = {255, 255, 255, 255}};

static void place_destination(struct compilation *c, uint32_t rule, const struct addr *address)
{
    const struct config_input *in = &c->config->rules[rule].input;

    c->destinations[c->n_destinations++] = (struct table_destination){
        .address = *address, .port = in->port, .vlan = in->vlan, .interface = c->rules[rule].interface, .rule = rule};
}

static void place_destinations(struct compilation *c, uint32_t rule)
{
    const struct config_rule *r = &c->config->rules[rule];
    const struct addr *subnet = &c->links[c->rules[rule].interface].broadcast;

    c->rules[rule].first_destination = c->n_destinations;
    if (!r->enabled)
        return;
    if (r->input.kind != CONFIG_BROADCAST) {
        place_destination(c, rule, &r->input.address);
    } else {
        place_destination(c, rule, &limited_broadcast);
        if (subnet->family != ADDR_NONE && !addr_equal(subnet, &limited_broadcast))
            place_destination(c, rule, subnet);
    }
    c->rules[rule].n_destinations = c->n_destinations - c->rules[rule].first_destination;
}

static void place_output(struct compilation *c, struct table_rule *t, const struct config_output *o)
{
    uint16_t flags = (uint16_t) ((o->keep_source ? TABLE_OUTPUT_KEEP_SOURCE : 0) |
                                 (o->keep_source_port ? TABLE_OUTPUT_KEEP_PORT : 0));

    c->outputs[c->n_outputs++] = (struct table_output){
        .to = o->kind == CONFIG_BROADCAST ? limited_broadcast : o->address,
        .port = o->port,
        .flags = flags,
        .vlan = o->vlan,
        .ttl = o->ttl_decrement ? 0 : o->ttl,
        .dscp = o->dscp == CONFIG_DSCP_PRESERVE ? TABLE_DSCP_PRESERVE : (uint8_t) o->dscp,
        .interface = interface_index(c, o->interface),
        .egress = TABLE_NONE,
        .carried_from = TABLE_NONE,
    };
    if (flags)
        t->flags |= TABLE_RULE_KEEPS;
    if (o->ttl_decrement)
        t->flags |= TABLE_RULE_TTL_ANY;
    else
        t->flags &= ~(uint32_t) TABLE_RULE_TTL_ALL;
}

static void place_rule(struct compilation *c, uint32_t i)
{
    const struct config_rule *r = &c->config->rules[i];
    struct table_rule *t = &c->rules[i];

    *t = (struct table_rule){
        .interface = interface_index(c, r->input.interface),
        .flags = (r->enabled ? TABLE_RULE_ENABLED : 0u) | TABLE_RULE_TTL_ALL,
        .max_payload = r->max_payload,
        .first_output = c->n_outputs,
        .n_outputs = (uint32_t) r->n_outputs,
        .first_source = c->n_sources,
        .n_sources = (uint32_t) r->input.n_sources,
        .packets_per_second = r->limit.packets_per_second,
        .bits_per_second = r->limit.bits_per_second,
        .burst_ms = r->limit.burst_ms,
        .carried_from = TABLE_NONE,
    };
    snprintf(t->name, sizeof(t->name), "%s", r->name);
    snprintf(t->note, sizeof(t->note), "%s", r->note);
    if (r->input.n_sources > 0)
        memcpy(c->sources + c->n_sources, r->input.sources, r->input.n_sources * sizeof(*c->sources));
    c->n_sources += (uint32_t) r->input.n_sources;
    place_destinations(c, i);
    for (size_t j = 0; j < r->n_outputs; j++)
        place_output(c, t, &r->outputs[j]);
}

static bool open_outputs(struct compilation *c)
{
    for (size_t i = 0; i < c->config->n_rules; i++) {
        const struct config_rule *r = &c->config->rules[i];
        struct table_rule *t = &c->rules[i];
        if (!r->enabled)
            continue;
        if (!c->links[t->interface].ifindex)
            t->flags |= TABLE_RULE_WAITING;
        for (size_t j = 0; j < r->n_outputs; j++) {
            struct table_output *o = &c->outputs[t->first_output + j];
            if (!open_output(c, r, &r->outputs[j], o))
                return false;
            if (o->egress == TABLE_NONE)
                t->flags |= TABLE_RULE_WAITING;
        }
    }
    return true;
}

static void index_destinations(struct compilation *c)
{
    for (uint32_t i = 0; i < c->n_slots; i++)
        c->slots[i].destination = TABLE_NONE;
    for (uint32_t i = 0; i < c->n_destinations; i++) {
        const struct table_destination *d = &c->destinations[i];
        struct table_key key = {.destination = d->address, .port = d->port, .vlan = d->vlan, .interface = d->interface};
        uint32_t hash = table_hash(&key), probe = 0;
        while (c->slots[(hash + probe) & (c->n_slots - 1)].destination != TABLE_NONE)
            probe++;
        c->slots[(hash + probe) & (c->n_slots - 1)] = (struct table_slot){.hash = hash, .destination = i};
        if (probe + 1 > c->longest_probe)
            c->longest_probe = probe + 1;
    }
}

// --- layout ----------------------------------------------------------------------------------------------------------

static struct table_array reserve(size_t *size, uint32_t n, size_t each)
{
    struct table_array a = {.offset = (uint32_t) *size, .n = n};

    *size += (n * each + 7) & ~(size_t) 7;
    return a;
}

static void fill(uint8_t *base, const struct table_array *a, const void *from, size_t each)
{
    if (a->n > 0)
        memcpy(base + a->offset, from, a->n * each);
}

static bool lay_out(struct compilation *c, uint64_t generation, struct compiled *out)
{
    struct table_header h = {
        .magic = TABLE_MAGIC,
        .version = TABLE_VERSION,
        .generation = generation,
        .longest_probe = c->longest_probe,
        .flags = c->config->reload_on_change ? TABLE_RELOAD_ON_CHANGE : 0,
    };
    size_t size = sizeof(h);

    memcpy(h.sha256, c->config->file.sha256, sizeof(h.sha256));
    snprintf(h.instance, sizeof(h.instance), "%s", c->config->instance);
    h.interfaces = reserve(&size, c->n_interfaces, sizeof(*c->interfaces));
    h.rules = reserve(&size, (uint32_t) c->config->n_rules, sizeof(*c->rules));
    h.outputs = reserve(&size, c->n_outputs, sizeof(*c->outputs));
    h.egress = reserve(&size, c->n_egress, sizeof(*c->egress));
    h.sources = reserve(&size, c->n_sources, sizeof(*c->sources));
    h.holds = reserve(&size, (uint32_t) sockets_holds(c->sockets, NULL, 0), sizeof(uint64_t));
    h.destinations = reserve(&size, c->n_destinations, sizeof(*c->destinations));
    h.slots = reserve(&size, c->n_slots, sizeof(*c->slots));
    h.size = (uint32_t) size;
    if (size > TABLE_BYTES_MAX)
        return refuse(c, "the table would need %zu bytes, allowed are %u", size, TABLE_BYTES_MAX);

    uint8_t *base = calloc(1, size);
    if (!base)
        return refuse(c, "%s", strerror(ENOMEM));
    memcpy(base, &h, sizeof(h));
    fill(base, &h.interfaces, c->interfaces, sizeof(*c->interfaces));
    fill(base, &h.rules, c->rules, sizeof(*c->rules));
    fill(base, &h.outputs, c->outputs, sizeof(*c->outputs));
    fill(base, &h.egress, c->egress, sizeof(*c->egress));
    fill(base, &h.sources, c->sources, sizeof(*c->sources));
    fill(base, &h.destinations, c->destinations, sizeof(*c->destinations));
    fill(base, &h.slots, c->slots, sizeof(*c->slots));
    sockets_holds(c->sockets, (uint64_t *) (void *) (base + h.holds.offset), h.holds.n);
    out->bytes = base;
    out->size = size;
    return true;
}

static bool allocate(struct compilation *c)
{
    const struct config *config = c->config;
    size_t outputs = 0, sources = 0;

    for (size_t i = 0; i < config->n_rules; i++) {
        outputs += config->rules[i].n_outputs;
        sources += config->rules[i].input.n_sources;
    }
    // At least twice as many slots as destinations keeps probes short; a broadcast input has two.
    c->n_slots = 16;
    while (c->n_slots < 4 * config->n_rules)
        c->n_slots *= 2;
    // An interface may be named by every rule and output; config/check.c bounds the distinct ones.
    c->interfaces = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->interfaces));
    c->links = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->links));
    c->rules = calloc(config->n_rules + 1, sizeof(*c->rules));
    c->outputs = calloc(outputs + 1, sizeof(*c->outputs));
    c->egress = calloc(outputs + 1, sizeof(*c->egress));
    c->sources = calloc(sources + 1, sizeof(*c->sources));
    c->destinations = calloc(2 * config->n_rules + 1, sizeof(*c->destinations));
    c->slots = calloc(c->n_slots, sizeof(*c->slots));
    return c->interfaces && c->links && c->rules && c->outputs && c->egress && c->sources && c->destinations &&
           c->slots;
}

bool compile(const struct config *config, const struct table_view *before, uint64_t generation, bool running,
             struct sockets *sockets, struct compiled *out, char why[COMPILE_WHY_MAX])
{
    struct compilation c = {.config = config,
                            .before = before,
                            .sockets = sockets,
                            .reject_missing = config->reject_missing && !running,
                            .running = running,
                            .why = why};
    bool ok = allocate(&c);

    if (!ok)
        refuse(&c, "%s", strerror(ENOMEM));
    ok = ok && find_interfaces(&c);
    for (uint32_t i = 0; ok && i < config->n_rules; i++)
        place_rule(&c, i);
    // Memberships last: a group's traffic finds its ring ready.
    ok = ok && carry_over(&c) && open_outputs(&c) && open_rings(&c) && join_groups(&c);
    if (ok) {
        index_destinations(&c);
        ok = lay_out(&c, generation, out);
    }
    free(c.interfaces);
    free(c.links);
    free(c.rules);
    free(c.outputs);
    free(c.egress);
    free(c.sources);
    free(c.destinations);
    free(c.slots);
    return ok;
}

// A copy of the table without what is carried over. NULL without memory.
static void *without_carried(const struct compiled *t)
{
    uint8_t *copy = malloc(t->size);

    if (!copy)
        return NULL;
    memcpy(copy, t->bytes, t->size);
    const struct table_header *h = (const void *) copy;
    struct table_rule *rules = (void *) (copy + h->rules.offset);
    struct table_output *outputs = (void *) (copy + h->outputs.offset);
    for (uint32_t i = 0; i < h->rules.n; i++)
        rules[i].carried_from = TABLE_NONE;
    for (uint32_t i = 0; i < h->outputs.n; i++)
        outputs[i].carried_from = TABLE_NONE;
    return copy;
}

bool compiled_equal(const struct compiled *a, const struct compiled *b)
{
    void *x = NULL, *y = NULL;
    bool equal = false;

    if (a->size == b->size && (x = without_carried(a)) && (y = without_carried(b)))
        equal = memcmp(x, y, a->size) == 0;
    free(x);
    free(y);
    return equal;
}
