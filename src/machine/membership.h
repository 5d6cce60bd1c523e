// SPDX-License-Identifier: Apache-2.0
// membership: the groups that the host has joined for mcr, spread over sockets that are never read.
//
// A socket may hold net.ipv4.igmp_max_memberships of them (20 by default). The relay keeps every socket open too, so
// that the groups stay joined should the broker die.
#ifndef MCR_MACHINE_MEMBERSHIP_H
#define MCR_MACHINE_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/addr.h"
#include "machine/registry.h"

struct memberships {
    struct registry joined;
    // What the relay holds, too. Their ids differ from those of other sockets.
    struct registry sockets;
};

void memberships_init(struct memberships *m);

// Leaves all groups.
void memberships_free(struct memberships *m);

// Begins a load: nothing is wanted yet.
void memberships_begin(struct memberships *m);

// Wants group on ifindex from every sender (source NULL), or from one (RFC 4607; as IGMPv3 INCLUDE), and joins it
// unless that is done already. Call it for groups from every sender first: they are then not joined for one sender as
// well. again: the interface has gone and another has got its index, so that what was joined must be joined anew. False
// with errno.
bool memberships_want(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                      bool again);

// Ends a load: leaves what the table in force does not want (committed), or what only the failed one wanted.
void memberships_settle(struct memberships *m, bool committed);

#endif
