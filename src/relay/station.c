// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/station.h"

#include <stdlib.h>
#include <string.h>

// Of an interface without one, which no frame names.
static const uint8_t none[6];

static bool is_one(const struct table_interface *i)
{
    return memcmp(i->mac, none, sizeof(none)) != 0;
}

uint64_t station_bits(const struct table_view *t)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < t->n_interfaces; i++)
        if (is_one(&t->interfaces[i]))
            bits |= UINT64_C(1) << (t->interfaces[i].mac[5] & 63);
    return bits;
}

static bool has_address(const struct table_view *t, const struct addr *a)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++) {
        const struct table_interface *of = &t->interfaces[i];
        if (of->n_own > 0 && bsearch(a, &t->own[of->first_own], of->n_own, sizeof(*a), addr_compare))
            return true;
    }
    return false;
}

bool station_is_own(const struct table_view *t, uint32_t interface, const uint8_t *mac, const struct addr *sender)
{
    if (is_one(&t->interfaces[interface]) && memcmp(mac, t->interfaces[interface].mac, sizeof(none)) == 0)
        return has_address(t, sender);
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        if (is_one(&t->interfaces[i]) && memcmp(mac, t->interfaces[i].mac, sizeof(none)) == 0)
            return true;
    return false;
}
