// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/machine.h"

#include <limits.h>
#include <netpacket/packet.h>
#include <sys/socket.h>
#include <unistd.h>

// --- the kernel ------------------------------------------------------------------------------------------------------

// A packet socket forgets its interface when that goes, and never finds another one of the same index.
static bool outlived(int fd)
{
    struct sockaddr_ll where;
    socklen_t length = sizeof(where);

    return getsockname(fd, (struct sockaddr *) &where, &length) == 0 && where.sll_ifindex <= 0;
}

const struct machine machine_kernel = {
    .links = link_query,
    .ring_socket = ring_socket,
    .ring_open = ring_open,
    .ring_release = ring_release,
    .ring_set_filter = ring_set_filter,
    .open_frame = output_open_frame,
    .open_tx_ring = output_open_tx_ring,
    .open_socket = output_open_socket,
    .open_raw = output_open_raw,
    .open_quiet = output_open_quiet,
    .revoke_frame = output_revoke_frame,
    .revoke_flow = output_revoke_flow,
    .revoke_tx_ring = output_revoke_tx_ring,
    .join = memberships_want,
    .outlived = outlived,
    .close = close,
};

// --- none ------------------------------------------------------------------------------------------------------------

#define NO_DESCRIPTOR INT_MAX // stands for whatever would be open

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

static bool no_filter(int fd, const struct ring_filter *filter)
{
    (void) fd, (void) filter;
    return true;
}

static int no_frame(uint32_t ifindex, const char **step)
{
    (void) ifindex, (void) step;
    return NO_DESCRIPTOR;
}

static int no_raw(const struct output_address *a, bool udp, const char **step)
{
    (void) a, (void) udp, (void) step;
    return NO_DESCRIPTOR;
}

static int no_quiet(const char *interface, uint32_t ifindex, const struct addr *address, uint16_t port,
                    const char **step)
{
    (void) interface, (void) ifindex, (void) address, (void) port, (void) step;
    return NO_DESCRIPTOR;
}

static bool no_join(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                    bool again)
{
    (void) m, (void) ifindex, (void) group, (void) source, (void) again;
    return true;
}

static void no_revoke(int fd)
{
    (void) fd;
}

static bool no_release(int fd)
{
    (void) fd;
    return true;
}

static bool never_outlived(int fd)
{
    (void) fd;
    return false;
}

static int no_close(int fd)
{
    (void) fd;
    return 0;
}

const struct machine machine_none = {
    .links = link_assume,
    .ring_socket = no_ring_socket,
    .ring_open = no_ring,
    .ring_release = no_release,
    .ring_set_filter = no_filter,
    .open_frame = no_frame,
    .open_raw = no_raw,
    .open_quiet = no_quiet,
    .revoke_frame = no_revoke,
    .revoke_flow = no_revoke,
    .revoke_tx_ring = no_release,
    .join = no_join,
    .outlived = never_outlived,
    .close = no_close,
};
