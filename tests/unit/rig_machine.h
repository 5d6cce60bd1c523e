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

// Puts a datagram into the ring of an interface, as the kernel does.
void rig_machine_put(struct relay *r, const char *interface, uint8_t group, uint8_t host, const void *payload,
                     size_t size, uint64_t stamp_ns);

// Closes its ends, and writes what is still open of the others'.
void rig_machine_end(FILE *to);

#endif
