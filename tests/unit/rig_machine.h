// SPDX-License-Identifier: Apache-2.0
// rig_machine: the rig's interfaces, rings and outputs: files and sockets in their place.
#ifndef MCR_TESTS_UNIT_RIG_MACHINE_H
#define MCR_TESTS_UNIT_RIG_MACHINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "machine/machine.h"

struct relay;

extern const struct machine rig_machine;

// Writes the datagrams that have left, those of one kind in one line.
void rig_machine_say(FILE *to);

// How the kernel says that a frame came: as packet_mmap has it.
struct rig_slot {
    uint8_t kind; // PACKET_HOST and so on
    uint32_t status;
    uint16_t tci, tpid, mac; // mac 0: where it is
    uint16_t cut;            // bytes of the frame that are not in the slot
};

// Puts a frame into the ring of an interface.
void rig_machine_frame(struct relay *r, const char *interface, const uint8_t *frame, size_t size, uint64_t stamp_ns,
                       const struct rig_slot *how);

// Writes a datagram from 198.18.0.HOST, port 40000, to 239.255.0.GROUP, port 5000, without a checksum. Returns its
// size.
size_t rig_machine_udp(uint8_t *frame, uint8_t group, uint8_t host, const void *payload, size_t size);
// The sum of its IP header anew.
void rig_machine_sign(uint8_t *frame);

// Closes its ends, and writes what is still open of the others'.
void rig_machine_end(FILE *to);

#endif
