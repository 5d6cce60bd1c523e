// SPDX-License-Identifier: Apache-2.0
// tx_ring: the transmit ring of one output interface (packet_mmap). Frames that would need a system call each wait in
// it until one call sends them all.
#ifndef MCR_RELAY_TX_RING_H
#define MCR_RELAY_TX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/layout.h"
#include "table/layout.h"

struct tx_ring;

// A frame that waits, and the counters that have counted it, to correct if it cannot be sent.
struct tx_frame {
    const uint8_t *bytes; // with its virtio_net_hdr
    size_t length;
    size_t payload; // bytes of the datagram in it
    const struct table_output *output;
    struct stats_output_counters *counters;
    uint32_t run; // frames of these counters that wait, up to this one and with no other between
};

// Maps the ring of fd, which the caller keeps and which must outlive the result. slot_size: bytes, as in the table.
// Returns NULL with errno set.
struct tx_ring *tx_ring_new(int fd, uint32_t slot_size);
void tx_ring_free(struct tx_ring *r); // unmaps it; r may be NULL

// Returns room for a frame of `length` bytes, or NULL if it exceeds a slot or the next slot still belongs to the
// kernel.
uint8_t *tx_ring_room(struct tx_ring *r, size_t length);

// Adds the frame that was just written to tx_ring_room(). frame->bytes need not be set.
void tx_ring_add(struct tx_ring *r, const struct tx_frame *frame);

// Returns how many frames wait.
uint32_t tx_ring_waiting(const struct tx_ring *r);

// Returns the run of the last frame that waits, if it has these counters, else 0.
uint32_t tx_ring_run(const struct tx_ring *r, const struct stats_output_counters *counters);

// Sends the waiting frames with one call. Returns false if the kernel has left some: the caller then calls
// tx_ring_take_back() until it returns false.
bool tx_ring_send(struct tx_ring *r);

// Takes the next frame that the kernel has left, in the order of tx_ring_add(). Its bytes are valid until the next
// tx_ring_room(). Returns false if there is none.
bool tx_ring_take_back(struct tx_ring *r, struct tx_frame *frame);

#endif
