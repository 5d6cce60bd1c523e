// SPDX-License-Identifier: Apache-2.0
// output: the sockets by which datagrams leave.
#ifndef MCR_MACHINE_OUTPUT_H
#define MCR_MACHINE_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"

// Opens a packet socket for whole frames with a virtio_net_hdr before each, bound to ifindex; it receives nothing.
// Returns a descriptor that the caller closes, or -1 with errno set and *step the name of what failed.
int output_open_frame(uint32_t ifindex, const char **step);

// Slots of the transmit ring of an interface of this MTU: bytes, a power of two. *holds: the largest MTU whose frames
// fit one; what exceeds it leaves by itself.
uint32_t output_slot_size(uint32_t mtu, uint32_t *holds);

// Opens another such socket with a transmit ring (packet_mmap) of TABLE_TX_SLOTS slots. Returns as above.
int output_open_tx_ring(uint32_t ifindex, uint32_t slot_size, const char **step);

// Take a socket out of service, whoever else holds it: nothing more can be sent by it. For those of
// output_open_frame(); of output_open_socket() and output_open_raw(); of output_open_tx_ring(), where false means that
// another process still maps the ring, so that its memory stays until the next call.
void output_revoke_frame(int fd);
void output_revoke_flow(int fd);
bool output_revoke_tx_ring(int fd);

struct output_address {
    char interface[16];
    uint32_t ifindex;
    struct addr source, destination;
    uint16_t source_port, port; // host order
};

// Opens a UDP socket connected to the flow's destination by its interface; it receives nothing. *gso tells whether
// it takes UDP_SEGMENT; without: mask of enum feature. Returns as above.
int output_open_socket(const struct output_address *flow, unsigned without, bool *gso, const char **step);

// Opens a raw socket connected to the flow's destination by its interface. It takes packets with their IP header
// (IP_HDRINCL), or, udp, UDP headers and payloads of the flow's source; no port of the flow matters. Returns as above.
int output_open_raw(const struct output_address *flow, bool udp, const char **step);

// Opens a UDP socket bound to an address of this host and never read, so that the kernel takes datagrams to it for
// wanted and sends no ICMP errors. Returns as above.
int output_open_quiet(const char *interface, uint32_t ifindex, const struct addr *address, uint16_t port,
                      const char **step);

#endif
