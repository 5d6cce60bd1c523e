// SPDX-License-Identifier: Apache-2.0
// addr: common/addr.c with any text, and with two addresses from the bytes of the same input.
#include <config.h>

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/addr.h"

static void check_address(const struct addr *a)
{
    char text[ADDR_TEXT_MAX];
    struct addr back;

    FUZZ_ASSERT(a->family == ADDR_IPV4 || a->family == ADDR_IPV6);
    for (size_t i = addr_length(a); i < sizeof(a->bytes); i++)
        FUZZ_ASSERT(a->bytes[i] == 0);
    FUZZ_ASSERT(addr_parse(addr_format(a, text), &back) && addr_equal(a, &back));
    FUZZ_ASSERT(!(addr_is_multicast(a) && addr_is_unicast(a)));
}

static bool bit(const struct addr *a, unsigned i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool contains(const struct addr_prefix *p, const struct addr *a)
{
    unsigned i = 0;

    while (i < p->bits && bit(&p->addr, i) == bit(a, i))
        i++;
    return p->addr.family == a->family && i == p->bits;
}

static void check_prefix(const struct addr_prefix *p, const struct addr *other)
{
    char text[ADDR_TEXT_MAX];
    struct addr_prefix back;
    const char *why;

    check_address(&p->addr);
    FUZZ_ASSERT(p->bits <= 8 * addr_length(&p->addr));
    for (unsigned i = p->bits; i < 8 * addr_length(&p->addr); i++)
        FUZZ_ASSERT(!bit(&p->addr, i));
    FUZZ_ASSERT(addr_prefix_parse(addr_prefix_format(p, text), &back, &why));
    FUZZ_ASSERT(back.bits == p->bits && addr_equal(&back.addr, &p->addr));
    FUZZ_ASSERT(addr_prefix_contains(p, &p->addr));
    if (other->family != ADDR_NONE)
        FUZZ_ASSERT(addr_prefix_contains(p, other) == contains(p, other));
}

// The first byte chooses a family, the next 16 are the address, and what is left is text.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct addr address, other = {.family = ADDR_NONE};
    struct addr_prefix prefix;
    const char *why = NULL;
    size_t got;

    uint8_t choice = fuzz_u8(&in);
    const uint8_t *bytes = fuzz_bytes(&in, choice & 1 ? 16 : 4, &got);
    if (got == (choice & 1 ? 16 : 4)) {
        other.family = choice & 1 ? ADDR_IPV6 : ADDR_IPV4;
        memcpy(other.bytes, bytes, got);
        check_address(&other);
    }
    char *text = malloc(in.left + 1);
    memcpy(text, in.at, in.left);
    text[in.left] = '\0';
    bool is_address = addr_parse(text, &address);
    if (is_address)
        check_address(&address);
    bool is_prefix = addr_prefix_parse(text, &prefix, &why);
    if (is_prefix) {
        check_prefix(&prefix, &other);
        // One that lies near.
        other = prefix.addr;
        other.bytes[choice / 2 % addr_length(&other)] ^= (uint8_t) (1u << choice % 8);
        check_prefix(&prefix, &other);
    } else {
        FUZZ_ASSERT(why && *why);
    }
    FUZZ_ASSERT(!is_address || is_prefix);
    free(text);
    return 0;
}
