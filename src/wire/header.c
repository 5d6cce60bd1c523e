// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/header.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/udp.h>
#include <string.h>

#include "wire/packet.h"

// --- the prepared header ---------------------------------------------------------------------------------------------

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

    header_station(&t->to, to); // always succeeds: frames are sent to groups and broadcasts only
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

// --- the header of each packet ---------------------------------------------------------------------------------------

static void fill_ipv4(const struct table_output *o, const struct header_fill *f, uint8_t *at, size_t udp_length)
{
    struct iphdr ip;

    memcpy(&ip, at, sizeof(ip));
    if (o->flags & TABLE_OUTPUT_KEEP_SOURCE)
        memcpy(&ip.saddr, f->source->bytes, sizeof(ip.saddr));
    ip.tos = (uint8_t) (f->dscp << 2);
    ip.ttl = f->ttl;
    ip.tot_len = htons((uint16_t) (udp_length + sizeof(ip)));
    ip.id = htons(f->identification);
    ip.check = 0;
    ip.check = (uint16_t) ~packet_sum(0, &ip, sizeof(ip));
    memcpy(at, &ip, sizeof(ip));
}

static void fill_ipv6(const struct table_output *o, const struct header_fill *f, uint8_t *at, size_t udp_length)
{
    struct ip6_hdr ip;

    memcpy(&ip, at, sizeof(ip));
    if (o->flags & TABLE_OUTPUT_KEEP_SOURCE)
        memcpy(&ip.ip6_src, f->source->bytes, sizeof(ip.ip6_src));
    ip.ip6_flow = htonl(UINT32_C(6) << 28 | (uint32_t) f->dscp << 22);
    ip.ip6_plen = htons((uint16_t) udp_length);
    ip.ip6_hlim = f->ttl;
    memcpy(at, &ip, sizeof(ip));
}

void header_fill(const struct table_output *o, const struct header_fill *f, uint8_t *header)
{
    size_t udp_length = f->bytes + sizeof(struct udphdr);
    size_t addresses = o->ip_at + (o->to.family == ADDR_IPV4 ? 12u : 8u);
    uint8_t *udp_at = header + o->ip_at + header_ip_size(o);
    struct udphdr udp;

    memcpy(header, o->header, o->header_length);
    if (o->to.family == ADDR_IPV4)
        fill_ipv4(o, f, header + o->ip_at, udp_length);
    else
        fill_ipv6(o, f, header + o->ip_at, udp_length);
    memcpy(&udp, udp_at, sizeof(udp));
    if (o->flags & TABLE_OUTPUT_KEEP_PORT)
        udp.source = htons(f->source_port);
    udp.len = htons((uint16_t) udp_length);
    uint16_t pseudo[2] = {htons(IPPROTO_UDP), udp.len};
    udp.check = packet_sum(packet_sum(0, header + addresses, 2 * addr_length(&o->to)), pseudo, sizeof(pseudo));
    memcpy(udp_at, &udp, sizeof(udp));
}

void header_checksum(uint8_t *udp_at, const struct iovec *payload)
{
    struct udphdr udp;

    // The checksum field holds the sum of the pseudo-header, so the sum of the UDP header includes it.
    uint16_t sum = packet_sum(packet_sum(0, udp_at, sizeof(udp)), payload->iov_base, payload->iov_len);
    memcpy(&udp, udp_at, sizeof(udp));
    udp.check = (uint16_t) ~sum;
    if (udp.check == 0)
        udp.check = 0xffff; // 0 means that there is no checksum (RFC 768)
    memcpy(udp_at, &udp, sizeof(udp));
}

size_t header_fragment(const struct table_output *o, uint8_t *at, uint32_t id, size_t offset, size_t length, bool more)
{
    if (o->to.family == ADDR_IPV4) {
        struct iphdr ip;
        memcpy(&ip, at, sizeof(ip));
        ip.tot_len = htons((uint16_t) (sizeof(ip) + length));
        ip.frag_off = htons((uint16_t) (offset / 8 | (more ? IP_MF : 0u)));
        ip.check = 0;
        ip.check = (uint16_t) ~packet_sum(0, &ip, sizeof(ip));
        memcpy(at, &ip, sizeof(ip));
        return sizeof(ip);
    }
    struct ip6_hdr ip;
    struct ip6_frag fragment = {
        .ip6f_nxt = IPPROTO_UDP, .ip6f_offlg = htons((uint16_t) (offset | (more ? 1u : 0u))), .ip6f_ident = htonl(id)};
    memcpy(&ip, at, sizeof(ip));
    ip.ip6_nxt = IPPROTO_FRAGMENT;
    ip.ip6_plen = htons((uint16_t) (sizeof(fragment) + length));
    memcpy(at, &ip, sizeof(ip));
    memcpy(at + sizeof(ip), &fragment, sizeof(fragment));
    return sizeof(ip) + sizeof(fragment);
}
