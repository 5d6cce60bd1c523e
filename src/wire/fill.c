// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/fill.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <string.h>

#include "wire/packet.h"

static void fill_ipv4(const struct table_output *o, const struct fill *f, uint8_t *at, size_t udp_length)
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

static void fill_ipv6(const struct table_output *o, const struct fill *f, uint8_t *at, size_t udp_length)
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

void fill_header(const struct table_output *o, const struct fill *f, uint8_t *header)
{
    size_t udp_length = f->bytes + sizeof(struct udphdr);
    size_t addresses = o->ip_at + (o->to.family == ADDR_IPV4 ? 12u : 8u);
    uint8_t *udp_at = header + o->ip_at + fill_ip_size(o);
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

void fill_checksum(uint8_t *udp_at, const struct iovec *payload)
{
    struct udphdr udp;

    // The pseudo-header's sum stands in the field itself and is summed with the rest.
    uint16_t sum = packet_sum(packet_sum(0, udp_at, sizeof(udp)), payload->iov_base, payload->iov_len);
    memcpy(&udp, udp_at, sizeof(udp));
    udp.check = (uint16_t) ~sum;
    if (udp.check == 0)
        udp.check = 0xffff; // 0 would say that there is none (RFC 768)
    memcpy(udp_at, &udp, sizeof(udp));
}

size_t fill_fragment(const struct table_output *o, uint8_t *at, uint32_t id, size_t offset, size_t length, bool more)
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
