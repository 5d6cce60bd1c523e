// SPDX-License-Identifier: Apache-2.0
// ingress_open: the packet socket and ring of one input interface.
#ifndef MCR_BROKER_INGRESS_OPEN_H
#define MCR_BROKER_INGRESS_OPEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/filter.h"

// TPACKET_V2 geometry (packet_mmap): slots lie side by side in blocks, and never across two.
struct ingress_geometry {
    uint32_t slot_size, n_slots, block_size;
};

// A ring of at most ring_mib MiB whose slots hold a whole frame of an interface with this MTU.
struct ingress_geometry ingress_geometry(uint32_t mtu, uint32_t ring_mib);

// What a socket takes in: the keys of its filter, which are sorted where they lie.
struct ingress_filter {
    struct filter_key *keys;
    size_t n;
    bool ethernet;
};

// Opens a socket with ring and filter on ifindex. without: mask of enum feature. Returns a descriptor that the caller
// closes, or -1 with errno set and *step the name of what failed. *super_frames: whether frames have a virtio_net_hdr
// before them, which tells super-frames apart.
int ingress_open(uint32_t ifindex, const struct ingress_geometry *g, const struct ingress_filter *filter,
                 unsigned without, bool *super_frames, const char **step);

// Replaces the filter of an open socket at once, by as exact a one as net.core.optmem_max has room for beside the one
// before. False with errno set.
bool ingress_set_filter(int fd, const struct ingress_filter *filter);

#endif
