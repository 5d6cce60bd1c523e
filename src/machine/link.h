// SPDX-License-Identifier: Apache-2.0
// link: what the kernel says of a network interface now.
#ifndef MCR_MACHINE_LINK_H
#define MCR_MACHINE_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

struct link {
    char name[IFNAMSIZ];
    uint32_t ifindex; // 0: there is no such interface
    bool up;
    bool assumed;  // it is not there (link_assume)
    bool ethernet; // frames begin with an Ethernet header
    bool loopback;
    uint8_t mac[6];
    uint32_t mtu;          // bytes
    struct addr ipv4;      // its first IPv4 address; ADDR_NONE: it has none
    struct addr broadcast; // of that address's subnet; ADDR_NONE: it has none
    struct addr ipv6;      // its first IPv6 address of more than link scope
    struct addr local6;    // its first IPv6 link-local address
    struct addr *own;      // all its addresses and the broadcasts of their subnets, in the order of addr_compare()
    uint32_t n_own;
};

// Fills links[0..n-1], whose names are given, from one answer of the kernel. False with errno set when the kernel
// does not answer; a missing interface is no error. The links take memory that link_release() frees, in either case.
bool link_query(struct link *links, size_t n);

void link_release(struct link *links, size_t n);

// The same for a machine that opens nothing: an interface that is missing is assumed to be there: up, with Ethernet,
// MTU 1500, the unspecified addresses, and the locally administered hardware address 02:6d:63:72:00:NN, NN being its
// number in links from 1 on. The indexes of these are beyond those that the kernel gives.
bool link_assume(struct link *links, size_t n);

// The address of l to send to `to` from: one of its family and, in IPv6, of its scope where there is one. ADDR_NONE:
// none.
const struct addr *link_source(const struct link *l, const struct addr *to);

#endif
