// SPDX-License-Identifier: Apache-2.0
// output: opens and revokes the sockets of outputs, and quiet sockets, which keep the kernel from sending ICMP errors.
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
    uint32_t slot_size;         // TX_RING: bytes
    bool own_source;            // the interface is known to have source
};

// Opens a socket for address, on its interface. without: mask of enum feature. *gso: whether it takes several datagrams
// at once. Returns a descriptor that the caller closes, or -1 with errno set and *step the name of what failed.
//   FRAME       a packet socket for whole frames with a virtio_net_hdr before each; only ifindex matters
//   TX_RING     the same with a transmit ring (packet_mmap) of TABLE_TX_SLOTS slots of slot_size bytes
//   SOCKET      a UDP socket, bound to source and connected to destination
//   RAW         a raw socket, connected to destination, for packets with an IP header (IP_HDRINCL); ports do not matter
//   RAW_UDP     a raw socket, bound to source and connected to destination, for UDP headers and payloads
//   QUIET       a UDP socket that is bound to destination, an address of this host, and never read, so that the kernel
//               sends no ICMP errors for datagrams to it
// None of them receives anything.
int output_open(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                const char **step);

// Whether a socket could be bound to source, by the interface, now: a bound one stays bound when the address goes, and
// the kernel refuses what it sends. True where that cannot be found out.
bool output_has_source(const struct output_address *address);

// Revokes a socket of this kind: nothing more can be sent by it, even by another process that has its descriptor. Does
// nothing to a QUIET socket. Returns false if another process still maps its transmit ring: its memory then stays until
// the next call.
bool output_revoke(enum registry_kind kind, int fd);

// Returns the slot size of the transmit ring of an interface with this MTU: bytes, a power of two. *holds: the largest
// MTU whose frames fit a slot; each larger frame leaves by its own call.
uint32_t output_slot_size(uint32_t mtu, uint32_t *holds);

#endif
