// SPDX-License-Identifier: Apache-2.0
// header: the link, IP and UDP header of an output's packets, made ready for the table; and what each packet has of its
// own, filled in by the relay: lengths, ttl, traffic class, a kept sender, checksums, fragments. Pure.
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

// The Ethernet station that frames to a group (RFC 1112, RFC 2464) or to the limited broadcast go to. False for one
// host: only the kernel finds neighbours.
bool header_station(const struct addr *to, uint8_t station[6]);

// Writes t->header, header_length and ip_at for packets to t->to, t->port from source, source_port. With link, an
// Ethernet header from that station comes first, to that of the group or broadcast (header_station()), with a
// tag when t->vlan is not 0; without (NULL) the packet begins with its IP header.
void header_write(struct table_output *t, const uint8_t link[6], const struct addr *source, uint16_t source_port);

// Bytes of the output's IP header.
static inline size_t header_ip_size(const struct table_output *o)
{
    return o->to.family == ADDR_IPV4 ? sizeof(struct iphdr) : sizeof(struct ip6_hdr);
}

struct header_fill {
    const struct addr *source; // of the datagram that came: used where the output keeps it
    uint16_t source_port;      // the same; host order
    uint8_t dscp, ttl;         // as they leave
    uint16_t identification;   // of the first datagram, IPv4; not 0, for which the kernel puts another one
    size_t bytes;              // of payload
};

// Copies the output's header to `header`, which has room for o->header_length bytes, and fills it in. The UDP checksum
// is that of the pseudo-header alone, for the kernel or the device to finish, or header_checksum().
void header_fill(const struct table_output *o, const struct header_fill *f, uint8_t *header);

// Finishes the checksum of a UDP header that header_fill() wrote, over a payload that lies in one piece.
void header_checksum(uint8_t *udp_at, const struct iovec *payload);

// Makes the IP header at `at`, behind which there is room for HEADER_FRAGMENT_SIZE bytes, that of the fragment of
// `length` bytes at `offset`; more: it is not the last. id: IPv6 only. Returns the size of its IP headers.
size_t header_fragment(const struct table_output *o, uint8_t *at, uint32_t id, size_t offset, size_t length, bool more);

#endif
