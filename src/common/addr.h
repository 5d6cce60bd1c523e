// SPDX-License-Identifier: Apache-2.0
// addr: an IPv4 or IPv6 address, and a prefix of addresses; parsed from and printed as text.
#ifndef MCR_COMMON_ADDR_H
#define MCR_COMMON_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ADDR_NONE = 0, ADDR_IPV4 = 4, ADDR_IPV6 = 6 };

// Bytes in network order; IPv4 uses the first four, the others are zero.
struct addr {
    uint8_t bytes[16];
    uint8_t family; // ADDR_NONE, ADDR_IPV4 or ADDR_IPV6
};

struct addr_prefix {
    struct addr addr;
    uint8_t bits; // 0..32 or 0..128
};

// 255.255.255.255 (RFC 919)
extern const struct addr addr_limited_broadcast;

// Room for the longest printed prefix and its NUL.
#define ADDR_TEXT_MAX 64

// Parses a numeric address of either family (no names, no scope). False when text is not one.
bool addr_parse(const char *text, struct addr *out);

// Parses "ADDRESS" or "ADDRESS/BITS". On failure returns false and points *why to a static explanation;
// bits beyond the prefix length must be zero, so that a typo does not widen a rule silently.
bool addr_prefix_parse(const char *text, struct addr_prefix *out, const char **why);

// Prints into text and returns it.
const char *addr_format(const struct addr *a, char text[ADDR_TEXT_MAX]);
const char *addr_prefix_format(const struct addr_prefix *p, char text[ADDR_TEXT_MAX]);

// The number of bytes of an address of this family: 4, 16 or 0.
size_t addr_length(const struct addr *a);

// Inline, without a call to memcmp(): every datagram is matched by it.
static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

// For qsort(3) and bsearch(3): an order of addresses, of both families.
int addr_compare(const void *a, const void *b);

// Class D (RFC 1112: 224.0.0.0/4) or ff00::/8 (RFC 4291).
bool addr_is_multicast(const struct addr *a);

// 0.0.0.0, ::, 255.255.255.255 and 0.0.0.0/8 cannot name one host.
bool addr_is_unicast(const struct addr *a);

// The address that is n after a, of the same family; beyond the last one it begins anew at the first.
struct addr addr_after(const struct addr *a, uint32_t n);

// How many addresses the prefix holds, at most UINT32_MAX.
uint32_t addr_prefix_size(const struct addr_prefix *p);

// The longest prefix that begins at first and holds n addresses or more.
struct addr_prefix addr_prefix_of(const struct addr *first, uint32_t n);

bool addr_prefix_contains(const struct addr_prefix *p, const struct addr *a);

#endif
