// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compilation.h"
#include "wire/header.h"
#include "config/times.h"
#include "config/way.h"
#include "log/log.h"

// --- inputs ----------------------------------------------------------------------------------------------------------

_Static_assert(CONFIG_RING_MIB_MAX == RING_MIB_MAX, "a ring that the file may ask for");

static bool open_ring(struct compilation *c, uint32_t interface)
{
    struct table_interface *t = &c->interfaces[interface];
    const struct link *l = &c->links[interface];
    struct ring_geometry g;
    const char *step = "";
    size_t n = 0;

    for (uint32_t i = 0; i < c->n_destinations; i++)
        if (c->destinations[i].interface == interface)
            c->keys[n++] = (struct filter_key){.address = c->destinations[i].address, .port = c->destinations[i].port};
    if (n == 0)
        return true;
    struct ring_filter filter = {.keys = c->keys, .n = n, .ethernet = l->ethernet};
    const struct registry_entry *e =
        sockets_ring(c->sockets, t->ifindex, l->mtu, c->config->ring_mib, &filter, &g, &step);
    if (!e)
        return errno ? compile_refuse(c, "interface \"%s\": %s: %s", t->name, step, strerror(errno))
                     : compile_refuse(c, "interface \"%s\": %s", t->name, step);
    t->ring_id = e->id;
    t->ring_socket = e->pool_number;
    t->slot_size = g.slot_size;
    t->n_slots = g.n_slots;
    t->block_size = g.block_size;
    t->super_frames = e->super_frames;
    return true;
}

// Notes by what the relay knows what this host itself has sent (relay/martian.h, relay/station.h).
static void note_own(struct compilation *c, uint32_t interface)
{
    struct table_interface *t = &c->interfaces[interface];
    const struct link *l = &c->links[interface];
    // The virtual routers' addresses are of several hosts (RFC 9568, section 7.3).
    static const uint8_t vrrp[4] = {0x00, 0x00, 0x5e, 0x00};
    bool shared = memcmp(l->mac, vrrp, sizeof(vrrp)) == 0 && (l->mac[4] == 1 || l->mac[4] == 2);

    t->loopback = l->loopback;
    if (l->ethernet && !l->loopback && !shared)
        memcpy(t->mac, l->mac, sizeof(t->mac));
    t->first_own = c->n_own;
    t->n_own = l->n_own;
    if (l->n_own > 0)
        memcpy(c->own + c->n_own, l->own, l->n_own * sizeof(*c->own));
    c->n_own += l->n_own;
}

bool compile_open_rings(struct compilation *c)
{
    for (uint32_t i = 0; i < c->n_interfaces; i++) {
        note_own(c, i);
        if (c->links[i].ifindex && !open_ring(c, i))
            return false;
    }
    return true;
}

// Returns whether the rule can join for each of its sources (source-specific membership, RFC 4607). This needs exact
// addresses; prefixes are filtered by the relay alone.
static bool names_senders(const struct config_input *in)
{
    for (size_t i = 0; i < in->n_sources; i++)
        if (in->sources[i].bits < 8 * addr_length(&in->sources[i].addr))
            return false;
    return in->n_sources > 0;
}

static bool join(struct compilation *c, const struct config_rule *r, const struct config_input *in,
                 const struct link *l)
{
    size_t n = names_senders(in) ? in->n_sources : 1;
    const char *step = "";

    for (size_t i = 0; i < n * in->n_addresses; i++) {
        const struct addr *source = names_senders(in) ? &in->sources[i % n].addr : NULL;
        struct addr group = addr_after(&in->address, (uint32_t) (i / n));
        if (!sockets_join(c->sockets, l->ifindex, &group, source, &step))
            return compile_refuse(c, "rule \"%s\": %s on interface \"%s\": %s", r->name, step, l->name,
                                  strerror(errno));
    }
    return true;
}

// What lets the broker bind this port. Returns hint.
static const char *port_hint(uint16_t port, char hint[96])
{
    snprintf(hint, 96, "sysctl net.ipv4.ip_unprivileged_port_start=%u in this network namespace", port);
    return hint;
}

// Keeps the kernel from answering datagrams to this host, which only the ring reads, with ICMP errors. If another
// program has bound the port the kernel is quiet already; without the right to bind it the relay works all the same.
static void keep_quiet(struct compilation *c, const struct config_rule *r, const struct config_input *in,
                       const struct link *l)
{
    struct output_address at = {.ifindex = l->ifindex, .destination = in->address, .port = in->port};
    const char *step = "";
    char hint[96] = "none needed: the rule works all the same";

    memcpy(at.interface, l->name, sizeof(at.interface));
    for (uint32_t i = 0; i < in->n_ports; i++, at.port++)
        if (!sockets_output(c->sockets, REGISTRY_QUIET, &at, &step) && errno != EADDRINUSE)
            log_errno(
                LOG_LEVEL_WARNING, EVENT_INPUT_NOT_QUIET,
                "rule=%s interface=%s port=%u reason=\"%s\" effect=\"%s\" hint=\"%s\"", r->name, l->name, at.port, step,
                errno == EADDRNOTAVAIL ? "its senders find no host" : "the kernel answers its senders with ICMP errors",
                errno == EACCES          ? port_hint(at.port, hint)
                : errno == EADDRNOTAVAIL ? "give the interface this address, or mend address"
                                         : hint);
}

enum inputs { GROUPS_OF_ALL_SENDERS, GROUPS_OF_SENDERS, ADDRESSES };

static enum inputs kind_of(const struct config_input *in)
{
    return in->kind != CONFIG_GROUP ? ADDRESSES : names_senders(in) ? GROUPS_OF_SENDERS : GROUPS_OF_ALL_SENDERS;
}

// Opens what keeps the inputs of one kind coming.
static bool open_inputs(struct compilation *c, enum inputs kind)
{
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        const struct table_input *t = &c->inputs[i];
        const struct config_rule *r = &c->config->rules[t->rule];
        const struct config_input *in = &r->inputs[i - c->rules[t->rule].first_input];
        const struct link *l = &c->links[t->interface];
        if (!config_rule_runs(r) || !l->ifindex || in->kind == CONFIG_BROADCAST || kind_of(in) != kind)
            continue;
        if (kind == ADDRESSES)
            keep_quiet(c, r, in, l);
        else if (!join(c, r, in, l))
            return false;
    }
    return true;
}

bool compile_join_groups(struct compilation *c)
{
    // First the groups that take every sender (memberships_want()).
    return open_inputs(c, GROUPS_OF_ALL_SENDERS) && open_inputs(c, GROUPS_OF_SENDERS) && open_inputs(c, ADDRESSES);
}

// --- outputs ---------------------------------------------------------------------------------------------------------

// Returns whether the cause of this errno may go away without a change of the file.
static bool is_passing(int error)
{
    return error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL || error == ENETDOWN ||
           error == ENODEV || error == ENXIO || error == EADDRINUSE;
}

// Returns the same output of the previous table, or NULL if it has none or its rule was disabled.
static const struct table_output *output_before(const struct compilation *c, const struct table_rule *r,
                                                const struct table_output *o)
{
    const struct table_view *t = c->before;
    const struct table_rule *then = t && r->carried_from != TABLE_NONE ? &t->rules[r->carried_from] : NULL;

    if (!then || !(then->flags & TABLE_RULE_ENABLED) || o->carried_from == TABLE_NONE)
        return NULL;
    uint32_t path = (uint32_t) (o - &c->outputs[c->paths[r->first_path].first_output]) / r->n_outputs;
    const struct table_path *p = &t->paths[then->first_path + (path < then->n_paths ? path : 0)];
    return &t->outputs[p->first_output + o->carried_from - then->first_counter];
}

static bool waited(const struct compilation *c, const struct table_rule *r, const struct table_output *o)
{
    const struct table_output *then = output_before(c, r, o);

    return then && then->egress == TABLE_NONE;
}

// Returns whether the interface is missing both in the previous table and now, or in neither.
static bool same_reason(const struct compilation *c, const struct table_output *then, const struct table_output *o)
{
    return (c->before->interfaces[then->interface].state == TABLE_INTERFACE_MISSING) ==
           (c->interfaces[o->interface].state == TABLE_INTERFACE_MISSING);
}

// Returns the same output of the rule's previous path (a range has several), or NULL for the first path. A message
// about that output covers this one.
static const struct table_output *neighbour(const struct compilation *c, const struct table_rule *r,
                                            const struct table_output *o)
{
    const struct table_output *first = &c->outputs[c->paths[r->first_path].first_output];

    return o - first >= (ptrdiff_t) r->n_outputs ? o - r->n_outputs : NULL;
}

// Logs that an output waits, unless it waited in the previous table for the same reason.
static void tell_waiting(const struct compilation *c, const struct table_rule *r, const struct table_output *o,
                         const char *reason, int error)
{
    const struct table_output *near = neighbour(c, r, o);
    const struct table_interface *i = &c->interfaces[o->interface];
    char to[ADDR_TEXT_MAX], name[TABLE_NAME_MAX + IFNAMSIZ + ADDR_TEXT_MAX + 16];

    if ((waited(c, r, o) && same_reason(c, output_before(c, r, o), o)) || (near && near->egress == TABLE_NONE))
        return;
    addr_port_format(&o->to, o->port, to);
    snprintf(name, sizeof(name), "%s to %s %s", r->name, i->name, to);
    log_named(LOG_LEVEL_WARNING, EVENT_OUTPUT_WAITING, name, "rule=%s interface=%s to=%s reason=\"%s%s%s\"", r->name,
              i->name, to, reason, error ? ": " : "", error ? strerror(error) : "");
}

// Logs that an output is open, if it waited in the previous table.
static void tell_opened(const struct compilation *c, const struct table_rule *r, const struct table_output *o)
{
    const struct table_output *near = neighbour(c, r, o);
    char to[ADDR_TEXT_MAX];

    if (waited(c, r, o) && !(near && near->egress != TABLE_NONE && waited(c, r, near)))
        log_info(EVENT_OUTPUT_OPENED, "rule=%s interface=%s to=%s", r->name, c->interfaces[o->interface].name,
                 addr_port_format(&o->to, o->port, to));
}

// Refuses an output that would wait, or that never can be opened.
static bool refuse_output(struct compilation *c, const struct config_rule *r, const struct config_output *given,
                          const struct table_output *o, const char *reason, int error)
{
    bool named = given->source.family != ADDR_NONE;
    char to[ADDR_TEXT_MAX], source[ADDR_TEXT_MAX] = "", why[COMPILE_WHY_MAX / 2];

    if (named)
        addr_format(&given->source, source);
    if (named && error == EADDRNOTAVAIL)
        snprintf(why, sizeof(why), "this host does not have the source %s", source);
    else if (error == ENETUNREACH || error == EHOSTUNREACH)
        snprintf(why, sizeof(why), "there is no route to it%s%s", named ? " from the source " : "", source);
    else
        snprintf(why, sizeof(why), "%s%s%s", reason, error ? ": " : "", error ? strerror(error) : "");
    return compile_refuse(c, "line %d: rule \"%s\": output to %s by interface \"%s\": %s%s", given->line, r->name,
                          addr_port_format(&o->to, o->port, to), c->interfaces[o->interface].name, why,
                          error && !is_passing(error)
                              ? ""
                              : ", which missing_interface = \"reject\" refuses: \"wait\" would wait for it");
}

static bool output_waits(struct compilation *c, const struct config_rule *r, const struct config_output *given,
                         const struct table_output *o, const char *reason, int error)
{
    if (c->reject_missing || (error && !c->running && !is_passing(error)))
        return refuse_output(c, r, given, o, reason, error);
    struct table_rule *rule = &c->rules[r - c->config->rules];
    compile_tell_output(c, (uint32_t) (rule - c->rules), given, reason, error);
    tell_waiting(c, rule, o, reason, error);
    return true;
}

// Returns the index of the interface's transmit ring in c->egress, or TABLE_NONE: each frame then needs a call of its
// own.
static uint32_t place_tx_ring(struct compilation *c, const struct link *l)
{
    const char *step = NULL;
    uint32_t slot_size = 0;
    const struct registry_entry *e = sockets_tx_ring(c->sockets, l->ifindex, l->mtu, &slot_size, &step);

    if (!e) {
        if (step)
            log_errno(LOG_LEVEL_WARNING, EVENT_TX_RING_MISSING,
                      "interface=%s reason=\"%s\" effect=\"datagrams of many flows leave by a call each\"", l->name,
                      step);
        return TABLE_NONE;
    }
    c->egress[c->n_egress] =
        (struct table_egress){.id = e->id, .kind = TABLE_EGRESS_TX_RING, .tx_ring = TABLE_NONE, .slot_size = slot_size};
    return c->n_egress++;
}

// Returns the index of the entry in c->egress.
static uint32_t place_egress(struct compilation *c, struct registry_entry *e, const struct link *l)
{
    static const uint32_t kinds[] = {[REGISTRY_FRAME] = TABLE_EGRESS_FRAME,
                                     [REGISTRY_SOCKET] = TABLE_EGRESS_SOCKET,
                                     [REGISTRY_RAW] = TABLE_EGRESS_RAW,
                                     [REGISTRY_RAW_UDP] = TABLE_EGRESS_RAW_UDP};

    // Outputs that share an entry share its index.
    if (e->table_index < c->n_egress && c->egress[e->table_index].id == e->id)
        return e->table_index;
    e->table_index = c->n_egress++;
    c->egress[e->table_index] =
        (struct table_egress){.id = e->id,
                              .kind = kinds[e->key.kind],
                              .flags = e->super_frames ? TABLE_EGRESS_GSO : 0,
                              .mtu = l->mtu,
                              .tx_ring = e->key.kind == REGISTRY_FRAME ? place_tx_ring(c, l) : TABLE_NONE};
    return e->table_index;
}

// Opens an output in the way that gives a compromised relay the fewest ways to send. Returns NULL with *step and errno.
static struct registry_entry *open_way(struct compilation *c, enum config_way way, const struct output_address *address,
                                       const char **step)
{
    static const enum registry_kind kinds[] = {
        [CONFIG_WAY_FRAME] = REGISTRY_FRAME,     [CONFIG_WAY_RAW_IP] = REGISTRY_RAW,
        [CONFIG_WAY_RAW_UDP] = REGISTRY_RAW_UDP, [CONFIG_WAY_PORT] = REGISTRY_SOCKET,
        [CONFIG_WAY_SOCKET] = REGISTRY_SOCKET, // a UDP socket, whatever ip_unprivileged_port_start is
    };
    struct registry_entry *e = sockets_output(c->sockets, kinds[way], address, step);
    int error = errno;

    // Use a raw UDP socket if the broker may not bind the source port, or if a service of this host has bound it
    // already and the port is below 1024.
    if (e || kinds[way] != REGISTRY_SOCKET || (error != EACCES && !(error == EADDRINUSE && way == CONFIG_WAY_PORT)))
        return e;
    e = sockets_output(c->sockets, REGISTRY_RAW_UDP, address, step);
    if (e && !e->running) {
        if (c->n_unbound == 0)
            c->unbound_error = error;
        if (c->n_unbound++ == 0 || address->source_port < c->lowest_unbound)
            c->lowest_unbound = address->source_port;
    }
    return e;
}

static bool has_own(const struct link *l, const struct addr *a)
{
    return l->n_own > 0 && bsearch(a, l->own, l->n_own, sizeof(*a), addr_compare) != NULL;
}

static bool open_output(struct compilation *c, const struct config_rule *r, const struct config_output *o,
                        struct table_output *t)
{
    const struct link *l = &c->links[t->interface];
    const struct addr *source = o->source.family == ADDR_NONE ? link_source(l, &t->to) : &o->source;
    static const struct addr kept[2] = {{.family = ADDR_IPV4}, {.family = ADDR_IPV6}};
    // On the loopback interface the kernel drops frames with one of its own addresses that it has not sent itself.
    enum config_way way = config_way(o, l->ethernet && (!l->loopback || o->vlan != 0));
    const char *step = "";
    char taken[TABLE_REASON_MAX];

    if (!l->ifindex)
        return output_waits(c, r, o, t, "the interface does not exist", 0);
    if (o->keep_source)
        source = &kept[t->to.family == ADDR_IPV6];
    if (source->family == ADDR_NONE)
        return output_waits(c, r, o, t, "the interface has no address to send from: give it one, or set source", 0);
    if ((way == CONFIG_WAY_FRAME || o->vlan != 0) && !l->ethernet)
        return compile_refuse(
            c, "rule \"%s\": interface \"%s\" has no Ethernet headers: use mode \"socket\" or \"auto\", and no vlan",
            r->name, o->interface);

    uint16_t source_port = o->source_port ? o->source_port : t->port;
    struct output_address flow = {.ifindex = l->ifindex,
                                  .source = *source,
                                  .destination = t->to,
                                  .source_port = source_port,
                                  .port = t->port,
                                  .own_source = has_own(l, source)};
    memcpy(flow.interface, l->name, sizeof(flow.interface));
    struct registry_entry *e = open_way(c, way, &flow, &step);
    if (!e && errno == EADDRINUSE) {
        snprintf(taken, sizeof(taken),
                 "another program has source port %" PRIu16 " (ss -ulpn): end it and reload, or set source_port",
                 source_port);
        return output_waits(c, r, o, t, taken, EADDRINUSE);
    }
    if (!e)
        return output_waits(c, r, o, t, step, errno);
    t->egress = place_egress(c, e, l);
    if (e->key.kind != REGISTRY_SOCKET)
        header_write(t, way == CONFIG_WAY_FRAME ? l->mac : NULL, source, source_port);
    return true;
}

static void tell_unbound(const struct compilation *c)
{
    char hint[96] = "another program has the port";

    if (c->unbound_error == EACCES)
        port_hint(c->lowest_unbound, hint);
    log_notice(EVENT_PORT_NOT_BOUND,
               "outputs=%u source_port=%u reason=\"bind to source_port: %s\" "
               "effect=\"datagrams leave by raw UDP sockets, by a call each\" hint=\"%s\"",
               c->n_unbound, c->lowest_unbound, strerror(c->unbound_error), hint);
}

bool compile_open_outputs(struct compilation *c)
{
    for (size_t i = 0; i < c->config->n_rules; i++) {
        const struct config_rule *r = &c->config->rules[i];
        struct table_rule *t = &c->rules[i];
        if (!config_rule_runs(r)) {
            if (r->enabled)
                times_reason(r, t->reason);
            continue;
        }
        compile_tell_inputs(c, (uint32_t) i);
        // Those of all paths, side by side.
        struct table_output *outputs = &c->outputs[c->paths[t->first_path].first_output];
        for (uint32_t j = 0; j < t->n_paths * t->n_outputs; j++) {
            if (!open_output(c, r, &r->outputs[j % t->n_outputs], &outputs[j]))
                return false;
            if (outputs[j].egress != TABLE_NONE)
                tell_opened(c, t, &outputs[j]);
        }
        compile_tell_outputs(c, (uint32_t) i);
    }
    if (c->n_unbound > 0)
        tell_unbound(c);
    return true;
}
