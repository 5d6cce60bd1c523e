// SPDX-License-Identifier: Apache-2.0
// machine: what is asked of the computer that mcrd runs on, as a table. The broker asks the kernel; what only looks at
// a file (mcrd --explain, --replay) has a machine that opens nothing; the fuzz targets have one of their own
// (tests/fuzz/machine.c). Nothing above this room knows which one it has.
#ifndef MCR_MACHINE_MACHINE_H
#define MCR_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/link.h"
#include "machine/membership.h"
#include "machine/output.h"
#include "machine/ring.h"

// Each member does what the function named beside it does. What a machine has opened is revoked and closed by system
// calls, which do no harm to a descriptor that is no socket.
struct machine {
    bool (*links)(struct link *links, size_t n); // link_query()
    int (*ring_socket)(const char **step);       // ring_socket() and so on
    bool (*ring_open)(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
                      unsigned without, bool *super_frames, const char **step);
    bool (*ring_release)(int fd);
    bool (*ring_set_filter)(int fd, const struct ring_filter *filter);
    int (*open)(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                const char **step); // output_open()
    bool (*join)(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                 bool again); // memberships_want()
    bool only_raw;            // no UDP sockets: the IP header of every output is one that mcr writes
};

extern const struct machine machine_kernel;

// Opens nothing, and has no ring_set_filter(). An interface that is missing here is assumed to be there
// (link_assume()).
extern const struct machine machine_none;

#endif
