// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "table/view.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

// The same on each machine, whatever its byte order: so is each table's longest_probe.
static uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

uint32_t table_hash(const struct table_key *key)
{
    // Multiplicative hashing with odd constants: the golden ratio, and two of the SplitMix64 finaliser. The hash needs
    // no secret: all keys in the index come from the reviewed file, so a sender cannot make a probe longer than
    // longest_probe.
    uint64_t h = load64(key->destination.bytes) * UINT64_C(0x9e3779b97f4a7c15);

    h ^= load64(key->destination.bytes + 8) * UINT64_C(0xbf58476d1ce4e5b9);
    h += ((uint64_t) key->interface << 40) ^ ((uint64_t) key->destination.family << 32) ^ ((uint64_t) key->vlan << 16) ^
         key->port;
    h = (h ^ (h >> 29)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t) (h >> 32);
}

const struct table_destination *table_lookup(const struct table_view *view, const struct table_key *key)
{
    uint32_t hash = table_hash(key);
    uint32_t mask = view->n_slots - 1;

    for (uint32_t i = 0; i < view->header->longest_probe; i++) {
        const struct table_slot *slot = &view->slots[(hash + i) & mask];
        if (slot->destination == TABLE_NONE)
            return NULL;
        const struct table_destination *d = &view->destinations[slot->destination];
        if (slot->hash == hash && table_key_matches(key, d))
            return d;
    }
    return NULL;
}

// Returns whether the array lies within the table, is aligned to 8 bytes, and has at most `most` elements of `size`
// bytes.
static bool array_fits(const struct table_header *h, const struct table_array *a, size_t size, uint32_t most)
{
    return a->n <= most && a->offset % 8 == 0 && a->offset >= sizeof(*h) && a->offset <= h->size &&
           (uint64_t) a->n * size <= h->size - a->offset;
}

static bool range_fits(uint32_t first, uint32_t n, uint32_t total)
{
    return first <= total && n <= total - first;
}

static bool text_ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool addr_valid(const struct addr *a)
{
    return a->family == ADDR_IPV4 || a->family == ADDR_IPV6;
}

static bool interface_valid(const struct table_view *v, const struct table_interface *i)
{
    if (!text_ends(i->name, sizeof(i->name)) || i->state > TABLE_INTERFACE_MISSING || i->link > TABLE_LINK_NONE ||
        !range_fits(i->first_own, i->n_own, v->n_own))
        return false;
    if (i->ring_id == 0)
        return true;
    // The relay maps n_slots * slot_size bytes and walks them block by block.
    return i->ring_socket < TABLE_RING_SOCKETS_MAX && i->slot_size >= 256 && i->slot_size % 16 == 0 &&
           i->block_size >= i->slot_size && i->n_slots > 0 && i->n_slots % (i->block_size / i->slot_size) == 0 &&
           (uint64_t) i->n_slots * i->slot_size <= UINT64_C(1) << 30;
}

// The bounds that wire/merge.h gives its settings.
static bool merge_valid(const struct table_rule *r)
{
    const struct table_merge *m = &r->merge;

    if (m->by == TABLE_MERGE_NONE || !(r->flags & TABLE_RULE_MERGES))
        return m->by == TABLE_MERGE_NONE && !(r->flags & TABLE_RULE_MERGES);
    return m->by <= TABLE_MERGE_ACTIVE && r->n_inputs > 1 && m->window_ms >= 1 && m->window_ms <= 10000 &&
           m->reorder_ms <= m->window_ms && m->numbers >= 64 && m->numbers <= TABLE_MERGE_NUMBERS_MAX &&
           (m->numbers & (m->numbers - 1)) == 0 && m->at <= UINT16_MAX && m->session_at <= UINT16_MAX &&
           m->count_at <= UINT16_MAX && m->session_bytes <= 16 && m->count_bytes <= 4 && m->count_bytes != 3 &&
           (m->reorder_ms == 0 || r->max_payload <= TABLE_MERGE_HELD_MAX) &&
           (m->by != TABLE_MERGE_FIELD || m->bytes == 1 || m->bytes == 2 || m->bytes == 4 || m->bytes == 8);
}

// The bounds that wire/monitor.h gives its settings.
static bool monitor_valid(const struct table_rule *r)
{
    const struct table_monitor *m = &r->monitor;

    if (m->as == TABLE_MONITOR_NONE || !(r->flags & TABLE_RULE_MONITORS))
        return m->as == TABLE_MONITOR_NONE && !(r->flags & TABLE_RULE_MONITORS);
    return m->as <= TABLE_MONITOR_FIELD && m->clock_hz >= 1 && m->clock_hz <= 1000000000 && m->at <= UINT16_MAX &&
           m->session_at <= UINT16_MAX && m->session_bytes <= 16 &&
           (m->as != TABLE_MONITOR_FIELD || m->bytes == 1 || m->bytes == 2 || m->bytes == 4 || m->bytes == 8);
}

static bool rule_valid(const struct table_view *v, const struct table_rule *r)
{
    return text_ends(r->name, sizeof(r->name)) && text_ends(r->note, sizeof(r->note)) &&
           text_ends(r->reason, sizeof(r->reason)) && range_fits(r->first_input, r->n_inputs, v->n_inputs) &&
           r->n_inputs > 0 && r->n_inputs <= TABLE_RULE_INPUTS_MAX &&
           range_fits(r->first_path, r->n_paths, v->n_paths) && r->n_paths > 0 &&
           range_fits(r->first_counter, r->n_outputs, v->n_counters) && merge_valid(r) && monitor_valid(r);
}

// Each belongs to the rule that has it.
static bool input_valid(const struct table_view *v, uint32_t i)
{
    const struct table_input *in = &v->inputs[i];

    return text_ends(in->leg, sizeof(in->leg)) && in->rule < v->n_rules && i >= v->rules[in->rule].first_input &&
           i - v->rules[in->rule].first_input < v->rules[in->rule].n_inputs && in->interface < v->n_interfaces &&
           range_fits(in->first_destination, in->n_destinations, v->n_destinations) &&
           range_fits(in->first_source, in->n_sources, v->n_sources) && addr_valid(&in->to);
}

static bool path_valid(const struct table_view *v, const struct table_path *p)
{
    return p->rule < v->n_rules && range_fits(p->first_output, v->rules[p->rule].n_outputs, v->n_outputs);
}

static bool destination_valid(const struct table_view *v, const struct table_destination *d)
{
    return addr_valid(&d->address) && d->port != 0 && d->interface < v->n_interfaces && d->path < v->n_paths &&
           d->leg < v->rules[v->paths[d->path].rule].n_inputs &&
           !(d->flags & TABLE_DESTINATION_SOURCES) == (table_input_of(v, d)->n_sources == 0);
}

// Checks the offsets that header_fill() relies on: a link header (Ethernet, with or without a tag) if there is one,
// then an IP header without options, then the UDP header.
static bool header_valid(const struct table_output *o, enum table_egress_kind kind)
{
    size_t ip = o->to.family == ADDR_IPV4 ? 20 : 40;

    switch (kind) {
    case TABLE_EGRESS_FRAME:
        return (o->ip_at == 14 || o->ip_at == 18) && o->header_length == o->ip_at + ip + 8;
    case TABLE_EGRESS_RAW:
        return o->ip_at == 0 && o->header_length == ip + 8;
    case TABLE_EGRESS_RAW_UDP: // its IP header serves only to compute the checksum
        return o->ip_at == 0 && o->header_length == ip + 8 && !(o->flags & TABLE_OUTPUT_KEEP_SOURCE);
    case TABLE_EGRESS_SOCKET:
        return o->header_length == 0 && o->flags == 0;
    case TABLE_EGRESS_TX_RING:
        break;
    }
    return false;
}

static bool output_valid(const struct table_view *v, const struct table_output *o)
{
    if (!addr_valid(&o->to) || o->port == 0 || o->counter >= v->n_counters || o->interface >= v->n_interfaces ||
        o->burst < 1 || o->burst > TABLE_BURST_MAX || !(o->dscp < 64 || o->dscp == TABLE_DSCP_PRESERVE))
        return false;
    if (o->egress == TABLE_NONE)
        return true;
    if (o->egress >= v->n_egress)
        return false;
    return header_valid(o, v->egress[o->egress].kind);
}

static bool egress_valid(const struct table_view *v, const struct table_egress *e)
{
    if (e->id == 0 || e->kind > TABLE_EGRESS_RAW_UDP)
        return false;
    // The relay maps TABLE_TX_SLOTS slots, and computes the address of a slot from its number.
    if (e->kind == TABLE_EGRESS_TX_RING &&
        (e->slot_size < TABLE_TX_SLOT_MIN || e->slot_size > TABLE_TX_SLOT_MAX || (e->slot_size & (e->slot_size - 1))))
        return false;
    return e->tx_ring == TABLE_NONE || (e->kind == TABLE_EGRESS_FRAME && e->tx_ring < v->n_egress &&
                                        v->egress[e->tx_ring].kind == TABLE_EGRESS_TX_RING);
}

bool table_attach(struct table_view *view, const void *memory, size_t size, const char **why)
{
    const struct table_header *h = memory;
    const uint8_t *base = memory;

    memset(view, 0, sizeof(*view));
    *why = "header";
    if (size < sizeof(*h) || size > TABLE_BYTES_MAX || h->magic != TABLE_MAGIC || h->version != TABLE_VERSION ||
        h->size != size || !text_ends(h->instance, sizeof(h->instance)))
        return false;

    *why = "array bounds";
    struct table_view v = {.header = h, .n_counters = h->n_counters};
    if (h->n_counters > TABLE_OUTPUTS_MAX)
        return false;
#define PLACE(name, type, most)                                                                                        \
    if (!array_fits(h, &h->name, sizeof(type), most))                                                                  \
        return false;                                                                                                  \
    v.name = (const void *) (base + h->name.offset);                                                                   \
    v.n_##name = h->name.n;
    TABLE_ARRAYS(PLACE)
#undef PLACE

    *why = "hash index";
    if (v.n_slots == 0 || (v.n_slots & (v.n_slots - 1)) != 0 || h->longest_probe > v.n_slots)
        return false;
    for (uint32_t i = 0; i < v.n_slots; i++)
        if (v.slots[i].destination != TABLE_NONE && v.slots[i].destination >= v.n_destinations)
            return false;
    *why = "interface";
    for (uint32_t i = 0; i < v.n_interfaces; i++)
        if (!interface_valid(&v, &v.interfaces[i]))
            return false;
    *why = "rule";
    for (uint32_t i = 0; i < v.n_rules; i++)
        if (!rule_valid(&v, &v.rules[i]))
            return false;
    *why = "input";
    for (uint32_t i = 0; i < v.n_inputs; i++)
        if (!input_valid(&v, i))
            return false;
    *why = "path";
    for (uint32_t i = 0; i < v.n_paths; i++)
        if (!path_valid(&v, &v.paths[i]))
            return false;
    for (uint32_t i = 0; i < v.n_rules; i++)
        for (uint32_t j = 0; j < v.rules[i].n_paths; j++)
            if (v.paths[v.rules[i].first_path + j].rule != i)
                return false;
    *why = "destination";
    for (uint32_t i = 0; i < v.n_destinations; i++)
        if (!destination_valid(&v, &v.destinations[i]))
            return false;
    *why = "egress";
    for (uint32_t i = 0; i < v.n_egress; i++)
        if (!egress_valid(&v, &v.egress[i]))
            return false;
    *why = "output";
    for (uint32_t i = 0; i < v.n_outputs; i++)
        if (!output_valid(&v, &v.outputs[i]))
            return false;
    *why = "source";
    for (uint32_t i = 0; i < v.n_sources; i++)
        if (!addr_valid(&v.sources[i].addr) || v.sources[i].bits > 8 * addr_length(&v.sources[i].addr))
            return false;
    *why = "own address";
    for (uint32_t i = 0; i < v.n_own; i++)
        if (!addr_valid(&v.own[i]))
            return false;

    *why = NULL;
    *view = v;
    return true;
}

// Writes "ADDRESS:PORT", a range as prefix and ports. Returns the length of the text in bytes.
static int range_text(char *text, size_t size, const struct addr *first, uint16_t n_addresses, uint16_t port,
                      uint16_t n_ports)
{
    char address[ADDR_TEXT_MAX];
    bool brackets = first->family == ADDR_IPV6;
    struct addr_prefix range = addr_prefix_of(first, n_addresses);
    int n;

    n = snprintf(text, size, "%s%s%s:%u", brackets ? "[" : "", addr_prefix_format(&range, address), brackets ? "]" : "",
                 port);
    if (n_ports > 1)
        n += snprintf(text + n, size - (size_t) n, "-%u", port + n_ports - 1);
    return n;
}

const char *table_input_text(const struct table_input *in, char text[TABLE_INPUT_TEXT_MAX])
{
    range_text(text, TABLE_INPUT_TEXT_MAX, &in->to, in->n_addresses, in->port, in->n_ports);
    return text;
}

const char *table_output_text(const struct table_view *t, const struct table_output *o,
                              char text[TABLE_OUTPUT_TEXT_MAX])
{
    int n = snprintf(text, TABLE_OUTPUT_TEXT_MAX, "%s ", t->interfaces[o->interface].name);

    n += range_text(text + n, TABLE_OUTPUT_TEXT_MAX - (size_t) n, &o->to, o->n_addresses, o->port, o->n_ports);
    // Two outputs of a rule may differ in the VLAN alone.
    if (o->vlan)
        snprintf(text + n, TABLE_OUTPUT_TEXT_MAX - (size_t) n, " vlan %u", o->vlan);
    return text;
}
