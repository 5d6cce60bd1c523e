// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct addr addr_limited_broadcast = {.family = ADDR_IPV4, .bytes = {255, 255, 255, 255}};

bool addr_parse(const char *text, struct addr *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, out->bytes) == 1)
        out->family = ADDR_IPV4;
    else if (inet_pton(AF_INET6, text, out->bytes) == 1)
        out->family = ADDR_IPV6;
    else
        memset(out, 0, sizeof(*out));
    return out->family != ADDR_NONE;
}

static bool host_bits_are_zero(const struct addr_prefix *p)
{
    for (unsigned bit = p->bits; bit < 8 * addr_length(&p->addr); bit++)
        if (p->addr.bytes[bit / 8] & (0x80u >> (bit % 8)))
            return false;
    return true;
}

bool addr_prefix_parse(const char *text, struct addr_prefix *out, const char **why)
{
    char address[ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t) (slash - text) : strlen(text);

    memset(out, 0, sizeof(*out));
    *why = "not an IPv4 or IPv6 address or prefix";
    if (length >= sizeof(address))
        return false;
    memcpy(address, text, length);
    address[length] = '\0';
    if (!addr_parse(address, &out->addr))
        return false;

    unsigned most = (unsigned) (8 * addr_length(&out->addr));
    if (!slash) {
        out->bits = (uint8_t) most;
        return true;
    }
    size_t digits = strspn(slash + 1, "0123456789");
    if (digits == 0 || digits > 3 || slash[1 + digits] != '\0' || strtoul(slash + 1, NULL, 10) > most) {
        *why = most == 32 ? "the prefix length is not 0 to 32" : "the prefix length is not 0 to 128";
        return false;
    }
    out->bits = (uint8_t) strtoul(slash + 1, NULL, 10);
    if (!host_bits_are_zero(out)) {
        *why = "address bits beyond the prefix length are set";
        return false;
    }
    return true;
}

const char *addr_format(const struct addr *a, char text[ADDR_TEXT_MAX])
{
    int family = a->family == ADDR_IPV4 ? AF_INET : AF_INET6;

    if (a->family == ADDR_NONE || !inet_ntop(family, a->bytes, text, ADDR_TEXT_MAX))
        snprintf(text, ADDR_TEXT_MAX, "none");
    return text;
}

const char *addr_port_format(const struct addr *a, uint16_t port, char text[ADDR_TEXT_MAX])
{
    char address[INET6_ADDRSTRLEN];

    if (a->family == ADDR_NONE ||
        !inet_ntop(a->family == ADDR_IPV4 ? AF_INET : AF_INET6, a->bytes, address, sizeof(address)))
        snprintf(address, sizeof(address), "none");
    snprintf(text, ADDR_TEXT_MAX, a->family == ADDR_IPV6 ? "[%s]:%u" : "%s:%u", address, port);
    return text;
}

const char *addr_prefix_format(const struct addr_prefix *p, char text[ADDR_TEXT_MAX])
{
    addr_format(&p->addr, text);
    if (p->bits < 8 * addr_length(&p->addr)) {
        size_t used = strlen(text);
        snprintf(text + used, ADDR_TEXT_MAX - used, "/%u", p->bits);
    }
    return text;
}

size_t addr_length(const struct addr *a)
{
    return a->family == ADDR_IPV4 ? 4 : a->family == ADDR_IPV6 ? 16 : 0;
}

int addr_compare(const void *a, const void *b)
{
    const struct addr *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, sizeof(x->bytes));

    return order ? order : x->family - y->family;
}

bool addr_is_multicast(const struct addr *a)
{
    return (a->family == ADDR_IPV4 && (a->bytes[0] & 0xf0) == 0xe0) || (a->family == ADDR_IPV6 && a->bytes[0] == 0xff);
}

bool addr_is_unicast(const struct addr *a)
{
    static const uint8_t zero[16];

    if (a->family == ADDR_IPV4)
        return a->bytes[0] != 0 && a->bytes[0] < 224;
    return a->family == ADDR_IPV6 && a->bytes[0] != 0xff && memcmp(a->bytes, zero, sizeof(zero)) != 0;
}

struct addr_prefix addr_prefix_of(const struct addr *first, uint32_t n)
{
    struct addr_prefix p = {.addr = *first, .bits = (uint8_t) (8 * addr_length(first))};

    while (p.bits > 0 && addr_prefix_size(&p) < n)
        p.bits--;
    return p;
}

bool addr_is_loopback(const struct addr *a)
{
    static const struct addr_prefix loopback[] = {
        {.addr = {.family = ADDR_IPV4, .bytes = {127}}, .bits = 8},
        {.addr = {.family = ADDR_IPV6, .bytes = {[15] = 1}}, .bits = 128},
    };

    return addr_prefix_contains(&loopback[0], a) || addr_prefix_contains(&loopback[1], a);
}

struct addr addr_after(const struct addr *a, uint32_t n)
{
    struct addr result = *a;
    uint64_t carry = n;

    for (size_t i = addr_length(a); i-- > 0 && carry > 0; carry >>= 8) {
        carry += result.bytes[i];
        result.bytes[i] = (uint8_t) carry;
    }
    return result;
}

uint32_t addr_prefix_size(const struct addr_prefix *p)
{
    size_t free_bits = 8 * addr_length(&p->addr) - p->bits;

    return free_bits < 32 ? UINT32_C(1) << free_bits : UINT32_MAX;
}
