// SPDX-License-Identifier: Apache-2.0
// filter: the classic BPF program of an ingress socket, generated from the rules of its interface, so that only frames
// to configured destinations reach user space.
#ifndef MCR_MACHINE_FILTER_H
#define MCR_MACHINE_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

// One configured destination.
struct filter_key {
    struct addr address;
    uint16_t port; // host order
};

// Builds the program for n keys, which it sorts, on frames with an Ethernet header or on bare IP packets. It accepts
//   udp and ((dst host A and dst port P) or ...)
// and every fragment to one of the addresses, because only a first fragment has a port; in IPv6 also every packet to
// one of the addresses that has extension headers. VLAN tags are metadata here and do not matter.
//
// If this program exceeds BPF_MAXINSNS of the kernel, it accepts all ports of the addresses; if that is still too long,
// every UDP datagram. `coarser` skips the exact program (1), or that of the addresses, too (2 = FILTER_COARSEST). The
// relay matches exactly in any case. Returns false without memory; the caller frees program->filter.
#define FILTER_COARSEST 2
bool filter_build(struct sock_fprog *program, struct filter_key *keys, size_t n, bool ethernet, int coarser);

#endif
