// SPDX-License-Identifier: Apache-2.0
// interfaces: those of the mcr host that a config names, and what they need besides its flows. Pure.
#ifndef MCR_FIREWALL_INTERFACES_H
#define MCR_FIREWALL_INTERFACES_H

#include <stdbool.h>
#include <stddef.h>

#include "config/model.h"

// What the enabled rules use an interface for, as input or as output.
enum {
    INTERFACE_USED = 1,
    INTERFACE_GROUP4 = 2, // IPv4 groups
    INTERFACE_GROUP6 = 4,
    INTERFACE_HOST4 = 8, // IPv4 addresses of hosts
    INTERFACE_HOST6 = 16,
};

struct interface_use {
    const char *name; // the config's
    unsigned in, out;
};

#define FIREWALL_INTERFACES_MAX (2 * CONFIG_INTERFACES_MAX)

struct interface_uses {
    struct interface_use list[FIREWALL_INTERFACES_MAX]; // by name
    size_t n;
};

// Also those that only disabled rules or the list of interfaces name: used for nothing.
void interfaces_find(const struct config *c, struct interface_uses *uses);

#endif
