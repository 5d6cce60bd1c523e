// SPDX-License-Identifier: Apache-2.0
// filter: the classic BPF program of an ingress socket, generated from the rules of its interface, so that only
// frames to configured destinations ever reach user space.
#ifndef MCR_BROKER_FILTER_H
#define MCR_BROKER_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One configured destination, host order.
struct filter_key {
    uint32_t address;
    uint16_t port;
};

// Builds the program for n keys (which it sorts) on frames with an Ethernet header. It accepts
//   ip and udp and ((dst host A and dst port P) or ...), and every fragment of an IPv4 datagram to one of the
// addresses, because only a first fragment names a port; VLAN tags are metadata here and do not matter.
// Where the exact program would exceed what the kernel takes (BPF_MAXINSNS) it accepts all ports of the addresses;
// where that is still too long, every UDP datagram between the lowest and the highest address. The relay matches
// exactly in any case. False when there is no memory; program->filter is freed by the caller.
bool filter_build(struct sock_fprog *program, struct filter_key *keys, size_t n);

#endif
