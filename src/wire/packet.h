// SPDX-License-Identifier: Apache-2.0
// packet: parses one received frame. Pure: no system call, no state. Every byte of the frame may be hostile.
#ifndef MCR_WIRE_PACKET_H
#define MCR_WIRE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

enum packet_verdict {
    PACKET_OK,
    PACKET_MALFORMED, // impossible lengths or versions, or a wrong IPv4 header checksum
    PACKET_FRAGMENT,  // part of a larger datagram, see struct packet_fragment
    PACKET_FOREIGN,   // not UDP over IPv4 or IPv6
};

// What the kernel reports about the frame (packet_mmap, virtio_net_hdr).
struct packet_meta {
    bool ethernet;         // true: the frame begins with an Ethernet header; false: with the IP header
    uint16_t vlan;         // from the stripped tag; 0: no tag, or a priority tag
    uint16_t segment;      // payload bytes of each datagram of a super-frame (GSO, GRO); 0: one datagram
    bool checksum_vouched; // the UDP checksum needs no check: hardware or the kernel has verified it, or a sender on
                           // this host has left it to its device (TP_STATUS_CSUMNOTREADY)
    uint64_t stamp_ns;     // when the kernel took it in, CLOCK_REALTIME; where somebody asks (forward.stamps)
};

// The fields of a fragment (RFC 791; RFC 8200, section 4.5).
struct packet_fragment {
    uint32_t id;
    uint32_t offset; // of its payload in the payload of the whole IP packet, bytes
    bool more;       // it is not the last fragment
    uint8_t next;    // IP protocol; of IPv6, the type of the header that follows the fragment header
};

struct packet {
    struct addr source, destination;
    uint16_t source_port, port; // host order
    uint16_t vlan;              // 0: no tag, or a priority tag
    uint8_t ttl;                // or hop limit
    uint8_t dscp;
    const uint8_t *payload;
    size_t length;                   // bytes of payload of all datagrams together
    size_t segment;                  // bytes of each datagram; the last may be shorter. Equals length for one datagram
    uint32_t datagrams;              // at least 1
    struct packet_fragment fragment; // set with PACKET_FRAGMENT; payload and length are then its part of the IP payload
};

// Parses a frame of `length` bytes. out->payload points into the frame. Verifies everything except the UDP checksum,
// and ignores padding after the datagram.
enum packet_verdict packet_parse(struct packet *out, const uint8_t *frame, size_t length,
                                 const struct packet_meta *meta);

// Parses a reassembled IP payload of `length` bytes, which begins with a header of type `next` (IP protocol number).
// out has the addresses, vlan, ttl and dscp already; out->payload points into bytes.
enum packet_verdict packet_parse_whole(struct packet *out, const uint8_t *bytes, size_t length, uint8_t next);

// Verifies the UDP checksum of a parsed packet. 0 means that the sender computed none (RFC 768), which is wrong for
// IPv6 (RFC 8200). A super-frame counts as verified, since the kernel or the device has merged it.
bool packet_checksum_ok(const struct packet *p, const struct packet_meta *meta);

// Returns whether the UDP checksum is the sum of the pseudo-header alone, which a sender leaves to its device to
// complete. Serves where the kernel does not report this (a capture file). A wrong checksum has this value with a
// probability of 1 in 65536.
bool packet_checksum_unfinished(const struct packet *p);

// Adds the one's complement sum (RFC 1071) of `length` bytes to sum, folded to 16 bits, in memory order. The checksum
// is the complement of the whole sum. A zero byte is added to an odd length, so only the last piece of a sum may have
// one.
uint16_t packet_sum(uint16_t sum, const void *bytes, size_t length);

#endif
