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

#include "broker/filter.h"

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
    cr_assert(filter_build(&program, keys, n));
    cr_assert_eq(setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0,
                 "the kernel refuses a program of %u instructions", program.len);
    if (length)
        *length = program.len;
    free(program.filter);
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
    struct filter_key keys[] = {{0xefff0002, 5000}, {0xefff0001, 5000}, {0xefff0001, 5002},
                                {0xefff0001, 5001}, {0xefff0001, 5000}, {0xefff0009, 7}};
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
        keys[i] = (struct filter_key){.address = 0xefff0000 + 3 * (i / 2), .port = (uint16_t) (1000 + i % 2)};
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
            keys[i] = (struct filter_key){.address = 0xefff0000 + 2 * i, .port = 5000};
        attach(ends, keys, n, &length);
        cr_expect_leq(length, BPF_MAXINSNS);
        for (uint32_t i = 0; i < n; i++)
            cr_assert(accepts_udp(ends, 0xefff0000 + 2 * i, 5000), "%u of %zu", i, n);
        cr_expect(!accepts_udp(ends, 0xeffeffff, 5000), "below the lowest");
        cr_expect(!accepts_udp(ends, 0xefff0000 + 2 * (uint32_t) n, 5000), "above the highest");
        detach(ends);
        free(keys);
    }
}
