// SPDX-License-Identifier: Apache-2.0
// header: the ready link, IP and UDP header of an output's packets, for the relay to fill in. Pure.
#ifndef MCR_WIRE_HEADER_H
#define MCR_WIRE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "table/layout.h"

// The Ethernet station that frames to a group (RFC 1112, RFC 2464) or to the limited broadcast go to. False for one
// host: only the kernel finds neighbours.
bool header_station(const struct addr *to, uint8_t station[6]);

// Writes t->header, header_length and ip_at for packets to t->to, t->port from source, source_port. With link, an
// Ethernet header from that station comes first, to that of the group or broadcast (header_station()), with a
// tag when t->vlan is not 0; without (NULL) the packet begins with its IP header.
void header_write(struct table_output *t, const uint8_t link[6], const struct addr *source, uint16_t source_port);

#endif
