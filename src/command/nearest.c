// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/nearest.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "config/local.h"
#include "config/print.h"
#include "config/times.h"

// --- values of the file ----------------------------------------------------------------------------------------------

const char *nearest_value(enum schema_place where, const char *key, const void *target, char text[NEAREST_TEXT_MAX])
{
    json_t *tree = config_value_tree(schema_find(where, key), target);
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

// --- distance --------------------------------------------------------------------------------------------------------

// The differences, in the order of the message. The address weighs most, because people know a rule by it.
enum { OTHER_ADDRESS, OTHER_PORT, OTHER_VLAN, OTHER_INTERFACE, DISABLED, DIFFERENCES };
static const unsigned weights[DIFFERENCES] = {2, 1, 1, 1, 1};

struct candidate {
    const struct config_rule *rule;
    const struct config_input *input;
    bool differs[DIFFERENCES];
    unsigned distance, common; // common: leading bits of the address
};

static bool takes_address(const struct config_input *in, const struct addr *a)
{
    struct addr last = addr_after(&in->address, in->n_addresses - 1u);

    if (in->kind == CONFIG_BROADCAST)
        return addr_equal(a, &addr_limited_broadcast);
    return a->family == in->address.family && memcmp(a->bytes, in->address.bytes, sizeof(a->bytes)) >= 0 &&
           memcmp(a->bytes, last.bytes, sizeof(a->bytes)) <= 0;
}

static unsigned common_bits(const struct addr *a, const struct addr *b)
{
    struct addr_prefix p = {.addr = *a, .bits = (uint8_t) (8 * addr_length(a))};

    while (p.bits > 0 && !addr_prefix_contains(&p, b))
        p.bits--;
    return p.bits;
}

// Whether this input of the rule is near.
static bool measure(const struct config_rule *r, const struct config_input *in, const char *interface,
                    const struct table_key *key, struct candidate *c)
{
    uint8_t family = in->kind == CONFIG_BROADCAST ? ADDR_IPV4 : in->address.family;

    *c = (struct candidate){
        .rule = r,
        .input = in,
        .differs = {[OTHER_ADDRESS] = !takes_address(in, &key->destination),
                    [OTHER_PORT] = key->port < in->port || key->port - in->port >= in->n_ports,
                    [OTHER_VLAN] = key->vlan != in->vlan,
                    [OTHER_INTERFACE] = interface && strcmp(interface, in->interface) != 0,
                    [DISABLED] = !config_rule_runs(r)},
        .common = common_bits(&in->address, &key->destination),
    };
    for (unsigned i = 0; i < DIFFERENCES; i++)
        c->distance += c->differs[i] ? weights[i] : 0;
    return family == key->destination.family && c->distance <= 2 &&
           !(c->differs[OTHER_ADDRESS] && c->differs[OTHER_PORT]);
}

// Orders candidates by distance, then by the similarity of the address, then as in the file.
static int compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    if (x->common != y->common)
        return x->common > y->common ? -1 : 1;
    if (x->rule != y->rule)
        return x->rule > y->rule ? 1 : -1;
    return (x->input > y->input) - (x->input < y->input);
}

// --- texts -----------------------------------------------------------------------------------------------------------

static void __attribute__((format(printf, 4, 5)))
tell(FILE *to, json_t *differs, const char *key, const char *format, ...)
{
    va_list args;

    if (json_array_size(differs) > 0)
        fputc(';', to);
    va_start(args, format);
    vfprintf(to, format, args);
    va_end(args);
    json_array_append_new(differs, json_string(key));
}

static const char *frames(uint16_t vlan, char text[24])
{
    snprintf(text, 24, vlan ? "vlan %u" : "untagged frames", vlan);
    return text;
}

// Which addresses broadcast = true is here; "" of another input.
static const char *broadcasts(const struct config_input *in, char text[LOCAL_BROADCASTS_MAX])
{
    struct local local;

    text[0] = '\0';
    if (in->kind != CONFIG_BROADCAST)
        return text;
    local_read(&local);
    local_broadcasts(&local, in->interface, text);
    local_free(&local);
    return text;
}

static void add(const struct candidate *c, const char *interface, const struct table_key *key, json_t *array)
{
    const struct config_input *in = c->input;
    json_t *differs = json_array();
    char value[NEAREST_TEXT_MAX], address[ADDR_TEXT_MAX], theirs[24], asked[24], time[TIMES_TEXT_MAX],
        here[LOCAL_BROADCASTS_MAX], *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return json_decref(differs);
    fprintf(to, "rule \"%s\"%s", c->rule->name, c->distance > c->differs[DISABLED] ? " takes" : "");
    if (c->differs[OTHER_ADDRESS])
        tell(to, differs, keys[in->kind], " %s %.64s%s, not %s", keys[in->kind],
             nearest_value(SCHEMA_INPUT, keys[in->kind], in, value), broadcasts(in, here),
             addr_format(&key->destination, address));
    if (c->differs[OTHER_PORT])
        tell(to, differs, "port", " port %.16s, not %u", nearest_value(SCHEMA_INPUT, "port", in, value), key->port);
    if (c->differs[OTHER_VLAN])
        tell(to, differs, "vlan", " %s, not %s", frames(in->vlan, theirs), frames(key->vlan, asked));
    if (c->differs[OTHER_INTERFACE])
        tell(to, differs, "interface", " interface \"%s\", not \"%.15s\"", in->interface, interface);
    if (c->differs[DISABLED] && !c->rule->enabled)
        tell(to, differs, "enabled", " is disabled (enabled = false)");
    else if (c->differs[DISABLED])
        tell(to, differs, c->rule->phase == SCHEDULE_AFTER ? "active_until" : "active_from", " %s: %s",
             c->rule->phase == SCHEDULE_AFTER ? "has expired" : "is not active yet", times_reason(c->rule, time));
    fclose(to);
    json_array_append_new(array, json_pack("{s:s, s:i, s:o, s:s}", "rule", c->rule->name, "line", in->line, "differs",
                                           differs, "text", text));
    free(text);
}

void nearest_find(const struct config *config, const char *interface, const struct table_key *key, json_t *array)
{
    struct candidate *list = calloc(config->n_rules * CONFIG_INPUTS_MAX + 1, sizeof(*list));
    size_t n = 0;

    for (size_t i = 0; list && i < config->n_rules; i++)
        for (size_t j = 0; j < config->rules[i].n_inputs; j++)
            n += measure(&config->rules[i], &config->rules[i].inputs[j], interface, key, &list[n]);
    if (n > 0)
        qsort(list, n, sizeof(*list), compare);
    for (size_t i = 0; i < n && i < NEAREST_MAX && list[i].distance == list[0].distance; i++)
        add(&list[i], interface, key, array);
    free(list);
}
