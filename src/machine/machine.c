// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/machine.h"

#include <limits.h>

#include "machine/feature.h"

const struct machine machine_kernel = {
    .links = link_query,
    .ring_socket = ring_socket,
    .ring_open = ring_open,
    .ring_release = ring_release,
    .ring_set_filter = ring_set_filter,
    .open = output_open,
    .has_source = output_has_source,
    .join = memberships_want,
};

// In place of a descriptor. No process can have it (fs.nr_open), so every call with it fails with EBADF.
#define NO_DESCRIPTOR INT_MAX

static int no_ring_socket(const char **step)
{
    (void) step;
    return NO_DESCRIPTOR;
}

static bool no_ring(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
                    unsigned without, bool *super_frames, const char **step)
{
    (void) fd, (void) ifindex, (void) g, (void) filter, (void) without, (void) step;
    *super_frames = false;
    return true;
}

static int no_output(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                     const char **step)
{
    (void) address, (void) step;
    *gso = kind == REGISTRY_FRAME && !(without & FEATURE_PACKET_GSO);
    return NO_DESCRIPTOR;
}

static bool any_source(const struct output_address *address)
{
    (void) address;
    return true;
}

static bool no_join(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                    bool again)
{
    (void) m, (void) ifindex, (void) group, (void) source, (void) again;
    return true;
}

const struct machine machine_none = {
    .links = link_assume,
    .ring_socket = no_ring_socket,
    .ring_open = no_ring,
    .ring_release = ring_release,
    .open = no_output,
    .has_source = any_source,
    .join = no_join,
    .only_raw = true,
};
