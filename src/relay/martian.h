// SPDX-License-Identifier: Apache-2.0
// martian: source addresses that no sender can have (RFC 1812, section 5.3.7). Pure.
//
// An address is a martian by its form alone if no host may have it. In IPv4: networks 0 and 127, multicast, and class E
// with the limited broadcast (RFC 1122, section 3.2.1.3; RFC 6890). In IPv6: ::/96 with the unspecified and the
// loopback address, IPv4-mapped addresses, and multicast (RFC 4291, sections 2.5.2, 2.5.3, 2.5.5 and 2.7). On an
// interface its own addresses and the broadcasts of its subnets are martians, too: no other host on its link has them.
// A link-local sender is legal on its link. Unassigned addresses are no martians; the key `sources` can exclude them.
#ifndef MCR_RELAY_MARTIAN_H
#define MCR_RELAY_MARTIAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

// Returns the bitmap with which martian_suspect() finds the n own addresses of an interface.
uint64_t martian_bits(const struct addr *own, uint32_t n);

// Returns whether source may be a martian on an interface with this bitmap (martian_bits()): true for all martians and
// a few other addresses. It takes only a few instructions, because it runs for every datagram.
static inline bool martian_suspect(uint64_t own, const struct addr *source)
{
    // One bit for each value of the first byte's upper six bits: set for 0 to 3, 124 to 127, and 224 to 255.
    const uint64_t forms = UINT64_C(0xff00000080000001);

    // The last byte of an IPv4 address is byte 3, and its byte 15 is zero.
    return (forms >> (source->bytes[0] >> 2) | own >> ((source->bytes[3] ^ source->bytes[15]) & 63)) & 1;
}

// Returns whether source is a martian on an interface with these n own addresses, sorted by addr_compare(). On the
// loopback interface only this host sends, so its own addresses and those of the loopback network are legal there.
bool martian_is(const struct addr *source, bool loopback, const struct addr *own, uint32_t n);

// Returns whether source is 0.0.0.0, that of a host without an address (RFC 1122, section 3.2.1.3). It is a martian,
// but legal for broadcasts by which hosts ask for an address.
bool martian_nameless(const struct addr *source);

#endif
