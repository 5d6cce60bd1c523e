// SPDX-License-Identifier: Apache-2.0
// To which station a frame goes: RFC 1112 and 2464; a host's is known to the kernel alone.
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "wire/header.h"

Test(packet, stations_of_groups_and_broadcasts)
{
    static const struct {
        const char *to;
        uint8_t station[6];
    } cases[] = {
        {"224.0.0.0", {0x01, 0x00, 0x5e, 0, 0, 0}},
        {"239.255.255.255", {0x01, 0x00, 0x5e, 0x7f, 0xff, 0xff}}, // 23 bits of the group
        {"225.128.1.2", {0x01, 0x00, 0x5e, 0, 1, 2}},
        {"255.255.255.255", {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
        {"ff02::1:2", {0x33, 0x33, 0, 1, 0, 2}},
        {"ff3e::8001:fffe", {0x33, 0x33, 0x80, 1, 0xff, 0xfe}},
    };
    static const char *const hosts[] = {"223.255.255.255", "240.0.0.1", "198.18.0.255", "fe80::1", "2001:db8::1"};
    const uint8_t none[6] = {9, 9, 9, 9, 9, 9};
    uint8_t station[6];
    struct addr to;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert(addr_parse(cases[i].to, &to));
        cr_expect(header_station(&to, station), "%s", cases[i].to);
        cr_expect_eq(memcmp(station, cases[i].station, sizeof(station)), 0, "%s", cases[i].to);
    }
    memcpy(station, none, sizeof(station));
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        cr_assert(addr_parse(hosts[i], &to));
        cr_expect(!header_station(&to, station), "%s", hosts[i]);
        cr_expect_eq(memcmp(station, none, sizeof(station)), 0, "%s", hosts[i]);
    }
}
