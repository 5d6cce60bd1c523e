// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *config_leg(const struct config_rule *rule, size_t input, char text[CONFIG_LEG_MAX])
{
    const char *leg = rule->inputs[input].leg;

    if (*leg)
        snprintf(text, CONFIG_LEG_MAX, "%s", leg);
    else
        snprintf(text, CONFIG_LEG_MAX, "%zu", input + 1);
    return text;
}

const char *config_zone(const struct config *c, const char *interface)
{
    for (size_t i = 0; i < c->n_interfaces; i++)
        if (strcmp(c->interfaces[i].name, interface) == 0)
            return c->interfaces[i].zone;
    return "";
}

size_t config_input_interfaces(const struct config *c)
{
    const char *names[CONFIG_INTERFACES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < c->n_rules; i++)
        for (size_t k = 0; k < c->rules[i].n_inputs; k++) {
            const char *name = c->rules[i].inputs[k].interface;
            size_t j = 0;
            while (j < n && strcmp(names[j], name) != 0)
                j++;
            if (j == n && n < CONFIG_INTERFACES_MAX)
                names[n++] = name;
        }
    return n;
}

struct endpoint endpoint_of_input(const struct config_input *in, uint32_t index)
{
    return (struct endpoint){in->interface,   in->address, in->kind, in->port,
                             in->n_addresses, in->n_ports, in->vlan, index};
}

struct endpoint endpoint_of_output(const struct config_output *out, uint32_t index)
{
    return (struct endpoint){out->interface,   out->address, out->kind, out->port,
                             out->n_addresses, out->n_ports, out->vlan, index};
}

uint32_t endpoint_destinations(const struct config_input *in)
{
    return (in->kind == CONFIG_BROADCAST ? 2u : in->n_addresses) * (uint32_t) in->n_ports;
}

size_t endpoint_outputs(const struct config_rule *rule)
{
    size_t n = 0;

    for (size_t i = 0; i < rule->n_outputs; i++)
        n += (size_t) rule->outputs[i].n_addresses * rule->outputs[i].n_ports;
    return n;
}

uint32_t endpoint_span(const struct endpoint *e)
{
    return (uint32_t) e->n_addresses * e->n_ports;
}

struct endpoint endpoint_at(const struct endpoint *e, uint32_t i)
{
    struct endpoint one = *e;

    one.address = addr_after(&e->address, i / e->n_ports);
    one.port = (uint16_t) (e->port + i % e->n_ports);
    one.n_addresses = one.n_ports = 1;
    return one;
}

uint32_t endpoint_take_apart(const struct endpoint *e, struct endpoint *list)
{
    uint32_t n = endpoint_is_complete(e) ? endpoint_span(e) : 0;

    for (uint32_t i = 0; i < n; i++)
        list[i] = endpoint_at(e, i);
    return n;
}

struct endpoint endpoint_counterpart(const struct endpoint *to, const struct endpoint *from, uint32_t i)
{
    uint32_t address = to->n_addresses == 1 ? 0 : i / from->n_ports;
    uint32_t port = to->n_ports == 1 ? 0 : i % from->n_ports;

    return endpoint_at(to, address * to->n_ports + port);
}

uint32_t endpoint_paths(const struct config_rule *rule)
{
    bool several = rule->merge.line != 0 || rule->monitor.line != 0;

    for (size_t i = 0; i < rule->n_outputs; i++)
        several = several || rule->outputs[i].n_addresses > 1 || rule->outputs[i].n_ports > 1;
    return config_rule_runs(rule) && several ? (uint32_t) rule->inputs[0].n_addresses * rule->inputs[0].n_ports : 1;
}

bool endpoint_is_complete(const struct endpoint *e)
{
    return e->interface[0] != '\0' && e->port != 0 && (e->kind == CONFIG_BROADCAST || e->address.family != ADDR_NONE);
}

uint8_t endpoint_family(const struct endpoint *e)
{
    return e->kind == CONFIG_BROADCAST ? ADDR_IPV4 : e->address.family;
}

int endpoint_compare(const struct endpoint *a, const struct endpoint *b)
{
    int order = strcmp(a->interface, b->interface);

    if (order == 0)
        order = (int) a->kind - (int) b->kind;
    if (order == 0)
        order = (int) a->address.family - (int) b->address.family;
    if (order == 0)
        order = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
    if (order == 0)
        order = (int) a->port - (int) b->port;
    if (order == 0)
        order = (int) a->vlan - (int) b->vlan;
    return order;
}

bool endpoint_contains(const struct endpoint *range, const struct endpoint *one)
{
    struct addr last = addr_after(&range->address, range->n_addresses - 1u);
    size_t size = sizeof(last.bytes);

    return strcmp(range->interface, one->interface) == 0 && range->kind == one->kind && range->vlan == one->vlan &&
           range->address.family == one->address.family && one->port >= range->port &&
           one->port - range->port < range->n_ports && memcmp(one->address.bytes, range->address.bytes, size) >= 0 &&
           memcmp(one->address.bytes, last.bytes, size) <= 0;
}

static int compare(const void *a, const void *b)
{
    const struct endpoint *left = a, *right = b;
    int order = endpoint_compare(left, right);

    return order != 0 ? order : (left->index > right->index) - (left->index < right->index);
}

void endpoint_sort(struct endpoint *list, size_t n)
{
    qsort(list, n, sizeof(*list), compare);
}

const struct endpoint *endpoint_find(const struct endpoint *list, size_t n, const struct endpoint *wanted)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (endpoint_compare(&list[middle], wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && endpoint_compare(&list[low], wanted) == 0 ? &list[low] : NULL;
}

const char *endpoint_format(const struct endpoint *e, char text[ENDPOINT_TEXT_MAX])
{
    static const char *const kinds[] = {"group ", "address ", "broadcast"};
    char address[ADDR_TEXT_MAX] = "", vlan[16] = "";

    if (e->kind != CONFIG_BROADCAST)
        addr_format(&e->address, address);
    if (e->vlan)
        snprintf(vlan, sizeof(vlan), ", vlan %u", e->vlan);
    snprintf(text, ENDPOINT_TEXT_MAX, "%s%s, port %u, interface \"%s\"%s", kinds[e->kind], address, e->port,
             e->interface, vlan);
    return text;
}

// --- senders ---------------------------------------------------------------------------------------------------------

// Returns whether a is a source-specific group (RFC 4607: 232.0.0.0/8 and ff3x::/32), which can be joined only for
// given senders.
static bool is_source_specific(const struct addr *a)
{
    const uint8_t *b = a->bytes;

    if (a->family == ADDR_IPV4)
        return b[0] == 232;
    return a->family == ADDR_IPV6 && b[0] == 0xff && b[1] >> 4 == 3 && b[2] == 0 && b[3] == 0;
}

const struct addr_prefix *config_source_prefix(const struct config_input *in)
{
    for (size_t i = 0; i < in->n_sources; i++)
        if (in->sources[i].bits < 8 * addr_length(&in->sources[i].addr))
            return &in->sources[i];
    return NULL;
}

bool config_joins_nobody(const struct config_input *in)
{
    return in->kind == CONFIG_GROUP && is_source_specific(&in->address) &&
           (in->n_sources == 0 || config_source_prefix(in));
}
