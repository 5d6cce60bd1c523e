// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "firewall/interfaces.h"

#include <stdlib.h>
#include <string.h>

// The config has been checked: the rules name at most CONFIG_INTERFACES_MAX, and so does the list of interfaces.
static struct interface_use *use_of(struct interface_uses *uses, const char *name)
{
    for (size_t i = 0; i < uses->n; i++)
        if (strcmp(uses->list[i].name, name) == 0)
            return &uses->list[i];
    uses->list[uses->n] = (struct interface_use){.name = name};
    return &uses->list[uses->n++];
}

static unsigned use(enum config_destination kind, uint8_t family)
{
    unsigned v4 = kind == CONFIG_GROUP ? INTERFACE_GROUP4 : kind == CONFIG_ADDRESS ? INTERFACE_HOST4 : 0;

    // Each flag of IPv6 is the next one after that of IPv4.
    return INTERFACE_USED | (family == ADDR_IPV6 ? v4 << 1 : v4);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct interface_use *) a)->name, ((const struct interface_use *) b)->name);
}

void interfaces_find(const struct config *c, struct interface_uses *uses)
{
    uses->n = 0;
    for (size_t i = 0; i < c->n_interfaces; i++)
        use_of(uses, c->interfaces[i].name);
    for (size_t i = 0; i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        struct interface_use *u = use_of(uses, r->input.interface);
        if (r->enabled)
            u->in |= use(r->input.kind, r->input.address.family);
        for (size_t j = 0; j < r->n_outputs; j++) {
            const struct config_output *o = &r->outputs[j];
            u = use_of(uses, o->interface);
            if (r->enabled && !r->shadow)
                u->out |= use(o->kind, o->address.family);
        }
    }
    qsort(uses->list, uses->n, sizeof(uses->list[0]), by_name);
}
