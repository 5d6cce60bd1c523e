// SPDX-License-Identifier: Apache-2.0
// The generated program is judged by the kernel itself: attached to a datagram socket pair, it sees each message as if
// it were a frame.
#include <config.h>

#include <criterion/criterion.h>

#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/filter.h"

static bool accepts(int ends[2], uint32_t address, uint16_t port, uint16_t fragment, uint8_t protocol, uint16_t type)
{
    uint8_t f[64] = {0}, got[64];

    f[12] = (uint8_t) (type >> 8);
    f[13] = (uint8_t) type;
    f[14] = 0x45;
    f[20] = (uint8_t) (fragment >> 8);
    f[21] = (uint8_t) fragment;
    f[23] = protocol;
    for (int i = 0; i < 4; i++)
        f[30 + i] = (uint8_t) (address >> (24 - 8 * i));
    f[36] = (uint8_t) (port >> 8);
    f[37] = (uint8_t) port;
    // A filtered message is dropped silently or refused with EPERM.
    (void) !send(ends[0], f, sizeof(f), MSG_DONTWAIT);
    return recv(ends[1], got, sizeof(got), MSG_DONTWAIT) == (ssize_t) sizeof(f);
}

static bool accepts_udp(int ends[2], uint32_t address, uint16_t port)
{
    return accepts(ends, address, port, 0, 17, 0x0800);
}

static void attach(int ends[2], struct filter_key *keys, size_t n, size_t *length)
{
    struct sock_fprog program;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    cr_assert(filter_build(&program, keys, n, true, 0));
    cr_assert_eq(setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0,
                 "the kernel refuses a program of %u instructions", program.len);
    if (length)
        *length = program.len;
    free(program.filter);
}

static struct filter_key key4(uint32_t address, uint16_t port)
{
    struct filter_key k = {.address = {.family = ADDR_IPV4}, .port = port};

    for (int i = 0; i < 4; i++)
        k.address.bytes[i] = (uint8_t) (address >> (24 - 8 * i));
    return k;
}

// ff15::HIGH:LOW
static struct filter_key key6(uint16_t high, uint16_t low, uint16_t port)
{
    return (struct filter_key){.address = {.family = ADDR_IPV6,
                                           .bytes = {0xff, 0x15, [12] = (uint8_t) (high >> 8), (uint8_t) high,
                                                     (uint8_t) (low >> 8), (uint8_t) low}},
                               .port = port};
}

static bool accepts6(int ends[2], const struct filter_key *k, uint16_t port, uint8_t next)
{
    uint8_t f[80] = {[12] = 0x86, 0xdd, 0x60}, got[80];

    f[20] = next;
    memcpy(f + 38, k->address.bytes, 16);
    f[56] = (uint8_t) (port >> 8);
    f[57] = (uint8_t) port;
    (void) !send(ends[0], f, sizeof(f), MSG_DONTWAIT);
    return recv(ends[1], got, sizeof(got), MSG_DONTWAIT) == (ssize_t) sizeof(f);
}

static void detach(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

Test(filter, nothing_configured_nothing_accepted)
{
    int ends[2];

    attach(ends, NULL, 0, NULL);
    cr_expect(!accepts_udp(ends, 0xefff0001, 5000));
    detach(ends);
}

Test(filter, exact_for_a_few)
{
    struct filter_key keys[] = {key4(0xefff0002, 5000), key4(0xefff0001, 5000), key4(0xefff0001, 5002),
                                key4(0xefff0001, 5001), key4(0xefff0001, 5000), key4(0xefff0009, 7)};
    int ends[2];

    attach(ends, keys, 6, NULL);
    for (uint32_t a = 0xefff0000; a <= 0xefff000a; a++)
        for (uint16_t p = 4999; p <= 5003; p++) {
            bool wanted = (a == 0xefff0001 && p >= 5000 && p <= 5002) || (a == 0xefff0002 && p == 5000);
            cr_expect_eq(accepts_udp(ends, a, p), wanted, "%x:%u", a, p);
        }
    cr_expect(accepts_udp(ends, 0xefff0009, 7));
    cr_expect(!accepts(ends, 0xefff0001, 5000, 0, 6, 0x0800), "TCP");
    cr_expect(!accepts(ends, 0xefff0001, 5000, 0, 17, 0x86dd), "IPv6");
    cr_expect(accepts(ends, 0xefff0001, 9, 0x2000, 17, 0x0800), "a first fragment");
    cr_expect(accepts(ends, 0xefff0001, 9, 0x0001, 17, 0x0800), "a later fragment");
    cr_expect(accepts(ends, 0xefff0001, 5000, 0x4000, 17, 0x0800), "DF is no fragment");
    cr_expect(!accepts(ends, 0xefff0001, 9, 0x4000, 17, 0x0800), "DF is no fragment");
    cr_expect(!accepts(ends, 0xefff0003, 5000, 0x2000, 17, 0x0800), "a fragment to another group");
    detach(ends);
}

Test(filter, exact_for_hundreds)
{
    struct filter_key keys[400];
    size_t length;
    int ends[2];

    for (uint32_t i = 0; i < 400; i++)
        keys[i] = key4(0xefff0000 + 3 * (i / 2), (uint16_t) (1000 + i % 2));
    attach(ends, keys, 400, &length);
    cr_expect_leq(length, BPF_MAXINSNS);
    for (uint32_t a = 0; a < 700; a++)
        for (uint16_t p = 999; p <= 1002; p++) {
            bool wanted = a < 600 && a % 3 == 0 && (p == 1000 || p == 1001);
            cr_expect_eq(accepts_udp(ends, 0xefff0000 + a, p), wanted, "%u:%u", a, p);
        }
    detach(ends);
}

Test(filter, coarser_for_thousands_but_never_misses)
{
    static const size_t counts[] = {600, 1100, 3000, 10000};

    for (size_t c = 0; c < 4; c++) {
        size_t n = counts[c], length;
        struct filter_key *keys = calloc(n, sizeof(*keys));
        int ends[2];
        for (uint32_t i = 0; i < n; i++)
            keys[i] = key4(0xefff0000 + 2 * i, 5000);
        attach(ends, keys, n, &length);
        cr_expect_leq(length, BPF_MAXINSNS);
        for (uint32_t i = 0; i < n; i++)
            cr_assert(accepts_udp(ends, 0xefff0000 + 2 * i, 5000), "%u of %zu", i, n);
        cr_expect(!accepts(ends, 0xefff0000, 5000, 0, 6, 0x0800), "TCP");
        cr_expect(!accepts(ends, 0xefff0000, 5000, 0, 17, 0x86dd), "another family");
        detach(ends);
        free(keys);
    }
}

Test(filter, both_families)
{
    struct filter_key keys[300];
    int ends[2];

    for (uint16_t i = 0; i < 100; i++) {
        keys[i] = key6(i / 10, (uint16_t) (i % 10 * 2), 5000);
        keys[100 + i] = key4(0xefff0000 + i, 5000);
        keys[200 + i] = key6(i / 10, (uint16_t) (i % 10 * 2), 5001);
    }
    attach(ends, keys, 300, NULL);
    for (uint16_t high = 0; high < 12; high++)
        for (uint16_t low = 0; low < 21; low++)
            for (uint16_t port = 4999; port < 5003; port++) {
                struct filter_key k = key6(high, low, port);
                bool wanted = high < 10 && low % 2 == 0 && low < 20, there = port == 5000 || port == 5001;
                cr_expect_eq(accepts6(ends, &k, port, 17), wanted && there, "%x:%x %u", high, low, port);
                cr_expect_eq(accepts6(ends, &k, port, 0), wanted, "hop-by-hop options hide the port");
                cr_expect_eq(accepts6(ends, &k, port, 44), wanted, "a fragment");
                cr_expect(!accepts6(ends, &k, port, 6), "TCP");
                cr_expect(!accepts6(ends, &k, port, 58), "ICMPv6");
            }
    cr_expect(accepts_udp(ends, 0xefff0005, 5000));
    cr_expect(!accepts_udp(ends, 0xefff0005, 5001));
    detach(ends);
}

Test(filter, packets_without_a_link_header)
{
    struct filter_key keys[] = {key4(0xefff0001, 5000), key6(0, 1, 5000)};
    struct sock_fprog program;
    uint8_t f[60] = {0x45, [9] = 17, [16] = 239, 255, 0, 1, [22] = 0x13, 0x88}, got[60];
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    cr_assert(filter_build(&program, keys, 2, false, 0));
    cr_assert_eq(setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
    free(program.filter);
    (void) !send(ends[0], f, sizeof(f), MSG_DONTWAIT);
    cr_expect_eq(recv(ends[1], got, sizeof(got), MSG_DONTWAIT), (ssize_t) sizeof(f));
    f[23]++;
    (void) !send(ends[0], f, sizeof(f), MSG_DONTWAIT);
    cr_expect_lt(recv(ends[1], got, sizeof(got), MSG_DONTWAIT), 0);
    uint8_t six[60] = {0x60, [6] = 17, [24] = 0xff, 0x15, [39] = 1, [42] = 0x13, 0x88};
    (void) !send(ends[0], six, sizeof(six), MSG_DONTWAIT);
    cr_expect_eq(recv(ends[1], got, sizeof(got), MSG_DONTWAIT), (ssize_t) sizeof(six));
    six[0] = 0x50;
    (void) !send(ends[0], six, sizeof(six), MSG_DONTWAIT);
    cr_expect_lt(recv(ends[1], got, sizeof(got), MSG_DONTWAIT), 0);
    detach(ends);
}
