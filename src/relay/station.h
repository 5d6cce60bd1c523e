// SPDX-License-Identifier: Apache-2.0
// station: the link-layer (MAC) addresses of this host's interfaces, by which frames that it has sent are known when a
// loop of the network brings them back. Pure.
#ifndef MCR_RELAY_STATION_H
#define MCR_RELAY_STATION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "table/view.h"

#define STATION_AT 6 // where a frame's source address stands (IEEE 802.3, 3.1.1)

// Returns the bitmap with which station_suspect() finds the addresses of the table's interfaces.
uint64_t station_bits(const struct table_view *t);

// Returns whether a frame with this source address (6 bytes) may be one of this host's: true for all of them and a few
// others. It takes only a few instructions, because it runs for every datagram.
static inline bool station_suspect(uint64_t bits, const uint8_t *mac)
{
    return bits >> (mac[5] & 63) & 1;
}

// Returns whether this host has sent what came to the table's interface of this index: the frame's source address is
// that of one of its interfaces, and not only of this very one. Interfaces on one card may share an address (VLANs, but
// the ipvlan interfaces of several containers as well), so there the sender's address has to be one of its own, too.
bool station_is_own(const struct table_view *t, uint32_t interface, const uint8_t *mac, const struct addr *sender);

#endif
