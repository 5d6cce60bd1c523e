// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/header.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

static void append(struct table_output *t, const void *bytes, size_t size)
{
    memcpy(t->header + t->header_length, bytes, size);
    t->header_length = (uint16_t) (t->header_length + size);
}

bool header_station(const struct addr *to, uint8_t station[6])
{
    const uint8_t *a = to->bytes;

    if (addr_equal(to, &addr_limited_broadcast))
        memset(station, 0xff, ETH_ALEN);
    else if (!addr_is_multicast(to))
        return false;
    else if (to->family == ADDR_IPV6)
        memcpy(station, (const uint8_t[]){0x33, 0x33, a[12], a[13], a[14], a[15]}, ETH_ALEN);
    else
        memcpy(station, (const uint8_t[]){0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}, ETH_ALEN);
    return true;
}

static void write_link(struct table_output *t, const uint8_t link[6])
{
    uint8_t to[ETH_ALEN] = {0};
    uint16_t type = htons(t->to.family == ADDR_IPV4 ? ETH_P_IP : ETH_P_IPV6);
    uint16_t tag[2] = {htons(ETH_P_8021Q), htons(t->vlan)};

    header_station(&t->to, to); // a frame goes to a group or a broadcast
    append(t, to, ETH_ALEN);
    append(t, link, ETH_ALEN);
    if (t->vlan != 0)
        append(t, tag, sizeof(tag));
    append(t, &type, sizeof(type));
}

void header_write(struct table_output *t, const uint8_t link[6], const struct addr *source, uint16_t source_port)
{
    struct udphdr udp = {.source = htons(source_port), .dest = htons(t->port)};

    t->header_length = 0;
    if (link)
        write_link(t, link);
    t->ip_at = (uint8_t) t->header_length;
    if (t->to.family == ADDR_IPV4) {
        struct iphdr ip = {.version = 4, .ihl = 5, .protocol = IPPROTO_UDP};
        memcpy(&ip.saddr, source->bytes, sizeof(ip.saddr));
        memcpy(&ip.daddr, t->to.bytes, sizeof(ip.daddr));
        append(t, &ip, sizeof(ip));
    } else {
        struct ip6_hdr ip = {.ip6_flow = htonl(UINT32_C(6) << 28), .ip6_nxt = IPPROTO_UDP};
        memcpy(&ip.ip6_src, source->bytes, sizeof(ip.ip6_src));
        memcpy(&ip.ip6_dst, t->to.bytes, sizeof(ip.ip6_dst));
        append(t, &ip, sizeof(ip));
    }
    append(t, &udp, sizeof(udp));
}
