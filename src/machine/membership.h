// SPDX-License-Identifier: Apache-2.0
// membership: the multicast groups that mcr has joined, by sockets that are never read.
//
// A socket can join net.ipv4.igmp_max_memberships groups (20 by default), so there are several. The relay keeps every
// socket open, too, so that the groups stay joined if the broker dies.
#ifndef MCR_MACHINE_MEMBERSHIP_H
#define MCR_MACHINE_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "machine/registry.h"

struct memberships {
    struct registry joined;
    // The sockets, which the relay keeps open, too. Their ids differ from those of other sockets.
    struct registry sockets;
};

void memberships_init(struct memberships *m);

// Leaves all groups.
void memberships_free(struct memberships *m);

// Begins a load: marks every membership as unwanted.
void memberships_begin(struct memberships *m);

// Marks the group on ifindex as wanted, and joins it unless it is joined already: from every sender (source NULL), or
// from one (RFC 4607; IGMPv3 INCLUDE). Call it for groups from every sender first, so that they are not joined for
// single senders as well. again: another interface has got this index, so existing memberships must be joined again.
// Returns false with errno set.
bool memberships_want(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                      bool again);

// Ends a load. committed: leaves the groups that are not wanted; else: leaves those that only this load has joined.
void memberships_narrow(struct memberships *m);
void memberships_settle(struct memberships *m, bool committed);

#endif
