// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "wire/packet.h"

#define IP_AT      14
#define UDP_AT     34
#define PAYLOAD_AT 42

// Independent of packet_sum(): 16 bits at a time, as RFC 1071 writes it.
static uint16_t plain_sum(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i < n; i += 2)
        sum += (uint32_t) p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) sum;
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t) (v >> 8);
    p[1] = (uint8_t) v;
}

static void finish_ip(uint8_t *f)
{
    put16(f + IP_AT + 10, 0);
    put16(f + IP_AT + 10, (uint16_t) ~plain_sum(f + IP_AT, (f[IP_AT] & 15u) * 4u, 0));
}

static void finish_udp(uint8_t *f, size_t udp_length)
{
    uint32_t pseudo = plain_sum(f + IP_AT + 12, 8, 17 + (uint32_t) udp_length);

    put16(f + UDP_AT + 6, 0);
    uint16_t sum = (uint16_t) ~plain_sum(f + UDP_AT, udp_length, pseudo);
    put16(f + UDP_AT + 6, sum ? sum : 0xffff);
}

// 198.18.0.1:1111 -> 239.255.0.1:5000 with n bytes of payload; returns the frame's length.
static size_t build(uint8_t *f, size_t n)
{
    static const uint8_t head[] = {0x01, 0,    0x5e, 0x7f, 0,   1,    2,    0,    0,    0,    0,    1,   8,
                                   0,    0x45, 0xb8, 0,    0,   0x12, 0x34, 0x40, 0,    7,    17,   0,   0,
                                   198,  18,   0,    1,    239, 255,  0,    1,    0x04, 0x57, 0x13, 0x88};

    memcpy(f, head, sizeof(head));
    put16(f + IP_AT + 2, (unsigned) (28 + n));
    put16(f + UDP_AT + 4, (unsigned) (8 + n));
    for (size_t i = 0; i < n; i++)
        f[PAYLOAD_AT + i] = (uint8_t) (i * 37 + n);
    finish_ip(f);
    finish_udp(f, 8 + n);
    return PAYLOAD_AT + n;
}

static const struct packet_meta no_meta = {.ethernet = true};

Test(packet, sum_agrees_with_the_plain_one)
{
    uint8_t bytes[300];

    srand(7);
    for (int round = 0; round < 2000; round++) {
        size_t n = (size_t) rand() % sizeof(bytes), at = (size_t) rand() % 8;
        if (at > n)
            at = 0;
        for (size_t i = 0; i < n; i++)
            bytes[i] = round < 10 ? 0xff : (uint8_t) rand();
        uint16_t sum = packet_sum(0, bytes + at, n - at);
        const uint8_t *order = (const uint8_t *) &sum;
        uint16_t network = (uint16_t) (order[0] << 8 | order[1]);
        cr_assert_eq(network, plain_sum(bytes + at, n - at, 0), "%zu bytes at %zu", n - at, at);
    }
}

Test(packet, parses_a_datagram_of_every_size)
{
    uint8_t f[1600];

    for (size_t n = 0; n <= 1472; n++) {
        struct packet p;
        size_t length = build(f, n);
        cr_assert_eq(packet_parse(&p, f, length, &no_meta), PACKET_OK);
        cr_assert_eq(p.length, n);
        cr_assert_eq(p.segment, n);
        cr_assert_eq(p.datagrams, 1);
        cr_assert_eq(p.payload, f + PAYLOAD_AT);
        cr_assert_eq(p.source_port, 1111);
        cr_assert_eq(p.port, 5000);
        cr_assert_eq(p.ttl, 7);
        cr_assert_eq(p.dscp, 46);
        cr_assert(packet_checksum_ok(&p, &no_meta));
    }
    char text[ADDR_TEXT_MAX];
    struct packet p;
    packet_parse(&p, f, build(f, 4), &no_meta);
    cr_expect_str_eq(addr_format(&p.source, text), "198.18.0.1");
    cr_expect_str_eq(addr_format(&p.destination, text), "239.255.0.1");
}

Test(packet, every_flipped_bit_is_noticed)
{
    uint8_t f[200];
    size_t length = build(f, 50);

    // From the IP header on: a flipped bit ends in a verdict, in a wrong checksum, or in another destination or
    // source that the checksum then denies.
    for (size_t bit = IP_AT * 8; bit < length * 8; bit++) {
        struct packet p;
        f[bit / 8] ^= (uint8_t) (1u << bit % 8);
        bool accepted = packet_parse(&p, f, length, &no_meta) == PACKET_OK && packet_checksum_ok(&p, &no_meta);
        f[bit / 8] ^= (uint8_t) (1u << bit % 8);
        cr_expect(!accepted, "bit %zu of byte %zu", bit % 8, bit / 8);
    }
}

Test(packet, padding_is_not_payload)
{
    uint8_t f[100] = {0};
    struct packet p;

    build(f, 1);
    memset(f + PAYLOAD_AT + 1, 0xaa, 17); // to 60 bytes, as Ethernet pads
    cr_expect_eq(packet_parse(&p, f, 60, &no_meta), PACKET_OK);
    cr_expect_eq(p.length, 1);
    cr_expect(packet_checksum_ok(&p, &no_meta));
}

Test(packet, udp_length_may_be_less_than_the_ip_packet)
{
    uint8_t f[100];
    struct packet p;
    size_t length = build(f, 20);

    put16(f + UDP_AT + 4, 8 + 12);
    finish_udp(f, 8 + 12);
    cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_OK);
    cr_expect_eq(p.length, 12);
    cr_expect(packet_checksum_ok(&p, &no_meta));
}

Test(packet, ip_options_are_skipped)
{
    uint8_t f[120];
    struct packet p;
    size_t length = build(f, 10);

    memmove(f + UDP_AT + 8, f + UDP_AT, length - UDP_AT);
    memset(f + UDP_AT, 1, 8); // NOP
    f[IP_AT] = 0x47;
    put16(f + IP_AT + 2, 28 + 8 + 10);
    finish_ip(f);
    cr_expect_eq(packet_parse(&p, f, length + 8, &no_meta), PACKET_OK);
    cr_expect_eq(p.length, 10);
    cr_expect_eq(p.port, 5000);
    cr_expect(packet_checksum_ok(&p, &no_meta));
}

Test(packet, what_cannot_be_is_malformed)
{
    static const struct {
        const char *what;
        size_t at;
        uint8_t value;
        bool keep_checksum; // of the IP header
    } cases[] = {
        {"IP version 5", IP_AT, 0x55, false},
        {"IP version 6 under an IPv4 type", IP_AT, 0x65, false},
        {"header length 16", IP_AT, 0x44, false},
        {"header length beyond the packet", IP_AT, 0x4f, false},
        {"total length beyond the frame", IP_AT + 2, 1, false},
        {"total length less than the header", IP_AT + 3, 19, false},
        {"no room for a UDP header", IP_AT + 3, 27, false},
        {"UDP length beyond the packet", UDP_AT + 4, 1, false},
        {"UDP length less than its header", UDP_AT + 5, 7, false},
        {"wrong header checksum", IP_AT + 8, 99, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t f[100];
        struct packet p;
        size_t length = build(f, 8);
        f[cases[i].at] = cases[i].value;
        if (!cases[i].keep_checksum && (f[IP_AT] & 15) >= 5 && IP_AT + (f[IP_AT] & 15u) * 4 <= length)
            finish_ip(f);
        cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_MALFORMED, "%s", cases[i].what);
    }
}

Test(packet, cut_at_every_length_never_reads_beyond)
{
    uint8_t f[200];
    size_t length = build(f, 60);

    for (size_t n = 0; n < length; n++) {
        // A block of its own, so that a sanitizer or valgrind sees one byte too many.
        uint8_t *copy = malloc(n ? n : 1);
        struct packet p;
        memcpy(copy, f, n);
        cr_expect_eq(packet_parse(&p, copy, n, &no_meta), PACKET_MALFORMED, "%zu bytes", n);
        free(copy);
    }
}

Test(packet, other_protocols_and_fragments)
{
    uint8_t f[100];
    struct packet p;
    size_t length = build(f, 8);

    f[13] = 6; // ARP
    cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_FOREIGN);
    build(f, 8);
    f[IP_AT + 9] = 6; // TCP
    finish_ip(f);
    cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_FOREIGN);
    build(f, 8);
    f[IP_AT + 6] = 0x20; // more fragments
    finish_ip(f);
    cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_FRAGMENT);
    cr_expect(p.fragment.id == 0x1234 && p.fragment.offset == 0 && p.fragment.more && p.fragment.next == 17);
    build(f, 8);
    put16(f + IP_AT + 6, 0x1fff); // the farthest offset
    finish_ip(f);
    cr_expect_eq(packet_parse(&p, f, length + 4, &no_meta), PACKET_FRAGMENT);
    cr_expect(p.fragment.offset == 65528 && !p.fragment.more);
    cr_expect(p.payload == f + UDP_AT && p.length == 16, "without the padding");
    f[IP_AT + 9] = 6; // TCP
    finish_ip(f);
    cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_FOREIGN);
    build(f, 8);
    f[IP_AT + 6] = 0x80; // the reserved bit (RFC 3514) is no fragment
    finish_ip(f);
    cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_OK);
}

Test(packet, what_was_fragments_is_parsed_on)
{
    static const struct {
        const char *what;
        uint8_t next;
        uint8_t bytes[24];
        size_t size;
        enum packet_verdict verdict;
    } cases[] = {
        {"UDP", 17, {4, 87, 19, 136, 0, 11, 0, 0, 1, 2, 3}, 11, PACKET_OK},
        {"UDP with something behind it", 17, {4, 87, 19, 136, 0, 11, 0, 0, 1, 2, 3}, 20, PACKET_OK},
        {"options before UDP", 60, {17, 0, [8] = 4, 87, 19, 136, 0, 11, 0, 0, 1, 2, 3}, 19, PACKET_OK},
        {"shorter than it says", 17, {4, 87, 19, 136, 0, 12, 0, 0, 1, 2, 3}, 11, PACKET_MALFORMED},
        {"shorter than a header", 17, {4, 87, 19, 136, 0, 7}, 7, PACKET_MALFORMED},
        {"nothing", 17, {0}, 0, PACKET_MALFORMED},
        {"a fragment", 44, {17, 0, 0, 1}, 16, PACKET_MALFORMED},
        {"TCP", 6, {0}, 20, PACKET_FOREIGN},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct packet p = {.ttl = 3};
        uint8_t *copy = malloc(cases[i].size + 1);
        memcpy(copy, cases[i].bytes, cases[i].size);
        cr_expect_eq(packet_parse_whole(&p, copy, cases[i].size, cases[i].next), cases[i].verdict, "%s", cases[i].what);
        if (cases[i].verdict == PACKET_OK)
            cr_expect(p.port == 5000 && p.length == 3 && p.datagrams == 1 && p.payload[2] == 3 && p.ttl == 3, "%s",
                      cases[i].what);
        free(copy);
    }
}

Test(packet, super_frames_are_counted_in_datagrams)
{
    static const struct {
        size_t payload;
        uint16_t segment;
        uint32_t datagrams;
        size_t size;
    } cases[] = {
        {1000, 0, 1, 1000}, {1000, 100, 10, 100}, {1001, 100, 11, 100}, {99, 100, 1, 99},
        {100, 100, 1, 100}, {0, 100, 1, 0},       {5, 1, 5, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t f[1600];
        struct packet p;
        struct packet_meta meta = {.ethernet = true, .segment = cases[i].segment};
        size_t length = build(f, cases[i].payload);
        cr_assert_eq(packet_parse(&p, f, length, &meta), PACKET_OK);
        cr_expect_eq(p.datagrams, cases[i].datagrams, "case %zu: %u", i, p.datagrams);
        cr_expect_eq(p.segment, cases[i].size);
    }
}

Test(packet, checksums)
{
    uint8_t f[100];
    struct packet p;
    struct packet_meta vouched = {.ethernet = true, .checksum_vouched = true};
    size_t length = build(f, 9);

    f[UDP_AT + 7] ^= 1;
    packet_parse(&p, f, length, &no_meta);
    cr_expect(!packet_checksum_ok(&p, &no_meta));
    cr_expect(packet_checksum_ok(&p, &vouched), "an unfinished checksum is not the sender's word");
    cr_expect(!packet_checksum_unfinished(&p), "a wrong one is not an unfinished one");
    put16(f + UDP_AT + 6, plain_sum(f + IP_AT + 12, 8, 17 + 8 + 9));
    cr_expect(packet_checksum_unfinished(&p), "the sum of the pseudo-header alone");
    put16(f + UDP_AT + 6, 0);
    cr_expect(packet_checksum_ok(&p, &no_meta), "none was made (RFC 768)");
}

// --- IPv6 ------------------------------------------------------------------------------------------------------------

#define IP6_SIZE 40

// 2001:db8::1 -> ff15::1, 1111 -> 5000, with extension headers as given (each a multiple of 8 bytes) and n bytes.
static size_t build6(uint8_t *f, uint8_t first, const uint8_t *extensions, size_t extensions_size, size_t n)
{
    static const uint8_t head[] = {0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd};
    uint8_t *ip = f + IP_AT, *udp = ip + IP6_SIZE + extensions_size;

    memcpy(f, head, sizeof(head));
    memset(ip, 0, IP6_SIZE);
    ip[0] = 0x6b; // traffic class 0xb8: dscp 46
    ip[1] = 0x80;
    put16(ip + 4, (unsigned) (extensions_size + 8 + n));
    ip[6] = first;
    ip[7] = 9;
    memcpy(ip + 8, (const uint8_t[]){0x20, 0x01, 0x0d, 0xb8}, 4);
    ip[23] = 1;
    ip[24] = 0xff;
    ip[25] = 0x15;
    ip[39] = 1;
    if (extensions_size > 0)
        memcpy(ip + IP6_SIZE, extensions, extensions_size);
    put16(udp, 1111);
    put16(udp + 2, 5000);
    put16(udp + 4, (unsigned) (8 + n));
    put16(udp + 6, 0);
    for (size_t i = 0; i < n; i++)
        udp[8 + i] = (uint8_t) (i * 11 + n);
    uint32_t pseudo = plain_sum(ip + 8, 32, 17 + (uint32_t) (8 + n));
    uint16_t sum = (uint16_t) ~plain_sum(udp, 8 + n, pseudo);
    put16(udp + 6, sum ? sum : 0xffff);
    return (size_t) (udp + 8 + n - f);
}

Test(packet, ipv6_with_and_without_ethernet)
{
    static const struct packet_meta bare;
    uint8_t f[300];
    char text[ADDR_TEXT_MAX];

    for (size_t n = 0; n < 100; n++) {
        struct packet p;
        size_t length = build6(f, 17, NULL, 0, n);
        cr_assert_eq(packet_parse(&p, f, length, &no_meta), PACKET_OK);
        cr_expect_eq(p.length, n);
        cr_expect_eq(p.dscp, 46);
        cr_expect_eq(p.ttl, 9);
        cr_expect(packet_checksum_ok(&p, &no_meta));
        cr_expect_str_eq(addr_format(&p.destination, text), "ff15::1");
        cr_assert_eq(packet_parse(&p, f + IP_AT, length - IP_AT, &bare), PACKET_OK);
        cr_expect_eq(p.port, 5000);
        cr_expect(packet_checksum_ok(&p, &bare));
        f[IP_AT + IP6_SIZE + 6] ^= 4;
        cr_expect(!packet_checksum_ok(&p, &bare));
        put16(f + IP_AT + IP6_SIZE + 6, 0);
        cr_expect(!packet_checksum_ok(&p, &bare), "RFC 8200: IPv6 wants a checksum");
    }
}

Test(packet, ipv6_extension_headers)
{
    static const struct {
        const char *what;
        uint8_t first;
        uint8_t bytes[24];
        size_t size;
        enum packet_verdict verdict;
    } cases[] = {
        {"hop-by-hop", 0, {17, 0, 1, 4}, 8, PACKET_OK},
        {"hop-by-hop of 16 bytes, then destination options", 0, {60, 1, [16] = 17}, 24, PACKET_OK},
        {"routing, no segments left", 43, {17, 0, 0, 0}, 8, PACKET_OK},
        {"routing, on its way", 43, {17, 0, 0, 1}, 8, PACKET_FOREIGN},
        {"an atomic fragment", 44, {17, 0, 0, 0}, 8, PACKET_OK},
        {"a first fragment", 44, {17, 0, 0, 1}, 8, PACKET_FRAGMENT},
        {"a later fragment", 44, {17, 0, 0, 8}, 8, PACKET_FRAGMENT},
        {"authentication", 51, {17, 0, 0, 0}, 8, PACKET_FOREIGN},
        {"TCP", 6, {0}, 0, PACKET_FOREIGN},
        {"nothing", 59, {0}, 0, PACKET_FOREIGN},
        {"longer than the packet", 0, {17, 200}, 8, PACKET_MALFORMED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t f[300];
        struct packet p;
        size_t length = build6(f, cases[i].first, cases[i].bytes, cases[i].size, 30);
        cr_expect_eq(packet_parse(&p, f, length, &no_meta), cases[i].verdict, "%s", cases[i].what);
        if (cases[i].verdict == PACKET_OK)
            cr_expect(packet_checksum_ok(&p, &no_meta) && p.length == 30, "%s", cases[i].what);
    }
    uint8_t fragment[300];
    struct packet g;
    static const uint8_t header[] = {60, 0, 0xff, 0xf9, 1, 2, 3, 4};
    size_t n6 = build6(fragment, 44, header, sizeof(header), 30);
    cr_expect_eq(packet_parse(&g, fragment, n6, &no_meta), PACKET_FRAGMENT);
    cr_expect(g.fragment.id == 0x01020304 && g.fragment.offset == 65528 && g.fragment.more && g.fragment.next == 60);
    cr_expect(g.payload == fragment + IP_AT + IP6_SIZE + 8 && g.length == 38);
    // Eight pass, nine do not.
    for (size_t n = 7; n <= 9; n++) {
        uint8_t many[72] = {0};
        for (size_t i = 0; i < n; i++)
            many[8 * i] = i == n - 1 ? 17 : 60;
        size_t size = build6(fragment, 60, many, 8 * n, 10);
        cr_expect_eq(packet_parse(&g, fragment, size, &no_meta), n <= 8 ? PACKET_OK : PACKET_MALFORMED, "%zu", n);
    }
    // A chain that never ends.
    uint8_t chain[200] = {0}, f[400];
    struct packet p;
    size_t length = build6(f, 60, NULL, 0, 0);
    for (size_t i = 0; i < sizeof(chain); i += 8)
        chain[i] = 60;
    length = build6(f, 60, chain, sizeof(chain), 10);
    cr_expect_eq(packet_parse(&p, f, length, &no_meta), PACKET_MALFORMED);
    for (size_t n = 0; n < length; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, f, n);
        cr_expect_eq(packet_parse(&p, copy, n, &no_meta), PACKET_MALFORMED, "%zu bytes", n);
        free(copy);
    }
}
