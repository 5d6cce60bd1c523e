// SPDX-License-Identifier: Apache-2.0
// keep: what the service manager keeps of mcrd while it does not run (machine/store.h): rings and memberships, the
// table in force and the memory of its state. The next start takes it up, so that a restart is a reload.
#ifndef MCR_BROKER_KEEP_H
#define MCR_BROKER_KEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "machine/sockets.h"
#include "stats/layout.h"
#include "table/image.h"
#include "table/view.h"

struct keep {
    struct store store;
    int table, state; // of the table in force, or -1
    // What the mcrd before has left, until the first load: -1, and bytes NULL, if there is nothing.
    int table_before, state_before;
    struct table_image image_before;
    struct table_view before; // of image_before
};

void keep_init(struct keep *k);
void keep_free(struct keep *k);

// Takes over n descriptors from number `first` up, each verified as if it were hostile; the others are closed. names:
// as in $LISTEN_FDNAMES. manager: socket of service_connect() or -1, which k closes. fresh: all are closed. Returns how
// many rings were taken over. To be called before the system call filter is loaded, which does not allow these checks.
size_t keep_inherit(struct keep *k, struct sockets *sockets, int manager, int first, size_t n, const char *names,
                    bool fresh);

// Returns the table of the mcrd before, or NULL.
const struct table_view *keep_before(const struct keep *k);

// Makes the memory for the state of a table. Returns a descriptor that the caller closes, or -1 with errno set.
int keep_new_state(void);

// Puts these descriptors, which k closes, in place of those of the table before. What the mcrd before has left is
// dropped.
void keep_table(struct keep *k, int table, int state);

// Says after each load what is to be kept. Then, and whenever it has returned false, keep_tell(): the manager had no
// room for all news.
void keep_settle(struct keep *k, const struct sockets *sockets);
bool keep_tell(struct keep *k);

#endif
