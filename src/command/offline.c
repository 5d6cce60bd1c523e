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

#include "wire/header.h"
#include "stats/counters.h"

// Stands in the place of a socket.
struct outlet {
    struct egress egress;
    struct offline *owner;
};

struct offline {
    const struct config *config;
    offline_sink *sink;
    void *context;
    struct table_image table;
    struct table_view view;
    struct forward *forward;
    struct outlet *outlets;
    struct link *links;
    struct ingress ingress;
    // What the counters were before the present frame.
    struct stats_interface_counters seen;
    struct stats_rule_counters *seen_rules;
    struct stats_output_counters *seen_outputs;
    uint8_t packet[ETH_HLEN + 65536 + sizeof(struct virtio_net_hdr) + TABLE_HEADER_MAX];
};

// --- what leaves -----------------------------------------------------------------------------------------------------

// As the kernel or the device does it (virtio_net_hdr): the field holds the sum of the pseudo-header.
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

// The link header that the kernel puts before a packet of ours.
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
    struct offline *owner = ((struct outlet *) (void *) e)->owner;
    struct virtio_net_hdr v = {.flags = 0};
    size_t at = ETH_HLEN, begin = ETH_HLEN;

    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len > sizeof(owner->packet) - at) {
            errno = EMSGSIZE;
            return -1;
        }
        if (iov[i].iov_len > 0)
            memcpy(owner->packet + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    if (e->kind == TABLE_EGRESS_FRAME) {
        memcpy(&v, owner->packet + begin, sizeof(v));
        begin += sizeof(v);
        finish_checksum(owner->packet + begin, at - begin, &v);
    } else {
        begin = 0;
        write_link(owner->packet, o, &owner->links[o->interface]);
    }
    owner->sink(owner->context, o, owner->packet + begin, at - begin);
    return (ssize_t) (at - ETH_HLEN);
}

// --- life ------------------------------------------------------------------------------------------------------------

static bool compile_offline(struct offline *o, char why[COMPILE_WHY_MAX])
{
    struct sockets *sockets = sockets_new(&machine_none, FEATURE_TX_RING);
    const char *bad, *step;
    bool ok = false;

    snprintf(why, COMPILE_WHY_MAX, "%s", strerror(ENOMEM));
    if (!sockets || !sockets_open_pool(sockets, CONFIG_INTERFACES_MAX, &step))
        goto done;
    sockets_begin(sockets);
    // As for rules that run: an output that cannot be opened here waits.
    if (compile(o->config, NULL, 1, true, sockets, &o->table, why)) {
        ok = table_attach(&o->view, o->table.bytes, o->table.size, &bad);
        if (!ok)
            snprintf(why, COMPILE_WHY_MAX, "internal: the compiled table is not valid: %s", bad);
    }
    sockets_settle(sockets, false);
done:
    sockets_free(sockets);
    return ok;
}

static bool find_links(struct offline *o)
{
    o->links = calloc(o->view.n_interfaces + 1, sizeof(*o->links));
    for (uint32_t i = 0; o->links && i < o->view.n_interfaces; i++)
        memcpy(o->links[i].name, o->view.interfaces[i].name, sizeof(o->links[i].name));
    return o->links && link_assume(o->links, o->view.n_interfaces);
}

static bool make_outlets(struct offline *o)
{
    o->outlets = calloc(o->view.n_egress + 1, sizeof(*o->outlets));
    for (uint32_t i = 0; o->outlets && i < o->view.n_egress; i++) {
        struct outlet *out = &o->outlets[i];
        egress_init(&out->egress, o->view.egress[i].id, -1);
        egress_configure(&out->egress, &o->view.egress[i], NULL);
        out->egress.take = take;
        out->owner = o;
        o->forward->egress[i] = &out->egress;
    }
    return o->outlets != NULL;
}

struct offline *offline_open(const struct config *config, offline_sink *sink, void *context, char why[COMPILE_WHY_MAX])
{
    struct offline *o = calloc(1, sizeof(*o));
    static const struct stats_segment nowhere; // never published to

    snprintf(why, COMPILE_WHY_MAX, "%s", strerror(ENOMEM));
    if (!o)
        return NULL;
    o->config = config;
    o->sink = sink;
    o->context = context;
    if (!compile_offline(o, why))
        goto fail;
    o->forward = forward_new(&o->view, &nowhere, 0);
    o->seen_rules = calloc(o->view.n_rules + 1, sizeof(*o->seen_rules));
    o->seen_outputs = calloc(o->view.n_counters + 1, sizeof(*o->seen_outputs));
    o->ingress.reassembly = reassembly_new();
    if (o->forward && o->seen_rules && o->seen_outputs && o->ingress.reassembly && find_links(o) && make_outlets(o))
        return o;
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
    reassembly_free(o->ingress.reassembly);
    free(o->seen_rules);
    free(o->seen_outputs);
    free(o->outlets);
    if (o->links)
        link_release(o->links, o->view.n_interfaces);
    free(o->links);
    free(o->table.bytes);
    free(o);
}

const struct table_view *offline_table(const struct offline *o)
{
    return &o->view;
}

const struct forward *offline_forward(const struct offline *o)
{
    return o->forward;
}

const struct link *offline_links(const struct offline *o)
{
    return o->links;
}

const struct stats_interface_counters *offline_counters(const struct offline *o)
{
    return &o->ingress.counters;
}

json_t *offline_note(const struct offline *o)
{
    char text[128 + TABLE_INTERFACES_MAX * (IFNAMSIZ + 2)] =
        "not on this machine, and taken for Ethernet links with MTU 1500 whose addresses are not known:";
    bool any = false;

    for (uint32_t i = 0; i < o->view.n_interfaces; i++) {
        size_t used = strlen(text);
        if (o->links[i].assumed)
            snprintf(text + used, sizeof(text) - used, "%s %s", any ? "," : "", o->links[i].name);
        any |= o->links[i].assumed;
    }
    return any ? json_string(text) : NULL;
}

uint32_t offline_input(const struct offline *o, const char *name)
{
    uint32_t found = TABLE_NONE;

    for (uint32_t i = 0; i < o->view.n_interfaces; i++) {
        const struct table_interface *t = &o->view.interfaces[i];
        if (t->ring_id == 0 || (name && strcmp(t->name, name) != 0))
            continue;
        if (found != TABLE_NONE)
            return TABLE_NONE;
        found = i;
    }
    return found;
}

// --- what comes ------------------------------------------------------------------------------------------------------

// The first of the drops that has grown, or NULL.
static const char *grown(const struct stats_counter *counters, const void *now, const void *before)
{
    for (; counters->name; counters++)
        if (counters->drop && stats_counter_value(counters, now) != stats_counter_value(counters, before))
            return counters->name;
    return NULL;
}

static void judge_outputs(struct offline *o, uint32_t rule, struct offline_verdict *v)
{
    const struct table_rule *r = &o->view.rules[rule];
    const char *failed = NULL;

    for (uint32_t i = 0; i < r->n_outputs; i++) {
        const struct stats_output_counters *now = &o->forward->outputs[r->first_counter + i];
        struct stats_output_counters *seen = &o->seen_outputs[r->first_counter + i], *delta = &v->outputs[i];
        if (!failed)
            failed = grown(stats_output_counters, now, seen);
        if (now->packets != seen->packets)
            v->name = "forwarded";
        for (const struct stats_counter *c = stats_output_counters; c->name; c++) {
            uint64_t more = stats_counter_value(c, now) - stats_counter_value(c, seen);
            memcpy((char *) delta + c->at, &more, sizeof(more));
        }
        *seen = *now;
    }
    if (!v->name)
        v->name = failed;
}

int offline_line(const struct offline *o, const struct offline_verdict *v)
{
    if (v->path == TABLE_NONE)
        return 0;
    const struct config_rule *r = &o->config->rules[o->view.paths[v->path].rule];
    if (strcmp(v->name, "forwarded") == 0)
        return r->input.line;
    if (strcmp(v->name, "source") == 0)
        return r->input.sources_line;
    if (strcmp(v->name, "size") == 0 && r->max_payload_line)
        return r->max_payload_line;
    if (strcmp(v->name, "rate") == 0)
        return r->limit.line;
    for (size_t i = 0; i < r->n_outputs; i++)
        if ((strcmp(v->name, "ttl") == 0 || strcmp(v->name, "expired") == 0) && r->outputs[i].ttl_decrement)
            return r->outputs[i].line;
    return r->line;
}

void offline_frame(struct offline *o, uint32_t interface, uint64_t now_ns, const uint8_t *bytes, size_t length,
                   const struct packet_meta *meta, uint8_t kind, struct offline_verdict *v)
{
    struct forward *f = o->forward;
    struct ingress *in = &o->ingress;

    f->now_ns = now_ns;
    in->interface = interface;
    reassembly_expire(in->reassembly, now_ns, &in->counters);
    o->seen = in->counters;
    ingress_frame(in, f, bytes, length, *meta, kind);
    v->path = f->n_pending > 0 ? f->pending[0] : TABLE_NONE;
    forward_flush(f);
    reassembly_release(in->reassembly);
    v->name = grown(stats_interface_counters, &in->counters, &o->seen);
    if (f->n_touched > 0) {
        uint32_t rule = f->touched[0];
        struct rule_state *flow = &f->flows[rule];
        flow->touched = false;
        f->n_touched = 0;
        if (v->path == TABLE_NONE)
            v->path = o->view.rules[rule].first_path;
        v->name = grown(stats_rule_drops, &flow->counters.drops, &o->seen_rules[rule].drops);
        o->seen_rules[rule] = flow->counters;
        judge_outputs(o, rule, v);
    }
    if (!v->name)
        v->name = "held";
}

void offline_end(struct offline *o)
{
    reassembly_expire(o->ingress.reassembly, UINT64_MAX, &o->ingress.counters);
}
