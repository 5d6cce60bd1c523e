// SPDX-License-Identifier: Apache-2.0
// ring: opens and releases the packet socket and receive ring of one input interface.
#ifndef MCR_MACHINE_RING_H
#define MCR_MACHINE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/filter.h"

// TPACKET_V2 geometry (packet_mmap), sizes in bytes. A block holds adjacent slots; no slot crosses a block's end.
struct ring_geometry {
    uint32_t slot_size, n_slots, block_size;
};

#define RING_MIB_MAX 1024 // largest ring_mib of mcr.conf(5)

// Returns the geometry of a ring of at most ring_mib MiB whose slots hold a whole frame of an interface with this MTU.
struct ring_geometry ring_geometry(uint32_t mtu, uint32_t ring_mib);

// What a socket receives. filter_build() sorts the keys in place.
struct ring_filter {
    struct filter_key *keys;
    size_t n;
    bool ethernet;
};

// Opens a packet socket that receives nothing yet. Returns a descriptor that the caller closes, or -1 with errno set
// and *step the name of what failed.
int ring_socket(const char **step);

// Sets up ring and filter on such a socket, for ifindex. without: mask of enum feature. *super_frames: whether each
// frame follows a virtio_net_hdr, which tells super-frames. Returns false with errno set and *step the name of what
// failed; the caller then calls ring_release().
bool ring_open(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
               unsigned without, bool *super_frames, const char **step);

// Checks a socket of unknown origin: whether it is one of ring_open() for ifindex with this geometry, as far as the
// kernel tells. It is to have the network namespace of `own`, another packet socket. What the kernel does not tell
// (the size of a slot; who else maps the ring) is no danger: the relay reads nothing beyond the ring's memory. The
// filter is still that of its origin. Returns false with *why (static text).
bool ring_verify(int fd, int own, uint32_t ifindex, const struct ring_geometry *g, bool super_frames, const char **why);

// Takes the socket out of service: it receives and sends nothing, and its ring's memory is freed. Returns false if
// another process still maps the ring: its memory then stays until the next call.
bool ring_release(int fd);

// Replaces the filter of an open socket atomically, by the most exact one for which net.core.optmem_max has room beside
// the previous filter. Returns false with errno set.
bool ring_set_filter(int fd, const struct ring_filter *filter);

#endif
