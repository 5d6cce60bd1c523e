// SPDX-License-Identifier: Apache-2.0
// rtnetlink: rtnetlink's news about interfaces, addresses, routes and neighbours (rtnetlink(7)). Of the first three the
// relay only learns that something which its table uses has changed; the broker finds out what.
//
// A socket for each kind, because each has its own room for news: any host of a link can make addresses and routes
// change as fast as it can send, by router advertisements (RFC 4862, section 5.5.3). That must not cost the news of
// interfaces.
#ifndef MCR_RELAY_RTNETLINK_H
#define MCR_RELAY_RTNETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table/view.h"

enum rtnetlink_news {
    RTNETLINK_INTERFACES,
    RTNETLINK_ADDRESSES,  // with routes
    RTNETLINK_NEIGHBOURS, // those that do not answer (NUD_FAILED): a filter of the socket drops all others
};

// Opens the socket for these news, before the sandbox. A descriptor, or -1 with errno set.
int rtnetlink_open(enum rtnetlink_news news);

// Passed in place of an index: the kernel lost news of interfaces. Any interface may have changed or gone.
#define RTNETLINK_LOST 0

// Called for each interface index that has gone. Nothing may be sent by it any more: another interface can get it at
// once.
typedef void rtnetlink_gone(void *context, uint32_t ifindex);

// Reads all messages. Returns whether they may matter to table: its interfaces by name or index,
// their addresses, and, while one of its outputs is closed, routes. Without a table (NULL) anything may. gone: NULL for
// addresses and routes, of which what was lost may matter, and no more.
bool rtnetlink_changed(int fd, const struct table_view *table, rtnetlink_gone *gone, void *context);

// Called for each address that was asked for on a link, and did not answer.
typedef void rtnetlink_silent(void *context, uint32_t ifindex, const struct addr *address);

// Reads all messages of RTNETLINK_NEIGHBOURS. What the kernel lost comes again: it asks anew every few seconds while
// something is to be sent.
void rtnetlink_neighbours(int fd, rtnetlink_silent *silent, void *context);

// The same as rtnetlink_changed() for one buffer of messages; pure.
bool rtnetlink_concern(const void *messages, size_t size, const struct table_view *table, rtnetlink_gone *gone,
                       void *context);

#endif
