// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/nearest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "config/print.h"

// --- what the file says ----------------------------------------------------------------------------------------------

static const char *print_tree(json_t *tree, char text[NEAREST_TEXT_MAX])
{
    FILE *to = fmemopen(text, NEAREST_TEXT_MAX, "w");

    text[0] = '\0';
    if (to && tree)
        config_tree_print(tree, to);
    if (to)
        fclose(to);
    text[NEAREST_TEXT_MAX - 1] = '\0';
    json_decref(tree);
    return text;
}

const char *nearest_value(enum schema_place where, const char *key, const void *target, char text[NEAREST_TEXT_MAX])
{
    return print_tree(config_value_tree(schema_find(where, key), target), text);
}

const char *nearest_section(enum schema_place where, const void *target, char text[NEAREST_TEXT_MAX])
{
    return print_tree(config_section_tree(where, target), text);
}

static const char *const keys[] = {
    [CONFIG_GROUP] = "group", [CONFIG_ADDRESS] = "address", [CONFIG_BROADCAST] = "broadcast"};

const char *nearest_input(const struct config_input *in, char text[NEAREST_TEXT_MAX])
{
    char address[NEAREST_TEXT_MAX], port[NEAREST_TEXT_MAX], vlan[16] = "untagged";

    if (in->vlan)
        snprintf(vlan, sizeof(vlan), "vlan %u", in->vlan);
    snprintf(text, NEAREST_TEXT_MAX, "%s %.64s, port %.16s, %s, interface \"%s\"", keys[in->kind],
             nearest_value(SCHEMA_INPUT, keys[in->kind], in, address), nearest_value(SCHEMA_INPUT, "port", in, port),
             vlan, in->interface);
    return text;
}

// --- how far it is ---------------------------------------------------------------------------------------------------

enum difference {
    OTHER_INTERFACE = 1u << 0,
    OTHER_VLAN = 1u << 1,
    OTHER_PORT = 1u << 2,
    OTHER_ADDRESS = 1u << 3,
    DISABLED = 1u << 4,
};

static bool takes_address(const struct config_input *in, const struct addr *a)
{
    struct addr last = addr_after(&in->address, in->n_addresses - 1u);

    if (in->kind == CONFIG_BROADCAST)
        return addr_equal(a, &addr_limited_broadcast);
    return a->family == in->address.family && memcmp(a->bytes, in->address.bytes, sizeof(a->bytes)) >= 0 &&
           memcmp(a->bytes, last.bytes, sizeof(a->bytes)) <= 0;
}

static unsigned differences(const struct config_rule *r, const char *interface, const struct addr *destination,
                            uint16_t port, uint16_t vlan)
{
    const struct config_input *in = &r->input;

    return (interface && strcmp(interface, in->interface) != 0 ? OTHER_INTERFACE : 0u) |
           (vlan != in->vlan ? OTHER_VLAN : 0u) |
           (port < in->port || port - in->port >= in->n_ports ? OTHER_PORT : 0u) |
           (!takes_address(in, destination) ? OTHER_ADDRESS : 0u) | (!r->enabled ? DISABLED : 0u);
}

// The address weighs most: it is what a rule is known by.
static unsigned distance(unsigned d)
{
    return (d & OTHER_ADDRESS ? 2u : 0u) + !!(d & OTHER_INTERFACE) + !!(d & OTHER_VLAN) + !!(d & OTHER_PORT) +
           !!(d & DISABLED);
}

static uint8_t family_of(const struct config_input *in)
{
    return in->kind == CONFIG_BROADCAST ? ADDR_IPV4 : in->address.family;
}

static bool is_near(const struct config_rule *r, unsigned d, const struct addr *destination)
{
    return family_of(&r->input) == destination->family &&
           (d & (OTHER_ADDRESS | OTHER_PORT)) != (OTHER_ADDRESS | OTHER_PORT) && distance(d) <= 2;
}

static void add(const struct config_rule *r, unsigned d, const struct addr *destination, uint16_t port, uint16_t vlan,
                const char *interface, json_t *array)
{
    const struct config_input *in = &r->input;
    json_t *differs = json_array();
    char text[2 * NEAREST_TEXT_MAX], value[NEAREST_TEXT_MAX], address[ADDR_TEXT_MAX];
    size_t n = 0;

#define TELL(...) (n += (size_t) snprintf(text + n, sizeof(text) - n, __VA_ARGS__))
    TELL("rule \"%s\"", r->name);
    const char *before = " takes";
    if (d & OTHER_ADDRESS) {
        TELL("%s %s %.64s, not %s", before, keys[in->kind], nearest_value(SCHEMA_INPUT, keys[in->kind], in, value),
             addr_format(destination, address));
        before = ";";
        json_array_append_new(differs, json_string(keys[in->kind]));
    }
    if (d & OTHER_PORT) {
        TELL("%s port %.16s, not %u", before, nearest_value(SCHEMA_INPUT, "port", in, value), port);
        before = ";";
        json_array_append_new(differs, json_string("port"));
    }
    if (d & OTHER_VLAN) {
        if (in->vlan)
            TELL("%s vlan %u", before, in->vlan);
        else
            TELL("%s untagged frames", before);
        if (vlan)
            TELL(", not vlan %u", vlan);
        else
            TELL(", not untagged frames");
        before = ";";
        json_array_append_new(differs, json_string("vlan"));
    }
    if (d & OTHER_INTERFACE) {
        TELL("%s interface \"%s\", not \"%.15s\"", before, in->interface, interface);
        before = ";";
        json_array_append_new(differs, json_string("interface"));
    }
    if (d & DISABLED) {
        TELL("%s is disabled (enabled = false)", strcmp(before, ";") == 0 ? ";" : "");
        json_array_append_new(differs, json_string("enabled"));
    }
#undef TELL
    json_array_append_new(
        array, json_pack("{s:s, s:i, s:o, s:s}", "rule", r->name, "line", in->line, "differs", differs, "text", text));
}

struct candidate {
    const struct config_rule *rule;
    unsigned differences, distance, common;
};

static unsigned common_bits(const struct addr *a, const struct addr *b)
{
    struct addr_prefix p = {.addr = *a, .bits = (uint8_t) (8 * addr_length(a))};

    while (p.bits > 0 && !addr_prefix_contains(&p, b))
        p.bits--;
    return p.bits;
}

// Those whose address is most alike first, then in the order of the file.
static int compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    if (x->common != y->common)
        return x->common > y->common ? -1 : 1;
    return (x->rule > y->rule) - (x->rule < y->rule);
}

void nearest_find(const struct config *config, const char *interface, const struct addr *destination, uint16_t port,
                  uint16_t vlan, json_t *array)
{
    struct candidate *list = calloc(config->n_rules + 1, sizeof(*list));
    size_t n = 0;

    for (size_t i = 0; list && i < config->n_rules; i++) {
        const struct config_rule *r = &config->rules[i];
        unsigned d = differences(r, interface, destination, port, vlan);
        if (is_near(r, d, destination))
            list[n++] = (struct candidate){r, d, distance(d), common_bits(&r->input.address, destination)};
    }
    if (n > 0)
        qsort(list, n, sizeof(*list), compare);
    for (size_t i = 0; i < n && i < NEAREST_MAX && list[i].distance == list[0].distance; i++)
        add(list[i].rule, list[i].differences, destination, port, vlan, interface, array);
    free(list);
}
