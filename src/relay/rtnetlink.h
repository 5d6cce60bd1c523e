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

// Reads all messages of fd. Returns whether they may be relevant to the table: its interfaces by name or index, their
// addresses, and, while one of its rules waits, new routes. table NULL: every message is relevant. gone: NULL for the
// socket of addresses and routes, whose lost events are relevant, but say nothing about an interface.
bool rtnetlink_changed(int fd, const struct table_view *table, rtnetlink_gone *gone, void *context);

// Called for each neighbour that does not answer.
typedef void rtnetlink_silent(void *context, uint32_t ifindex, const struct addr *address);

// Reads all messages of RTNETLINK_NEIGHBOURS. Lost events come again, because the kernel asks again every few seconds
// while something is sent.
void rtnetlink_neighbours(int fd, rtnetlink_silent *silent, void *context);

// Does the same as rtnetlink_changed() for one buffer of `size` bytes of messages. Pure.
bool rtnetlink_concern(const void *messages, size_t size, const struct table_view *table, rtnetlink_gone *gone,
                       void *context);

#endif
