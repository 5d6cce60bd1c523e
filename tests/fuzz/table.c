// SPDX-License-Identifier: Apache-2.0
// table: table/view.c with hostile bytes: a table of machine.c with changes, or the input itself. One that is attached
// is then read to its last byte, as the relay reads it: each look-up, and a datagram to each destination and by each
// output. The input is which table (or RAW), the changes, and a key to look up.
#include <config.h>

#include "fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "relay/forward.h"
#include "table/view.h"

#define RAW 0xff

static void *copy_of(struct fuzz_input *in, uint8_t which, size_t *size)
{
    const struct table_image *t = machine_table(which);
    void *memory;

    if (which == RAW) {
        *size = in->left;
        memory = malloc(*size + 1);
        memcpy(memory, in->at, *size);
        in->left = 0;
        return memory;
    }
    *size = t->size;
    memory = malloc(*size);
    memcpy(memory, t->bytes, *size);
    fuzz_patch(in, memory, *size);
    return memory;
}

static bool is_one_of(const void *element, const void *first, size_t n, size_t size)
{
    size_t at = (size_t) ((const uint8_t *) element - (const uint8_t *) first);

    return element >= first && at % size == 0 && at / size < n;
}

static void look_up(const struct table_view *v, const struct table_key *key)
{
    const struct table_destination *d = table_lookup(v, key);

    if (d)
        FUZZ_ASSERT(is_one_of(d, v->destinations, v->n_destinations, sizeof(*d)) && d->path < v->n_paths &&
                    table_input_of(v, d)->rule == v->paths[d->path].rule);
}

static struct table_key key_of(const struct table_destination *d)
{
    return (struct table_key){.destination = d->address, .port = d->port, .vlan = d->vlan, .interface = d->interface};
}

static void check_index(const struct table_view *v)
{
    FUZZ_ASSERT(v->header->longest_probe <= v->n_slots);
    for (uint32_t i = 0; i < v->n_slots; i++)
        FUZZ_ASSERT(v->slots[i].destination == TABLE_NONE || v->slots[i].destination < v->n_destinations);
}

static void read_names(const struct table_view *v)
{
    size_t length = strlen(v->header->instance);

    for (uint32_t i = 0; i < v->n_interfaces; i++)
        length += strlen(v->interfaces[i].name);
    for (uint32_t i = 0; i < v->n_rules; i++)
        length += strlen(v->rules[i].name) + strlen(v->rules[i].note) + strlen(v->rules[i].reason);
    for (uint32_t i = 0; i < v->n_inputs; i++) {
        char text[TABLE_INPUT_TEXT_MAX];
        length += strlen(v->inputs[i].leg) + strlen(table_input_text(&v->inputs[i], text));
    }
    FUZZ_ASSERT(length < SIZE_MAX);
}

// Through forward.c and egress.c, to a device that takes all.
static void forward_all(const struct table_view *v)
{
    static uint8_t datagram[8 + 100];
    static int null = -1;
    void *memory = calloc(1, stats_segment_size(v->n_interfaces, v->n_rules, v->n_inputs, v->n_counters));
    struct egress *egress = calloc(v->n_egress + 1, sizeof(*egress));
    struct stats_segment stats;

    if (null < 0)
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
    stats_segment_place(&stats, memory, v->n_interfaces, v->n_rules, v->n_inputs);
    struct forward *f = forward_new(v, &stats, NULL, 1);
    FUZZ_ASSERT(memory && egress && f && null >= 0);
    for (uint32_t i = 0; i < v->n_egress; i++) {
        egress_init(&egress[i], v->egress[i].id, null);
        egress_configure(&egress[i], &v->egress[i], NULL);
        f->egress[i] = &egress[i];
    }
    for (uint32_t i = 0; i < v->n_destinations; i++) {
        struct table_key key = key_of(&v->destinations[i]);
        struct packet p = {.source = key.destination,
                           .destination = key.destination,
                           .port = key.port,
                           .vlan = key.vlan,
                           .ttl = (uint8_t) (1 + i % 3),
                           .payload = datagram + 8,
                           .length = sizeof(datagram) - 8,
                           .segment = i % 2 ? 40 : sizeof(datagram) - 8,
                           .datagrams = i % 2 ? 3 : 1};
        struct packet_meta m = {.checksum_vouched = true, .segment = i % 2 ? 40 : 0};
        forward_packet(f, key.interface, &p, &m);
    }
    forward_flush(f);
    forward_publish_merges(f, 0);
    forward_publish_part(f, 0, UINT32_MAX);
    forward_free(f);
    free(egress);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct table_key key = {.interface = 0};
    struct table_view v;
    const char *why = "";
    size_t length, got;
    uint8_t which = fuzz_u8(&in);
    void *memory = copy_of(&in, which, &length);
    bool changed = memcmp(memory, machine_table(which)->bytes,
                          length < machine_table(which)->size ? length : machine_table(which)->size) != 0;

    if (table_attach(&v, memory, length, &why)) {
        FUZZ_ASSERT(!why && v.header == memory && v.header->size == length);
        check_index(&v);
        read_names(&v);
        for (uint32_t i = 0; i < v.n_destinations; i++) {
            key = key_of(&v.destinations[i]);
            look_up(&v, &key);
            if (which != RAW && !changed)
                FUZZ_ASSERT(table_lookup(&v, &key) == &v.destinations[i]);
        }
        key.destination.family = fuzz_u8(&in);
        const uint8_t *bytes = fuzz_bytes(&in, sizeof(key.destination.bytes), &got);
        memcpy(key.destination.bytes, bytes, got);
        key.port = fuzz_u16(&in);
        look_up(&v, &key);
        forward_all(&v);
    } else {
        FUZZ_ASSERT(why && *why && v.n_rules == 0);
        FUZZ_ASSERT(which == RAW || changed);
    }
    free(memory);
    return 0;
}
