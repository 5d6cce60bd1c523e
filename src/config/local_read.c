// SPDX-License-Identifier: Apache-2.0
// What the kernel says of this host's addresses.
#include <config.h>

#include "config/local.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// False for all but IPv4 and IPv6.
static bool addr_of(const struct sockaddr *from, struct addr *to)
{
    *to = (struct addr){.family = ADDR_NONE};
    if (from && from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        to->family = ADDR_IPV4;
        memcpy(to->bytes, &in.sin_addr, sizeof(in.sin_addr));
    } else if (from && from->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, from, sizeof(in));
        to->family = ADDR_IPV6;
        memcpy(to->bytes, &in.sin6_addr, sizeof(in.sin6_addr));
    }
    return to->family != ADDR_NONE;
}

static uint8_t bits_of(const struct addr *mask)
{
    uint8_t bits = 0;

    while (bits < 8 * addr_length(mask) && mask->bytes[bits / 8] & 0x80u >> bits % 8)
        bits++;
    return bits;
}

void local_read(struct local *local)
{
    struct ifaddrs *all = NULL;
    struct addr mask;
    size_t room = 0;

    *local = (struct local){.n = 0};
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next)
        room++;
    local->list = calloc(room + 1, sizeof(*local->list));
    for (const struct ifaddrs *a = all; a && local->list; a = a->ifa_next) {
        struct local_address *l = &local->list[local->n];
        if (!addr_of(a->ifa_addr, &l->net.addr) || strlen(a->ifa_name) >= IFNAMSIZ)
            continue;
        strcpy(l->interface, a->ifa_name);
        l->net.bits = addr_of(a->ifa_netmask, &mask) ? bits_of(&mask) : 0;
        l->to_one = (a->ifa_flags & IFF_POINTOPOINT) != 0;
        l->running = (a->ifa_flags & IFF_UP) && (a->ifa_flags & IFF_RUNNING);
        local->n++;
    }
    freeifaddrs(all);
}

void local_free(struct local *local)
{
    free(local->list);
    *local = (struct local){.n = 0};
}

const char *local_broadcasts(const struct local *local, const char *interface, char text[LOCAL_BROADCASTS_MAX])
{
    char shown[ADDR_TEXT_MAX];
    size_t used = 0;

    text[0] = '\0';
    if (if_nametoindex(interface) == 0)
        return text;
    used = (size_t) snprintf(text, LOCAL_BROADCASTS_MAX, " (here 255.255.255.255");
    for (size_t i = 0; i < local->n && used + ADDR_TEXT_MAX + 4 < LOCAL_BROADCASTS_MAX; i++) {
        const struct addr_prefix *net = &local->list[i].net;
        struct addr last = net->addr;
        // Subnets of 31 and 32 bits have none (RFC 3021).
        if (last.family != ADDR_IPV4 || net->bits > 30 || local->list[i].to_one ||
            strcmp(local->list[i].interface, interface) != 0)
            continue;
        for (unsigned bit = net->bits; bit < 32; bit++)
            last.bytes[bit / 8] |= (uint8_t) (0x80u >> bit % 8);
        used += (size_t) snprintf(text + used, LOCAL_BROADCASTS_MAX - used, ", %s", addr_format(&last, shown));
    }
    snprintf(text + used, LOCAL_BROADCASTS_MAX - used, ")");
    return text;
}
