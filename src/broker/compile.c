// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/compile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/link.h"
#include "log/log.h"

struct compilation {
    const struct config *config;
    const struct table_view *before;
    struct sockets *sockets;
    bool reject_missing;
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
        c->interfaces[i].state = !l->ifindex ? TABLE_INTERFACE_MISSING : l->up ? TABLE_INTERFACE_UP : TABLE_INTERFACE_DOWN;
        if (l->ifindex || i >= n_used)
            continue;
        if (c->reject_missing)
            return refuse(c, "interface \"%s\" does not exist and missing_interface is \"reject\"", l->name);
        log_warn("interface_missing", "interface=%s reason=\"its rules wait for it\"", l->name);
    }
    return true;
}

// --- inputs ----------------------------------------------------------------------------------------------------------

static bool rule_takes_in(const struct compilation *c, size_t rule, uint32_t interface)
{
    return c->config->rules[rule].enabled && c->rules[rule].interface == interface;
}

static bool open_ring(struct compilation *c, uint32_t interface, struct filter_key *keys)
{
    struct table_interface *t = &c->interfaces[interface];
    struct ingress_geometry g;
    struct sock_fprog filter;
    const char *step = "";
    size_t n = 0;

    for (size_t i = 0; i < c->config->n_rules; i++) {
        uint32_t address;
        if (!rule_takes_in(c, i, interface))
            continue;
        memcpy(&address, c->rules[i].destination.bytes, sizeof(address));
        keys[n++] = (struct filter_key){.address = ntohl(address), .port = c->rules[i].port};
    }
    if (n == 0)
        return true;
    if (!c->links[interface].ethernet)
        return refuse(c, "interface \"%s\" has no Ethernet headers: not supported as an input yet", t->name);
    if (!filter_build(&filter, keys, n))
        return refuse(c, "interface \"%s\": filter: %s", t->name, strerror(ENOMEM));
    const struct registry_entry *e =
        sockets_ring(c->sockets, t->ifindex, c->links[interface].mtu, c->config->ring_mib, &filter, &g, &step);
    int error = errno;
    free(filter.filter);
    if (!e)
        return refuse(c, "interface \"%s\": %s: %s", t->name, step, strerror(error));
    t->ring_id = e->id;
    t->slot_size = g.slot_size;
    t->n_slots = g.n_slots;
    t->block_size = g.block_size;
    return true;
}

static bool open_rings(struct compilation *c)
{
    struct filter_key *keys = calloc(c->config->n_rules + 1, sizeof(*keys));
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
    return true;
}

// --- outputs ---------------------------------------------------------------------------------------------------------

// The ready header of a frame to a group (RFC 1112, section 6.4, for its Ethernet address).
static void write_frame_header(struct table_output *t, const struct config_output *o, const struct link *l,
                               const struct addr *source)
{
    struct ethhdr eth = {.h_proto = htons(ETH_P_IP)};
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = o->ttl, .protocol = IPPROTO_UDP};
    struct udphdr udp = {.source = htons(o->source_port), .dest = htons(o->port)};
    const uint8_t *group = o->address.bytes;
    const uint8_t to[ETH_ALEN] = {0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]};

    memcpy(eth.h_dest, to, ETH_ALEN);
    memcpy(eth.h_source, l->mac, ETH_ALEN);
    memcpy(&ip.saddr, source->bytes, 4);
    memcpy(&ip.daddr, o->address.bytes, 4);
    memcpy(t->header, &eth, sizeof(eth));
    memcpy(t->header + sizeof(eth), &ip, sizeof(ip));
    memcpy(t->header + sizeof(eth) + sizeof(ip), &udp, sizeof(udp));
    t->header_length = sizeof(eth) + sizeof(ip) + sizeof(udp);
}

// Whether an output that cannot be opened for this reason may become possible by itself.
static bool is_passing(int error)
{
    return error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL || error == ENETDOWN ||
           error == ENODEV || error == ENXIO;
}

static bool output_waits(struct compilation *c, const struct config_rule *r, const struct config_output *o,
                         const char *reason, int error)
{
    if (c->reject_missing || (error && !is_passing(error)))
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
        .kind = e->key.kind == REGISTRY_FRAME ? TABLE_EGRESS_FRAME : TABLE_EGRESS_SOCKET,
        .flags = e->gso ? TABLE_EGRESS_GSO : 0,
        .mtu = l->mtu,
    };
    return &c->egress[e->place];
}

static bool open_output(struct compilation *c, const struct config_rule *r, const struct config_output *o,
                        struct table_output *t)
{
    const struct link *l = &c->links[t->interface];
    const struct addr *source = o->source.family == ADDR_NONE ? &l->ipv4 : &o->source;
    bool frame = o->kind != CONFIG_ADDRESS &&
                 (o->mode == CONFIG_MODE_FRAME || (o->mode == CONFIG_MODE_AUTO && l->ethernet));
    struct registry_entry *e;
    const char *step = "";

    if (!l->ifindex)
        return output_waits(c, r, o, "the interface does not exist", 0);
    if (source->family == ADDR_NONE)
        return output_waits(c, r, o, "the interface has no IPv4 address: give it one, or set source", 0);
    if (frame && !l->ethernet)
        return refuse(c, "rule \"%s\": interface \"%s\" has no Ethernet headers: use mode \"socket\" or \"auto\"",
                      r->name, o->interface);
    if (frame) {
        e = sockets_frame(c->sockets, l->ifindex, &step);
    } else {
        struct egress_flow flow = {.ifindex = l->ifindex,
                                   .source = *source,
                                   .destination = o->address,
                                   .source_port = o->source_port,
                                   .port = o->port};
        memcpy(flow.interface, l->name, sizeof(flow.interface));
        e = sockets_flow(c->sockets, &flow, &step);
    }
    if (!e)
        return output_waits(c, r, o, step, errno);
    t->egress = (uint32_t) (place_egress(c, e, l) - c->egress);
    if (frame)
        write_frame_header(t, o, l, source);
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
    return a->port == b->port && addr_equal(&a->to, &b->to) &&
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

static void place_rule(struct compilation *c, size_t i)
{
    const struct config_rule *r = &c->config->rules[i];
    struct table_rule *t = &c->rules[i];
    size_t decrementing = 0;

    *t = (struct table_rule){
        .destination = r->input.address,
        .port = r->input.port,
        .vlan = r->input.vlan,
        .interface = interface_index(c, r->input.interface),
        .flags = r->enabled ? TABLE_RULE_ENABLED : 0,
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
    for (size_t j = 0; j < r->n_outputs; j++) {
        const struct config_output *o = &r->outputs[j];
        c->outputs[c->n_outputs++] = (struct table_output){
            .to = o->address,
            .port = o->port,
            .ttl = o->ttl_decrement ? 0 : o->ttl,
            .dscp = o->dscp == CONFIG_DSCP_PRESERVE ? TABLE_DSCP_PRESERVE : (uint8_t) o->dscp,
            .interface = interface_index(c, o->interface),
            .egress = TABLE_NONE,
            .carried_from = TABLE_NONE,
        };
        decrementing += o->ttl_decrement;
    }
    if (decrementing > 0)
        t->flags |= TABLE_RULE_TTL_ANY | (decrementing == r->n_outputs ? TABLE_RULE_TTL_ALL : 0u);
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

static void index_rules(struct compilation *c)
{
    for (uint32_t i = 0; i < c->n_slots; i++)
        c->slots[i].rule = TABLE_NONE;
    for (uint32_t i = 0; i < c->config->n_rules; i++) {
        const struct table_rule *r = &c->rules[i];
        struct table_key key = {
            .destination = r->destination, .port = r->port, .vlan = r->vlan, .interface = r->interface};
        uint32_t hash = table_hash(&key), probe = 0;
        if (!(r->flags & TABLE_RULE_ENABLED))
            continue;
        while (c->slots[(hash + probe) & (c->n_slots - 1)].rule != TABLE_NONE)
            probe++;
        c->slots[(hash + probe) & (c->n_slots - 1)] = (struct table_slot){.hash = hash, .rule = i};
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
    h.holds = reserve(&size, (uint32_t) sockets_holds(c->sockets), sizeof(uint64_t));
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
    fill(base, &h.slots, c->slots, sizeof(*c->slots));
    uint64_t *holds = (uint64_t *) (void *) (base + h.holds.offset);
    for (uint32_t i = 0; i < h.holds.n; i++)
        holds[i] = SOCKETS_HOLD_ID + i;
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
    // At least twice as many slots as rules keeps probes short.
    c->n_slots = 16;
    while (c->n_slots < 2 * config->n_rules)
        c->n_slots *= 2;
    // An interface may be named by every rule and output; config/check.c bounds the distinct ones.
    c->interfaces = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->interfaces));
    c->links = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->links));
    c->rules = calloc(config->n_rules + 1, sizeof(*c->rules));
    c->outputs = calloc(outputs + 1, sizeof(*c->outputs));
    c->egress = calloc(outputs + 1, sizeof(*c->egress));
    c->sources = calloc(sources + 1, sizeof(*c->sources));
    c->slots = calloc(c->n_slots, sizeof(*c->slots));
    return c->interfaces && c->links && c->rules && c->outputs && c->egress && c->sources && c->slots;
}

bool compile(const struct config *config, const struct table_view *before, uint64_t generation, bool running,
             struct sockets *sockets, struct compiled *out, char why[COMPILE_WHY_MAX])
{
    struct compilation c = {.config = config,
                            .before = before,
                            .sockets = sockets,
                            .reject_missing = config->reject_missing && !running,
                            .why = why};
    bool ok = allocate(&c);

    if (!ok)
        refuse(&c, "%s", strerror(ENOMEM));
    ok = ok && find_interfaces(&c);
    for (size_t i = 0; ok && i < config->n_rules; i++)
        place_rule(&c, i);
    // Memberships last: a group's traffic finds its ring ready.
    ok = ok && carry_over(&c) && open_outputs(&c) && open_rings(&c) && join_groups(&c);
    if (ok) {
        index_rules(&c);
        ok = lay_out(&c, generation, out);
    }
    free(c.interfaces);
    free(c.links);
    free(c.rules);
    free(c.outputs);
    free(c.egress);
    free(c.sources);
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
