// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/packet.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

uint16_t packet_sum(uint16_t sum, const void *bytes, size_t length)
{
    const uint8_t *p = bytes;
    uint64_t s = sum;

    // Eight bytes a step in 64 bits with the carry added back: the one's complement sum does not care about the
    // width of its words (RFC 1071, section 2).
    for (; length >= 8; p += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        s += word;
        s += s < word;
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

static void set_ipv4(struct addr *a, uint32_t address)
{
    memset(a, 0, sizeof(*a));
    a->family = ADDR_IPV4;
    memcpy(a->bytes, &address, sizeof(address));
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

enum packet_verdict packet_parse(struct packet *out, const uint8_t *frame, size_t length,
                                 const struct packet_meta *meta)
{
    struct ethhdr eth;
    struct iphdr ip;

    if (length < sizeof(eth))
        return PACKET_MALFORMED;
    memcpy(&eth, frame, sizeof(eth));
    if (ntohs(eth.h_proto) != ETH_P_IP)
        return PACKET_FOREIGN;
    frame += sizeof(eth);
    length -= sizeof(eth);

    if (length < sizeof(ip))
        return PACKET_MALFORMED;
    memcpy(&ip, frame, sizeof(ip));
    size_t header = ip.ihl * 4u, total = ntohs(ip.tot_len);
    if (ip.version != 4 || header < sizeof(ip) || total < header || total > length)
        return PACKET_MALFORMED;
    if (packet_sum(0, frame, header) != 0xffff)
        return PACKET_MALFORMED;

    set_ipv4(&out->source, ip.saddr);
    set_ipv4(&out->destination, ip.daddr);
    out->vlan = meta->vlan;
    out->ttl = ip.ttl;
    out->dscp = ip.tos >> 2;
    if (ntohs(ip.frag_off) & (IP_MF | IP_OFFMASK))
        return PACKET_FRAGMENT;
    if (ip.protocol != IPPROTO_UDP)
        return PACKET_FOREIGN;
    return parse_udp(out, frame + header, total - header, meta);
}

bool packet_checksum_ok(const struct packet *p, const struct packet_meta *meta)
{
    const uint8_t *udp = p->payload - sizeof(struct udphdr);
    uint16_t check;

    memcpy(&check, udp + offsetof(struct udphdr, check), sizeof(check));
    if (meta->checksum_vouched || p->datagrams > 1 || check == 0)
        return true;

    size_t length = p->length + sizeof(struct udphdr);
    uint16_t pseudo[2] = {htons(IPPROTO_UDP), htons((uint16_t) length)};
    uint16_t sum = packet_sum(0, p->source.bytes, 4);
    sum = packet_sum(sum, p->destination.bytes, 4);
    sum = packet_sum(sum, pseudo, sizeof(pseudo));
    return packet_sum(sum, udp, length) == 0xffff;
}
