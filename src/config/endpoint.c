// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct endpoint endpoint_of_input(const struct config_input *in, uint32_t index)
{
    return (struct endpoint){in->interface, &in->address, in->kind, in->port, in->vlan, index};
}

struct endpoint endpoint_of_output(const struct config_output *out, uint32_t index)
{
    return (struct endpoint){out->interface, &out->address, out->kind, out->port, out->vlan, index};
}

bool endpoint_is_complete(const struct endpoint *e)
{
    return e->interface[0] != '\0' && e->port != 0 && (e->kind == CONFIG_BROADCAST || e->address->family != ADDR_NONE);
}

uint8_t endpoint_family(const struct endpoint *e)
{
    return e->kind == CONFIG_BROADCAST ? ADDR_IPV4 : e->address->family;
}

int endpoint_compare(const struct endpoint *a, const struct endpoint *b)
{
    int order = strcmp(a->interface, b->interface);

    if (order == 0)
        order = (int) a->kind - (int) b->kind;
    if (order == 0)
        order = (int) a->address->family - (int) b->address->family;
    if (order == 0)
        order = memcmp(a->address->bytes, b->address->bytes, sizeof(a->address->bytes));
    if (order == 0)
        order = (int) a->port - (int) b->port;
    if (order == 0)
        order = (int) a->vlan - (int) b->vlan;
    return order;
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
        addr_format(e->address, address);
    if (e->vlan)
        snprintf(vlan, sizeof(vlan), ", vlan %u", e->vlan);
    snprintf(text, ENDPOINT_TEXT_MAX, "%s%s, port %u, interface \"%s\"%s", kinds[e->kind], address, e->port,
             e->interface, vlan);
    return text;
}
