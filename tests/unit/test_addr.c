// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>
#include <string.h>

#include "common/addr.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

Test(addr, parse_and_format)
{
    static const struct {
        const char *text, *printed; // printed NULL: refused
        int family;
    } cases[] = {
        {"0.0.0.0", "0.0.0.0", ADDR_IPV4},
        {"239.255.255.255", "239.255.255.255", ADDR_IPV4},
        {"::", "::", ADDR_IPV6},
        {"2001:DB8:0:0::1", "2001:db8::1", ADDR_IPV6},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1", ADDR_IPV6},
        {"", NULL, 0},
        {"1.2.3", NULL, 0},
        {"1.2.3.4.5", NULL, 0},
        {"1.2.3.256", NULL, 0},
        {"01.2.3.4", NULL, 0},
        {" 1.2.3.4", NULL, 0},
        {"1.2.3.4 ", NULL, 0},
        {"0x1.2.3.4", NULL, 0},
        {"localhost", NULL, 0},
        {"fe80::1%lo", NULL, 0},
        {"2001:db8:::1", NULL, 0},
        {"1.2.3.4/32", NULL, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[ADDR_TEXT_MAX];
        struct addr a;
        bool ok = addr_parse(cases[i].text, &a);
        cr_expect(ok == (cases[i].printed != NULL), "%s", cases[i].text);
        cr_expect(a.family == cases[i].family, "%s", cases[i].text);
        if (ok && cases[i].printed)
            cr_expect_str_eq(addr_format(&a, text), cases[i].printed);
    }
}

Test(addr, format_of_none)
{
    char text[ADDR_TEXT_MAX];

    cr_expect_str_eq(addr_format(&(struct addr){.family = ADDR_NONE}, text), "none");
    cr_expect(addr_length(&(struct addr){.family = ADDR_NONE}) == 0);
}

Test(addr, prefix_parse_and_format)
{
    static const struct {
        const char *text, *printed, *why; // printed NULL: refused, because why
        int bits;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", NULL, 32},
        {"192.0.2.1/32", "192.0.2.1", NULL, 32},
        {"192.0.2.0/24", "192.0.2.0/24", NULL, 24},
        {"192.0.2.128/25", "192.0.2.128/25", NULL, 25},
        {"0.0.0.0/0", "0.0.0.0/0", NULL, 0},
        {"2001:db8::/32", "2001:db8::/32", NULL, 32},
        {"2001:db8::1/128", "2001:db8::1", NULL, 128},
        {"192.0.2.1/24", NULL, "address bits beyond the prefix length are set", 0},
        {"192.0.2.64/25", NULL, "address bits beyond the prefix length are set", 0},
        {"128.0.0.0/0", NULL, "address bits beyond the prefix length are set", 0},
        {"2001:db8::1/127", NULL, "address bits beyond the prefix length are set", 0},
        {"192.0.2.0/33", NULL, "the prefix length is not 0 to 32", 0},
        {"192.0.2.0/", NULL, "the prefix length is not 0 to 32", 0},
        {"192.0.2.0/-1", NULL, "the prefix length is not 0 to 32", 0},
        {"192.0.2.0/24x", NULL, "the prefix length is not 0 to 32", 0},
        {"192.0.2.0/24/24", NULL, "the prefix length is not 0 to 32", 0},
        {"192.0.2.0/ 24", NULL, "the prefix length is not 0 to 32", 0},
        {"192.0.2.0/4294967320", NULL, "the prefix length is not 0 to 32", 0},
        {"2001:db8::/129", NULL, "the prefix length is not 0 to 128", 0},
        {"/24", NULL, "not an IPv4 or IPv6 address or prefix", 0},
        {"host/24", NULL, "not an IPv4 or IPv6 address or prefix", 0},
        {"0000000000000000000000000000000000000000000000000000000000000000000000/1", NULL,
         "not an IPv4 or IPv6 address or prefix", 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[ADDR_TEXT_MAX];
        struct addr_prefix p;
        const char *why;
        bool ok = addr_prefix_parse(cases[i].text, &p, &why);
        cr_expect(ok == (cases[i].printed != NULL), "%s", cases[i].text);
        if (!ok && cases[i].why)
            cr_expect_str_eq(why, cases[i].why, "%s: %s", cases[i].text, why);
        if (!ok || !cases[i].printed)
            continue;
        cr_expect(p.bits == cases[i].bits, "%s", cases[i].text);
        cr_expect_str_eq(addr_prefix_format(&p, text), cases[i].printed);
    }
}

Test(addr, classes)
{
    static const struct {
        const char *text;
        bool multicast, unicast;
    } cases[] = {
        {"0.0.0.0", false, false},    {"0.1.2.3", false, false},
        {"1.0.0.0", false, true},     {"127.0.0.1", false, true},
        {"192.0.2.255", false, true}, {"223.255.255.255", false, true},
        {"224.0.0.0", true, false},   {"239.255.255.255", true, false},
        {"240.0.0.0", false, false},  {"255.255.255.255", false, false},
        {"::", false, false},         {"::1", false, true},
        {"2001:db8::1", false, true}, {"feff::1", false, true},
        {"ff00::", true, false},      {"ff02::1", true, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr a;
        cr_assert(addr_parse(cases[i].text, &a));
        cr_expect(addr_is_multicast(&a) == cases[i].multicast, "%s", cases[i].text);
        cr_expect(addr_is_unicast(&a) == cases[i].unicast, "%s", cases[i].text);
    }
    cr_expect_not(addr_is_multicast(&(struct addr){.family = ADDR_NONE}));
    cr_expect_not(addr_is_unicast(&(struct addr){.family = ADDR_NONE}));
}

Test(addr, prefix_contains)
{
    static const struct {
        const char *prefix, *address;
        bool contains;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.0/24", "192.0.2.255", true},
        {"192.0.2.0/24", "192.0.3.0", false},
        {"192.0.2.64/26", "192.0.2.64", true},
        {"192.0.2.64/26", "192.0.2.127", true},
        {"192.0.2.64/26", "192.0.2.63", false},
        {"192.0.2.64/26", "192.0.2.128", false},
        {"128.0.0.0/1", "223.0.0.1", true},
        {"128.0.0.0/1", "127.255.255.255", false},
        {"0.0.0.0/0", "203.0.113.5", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "203.0.113.5", false},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"2001:db8::1", "2001:db8::1", true},
        {"2001:db8::1", "2001:db8::2", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr_prefix p;
        struct addr a;
        const char *why;
        cr_assert(addr_prefix_parse(cases[i].prefix, &p, &why));
        cr_assert(addr_parse(cases[i].address, &a));
        cr_expect(addr_prefix_contains(&p, &a) == cases[i].contains, "%s %s", cases[i].prefix, cases[i].address);
    }
}

Test(addr, equal)
{
    struct addr a, b, c;

    cr_assert(addr_parse("192.0.2.1", &a) && addr_parse("192.0.2.1", &b) && addr_parse("c000:201::", &c));
    cr_expect(addr_equal(&a, &b));
    cr_expect_not(addr_equal(&a, &c), "the same bytes in another family");
}

Test(addr, with_a_port)
{
    static const struct {
        const char *address, *text;
    } cases[] = {{"239.10.0.1", "239.10.0.1:5000"}, {"ff15::1", "[ff15::1]:5000"}};
    char text[ADDR_TEXT_MAX];
    struct addr a;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert(addr_parse(cases[i].address, &a));
        cr_expect_str_eq(addr_port_format(&a, 5000, text), cases[i].text);
    }
}
