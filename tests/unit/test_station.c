// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include "relay/station.h"

static const struct addr in_own[] = {{.family = ADDR_IPV4, .bytes = {198, 18, 1, 2}}},
                         stranger = {.family = ADDR_IPV4, .bytes = {198, 18, 1, 9}};
static const struct table_interface interfaces[] = {
    {.mac = {2, 0, 0, 0, 0, 1}, .first_own = 0, .n_own = 1}, // the input
    {.mac = {2, 0, 0, 0, 0, 65}},                            // an output; 65 is 1 modulo 64
    {.mac = {2, 0, 0, 0, 0, 1}},                             // a VLAN of the input's card
    {.mac = {0}},                                            // a tunnel
};
static const struct table_view table = {.interfaces = interfaces, .n_interfaces = 4, .own = in_own, .n_own = 1};

static const struct {
    uint8_t mac[6];
    const struct addr *sender;
    uint32_t interface;
    bool own;
} cases[] = {
    {{2, 0, 0, 0, 0, 65}, &stranger, 0, true}, // sent by the output, as it came
    {{2, 0, 0, 0, 0, 65}, &in_own[0], 0, true},
    {{2, 0, 0, 0, 0, 1}, &stranger, 0, false}, // another container's, on one card
    {{2, 0, 0, 0, 0, 1}, &in_own[0], 0, true},
    {{2, 0, 0, 0, 0, 1}, &stranger, 3, true}, // into the tunnel
    {{3, 0, 0, 0, 0, 65}, &stranger, 0, false},
    {{2, 0, 0, 0, 0, 129}, &in_own[0], 0, false}, // suspect, but nobody's
    {{0, 0, 0, 0, 0, 0}, &stranger, 0, false},
    {{0, 0, 0, 0, 0, 0}, &in_own[0], 3, false},
};

Test(station, own)
{
    const uint64_t bits = station_bits(&table);

    cr_assert_eq(bits, 2);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(station_is_own(&table, cases[i].interface, cases[i].mac, cases[i].sender), cases[i].own, "%zu", i);
        cr_expect(!cases[i].own || station_suspect(bits, cases[i].mac), "%zu", i);
    }
    cr_expect(!station_suspect(bits, (const uint8_t[6]){2, 0, 0, 0, 0, 2}));
    cr_expect(!station_suspect(bits, (const uint8_t[6]){0}));
}
