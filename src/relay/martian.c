// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/martian.h"

#include <stdlib.h>
#include <string.h>

uint64_t martian_bits(const struct addr *own, uint32_t n)
{
    uint64_t bits = 0;

    for (uint32_t i = 0; i < n; i++)
        bits |= UINT64_C(1) << ((own[i].bytes[3] ^ own[i].bytes[15]) & 63);
    return bits;
}

static bool ipv6_is(const struct addr *a, bool loopback)
{
    static const uint8_t zeros[12], one[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(a->bytes, one, sizeof(one)) == 0)
        return !loopback;
    return a->bytes[0] == 0xff || memcmp(a->bytes, zeros, sizeof(zeros)) == 0 ||
           memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

static bool ipv4_is(const struct addr *a, bool loopback)
{
    if (a->bytes[0] == 127)
        return !loopback;
    return a->bytes[0] == 0 || a->bytes[0] >= 224;
}

bool martian_is(const struct addr *source, bool loopback, const struct addr *own, uint32_t n)
{
    if (source->family == ADDR_IPV4 ? ipv4_is(source, loopback) : ipv6_is(source, loopback))
        return true;
    return !loopback && n > 0 && bsearch(source, own, n, sizeof(*own), addr_compare) != NULL;
}

bool martian_nameless(const struct addr *source)
{
    static const uint8_t zeros[4];

    return source->family == ADDR_IPV4 && memcmp(source->bytes, zeros, sizeof(zeros)) == 0;
}
