// SPDX-License-Identifier: Apache-2.0
// ring: the packet socket and receive ring of one input interface, put into service and out of it.
#ifndef MCR_MACHINE_RING_H
#define MCR_MACHINE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/filter.h"

// TPACKET_V2 geometry (packet_mmap): slots lie side by side in blocks, and never across two.
struct ring_geometry {
    uint32_t slot_size, n_slots, block_size;
};

// A ring of at most ring_mib MiB whose slots hold a whole frame of an interface with this MTU.
struct ring_geometry ring_geometry(uint32_t mtu, uint32_t ring_mib);

// What a socket takes in. The keys are sorted in place.
struct ring_filter {
    struct filter_key *keys;
    size_t n;
    bool ethernet;
};

// Opens a packet socket that takes nothing in yet. Returns a descriptor that the caller closes, or -1 with errno set
// and *step the name of what failed.
int ring_socket(const char **step);

// Makes ring and filter on such a socket, for ifindex. without: mask of enum feature. False with errno set and *step
// the name of what failed: ring_release() is then due. *super_frames: whether frames have a virtio_net_hdr before
// them, which tells super-frames apart.
bool ring_open(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
               unsigned without, bool *super_frames, const char **step);

// Takes the socket out of service: it takes in and sends nothing, and its ring's memory is freed. False: another
// process still maps the ring, so that its memory stays until the next call.
bool ring_release(int fd);

// Replaces the filter of an open socket at once, by as exact a one as net.core.optmem_max has room for beside the one
// before. False with errno set.
bool ring_set_filter(int fd, const struct ring_filter *filter);

#endif
