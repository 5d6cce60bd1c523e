// SPDX-License-Identifier: Apache-2.0
// tx_ring: the transmit ring of one output interface (packet_mmap): frames that would leave by a system call each lie
// in it until one call sends them all.
#ifndef MCR_RELAY_TX_RING_H
#define MCR_RELAY_TX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/layout.h"
#include "table/layout.h"

struct tx_ring;

// A frame that waits, and the counters to correct if the kernel does not take it.
struct tx_frame {
    const uint8_t *bytes; // with its virtio_net_hdr
    size_t length;
    size_t payload; // bytes of the datagram in it
    const struct table_output *output;
    struct stats_output_counters *counters;
};

// Maps the ring of fd, which stays the caller's and must outlive it; slot_size as in the table. NULL with errno set.
struct tx_ring *tx_ring_new(int fd, uint32_t slot_size);
void tx_ring_free(struct tx_ring *r); // NULL: nothing

// Room for a frame of so many bytes; NULL where it exceeds a slot, or the next one still belongs to the kernel.
uint8_t *tx_ring_room(struct tx_ring *r, size_t length);

// The frame that was just written into tx_ring_room() waits from now on. Its bytes need not be set.
void tx_ring_add(struct tx_ring *r, const struct tx_frame *frame);

// How many frames wait.
uint32_t tx_ring_waiting(const struct tx_ring *r);

// Sends what waits, by one call. False when the kernel has left some: the caller takes them back, every one.
bool tx_ring_send(struct tx_ring *r);

// The first frame that the kernel has left, in the order of tx_ring_add(), or false. Its bytes stay until the next
// tx_ring_room().
bool tx_ring_take_back(struct tx_ring *r, struct tx_frame *frame);

#endif
