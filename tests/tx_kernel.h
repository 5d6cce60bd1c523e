// SPDX-License-Identifier: Apache-2.0
// tx_kernel: the kernel's side of a transmit ring, after tpacket_snd(), with the ring in a file in memory.
#ifndef MCR_TESTS_TX_KERNEL_H
#define MCR_TESTS_TX_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tx_kernel {
    int fd; // of the ring
    uint8_t *memory;
    uint32_t slot_size;
    uint32_t next; // slot where the next call goes on
    bool slow;     // what was sent belongs to the kernel until the next call
    // Asked for each frame, unless it is NULL: 0, or the error that the call ends with. EINVAL: a frame of no sense, which
    // says so afterwards; any other: one that could not be sent, and is still to be.
    int (*fails)(void *context);
    void (*take)(void *context, const uint8_t *frame, size_t length); // with its virtio_net_hdr
    void *context;
};

// Makes the ring. False with errno set.
bool tx_kernel_open(struct tx_kernel *k, uint32_t slot_size);
void tx_kernel_close(struct tx_kernel *k);

// Empties it, as it was when it was made.
void tx_kernel_reset(struct tx_kernel *k);

// Sends frames from where it stopped on, until one is not ready or fails, which stays as it is.
void tx_kernel_send(struct tx_kernel *k);

#endif
