// SPDX-License-Identifier: Apache-2.0
// packet: wire/packet.c with any frame: flags, tag (u16), segment size (u16), and the frame's bytes.
#include <config.h>

#include "fuzz.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "wire/packet.h"

enum flags { ETHERNET = 1, VOUCHED = 2, MEND_IP = 4, MEND_UDP = 8 };

static bool lies_in(const uint8_t *at, size_t n, const uint8_t *frame, size_t length)
{
    return at >= frame && n <= length && (size_t) (at - frame) <= length - n;
}

static bool sum_is_right(const struct packet *p, const struct packet_meta *m)
{
    const uint8_t *udp = p->payload - 8;
    uint16_t length = (uint16_t) (p->length + 8);

    if (m->checksum_vouched || p->datagrams > 1)
        return true;
    if (udp[6] == 0 && udp[7] == 0)
        return p->source.family == ADDR_IPV4;
    uint16_t sum = fuzz_sum((uint16_t) IPPROTO_UDP, p->source.bytes, addr_length(&p->source));
    sum = fuzz_sum(sum, p->destination.bytes, addr_length(&p->destination));
    sum = fuzz_sum(sum, (const uint8_t[]){(uint8_t) (length >> 8), (uint8_t) length}, 2);
    return fuzz_sum(sum, udp, length) == 0xffff;
}

// What the header in front says, read byte by byte.
static void check_header(const struct packet *p, const uint8_t *ip)
{
    bool v4 = p->source.family == ADDR_IPV4;
    static const uint8_t zero[12];

    FUZZ_ASSERT(v4 || p->source.family == ADDR_IPV6);
    FUZZ_ASSERT(ip[0] >> 4 == p->source.family && p->destination.family == p->source.family);
    FUZZ_ASSERT(memcmp(p->source.bytes, ip + (v4 ? 12 : 8), v4 ? 4 : 16) == 0);
    FUZZ_ASSERT(memcmp(p->destination.bytes, ip + (v4 ? 16 : 24), v4 ? 4 : 16) == 0);
    FUZZ_ASSERT(!v4 || (memcmp(p->source.bytes + 4, zero, 12) == 0 && memcmp(p->destination.bytes + 4, zero, 12) == 0));
    FUZZ_ASSERT(p->ttl == ip[v4 ? 8 : 7]);
    FUZZ_ASSERT(p->dscp == (v4 ? ip[1] >> 2 : (ip[0] << 2 | ip[1] >> 6) & 0x3f));
    FUZZ_ASSERT(!v4 || fuzz_sum(0, ip, (ip[0] & 15u) * 4u) == 0xffff);
    FUZZ_ASSERT(!v4 || ((ip[6] & 0x3f) == 0 && ip[7] == 0));
}

static void check_packet(const struct packet *p, const struct packet_meta *m, const uint8_t *frame, size_t length)
{
    const uint8_t *udp = p->payload - 8;

    FUZZ_ASSERT(lies_in(udp, p->length + 8, frame, length));
    FUZZ_ASSERT(p->source_port == (udp[0] << 8 | udp[1]) && p->port == (udp[2] << 8 | udp[3]));
    FUZZ_ASSERT(p->length + 8 == (size_t) (udp[4] << 8 | udp[5]));
    FUZZ_ASSERT(p->vlan == m->vlan && p->datagrams >= 1);
    if (p->datagrams == 1)
        FUZZ_ASSERT(p->segment == p->length && (m->segment == 0 || p->length <= m->segment));
    else
        FUZZ_ASSERT(p->segment == m->segment && p->length > (p->datagrams - 1) * p->segment &&
                    p->length <= p->datagrams * p->segment);
    check_header(p, frame + (m->ethernet ? 14 : 0));
    FUZZ_ASSERT(packet_checksum_ok(p, m) == sum_is_right(p, m));
}

// The same bytes without what lies behind the datagram are the same packet; with one byte less they are none.
static void check_cut(const struct packet *p, const struct packet_meta *m, const uint8_t *frame)
{
    const uint8_t *ip = frame + (m->ethernet ? 14 : 0);
    bool v4 = p->source.family == ADDR_IPV4;
    size_t total = (size_t) (v4 ? ip[2] << 8 | ip[3] : 40 + (ip[4] << 8 | ip[5])),
           whole = (size_t) (ip - frame) + total;
    uint8_t *exact = malloc(whole);
    struct packet again = {.datagrams = 0};

    memcpy(exact, frame, whole);
    FUZZ_ASSERT(packet_parse(&again, exact, whole, m) == PACKET_OK);
    FUZZ_ASSERT(again.length == p->length && again.payload - exact == p->payload - frame);
    FUZZ_ASSERT(packet_parse(&again, exact, whole - 1, m) == PACKET_MALFORMED);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    uint8_t flags = fuzz_u8(&in);
    struct packet_meta m = {.ethernet = flags & ETHERNET, .checksum_vouched = flags & VOUCHED};
    struct packet p = {.datagrams = 0};

    m.vlan = fuzz_u16(&in) & 0xfff;
    m.segment = fuzz_u16(&in);
    size_t length = in.left, lead = m.ethernet ? 14 : 0;
    uint8_t *frame = malloc(length + !length);
    memcpy(frame, in.at, length);
    if ((flags & (MEND_IP | MEND_UDP)) && length > lead)
        fuzz_mend(frame + lead, length - lead, flags & MEND_UDP);

    uint16_t sum = packet_sum(htons(flags), frame, length), simple = fuzz_sum(flags, frame, length);
    FUZZ_ASSERT(ntohs(sum) == simple);
    enum packet_verdict verdict = packet_parse(&p, frame, length, &m);
    if (verdict == PACKET_OK) {
        check_packet(&p, &m, frame, length);
        check_cut(&p, &m, frame);
    } else if (verdict == PACKET_FRAGMENT) {
        FUZZ_ASSERT(lies_in(p.payload, p.length, frame, length));
        FUZZ_ASSERT(p.fragment.offset % 8 == 0 && p.fragment.offset < 65536 && (p.fragment.offset || p.fragment.more));
    }
    free(frame);
    return 0;
}
