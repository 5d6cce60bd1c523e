// SPDX-License-Identifier: Apache-2.0
// machine: the operations on the host, as a table of functions. The broker uses the kernel's. The commands that only
// inspect a file (mcrd --explain, --replay) use a machine that opens nothing, and the fuzz targets one of their own
// (tests/fuzz/machine.c). No code above machine/ knows which one it uses.
#ifndef MCR_MACHINE_MACHINE_H
#define MCR_MACHINE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/link.h"
#include "machine/membership.h"
#include "machine/output.h"
#include "machine/ring.h"

// Each member behaves as the function named beside it. Descriptors from any machine are revoked and closed by system
// calls, which fail without effect if the descriptor is no socket.
struct machine {
    bool (*links)(struct link *links, size_t n); // link_query()
    int (*ring_socket)(const char **step);       // ring_socket() and so on
    bool (*ring_open)(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
                      unsigned without, bool *super_frames, const char **step);
    bool (*ring_release)(int fd);
    bool (*ring_set_filter)(int fd, const struct ring_filter *filter);
    int (*open)(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                const char **step);                           // output_open()
    bool (*has_source)(const struct output_address *address); // output_has_source()
    bool (*join)(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                 bool again); // memberships_want()
    bool only_raw;            // use no UDP sockets, so that mcr writes the IP header of every output
};

extern const struct machine machine_kernel;

// Opens nothing, and has no ring_set_filter(). Assumes that missing interfaces exist (link_assume()).
extern const struct machine machine_none;

#endif
