// SPDX-License-Identifier: Apache-2.0
// rtnetlink: events of interfaces, addresses, routes and neighbours (rtnetlink(7)). Of the first three the relay only
// learns that something which its table uses has changed; the broker finds out what.
//
// Each kind has a socket of its own, because each socket has its own queue: any host on a link can change addresses and
// routes as fast as it can send, by router advertisements (RFC 4862, section 5.5.3). That must not make the kernel lose
// events of interfaces.
#ifndef MCR_RELAY_RTNETLINK_H
#define MCR_RELAY_RTNETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table/view.h"

enum rtnetlink_news {
    RTNETLINK_INTERFACES,
    RTNETLINK_ADDRESSES,  // and routes
    RTNETLINK_NEIGHBOURS, // those that do not answer (NUD_FAILED): a filter of the socket drops all others
};

// Opens the socket for these events, before the sandbox takes effect. Returns its descriptor, which the caller closes,
// or -1 with errno set.
int rtnetlink_open(enum rtnetlink_news news);

// In place of an index: the kernel has lost events of interfaces, so any interface may have changed or gone.
#define RTNETLINK_LOST 0

// Called for each interface index that has gone. Nothing may be sent by this index any more: another interface can get
// it at once.
typedef void rtnetlink_gone(void *context, uint32_t ifindex);

// What events are relevant to; each includes the one before.
enum rtnetlink_concern {
    RTNETLINK_NOTHING,
    RTNETLINK_OTHERS, // an interface, or an address of one, that the table does not use: a file may wait for it
    RTNETLINK_TABLE,  // the table's interfaces by name or index, their addresses, and routes while one of its rules
                      // waits
};

// Reads all messages of fd and returns what they may be relevant to. table NULL: every message is relevant to it. gone:
// NULL for the socket of addresses and routes, whose lost events are relevant, but say nothing about an interface.
enum rtnetlink_concern rtnetlink_changed(int fd, const struct table_view *table, rtnetlink_gone *gone, void *context);

// Called for each neighbour that does not answer.
typedef void rtnetlink_silent(void *context, uint32_t ifindex, const struct addr *address);

// Reads all messages of RTNETLINK_NEIGHBOURS. Lost events come again, because the kernel asks again every few seconds
// while something is sent.
void rtnetlink_neighbours(int fd, rtnetlink_silent *silent, void *context);

#endif
