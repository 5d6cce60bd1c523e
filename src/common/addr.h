// SPDX-License-Identifier: Apache-2.0
// addr: IPv4 and IPv6 addresses and prefixes, as bytes and as text.
#ifndef MCR_COMMON_ADDR_H
#define MCR_COMMON_ADDR_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ADDR_NONE = 0, ADDR_IPV4 = 4, ADDR_IPV6 = 6 };

// Bytes in network order. An IPv4 address has the first four; the others are zero.
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

// Bytes of the longest printed prefix with its NUL.
#define ADDR_TEXT_MAX 64

// Parses a numeric address of either family, without a scope. Returns false if text is not one.
bool addr_parse(const char *text, struct addr *out);

// Parses "ADDRESS" or "ADDRESS/BITS". Bits beyond the prefix length must be zero, so that a typo does not widen a rule
// silently. Returns false with *why, a static text, on an error.
bool addr_prefix_parse(const char *text, struct addr_prefix *out, const char **why);

// Write the address or prefix to text, and return text.
const char *addr_format(const struct addr *a, char text[ADDR_TEXT_MAX]);
// The same with a port (host order) behind it: "239.10.0.1:5000", "[ff15::1]:5000".
const char *addr_port_format(const struct addr *a, uint16_t port, char text[ADDR_TEXT_MAX]);
const char *addr_prefix_format(const struct addr_prefix *p, char text[ADDR_TEXT_MAX]);

// Returns the number of bytes of an address of this family: 4, 16, or 0 (ADDR_NONE).
size_t addr_length(const struct addr *a);

// Inline and without a call of memcmp(), because it runs for every datagram.
static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

// Compares two struct addr of any family, for qsort(3) and bsearch(3).
int addr_compare(const void *a, const void *b);

// Returns whether a is in class D (224.0.0.0/4, RFC 1112) or ff00::/8 (RFC 4291).
bool addr_is_multicast(const struct addr *a);

// Returns whether a can be the address of one host: in IPv4 from 1.0.0.0 to 223.255.255.255, in IPv6 neither :: nor
// multicast.
bool addr_is_unicast(const struct addr *a);

// Returns whether a is in 127.0.0.0/8 (RFC 1122) or ::1 (RFC 4291).
bool addr_is_loopback(const struct addr *a);

// Returns the address that is n after a, of the same family. The first address follows the last one.
struct addr addr_after(const struct addr *a, uint32_t n);

// Returns the number of addresses in the prefix, at most UINT32_MAX.
uint32_t addr_prefix_size(const struct addr_prefix *p);

// Returns the longest prefix that begins at first and has at least n addresses.
struct addr_prefix addr_prefix_of(const struct addr *first, uint32_t n);

// Inline, as a rule with many sources asks it of each of them for every datagram.
static inline bool addr_prefix_contains(const struct addr_prefix *p, const struct addr *a)
{
    uint64_t wanted[2], found[2];

    if (p->addr.family != a->family)
        return false;
    memcpy(wanted, p->addr.bytes, sizeof(wanted));
    memcpy(found, a->bytes, sizeof(found));
    uint64_t first = be64toh(wanted[0] ^ found[0]), second = be64toh(wanted[1] ^ found[1]);
    if (p->bits <= 64)
        return p->bits == 0 || first >> (64 - p->bits) == 0;
    return first == 0 && second >> (128 - p->bits) == 0;
}

#endif
