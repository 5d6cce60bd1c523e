// SPDX-License-Identifier: Apache-2.0
// links: rtnetlink's news about interfaces, addresses and routes (rtnetlink(7)). The relay only learns that something
// which its table uses has changed; the broker finds out what.
#ifndef MCR_RELAY_LINKS_H
#define MCR_RELAY_LINKS_H

#include <stdbool.h>

#include "table/view.h"

// Opens the socket, before the sandbox. A descriptor, or -1 with errno set.
int links_open(void);

// Reads all that has come. Whether it may matter to table: its interfaces by name or index, their addresses, and, while
// one of its outputs is closed, routes. Without a table (NULL) anything may.
bool links_changed(int fd, const struct table_view *table);

// The same for one buffer of messages; pure.
bool links_concern(const void *messages, size_t size, const struct table_view *table);

#endif
