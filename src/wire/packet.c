// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/packet.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <string.h>

uint16_t packet_sum(uint16_t sum, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    uint64_t s = sum;

    // Adds eight bytes a step, with the carry added back: the one's complement sum is independent of the width of its
    // words (RFC 1071, section 2).
    for (; length >= 8; p += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        s += word;
        s += s < word;
    }
    // Most lengths that are not a multiple of eight leave four bytes (an IPv4 header or address): memcpy() with a
    // constant size is fast.
    if (length >= 4) {
        uint32_t word;
        memcpy(&word, p, sizeof(word));
        s += word;
        s += s < word;
        p += sizeof(word);
        length -= sizeof(word);
    }
    if (length > 0) {
        uint64_t word = 0;
        memcpy(&word, p, length);
        s += word;
        s += s < word;
    }
    s = (s >> 32) + (s & 0xffffffff);
    s = (s >> 32) + (s & 0xffffffff);
    s = (s >> 16) + (s & 0xffff);
    s = (s >> 16) + (s & 0xffff);
    return (uint16_t) s;
}

static inline void set_address(struct addr *a, uint8_t family, const void *bytes)
{
    memset(a, 0, sizeof(*a));
    a->family = family;
    memcpy(a->bytes, bytes, family == ADDR_IPV4 ? 4 : 16);
}

static enum packet_verdict parse_udp(struct packet *out, const uint8_t *bytes, size_t room,
                                     const struct packet_meta *meta)
{
    struct udphdr udp;

    if (room < sizeof(udp))
        return PACKET_MALFORMED;
    memcpy(&udp, bytes, sizeof(udp));
    size_t length = ntohs(udp.len);
    if (length < sizeof(udp) || length > room)
        return PACKET_MALFORMED;

    out->source_port = ntohs(udp.source);
    out->port = ntohs(udp.dest);
    out->payload = bytes + sizeof(udp);
    out->length = length - sizeof(udp);
    out->segment = out->length;
    out->datagrams = 1;
    if (meta->segment != 0 && out->length > meta->segment) {
        out->segment = meta->segment;
        out->datagrams = (uint32_t) ((out->length + out->segment - 1) / out->segment);
    }
    return PACKET_OK;
}

static enum packet_verdict parse_ipv4(struct packet *out, const uint8_t *bytes, size_t room,
                                      const struct packet_meta *meta)
{
    struct iphdr ip;

    if (room < sizeof(ip))
        return PACKET_MALFORMED;
    memcpy(&ip, bytes, sizeof(ip));
    size_t header = ip.ihl * 4u, total = ntohs(ip.tot_len);
    if (ip.version != 4 || header < sizeof(ip) || total < header || total > room ||
        packet_sum(0, bytes, header) != 0xffff)
        return PACKET_MALFORMED;

    set_address(&out->source, ADDR_IPV4, &ip.saddr);
    set_address(&out->destination, ADDR_IPV4, &ip.daddr);
    out->ttl = ip.ttl;
    out->dscp = ip.tos >> 2;
    if (ip.protocol != IPPROTO_UDP)
        return PACKET_FOREIGN;
    if (ntohs(ip.frag_off) & (IP_MF | IP_OFFMASK)) {
        out->fragment = (struct packet_fragment){.id = ntohs(ip.id),
                                                 .offset = (ntohs(ip.frag_off) & IP_OFFMASK) * 8u,
                                                 .more = ntohs(ip.frag_off) & IP_MF,
                                                 .next = ip.protocol};
        out->payload = bytes + header;
        out->length = total - header;
        return PACKET_FRAGMENT;
    }
    return parse_udp(out, bytes + header, total - header, meta);
}

#define EXTENSIONS_MAX 8 // a packet with more is malformed; RFC 8200 allows each type once (section 4.1)

// Skips the extension headers (RFC 8200, section 4) from the one of type *next at *bytes, and moves *next, *bytes and
// *room to the UDP header, or behind a fragment header (PACKET_FRAGMENT).
static enum packet_verdict skip_extensions(struct packet *out, uint8_t *next, const uint8_t **bytes, size_t *room)
{
    struct ip6_frag f;

    for (int i = 0; i <= EXTENSIONS_MAX; i++) {
        size_t length;
        switch (*next) {
        case IPPROTO_UDP:
            return PACKET_OK;
        case IPPROTO_HOPOPTS:
        case IPPROTO_ROUTING:
        case IPPROTO_DSTOPTS:
            if (*room < 8)
                return PACKET_MALFORMED;
            length = ((*bytes)[1] + 1u) * 8;
            // With segments left in its routing header, the packet has another final destination (RFC 8200, section
            // 4.4).
            if (*next == IPPROTO_ROUTING && (*bytes)[3] != 0)
                return PACKET_FOREIGN;
            break;
        case IPPROTO_FRAGMENT:
            length = 8;
            if (*room < length)
                return PACKET_MALFORMED;
            memcpy(&f, *bytes, sizeof(f));
            out->fragment = (struct packet_fragment){.id = ntohl(f.ip6f_ident),
                                                     .offset = ntohs(f.ip6f_offlg & IP6F_OFF_MASK),
                                                     .more = (f.ip6f_offlg & IP6F_MORE_FRAG) != 0,
                                                     .next = f.ip6f_nxt};
            // A fragment with offset 0 and no more to come is atomic: a whole packet (RFC 6946).
            if (out->fragment.offset != 0 || out->fragment.more) {
                *bytes += length;
                *room -= length;
                return PACKET_FRAGMENT;
            }
            break;
        default:
            return PACKET_FOREIGN;
        }
        if (length > *room)
            return PACKET_MALFORMED;
        *next = (*bytes)[0];
        *bytes += length;
        *room -= length;
    }
    return PACKET_MALFORMED;
}

static enum packet_verdict parse_ipv6(struct packet *out, const uint8_t *bytes, size_t room,
                                      const struct packet_meta *meta)
{
    struct ip6_hdr ip;

    if (room < sizeof(ip))
        return PACKET_MALFORMED;
    memcpy(&ip, bytes, sizeof(ip));
    size_t total = ntohs(ip.ip6_plen);
    uint32_t flow = ntohl(ip.ip6_flow);
    if (flow >> 28 != 6 || total > room - sizeof(ip))
        return PACKET_MALFORMED;

    set_address(&out->source, ADDR_IPV6, &ip.ip6_src);
    set_address(&out->destination, ADDR_IPV6, &ip.ip6_dst);
    out->ttl = ip.ip6_hlim;
    out->dscp = (uint8_t) (flow >> 22 & 0x3f);
    uint8_t next = ip.ip6_nxt;
    bytes += sizeof(ip);
    enum packet_verdict verdict = skip_extensions(out, &next, &bytes, &total);
    if (verdict == PACKET_OK)
        return parse_udp(out, bytes, total, meta);
    out->payload = bytes;
    out->length = total;
    return verdict;
}

enum packet_verdict packet_parse_whole(struct packet *out, const uint8_t *bytes, size_t length, uint8_t next)
{
    static const struct packet_meta none = {.segment = 0};
    enum packet_verdict verdict = skip_extensions(out, &next, &bytes, &length);

    if (verdict == PACKET_FRAGMENT)
        return PACKET_MALFORMED; // a fragment within a reassembled packet
    return verdict == PACKET_OK ? parse_udp(out, bytes, length, &none) : verdict;
}

enum packet_verdict packet_parse(struct packet *out, const uint8_t *frame, size_t length,
                                 const struct packet_meta *meta)
{
    struct ethhdr eth;
    uint16_t type;

    out->vlan = meta->vlan;
    if (meta->ethernet) {
        if (length < sizeof(eth))
            return PACKET_MALFORMED;
        memcpy(&eth, frame, sizeof(eth));
        type = ntohs(eth.h_proto);
        frame += sizeof(eth);
        length -= sizeof(eth);
    } else {
        if (length == 0)
            return PACKET_MALFORMED;
        type = frame[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
    }
    switch (type) {
    case ETH_P_IP:
        return parse_ipv4(out, frame, length, meta);
    case ETH_P_IPV6:
        return parse_ipv6(out, frame, length, meta);
    default:
        return PACKET_FOREIGN;
    }
}

static uint16_t pseudo_header_sum(const struct packet *p)
{
    uint16_t pseudo[2] = {htons(IPPROTO_UDP), htons((uint16_t) (p->length + sizeof(struct udphdr)))};
    uint16_t sum = packet_sum(0, p->source.bytes, addr_length(&p->source));

    sum = packet_sum(sum, p->destination.bytes, addr_length(&p->destination));
    return packet_sum(sum, pseudo, sizeof(pseudo));
}

static uint16_t checksum_of(const struct packet *p)
{
    uint16_t check;

    memcpy(&check, p->payload - sizeof(struct udphdr) + offsetof(struct udphdr, check), sizeof(check));
    return check;
}

bool packet_checksum_unfinished(const struct packet *p)
{
    return checksum_of(p) == pseudo_header_sum(p);
}

bool packet_checksum_ok(const struct packet *p, const struct packet_meta *meta)
{
    if (meta->checksum_vouched || p->datagrams > 1)
        return true;
    if (checksum_of(p) == 0)
        return p->source.family == ADDR_IPV4;
    return packet_sum(pseudo_header_sum(p), p->payload - sizeof(struct udphdr), p->length + sizeof(struct udphdr)) ==
           0xffff;
}
