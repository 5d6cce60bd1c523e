// SPDX-License-Identifier: Apache-2.0
// link: the present state and addresses of network interfaces.
#ifndef MCR_MACHINE_LINK_H
#define MCR_MACHINE_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"

struct link {
    char name[IFNAMSIZ];
    char other[IFNAMSIZ]; // name is an alternative one of this interface, and no other field is set; "": it is not
    uint32_t ifindex;     // 0: there is no interface of this name
    bool up;
    bool assumed;  // it does not exist (link_assume())
    bool ethernet; // frames begin with an Ethernet header
    bool loopback;
    uint8_t mac[6];
    uint32_t mtu;          // bytes
    struct addr ipv4;      // first IPv4 address, or ADDR_NONE
    struct addr broadcast; // of the subnet of ipv4, or ADDR_NONE
    struct addr ipv6;      // an IPv6 address of more than link scope, or ADDR_NONE; configured ones come first
    struct addr local6;    // an IPv6 link-local address, or ADDR_NONE
    struct addr *own;      // all addresses and the broadcasts of their subnets, sorted by addr_compare()
    uint32_t n_own;
};

// Fills in n links, whose names are set and whose other fields are zero. A missing interface is no error: its ifindex
// stays 0. Returns false with errno set if the kernel does not list the interfaces. The caller calls link_release() in
// either case.
bool link_query(struct link *links, size_t n);

void link_release(struct link *links, size_t n);

// Does the same for a machine that opens nothing, and assumes that missing interfaces exist: up, with Ethernet, MTU
// 1500, the unspecified addresses, and the locally administered MAC address 02:6d:63:72:00:NN, where NN is the number
// in links from 1 on. Their indexes are larger than those that the kernel assigns.
bool link_assume(struct link *links, size_t n);

// Returns whether link_assume() has assumed the link of this index.
bool link_is_assumed(uint32_t ifindex);

// Returns whether a socket can be bound to this address: some interface of this host has it. True if the kernel does
// not answer.
bool link_has_address(const struct addr *a);

// Returns the source address of l for datagrams to `to`: of its family and, in IPv6, of its scope if l has one. Its
// family is ADDR_NONE if l has no address.
const struct addr *link_source(const struct link *l, const struct addr *to);

#endif
