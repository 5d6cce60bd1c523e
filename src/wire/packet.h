// SPDX-License-Identifier: Apache-2.0
// packet: what one received frame is. Pure: no system call, no state; every byte of the frame is hostile.
#ifndef MCR_WIRE_PACKET_H
#define MCR_WIRE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

enum packet_verdict {
    PACKET_OK,
    PACKET_MALFORMED, // lengths or versions that cannot be, or a wrong IPv4 header checksum
    PACKET_FRAGMENT,  // part of a larger datagram: see struct packet_fragment
    PACKET_FOREIGN,   // not UDP over IPv4 or IPv6
};

// What the kernel says about the frame besides its bytes (packet_mmap, virtio_net_hdr).
struct packet_meta {
    bool ethernet;         // the frame begins with an Ethernet header; else with the IP header
    uint16_t vlan;         // from the stripped tag; 0: none, or a priority tag
    uint16_t segment;      // payload bytes of each datagram of a super-frame (GSO, GRO); 0: one datagram
    bool checksum_vouched; // hardware or the kernel has verified the UDP checksum, or the sender on this host has
                           // left it to be finished (TP_STATUS_CSUMNOTREADY): never to be verified here
};

// What a fragment says of its place (RFC 791; RFC 8200, section 4.5).
struct packet_fragment {
    uint32_t id;
    uint32_t offset; // bytes, of its payload in that of the whole IP packet
    bool more;
    uint8_t next; // IP protocol, or what the header behind the fragment header is
};

struct packet {
    struct addr source, destination;
    uint16_t source_port, port; // host order
    uint16_t vlan;
    uint8_t ttl; // or hop limit
    uint8_t dscp;
    const uint8_t *payload;
    size_t length;      // bytes of payload, of all datagrams together
    size_t segment;     // bytes of each datagram but the last, which may be shorter; equals length for one datagram
    uint32_t datagrams; // at least 1
    struct packet_fragment fragment; // with PACKET_FRAGMENT; payload and length are then its part of the IP payload
};

// Parses the length bytes of a frame. out points into the frame. Everything but the UDP checksum is
// verified; padding behind the datagram is left out.
enum packet_verdict packet_parse(struct packet *out, const uint8_t *frame, size_t length,
                                 const struct packet_meta *meta);

// The same for the length bytes of an IP payload that has been put together of fragments; next is what it begins with.
// out has the addresses, vlan, ttl and dscp already.
enum packet_verdict packet_parse_whole(struct packet *out, const uint8_t *bytes, size_t length, uint8_t next);

// Verifies the UDP checksum of a parsed packet (RFC 768: 0 means that the sender made none; RFC 8200: IPv6 wants one).
// A super-frame has been verified by whoever merged it.
bool packet_checksum_ok(const struct packet *p, const struct packet_meta *meta);

// Whether the UDP checksum is the sum of the pseudo-header alone, which a sender leaves to its device to finish. Where
// the kernel does not tell (a capture file), a wrong one is taken for that with a chance of 1 in 65536.
bool packet_checksum_unfinished(const struct packet *p);

// One's complement sum (RFC 1071) of length bytes in memory order, added to sum and folded to 16 bits. Fold the
// complement of a whole sum to get a checksum; an odd last byte counts as if a zero followed, so that only the last
// piece of a sum may be odd.
uint16_t packet_sum(uint16_t sum, const void *bytes, size_t length);

#endif
