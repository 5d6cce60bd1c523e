// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "table/view.h"

#define N_RULES 500

// One interface, N_RULES rules with one output each.
struct block {
    struct table_header header;
    struct table_interface interfaces[1];
    struct table_rule rules[N_RULES];
    struct table_input inputs[N_RULES];
    struct table_path paths[N_RULES];
    struct table_output outputs[N_RULES];
    struct table_egress egress[2];
    struct addr_prefix sources[1];
    uint8_t pad[6];
    struct addr own[2];
    uint8_t pad2[6];
    uint64_t holds[1];
    struct table_destination destinations[N_RULES];
    struct table_slot slots[1024];
};

static struct addr group(uint32_t i)
{
    return (struct addr){.family = ADDR_IPV4, .bytes = {239, 255, (uint8_t) (i >> 8), (uint8_t) i}};
}

static struct table_key key_of(uint32_t i)
{
    return (struct table_key){.destination = group(i), .port = (uint16_t) (5000 + i % 3), .vlan = i % 5 ? 0 : 7};
}

#define ARRAY(member, count)                                                                                           \
    {                                                                                                                  \
        .offset = offsetof(struct block, member), .n = (count)                                                         \
    }

static struct block *build(void)
{
    struct block *b = calloc(1, sizeof(*b));

    b->header = (struct table_header){
        .magic = TABLE_MAGIC,
        .version = TABLE_VERSION,
        .size = sizeof(*b),
        .interfaces = ARRAY(interfaces, 1),
        .rules = ARRAY(rules, N_RULES),
        .inputs = ARRAY(inputs, N_RULES),
        .paths = ARRAY(paths, N_RULES),
        .outputs = ARRAY(outputs, N_RULES),
        .n_counters = N_RULES,
        .egress = ARRAY(egress, 2),
        .sources = ARRAY(sources, 1),
        .own = ARRAY(own, 2),
        .holds = ARRAY(holds, 1),
        .destinations = ARRAY(destinations, N_RULES),
        .slots = ARRAY(slots, 1024),
    };
    b->interfaces[0] = (struct table_interface){
        .name = "in0", .ring_id = 1, .slot_size = 1664, .block_size = 1 << 18, .n_slots = 157 * 64, .n_own = 2};
    b->own[0] = (struct addr){.family = ADDR_IPV6};
    b->own[1] = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, 1, 1}};
    b->egress[0] = (struct table_egress){.id = 2, .kind = TABLE_EGRESS_FRAME, .mtu = 1500, .tx_ring = 1};
    b->egress[1] =
        (struct table_egress){.id = 3, .kind = TABLE_EGRESS_TX_RING, .tx_ring = TABLE_NONE, .slot_size = 2048};
    b->sources[0] = (struct addr_prefix){.addr = {.family = ADDR_IPV4}, .bits = 0};
    for (uint32_t i = 0; i < 1024; i++)
        b->slots[i].destination = TABLE_NONE;
    for (uint32_t i = 0; i < N_RULES; i++) {
        struct table_key key = key_of(i);
        uint32_t hash = table_hash(&key), probe = 0;
        b->inputs[i] = (struct table_input){
            .leg = "1", .rule = i, .first_destination = i, .n_destinations = 1, .to = key.destination};
        b->rules[i] = (struct table_rule){.name = "r",
                                          .first_input = i,
                                          .n_inputs = 1,
                                          .first_path = i,
                                          .n_paths = 1,
                                          .first_counter = i,
                                          .n_outputs = 1,
                                          .flags = TABLE_RULE_ENABLED};
        b->paths[i] = (struct table_path){.rule = i, .first_output = i};
        b->destinations[i] =
            (struct table_destination){.address = key.destination, .port = key.port, .vlan = key.vlan, .path = i};
        b->outputs[i] = (struct table_output){
            .to = group(i), .port = 6000, .ip_at = 14, .header_length = 42, .counter = i, .burst = 64};
        while (b->slots[(hash + probe) & 1023].destination != TABLE_NONE)
            probe++;
        b->slots[(hash + probe) & 1023] = (struct table_slot){.hash = hash, .destination = i};
        if (probe + 1 > b->header.longest_probe)
            b->header.longest_probe = probe + 1;
    }
    return b;
}

Test(table, finds_each_rule_and_no_other)
{
    struct block *b = build();
    struct table_view v;
    const char *why = NULL;

    cr_assert(table_attach(&v, b, sizeof(*b), &why), "%s", why);
    for (uint32_t i = 0; i < N_RULES; i++) {
        struct table_key key = key_of(i);
        cr_assert_eq(table_lookup(&v, &key), &b->destinations[i]);
        key.port = 4999;
        cr_expect_null(table_lookup(&v, &key), "another port");
        key = key_of(i);
        key.vlan ^= 1;
        cr_expect_null(table_lookup(&v, &key), "another VLAN");
        key = key_of(i);
        key.interface = 1;
        cr_expect_null(table_lookup(&v, &key), "another interface");
        key = key_of(i);
        key.destination.family = ADDR_IPV6;
        cr_expect_null(table_lookup(&v, &key), "another family");
    }
    for (uint32_t i = N_RULES; i < 60000; i++) {
        struct table_key key = key_of(i);
        cr_expect_null(table_lookup(&v, &key));
    }
    cr_expect_lt(b->header.longest_probe, 40, "the hash spreads: %u", b->header.longest_probe);
    free(b);
}

Test(table, every_wrong_bound_is_refused)
{
    struct block *b = build();
    struct table_view v;
    const char *why;

#define REFUSED(change)                                                                                                \
    do {                                                                                                               \
        struct block *copy = malloc(sizeof(*copy));                                                                    \
        memcpy(copy, b, sizeof(*copy));                                                                                \
        copy->change;                                                                                                  \
        cr_expect(!table_attach(&v, copy, sizeof(*copy), &why), "%s", #change);                                        \
        cr_expect_not_null(why);                                                                                       \
        free(copy);                                                                                                    \
    } while (0)

    cr_assert(table_attach(&v, b, sizeof(*b), &why));
    REFUSED(header.magic++);
    REFUSED(header.version++);
    REFUSED(header.size--);
    REFUSED(header.rules.offset = 8);
    REFUSED(header.rules.offset++);
    REFUSED(header.rules.offset = UINT32_MAX - 7);
    REFUSED(header.rules.n = TABLE_RULES_MAX);
    REFUSED(header.rules.n = UINT32_MAX);
    REFUSED(header.outputs.n--);
    REFUSED(header.outputs.offset = sizeof(*b));
    REFUSED(header.egress.n = 0);
    REFUSED(header.sources.n = UINT32_MAX);
    REFUSED(header.own.n = UINT32_MAX);
    REFUSED(header.own.n = 1);
    REFUSED(header.holds.n = UINT32_MAX);
    REFUSED(header.slots.n = 1000);
    REFUSED(header.slots.n = 0);
    REFUSED(header.longest_probe = 1025);
    REFUSED(header.interfaces.n = 0);
    memset(b->header.instance, 'x', sizeof(b->header.instance));
    cr_expect(!table_attach(&v, b, sizeof(*b), &why));
    memset(b->header.instance, 0, sizeof(b->header.instance));
    REFUSED(slots[5].destination = N_RULES);
    REFUSED(header.destinations.n = UINT32_MAX);
    REFUSED(destinations[499].interface = 1);
    REFUSED(destinations[499].port = 0);
    REFUSED(destinations[499].address.family = 5);
    REFUSED(destinations[499].path = N_RULES);
    REFUSED(header.paths.n = UINT32_MAX);
    REFUSED(header.n_counters = N_RULES - 1);
    REFUSED(header.n_counters = UINT32_MAX);
    REFUSED(paths[499].rule = N_RULES);
    REFUSED(paths[499].first_output = N_RULES);
    REFUSED(interfaces[0].link = 2);
    REFUSED(interfaces[0].slot_size = 0);
    REFUSED(interfaces[0].slot_size = 1660);
    REFUSED(interfaces[0].block_size = 1024);
    REFUSED(interfaces[0].n_slots = 0);
    REFUSED(interfaces[0].n_slots++);
    REFUSED(interfaces[0].state = 3);
    REFUSED(interfaces[0].first_own = 1);
    REFUSED(interfaces[0].n_own = UINT32_MAX);
    REFUSED(own[1].family = ADDR_NONE);
    REFUSED(rules[499].first_input = N_RULES);
    REFUSED(rules[499].n_inputs = 2);
    REFUSED(rules[499].n_inputs = 0);
    REFUSED(header.inputs.n = UINT32_MAX);
    REFUSED(inputs[499].interface = 1);
    REFUSED(inputs[499].n_destinations = 2);
    REFUSED(inputs[499].rule = N_RULES);
    REFUSED(inputs[499].rule = 1);
    REFUSED(destinations[499].leg = 1);
    REFUSED(destinations[499].flags = TABLE_DESTINATION_SOURCES);
    REFUSED(rules[0].n_inputs = TABLE_RULE_INPUTS_MAX + 1);
    REFUSED(rules[499].n_outputs = 2);
    REFUSED(rules[499].first_path = N_RULES);
    REFUSED(rules[499].n_paths = 2);
    REFUSED(rules[499].n_paths = 0);
    REFUSED(rules[499].first_counter = N_RULES + 1);
    REFUSED(outputs[7].counter = N_RULES);
    REFUSED(inputs[499].to.family = ADDR_NONE);
    memset(b->rules[499].reason, 'x', sizeof(b->rules[499].reason));
    cr_expect(!table_attach(&v, b, sizeof(*b), &why));
    memset(b->rules[499].reason, 0, sizeof(b->rules[499].reason));
    REFUSED(inputs[499].first_source = 2);
    REFUSED(inputs[499].n_sources = UINT32_MAX);
    REFUSED(outputs[7].egress = 2);
    REFUSED(outputs[7].egress = 1); // a transmit ring is no way of its own
    REFUSED(outputs[7].interface = 1);
    REFUSED(outputs[7].header_length = 64);
    REFUSED(outputs[7].header_length = 0);
    REFUSED(outputs[7].ip_at = 15);
    REFUSED(outputs[7].to.family = ADDR_IPV6);
    REFUSED(outputs[7].dscp = 64);
    REFUSED(outputs[7].burst = 0);
    REFUSED(outputs[7].burst = 65);
    REFUSED(outputs[7].port = 0);
    REFUSED(egress[0].kind = 4);
    REFUSED(egress[0].tx_ring = 0);
    REFUSED(egress[0].tx_ring = 2);
    REFUSED(egress[1].tx_ring = 1);
    REFUSED(egress[1].slot_size = 0);
    REFUSED(egress[1].slot_size = 2047);
    REFUSED(egress[1].slot_size = TABLE_TX_SLOT_MIN / 2);
    REFUSED(egress[1].slot_size = 2 * TABLE_TX_SLOT_MAX);
    REFUSED(egress[1].kind = TABLE_EGRESS_FRAME);
    REFUSED(egress[0].kind = TABLE_EGRESS_SOCKET);
    REFUSED(egress[0].kind = TABLE_EGRESS_RAW);
    REFUSED(egress[0].kind = TABLE_EGRESS_RAW_UDP);
    REFUSED(egress[0].id = 0);
    REFUSED(sources[0].bits = 33);
    REFUSED(sources[0].addr.family = 0);
    for (size_t n = 0; n < sizeof(*b); n += 777)
        cr_expect(!table_attach(&v, b, n, &why), "%zu bytes of it", n);
    free(b);
}

Test(table, a_missing_egress_is_no_error)
{
    struct block *b = build();
    struct table_view v;
    const char *why;

    b->outputs[3].egress = TABLE_NONE;
    b->outputs[3].header_length = 0;
    cr_expect(table_attach(&v, b, sizeof(*b), &why));
    free(b);
}
