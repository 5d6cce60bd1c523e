// SPDX-License-Identifier: Apache-2.0
// output: the sockets by which datagrams leave, and those that keep the kernel quiet.
#ifndef MCR_MACHINE_OUTPUT_H
#define MCR_MACHINE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "machine/registry.h"

struct output_address {
    char interface[16];
    uint32_t ifindex;
    struct addr source, destination;
    uint16_t source_port, port; // host order
    uint32_t slot_size;         // of a transmit ring
};

// Opens a socket for address by its interface. Returns a descriptor that the caller closes, or -1 with errno set and
// *step the name of what failed. *gso: whether it takes several datagrams at once; without: mask of enum feature.
//   FRAME       a packet socket for whole frames with a virtio_net_hdr before each; only ifindex matters
//   TX_RING     another one, with a transmit ring (packet_mmap) of TABLE_TX_SLOTS slots of slot_size bytes
//   SOCKET      a UDP socket, bound to source and connected to destination
//   RAW         a raw socket, connected to destination, for packets with their IP header (IP_HDRINCL); no port matters
//   RAW_UDP     another one, for UDP headers and payloads of source
//   QUIET       a UDP socket bound to destination, an address of this host, and never read, so that the kernel takes
//               datagrams to it for wanted and sends no ICMP errors
// None of them receives anything.
int output_open(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                const char **step);

// Takes a socket of this kind out of service, whoever else holds it: nothing more can be sent by it. False: another
// process still maps its transmit ring, so that its memory stays until the next call. A QUIET one needs none of it.
bool output_revoke(enum registry_kind kind, int fd);

// Slots of the transmit ring of an interface of this MTU: bytes, a power of two. *holds: the largest MTU whose frames
// fit one; what exceeds it leaves by itself.
uint32_t output_slot_size(uint32_t mtu, uint32_t *holds);

#endif
