// SPDX-License-Identifier: Apache-2.0
// local: the interfaces and addresses of this host, and what a file says against them.
#ifndef MCR_CONFIG_LOCAL_H
#define MCR_CONFIG_LOCAL_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/addr.h"
#include "config/model.h"
#include "config/problems.h"

struct local {
    struct local_address {
        char interface[IFNAMSIZ];
        struct addr_prefix net; // the address itself, with the bits of its subnet
        bool to_one;            // the other end is one host, not a subnet
        bool running;           // up, with a link
    } * list;
    size_t n;
};

// Asks the kernel. What it does not tell, or what there is no memory for, is missing. Freed with local_free().
void local_read(struct local *local);
void local_free(struct local *local);

#define LOCAL_HINT_MAX 96

// What an interface that does not exist may stand for: " (did you mean "ot0"?)", or that it is an address; else "".
// Returns text.
const char *local_interface_hint(const struct local *local, const char *name, char text[LOCAL_HINT_MAX]);

#define LOCAL_BROADCASTS_MAX 256

// What an input with broadcast = true takes in by this interface: " (here 255.255.255.255, 198.18.1.255)"; "" if there
// is no such interface. Those that find no room are left out. Returns text.
const char *local_broadcasts(const struct local *local, const char *interface, char text[LOCAL_BROADCASTS_MAX]);

// Adds a warning for each address in an enabled rule by which nothing can arrive or leave: one that this host does not
// have, its own as a receiver, a receiver or a sender on the subnet of another interface, and a receiver behind a
// router that the ttl does not reach. What names an interface that does not exist is passed over.
void local_check(const struct config *c, const struct local *local, struct config_problems *problems);

#endif
