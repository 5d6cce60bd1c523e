// SPDX-License-Identifier: Apache-2.0
// fill: what each packet of an output has of its own, written into the output's ready header (header.h): lengths, ttl,
// traffic class, a kept sender, checksums, fragments. Pure.
#ifndef MCR_WIRE_FILL_H
#define MCR_WIRE_FILL_H

#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "common/addr.h"
#include "table/layout.h"

#define FILL_FRAGMENT_HEADER 8 // IPv6 (RFC 8200, section 4.5)

struct fill {
    const struct addr *source; // of the datagram that came: used where the output keeps it
    uint16_t source_port;      // the same; host order
    uint8_t dscp, ttl;         // as they leave
    uint16_t identification;   // of the first datagram, IPv4; not 0, for which the kernel puts another one
    size_t bytes;              // of payload
};

// Bytes of the output's IP header.
static inline size_t fill_ip_size(const struct table_output *o)
{
    return o->to.family == ADDR_IPV4 ? sizeof(struct iphdr) : sizeof(struct ip6_hdr);
}

// Copies the output's header to `header`, which has room for o->header_length bytes, and fills it in. The UDP checksum
// is that of the pseudo-header alone, for the kernel or the device to finish, or fill_checksum().
void fill_header(const struct table_output *o, const struct fill *f, uint8_t *header);

// Finishes the checksum of a UDP header that fill_header() wrote, over a payload that lies in one piece.
void fill_checksum(uint8_t *udp_at, const struct iovec *payload);

// Makes the IP header at `at`, behind which there is room for FILL_FRAGMENT_HEADER bytes, that of the fragment of
// `length` bytes at `offset`; more: it is not the last. id: IPv6 only. Returns the size of its IP headers.
size_t fill_fragment(const struct table_output *o, uint8_t *at, uint32_t id, size_t offset, size_t length, bool more);

#endif
