// SPDX-License-Identifier: Apache-2.0
// martian: senders that cannot be (RFC 1812, section 5.3.7). Pure.
//
// A martian is an address that no host may have, by its form alone: networks 0 and 127, multicast,
// class E with the limited broadcast (RFC 1122, section 3.2.1.3; RFC 6890), and in IPv6 ::/96 with the unspecified and
// the loopback address, IPv4-mapped addresses and multicast (RFC 4291, sections 2.5.2, 2.5.3, 2.5.5 and 2.7). On
// one interface its own addresses and the broadcasts of its subnets are martians, too: no sender on its link has them.
// A link-local sender is legal on its link. Addresses that are only unassigned are left to `sources`.
#ifndef MCR_RELAY_MARTIAN_H
#define MCR_RELAY_MARTIAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

// The bitmap by which martian_suspect() finds the n own addresses of an interface.
uint64_t martian_bits(const struct addr *own, uint32_t n);

// Whether source may be a martian on an interface of these bits: all martians, and a few others. A few instructions,
// for every datagram.
static inline bool martian_suspect(uint64_t own, const struct addr *source)
{
    // By the first byte's upper six bits: 0 to 3, 124 to 127, and 224 to 255.
    const uint64_t forms = UINT64_C(0xff00000080000001);

    // An IPv4 address ends at byte 3, and byte 15 is zero.
    return (forms >> (source->bytes[0] >> 2) | own >> ((source->bytes[3] ^ source->bytes[15]) & 63)) & 1;
}

// Whether source is one on an interface with these own addresses, in the order of addr_compare(). The loopback
// interface hears from this host only, so that its own addresses and those of the loopback network are legal there.
bool martian_is(const struct addr *source, bool loopback, const struct addr *own, uint32_t n);

// 0.0.0.0, a host without an address (RFC 1122, section 3.2.1.3): martian_is(), but legal where hosts broadcast to
// learn their address.
bool martian_nameless(const struct addr *source);

#endif
