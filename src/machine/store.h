// SPDX-License-Identifier: Apache-2.0
// store: the descriptors that the service manager keeps while mcrd does not run (FDSTORE=1 of sd_notify(3)): it hands
// them to the next start, so that what arrives in between is lost by nobody.
//
// The owner says after each load what is to be kept; what else is in the store is taken out. The manager is told
// without ever waiting for it.
#ifndef MCR_MACHINE_STORE_H
#define MCR_MACHINE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_NAME_MAX 256 // bytes of a name with its end, as FDNAME of sd_notify(3), which has no colons

struct store {
    int manager;   // socket of service_connect(), which the caller closes; -1: there is no manager, nothing is done
    uint32_t most; // descriptors that it keeps; 0: not known, all are told
    // In the order in which the manager learns of them. An entry that goes is behind none that takes its name.
    struct store_entry {
        char name[STORE_NAME_MAX];
        int fd;
        uint64_t inode; // of what fd was; the number of a descriptor that was closed is given to the next
        enum { STORE_COMES, STORE_IN, STORE_GOES } state;
        bool first; // it is told before those that are not
        bool kept;  // scratch of a load
    } * entries;
    size_t n, room;
};

void store_free(struct store *s);

// Notes a descriptor that the manager has handed over, and so still has; fd -1: it is closed here. Does nothing without
// a name or memory: it then stays in the store until mcrd is stopped. first: as for store_keep().
void store_note(struct store *s, const char *name, int fd, bool first);

// Begin, for each descriptor, and end: what the store is to have; anew: nothing else, otherwise in the place of what it
// has of these names. A name stands for one descriptor. first: of all news, those of such names are told before the
// others. Without memory, a descriptor is not kept.
void store_begin(struct store *s, bool anew);
void store_keep(struct store *s, const char *name, int fd, bool first);
void store_settle(struct store *s);

// Tells the manager what it does not know yet. Returns false if it cannot take more just now: call again later.
bool store_send(struct store *s);

// Returns how many descriptors exceed what the manager keeps, and so were not told.
size_t store_over(const struct store *s);

#endif
