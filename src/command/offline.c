// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/offline.h"

#include <errno.h>
#include <jansson.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"
#include "wire/header.h"
#include "wire/merge.h"

// In place of a socket.
struct outlet {
    struct egress egress;
    struct offline *owner;
};

// --- output ----------------------------------------------------------------------------------------------------------

// Completes the UDP checksum as the kernel or the device does (virtio_net_hdr): the field has the sum of the
// pseudo-header.
static void finish_checksum(uint8_t *frame, size_t length, const struct virtio_net_hdr *v)
{
    uint16_t sum;

    if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return;
    sum = (uint16_t) ~packet_sum(0, frame + v->csum_start, length - v->csum_start);
    if (sum == 0)
        sum = 0xffff;
    memcpy(frame + v->csum_start + v->csum_offset, &sum, sizeof(sum));
}

// Writes the Ethernet header that the kernel adds to an IP packet.
static void write_link(uint8_t at[ETH_HLEN], const struct table_output *o, const struct link *l)
{
    uint16_t type = o->to.family == ADDR_IPV4 ? ETH_P_IP : ETH_P_IPV6;

    if (!header_station(&o->to, at))
        memcpy(at, OFFLINE_NEXT_HOP, ETH_ALEN);
    memcpy(at + ETH_ALEN, l->mac, ETH_ALEN);
    at[2 * ETH_ALEN] = (uint8_t) (type >> 8);
    at[2 * ETH_ALEN + 1] = (uint8_t) type;
}

static ssize_t take(struct egress *e, const struct table_output *o, const struct iovec *iov, int n)
{
    static uint8_t packet[ETH_HLEN + 65536 + sizeof(struct virtio_net_hdr) + TABLE_HEADER_MAX];
    struct offline *owner = ((struct outlet *) (void *) e)->owner;
    struct virtio_net_hdr v;
    size_t at = ETH_HLEN, begin = 0;

    if (!owner->links[o->interface].up) {
        errno = ENETDOWN;
        return -1;
    }

    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len > sizeof(packet) - at) {
            errno = EMSGSIZE;
            return -1;
        }
        if (iov[i].iov_len > 0)
            memcpy(packet + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    if (e->kind == TABLE_EGRESS_FRAME) {
        memcpy(&v, packet + ETH_HLEN, sizeof(v));
        begin = ETH_HLEN + sizeof(v);
        finish_checksum(packet + begin, at - begin, &v);
    } else {
        write_link(packet, o, &owner->links[o->interface]);
    }
    owner->sink(owner->context, o, packet + begin, at - begin);
    return (ssize_t) (at - ETH_HLEN);
}

// --- life ------------------------------------------------------------------------------------------------------------

// Opens nothing; what the kernel would not bind to this source is not open either, so that its output waits.
static int open_output(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                       const char **step)
{
    bool bound = kind == REGISTRY_SOCKET || kind == REGISTRY_RAW_UDP;

    if (!bound || link_is_assumed(address->ifindex) || link_has_address(&address->source))
        return machine_none.open(kind, address, without, gso, step);
    *step = "bind to source";
    errno = EADDRNOTAVAIL;
    return -1;
}

static bool compile_offline(struct offline *o, char why[COMPILE_WHY_MAX])
{
    struct machine machine = machine_none;
    // Each datagram leaves by itself, so that the caller gets it as a frame of its own.
    struct sockets *sockets = sockets_new(&machine, FEATURE_TX_RING | FEATURE_PACKET_GSO | FEATURE_UDP_GSO);
    const char *bad, *step;
    bool ok = false;

    machine.open = open_output;
    if (!sockets || !sockets_open_pool(sockets, CONFIG_INTERFACES_MAX, &step))
        goto done;
    sockets_begin(sockets);
    log_set_silent(true);
    // running is true, so that an output that cannot be opened here waits.
    if (compile(o->config, NULL, 1, true, sockets, &o->image, why)) {
        ok = table_attach(&o->table, o->image.bytes, o->image.size, &bad);
        if (!ok)
            snprintf(why, COMPILE_WHY_MAX, "internal: the compiled table is not valid: %s", bad);
    }
    log_set_silent(false);
    sockets_settle(sockets, false);
done:
    sockets_free(sockets);
    return ok;
}

static bool find_links(struct offline *o)
{
    o->links = calloc(o->table.n_interfaces + 1, sizeof(*o->links));
    for (uint32_t i = 0; o->links && i < o->table.n_interfaces; i++)
        memcpy(o->links[i].name, o->table.interfaces[i].name, sizeof(o->links[i].name));
    return o->links && link_assume(o->links, o->table.n_interfaces);
}

static bool make_outlets(struct offline *o)
{
    o->outlets = calloc(o->table.n_egress + 1, sizeof(*o->outlets));
    for (uint32_t i = 0; o->outlets && i < o->table.n_egress; i++) {
        struct outlet *out = &o->outlets[i];
        egress_init(&out->egress, o->table.egress[i].id, -1);
        egress_configure(&out->egress, &o->table.egress[i], NULL);
        out->egress.take = take;
        out->owner = o;
        o->forward->egress[i] = &out->egress;
    }
    return o->outlets != NULL;
}

// Each interface puts fragments together by itself, as in the relay.
static bool make_inputs(struct offline *o)
{
    bool ok = (o->ingress = calloc(o->table.n_interfaces + 1, sizeof(*o->ingress))) != NULL;

    for (uint32_t i = 0; ok && i < o->table.n_interfaces; i++) {
        o->ingress[i].interface = i;
        ok = o->table.interfaces[i].ring_id == 0 || (o->ingress[i].reassembly = reassembly_new());
    }
    return ok;
}

struct offline *offline_open(const struct config *config, offline_sink *sink, void *context, char why[COMPILE_WHY_MAX])
{
    struct offline *o = calloc(1, sizeof(*o));
    static const struct stats_segment nowhere; // nothing is published

    snprintf(why, COMPILE_WHY_MAX, "%s", strerror(ENOMEM));
    if (!o)
        return NULL;
    o->config = config;
    o->sink = sink;
    o->context = context;
    if (!compile_offline(o, why))
        goto fail;
    o->forward = forward_new(&o->table, &nowhere, NULL, 0);
    o->seen_drops = calloc(o->table.n_rules + 1, sizeof(*o->seen_drops));
    o->seen_legs = calloc(o->table.n_inputs + 1, sizeof(*o->seen_legs));
    o->seen_outputs = calloc(o->table.n_counters + 1, sizeof(*o->seen_outputs));
    if (o->forward && o->seen_drops && o->seen_legs && o->seen_outputs && make_inputs(o) && find_links(o) &&
        make_outlets(o)) {
        o->forward->untimed = o->forward->judges = true;
        return o;
    }
    snprintf(why, COMPILE_WHY_MAX, "%s", strerror(errno));
fail:
    offline_close(o);
    return NULL;
}

void offline_close(struct offline *o)
{
    if (!o)
        return;
    forward_free(o->forward);
    for (uint32_t i = 0; o->ingress && i < o->table.n_interfaces; i++)
        reassembly_free(o->ingress[i].reassembly);
    free(o->ingress);
    free(o->seen_drops);
    free(o->seen_legs);
    free(o->seen_outputs);
    free(o->outlets);
    if (o->links)
        link_release(o->links, o->table.n_interfaces);
    free(o->links);
    free(o->image.bytes);
    free(o);
}

json_t *offline_note(const struct offline *o)
{
    char text[128 + TABLE_INTERFACES_MAX * (IFNAMSIZ + 2)] =
        "not on this machine, and taken for Ethernet links with MTU 1500 whose addresses are not known:";
    bool any = false;

    for (uint32_t i = 0; i < o->table.n_interfaces; i++) {
        size_t used = strlen(text);
        if (o->links[i].assumed)
            snprintf(text + used, sizeof(text) - used, "%s %s", any ? "," : "", o->links[i].name);
        any |= o->links[i].assumed;
    }
    return any ? json_string(text) : NULL;
}

void offline_add_reasons(const struct offline *o, json_t *notes)
{
    for (uint32_t i = 0; i < o->table.n_rules; i++)
        if (*o->table.rules[i].reason && o->forward->flows[i].counters.packets > 0)
            json_array_append_new(notes, json_sprintf("rule \"%s\" is %s here: %s", o->table.rules[i].name,
                                                      stats_rule_state_name(forward_state(o->forward, i)),
                                                      o->table.rules[i].reason));
}

uint32_t offline_input(const struct offline *o, const char *name)
{
    uint32_t found = TABLE_NONE;

    for (uint32_t i = 0; i < o->table.n_interfaces; i++) {
        const struct table_interface *t = &o->table.interfaces[i];
        if (t->ring_id == 0 || (name && strcmp(t->name, name) != 0))
            continue;
        if (found != TABLE_NONE)
            return TABLE_NONE;
        found = i;
    }
    return found;
}

const char *offline_inputs(const struct offline *o, char text[OFFLINE_INPUTS_MAX])
{
    size_t used = 0;

    snprintf(text, OFFLINE_INPUTS_MAX, "none");
    for (uint32_t i = 0; i < o->table.n_interfaces && used < OFFLINE_INPUTS_MAX; i++)
        if (o->table.interfaces[i].ring_id != 0)
            used += (size_t) snprintf(text + used, OFFLINE_INPUTS_MAX - used, "%s%s", used ? ", " : "",
                                      o->table.interfaces[i].name);
    return text;
}

// --- input -----------------------------------------------------------------------------------------------------------

// Writes to more by how much each counter has grown since `seen`. Returns the first drop that has grown, or NULL.
static const struct stats_counter *count_more(const struct stats_counter *c, const void *now, void *seen, void *more)
{
    const struct stats_counter *first = NULL;

    for (; c->name; c++) {
        uint64_t value = stats_counter_value(c, now), n = value - stats_counter_value(c, seen);
        memcpy((char *) seen + c->at, &value, sizeof(value));
        memcpy((char *) more + c->at, &n, sizeof(n));
        if (!first && c->drop && n > 0)
            first = c;
    }
    return first;
}

// The leg that has counted since it was seen.
static uint32_t input_that_counted(struct offline *o, const struct table_rule *r)
{
    uint32_t found = r->first_input;

    for (uint32_t i = r->first_input; i < r->first_input + r->n_inputs; i++) {
        uint64_t packets = o->forward->legs[i].packets;
        if (packets != o->seen_legs[i])
            found = i;
        o->seen_legs[i] = packets;
    }
    return found;
}

static void judge_rule(struct offline *o, uint32_t rule, struct offline_verdict *v)
{
    const struct table_rule *r = &o->table.rules[rule];

    v->input = input_that_counted(o, r);

    if (v->path == TABLE_NONE)
        v->path = r->first_path;
    v->drop = count_more(stats_rule_drops, &o->forward->flows[rule].counters.drops, &o->seen_drops[rule], &v->drops);
    for (uint32_t i = 0; i < r->n_outputs; i++) {
        uint32_t at = r->first_counter + i;
        const struct stats_counter *drop =
            count_more(stats_output_counters, &o->forward->outputs[at], &o->seen_outputs[at], &v->outputs[i]);
        if (!v->drop)
            v->drop = drop;
        v->forwarded |= v->outputs[i].packets > 0;
    }
}

// What has left meanwhile is nothing that the next frame did.
static void pass_over(struct offline *o)
{
    struct offline_verdict none = {.path = TABLE_NONE};
    uint32_t rule;

    while ((rule = forward_take_touched(o->forward)) != TABLE_NONE)
        judge_rule(o, rule, &none);
}

// Lets out what is held back and due until now, each at its time, as the relay's timer does.
static void release_due(struct offline *o, uint64_t now_ns)
{
    struct forward *f = o->forward;
    uint64_t before = 0;

    while (f->due_ns <= now_ns && f->due_ns > before) {
        before = f->now_ns = f->due_ns;
        forward_release(f, before);
    }
    pass_over(o);
}

// Lets out what has waited for this frame. Returns how many datagrams.
static uint64_t release_behind(struct offline *o, uint64_t now_ns)
{
    o->forward->released = 0;
    forward_release(o->forward, now_ns);
    pass_over(o);
    return o->forward->released;
}

void offline_frame(struct offline *o, uint32_t interface, uint64_t now_ns, const uint8_t *bytes, size_t length,
                   const struct packet_meta *meta, uint8_t kind, struct offline_verdict *v)
{
    struct forward *f = o->forward;
    struct ingress *in = &o->ingress[interface];
    struct stats_interface_counters more;

    release_due(o, now_ns);
    f->now_ns = now_ns;
    reassembly_expire(in->reassembly, now_ns, &in->counters);
    o->seen = in->counters;
    struct packet_meta stamped = *meta;
    stamped.stamp_ns = now_ns;
    ingress_frame(in, f, bytes, length, stamped, kind);
    v->path = forward_pending(f);
    v->input = TABLE_NONE;
    v->forwarded = v->held_back = false;
    forward_flush(f);
    reassembly_release(in->reassembly);
    v->drop = count_more(stats_interface_counters, &in->counters, &o->seen, &more);
    uint32_t rule = forward_take_touched(f);
    if (rule != TABLE_NONE)
        judge_rule(o, rule, v);
    v->held_back = rule != TABLE_NONE && !v->forwarded && !v->drop;
    v->name = v->forwarded ? "forwarded" : v->drop ? v->drop->name : "held";
    v->released = release_behind(o, now_ns);
}

static int ttl_line(const struct config_rule *r)
{
    for (size_t i = 0; i < r->n_outputs; i++)
        if (r->outputs[i].ttl_decrement)
            return r->outputs[i].line;
    return 0;
}

const struct config_input *offline_input_of(const struct offline *o, const struct offline_verdict *v)
{
    const struct table_input *in = &o->table.inputs[v->input];

    return &o->config->rules[in->rule].inputs[v->input - o->table.rules[in->rule].first_input];
}

int offline_line(const struct offline *o, const struct offline_verdict *v)
{
    if (v->path == TABLE_NONE)
        return 0;
    const struct config_rule *r = &o->config->rules[o->table.paths[v->path].rule];
    const struct config_input *in = offline_input_of(o, v);
    const struct {
        const char *key;
        int line; // 0: the file does not say it
    } lines[] = {{"sources", in->sources_line},
                 {"max_payload", r->max_payload_line},
                 {"limit", r->limit.line},
                 {"merge", r->merge.line},
                 {"ttl", ttl_line(r)}};
    if (v->forwarded)
        return in->line;
    if (v->held_back)
        return r->merge.line;
    for (size_t i = 0; v->drop && v->drop->key && i < sizeof(lines) / sizeof(lines[0]); i++)
        if (lines[i].line && strcmp(lines[i].key, v->drop->key) == 0)
            return lines[i].line;
    return r->line;
}

void offline_forget(struct offline *o)
{
    static const uint64_t key[2];

    for (uint32_t i = 0; i < o->table.n_paths; i++) {
        struct merge_settings s = merge_settings_of(&o->table.rules[o->table.paths[i].rule], key);
        struct merge *fresh = o->forward->merges[i] ? merge_new(&s) : NULL;
        if (!fresh)
            continue; // without memory the old one stays
        merge_free(o->forward->merges[i]);
        o->forward->merges[i] = fresh;
    }
}

void offline_end(struct offline *o)
{
    forward_release(o->forward, UINT64_MAX);
    for (uint32_t i = 0; i < o->table.n_interfaces; i++)
        if (o->ingress[i].reassembly)
            reassembly_expire(o->ingress[i].reassembly, UINT64_MAX, &o->ingress[i].counters);
}
