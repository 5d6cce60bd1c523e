// SPDX-License-Identifier: Apache-2.0
// header: the link, IP and UDP header of an output's packets. The compiler prepares it in the table; the relay fills in
// what differs from packet to packet: lengths, ttl, traffic class, a kept sender, checksums, fragments. Pure.
#ifndef MCR_WIRE_HEADER_H
#define MCR_WIRE_HEADER_H

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/addr.h"
#include "table/layout.h"

#define HEADER_FRAGMENT_SIZE 8 // IPv6 (RFC 8200, section 4.5)

// Writes the destination MAC address for a group (RFC 1112, RFC 2464) or the limited broadcast. Returns false for a
// unicast address, whose neighbour only the kernel resolves.
bool header_station(const struct addr *to, uint8_t station[6]);

// Writes t->header, header_length and ip_at for packets from source and source_port (host order) to t->to and t->port.
// link: source MAC address of an Ethernet header to header_station(), with a tag if t->vlan is not 0; NULL: the packet
// begins with its IP header.
void header_write(struct table_output *t, const uint8_t link[6], const struct addr *source, uint16_t source_port);

// Returns the size of the output's IP header in bytes.
static inline size_t header_ip_size(const struct table_output *o)
{
    return o->to.family == ADDR_IPV4 ? sizeof(struct iphdr) : sizeof(struct ip6_hdr);
}

struct header_fill {
    const struct addr *source; // of the received datagram; used if the output keeps it
    uint16_t source_port;      // of the received datagram, host order; used if the output keeps it
    uint8_t dscp, ttl;         // of the packet that is sent
    uint16_t identification;   // IPv4, of the first datagram; never 0, which the kernel replaces (raw(7))
    size_t bytes;              // of payload
};

// Copies the output's header to `header`, which has room for o->header_length bytes, and fills it in. The UDP checksum
// is the sum of the pseudo-header alone; the kernel, the device or header_checksum() completes it.
void header_fill(const struct table_output *o, const struct header_fill *f, uint8_t *header);

// Completes the checksum of a UDP header that header_fill() wrote, over the payload.
void header_checksum(uint8_t *udp_at, const struct iovec *payload);

// Changes the IP header at `at` into that of a fragment: `length` bytes of the IP payload from `offset` on, both in
// bytes. more: it is not the last fragment. For IPv6 a fragment header with `id` (host order) follows, so
// HEADER_FRAGMENT_SIZE bytes of room are needed behind the IP header. Returns the size of the IP headers in bytes.
size_t header_fragment(const struct table_output *o, uint8_t *at, uint32_t id, size_t offset, size_t length, bool more);

#endif
