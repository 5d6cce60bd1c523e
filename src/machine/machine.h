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

// Each member does what the function of the header named beside it does. NULL: this machine has none of these.
struct machine {
    bool (*links)(struct link *links, size_t n); // link.h: link_query()

    int (*ring_socket)(const char **step); // ring.h
    bool (*ring_open)(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
                      unsigned without, bool *super_frames, const char **step);
    bool (*ring_release)(int fd);
    bool (*ring_set_filter)(int fd, const struct ring_filter *filter);

    int (*open_frame)(uint32_t ifindex, const char **step); // output.h
    int (*open_tx_ring)(uint32_t ifindex, uint32_t slot_size, const char **step);
    int (*open_socket)(const struct output_address *a, unsigned without, bool *gso, const char **step);
    int (*open_raw)(const struct output_address *a, bool udp, const char **step);
    int (*open_quiet)(const char *interface, uint32_t ifindex, const struct addr *address, uint16_t port,
                      const char **step);
    void (*revoke_frame)(int fd);
    void (*revoke_flow)(int fd);
    bool (*revoke_tx_ring)(int fd);

    bool (*join)(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                 bool again); // membership.h: memberships_want()

    bool (*outlived)(int fd); // whether the interface of this packet socket is gone
    int (*close)(int fd);
};

extern const struct machine machine_kernel;

// Opens nothing. An interface that is missing here is assumed to be there (link_assume()). Without UDP sockets every
// output's IP header is one that mcr writes, as someone must.
extern const struct machine machine_none;

#endif
