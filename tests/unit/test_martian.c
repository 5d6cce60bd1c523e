// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>

#include "relay/martian.h"

// The addresses of the interface, and the broadcast of its subnet.
static const char *const own_texts[] = {"198.18.1.1", "198.18.1.255", "2001:db8:1::1", "fe80::1", "203.0.113.9"};
#define OWN (sizeof(own_texts) / sizeof(own_texts[0]))

static struct addr parsed(const char *text)
{
    struct addr a;

    cr_assert(addr_parse(text, &a), "%s", text);
    return a;
}

static void sorted(struct addr own[OWN])
{
    for (size_t i = 0; i < OWN; i++)
        own[i] = parsed(own_texts[i]);
    qsort(own, OWN, sizeof(own[0]), addr_compare);
}

enum where { NOWHERE, ON_LO, LEGAL };

static const struct {
    const char *source;
    enum where legal;
} cases[] = {
    // IPv4: this network, loopback, multicast, class E.
    {"0.0.0.0", NOWHERE},
    {"0.0.0.1", NOWHERE},
    {"0.255.255.255", NOWHERE},
    {"1.0.0.0", LEGAL},
    {"3.255.255.255", LEGAL},
    {"10.0.0.1", LEGAL},
    {"126.255.255.255", LEGAL},
    {"127.0.0.0", ON_LO},
    {"127.0.0.1", ON_LO},
    {"127.255.255.255", ON_LO},
    {"128.0.0.0", LEGAL},
    {"169.254.1.1", LEGAL}, // on its link
    {"223.255.255.255", LEGAL},
    {"224.0.0.0", NOWHERE},
    {"239.255.0.1", NOWHERE},
    {"240.0.0.1", NOWHERE},
    {"255.255.255.254", NOWHERE},
    {"255.255.255.255", NOWHERE},
    // The interface's own.
    {"198.18.1.0", LEGAL},
    {"198.18.1.1", ON_LO},
    {"198.18.1.2", LEGAL},
    {"198.18.1.254", LEGAL},
    {"198.18.1.255", ON_LO},
    {"198.18.2.1", LEGAL},
    {"198.18.2.255", LEGAL},
    {"203.0.113.9", ON_LO},
    {"203.0.113.10", LEGAL},
    {"2001:db8:1::1", ON_LO},
    {"2001:db8:1::2", LEGAL},
    {"fe80::1", ON_LO},
    {"fe80::2", LEGAL},    // on its link
    {"c612:101::", LEGAL}, // the bytes of 198.18.1.1, in another family
    // IPv6: unspecified, loopback, IPv4-compatible, IPv4-mapped, multicast.
    {"::", NOWHERE},
    {"::1", ON_LO},
    {"::2", NOWHERE},
    {"::198.18.1.2", NOWHERE},
    {"::ffff:198.18.1.2", NOWHERE},
    {"::ffff:0:198.18.1.2", LEGAL},
    {"64:ff9b::198.18.1.2", LEGAL}, // translated, RFC 6052
    {"::1:0:0:1", LEGAL},
    {"7f00::1", LEGAL},
    {"e000::1", LEGAL},
    {"fc00::1", LEGAL},
    {"fd00::1", LEGAL},
    {"feff::1", LEGAL},
    {"ff00::", NOWHERE},
    {"ff02::1", NOWHERE},
    {"ff15::4d:1", NOWHERE},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NOWHERE},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

Test(martian, what_cannot_be_a_sender)
{
    struct addr own[OWN];

    sorted(own);
    for (size_t i = 0; i < CASES; i++) {
        struct addr source = parsed(cases[i].source);
        cr_expect_eq(martian_is(&source, false, own, OWN), cases[i].legal != LEGAL, "%s", cases[i].source);
        cr_expect_eq(martian_is(&source, true, own, OWN), cases[i].legal == NOWHERE, "%s, on lo", cases[i].source);
        cr_expect_eq(martian_nameless(&source), i == 0, "%s", cases[i].source);
    }
}

// What is not suspect is not judged.
Test(martian, all_of_them_are_suspect)
{
    struct addr own[OWN];

    sorted(own);
    uint64_t bits = martian_bits(own, OWN);
    for (size_t i = 0; i < CASES; i++) {
        struct addr source = parsed(cases[i].source);
        if (cases[i].legal != LEGAL)
            cr_expect(martian_suspect(bits, &source), "%s", cases[i].source);
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int six = 0; six <= 1; six++) {
            struct addr source = {.family = six ? ADDR_IPV6 : ADDR_IPV4, .bytes = {(uint8_t) byte, 18, 1, 2}};
            if (martian_is(&source, false, NULL, 0))
                cr_expect(martian_suspect(0, &source), "%u, IPv%c", byte, six ? '6' : '4');
        }
}

Test(martian, most_senders_are_not)
{
    struct addr own[OWN];
    static const char *const texts[] = {"198.18.1.2", "10.1.2.3", "192.0.2.10", "2001:db8:1::2"};

    sorted(own);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct addr source = parsed(texts[i]);
        cr_expect_not(martian_suspect(martian_bits(own, OWN), &source), "%s", texts[i]);
    }
}

Test(martian, without_own_addresses)
{
    struct addr source = parsed("198.18.1.1");

    cr_expect_eq(martian_bits(NULL, 0), 0);
    cr_expect_not(martian_is(&source, false, NULL, 0));
}
