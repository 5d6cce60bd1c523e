// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "machine/feature.h"
#include "machine/option.h"
#include "common/descriptors.h"
#include "common/kernel.h"
#include "log/log.h"

#define BLOCK_SIZE    (256u << 10) // bytes; a multiple of every page size up to 64 KiB
#define OVERSIZE_ROOM (8 << 20)    // bytes for frames that exceed a slot; the kernel caps it at rmem_max

struct ring_geometry ring_geometry(uint32_t mtu, uint32_t ring_mib)
{
    // tpacket_rcv() writes the network header after the slot's header, sockaddr_ll, at least 16 bytes for the link
    // header, and the virtio_net_hdr. 4 bytes are for a tag that stays in the frame.
    uint32_t used = TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + sizeof(struct virtio_net_hdr) + mtu + 4;
    struct ring_geometry g = {.block_size = BLOCK_SIZE};

    g.slot_size = used < 256 ? 256 : (used + 63) & ~63u; // whole cache lines
    if (g.slot_size > BLOCK_SIZE)
        g.slot_size = BLOCK_SIZE;
    g.n_slots = (ring_mib << 20) / BLOCK_SIZE * (BLOCK_SIZE / g.slot_size);
    return g;
}

bool ring_set_filter(int fd, const struct ring_filter *filter)
{
    bool attached = false;

    errno = ENOMEM;
    for (int coarser = 0; !attached && errno == ENOMEM && coarser <= FILTER_COARSEST; coarser++) {
        struct sock_fprog program;
        if (!filter_build(&program, filter->keys, filter->n, filter->ethernet, coarser))
            return false;
        attached = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
        int saved = errno;
        free(program.filter);
        errno = saved;
    }
    return attached;
}

// Logs a receive buffer that is smaller than OVERSIZE_ROOM. The kernel reports twice the bytes that were requested.
static void warn_if_small(int fd, uint32_t ifindex)
{
    int got = 0;
    socklen_t length = sizeof(got);

    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &length) == 0 && got < OVERSIZE_ROOM)
        log_info(EVENT_BUFFER_SMALL,
                 "index=%u bytes=%d effect=\"bursts of super-frames are truncated: raise net.core.rmem_max\"", ifindex,
                 got / 2);
}

int ring_socket(const char **step)
{
    // With protocol 0 no frame arrives before bind().
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = option_step(step, "socket (needs CAP_NET_RAW)", fd >= 0) &&
              option_step(step, "SO_ATTACH_FILTER", option_refuse_everything(fd));

    return ok ? fd : descriptors_close(fd);
}

bool ring_open(int fd, uint32_t ifindex, const struct ring_geometry *g, const struct ring_filter *filter,
               unsigned without, bool *super_frames, const char **step)
{
    struct tpacket_req ring = {
        .tp_block_size = g->block_size,
        .tp_block_nr = g->n_slots / (g->block_size / g->slot_size),
        .tp_frame_size = g->slot_size,
        .tp_frame_nr = g->n_slots,
    };
    struct sockaddr_ll where = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int) ifindex};
    struct tpacket_stats before;
    socklen_t length = sizeof(before);

    *super_frames = !(without & FEATURE_SUPER_FRAMES) && feature_super_frames(fd);
    bool ok =
        option_step(step, "PACKET_VERSION", option_set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2)) &&
        // The virtio_net_hdr has the segment size of super-frames.
        option_step(step, "PACKET_VNET_HDR", !*super_frames || option_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) &&
        // The kernel queues frames that exceed a slot whole, for read().
        option_step(step, "PACKET_COPY_THRESH", !*super_frames || option_set(fd, SOL_PACKET, PACKET_COPY_THRESH, 1)) &&
        option_step(step, "SO_RCVBUF", option_set(fd, SOL_SOCKET, SO_RCVBUF, OVERSIZE_ROOM)) &&
        // If the kernel lacks this option, the relay drops the host's own frames.
        option_step(step, "PACKET_IGNORE_OUTGOING",
                    without & FEATURE_IGNORE_OUTGOING || option_set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) ||
                        errno == ENOPROTOOPT) &&
        // Reading the statistics clears those of an earlier ring of this socket.
        option_step(step, "PACKET_STATISTICS", getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &before, &length) == 0) &&
        option_step(step, "PACKET_RX_RING (no memory for ring_mib?)",
                    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) == 0) &&
        option_step(step, "bind", bind(fd, (struct sockaddr *) &where, sizeof(where)) == 0) &&
        // The filter comes last: until then that of ring_socket() refuses every frame.
        option_step(step, "SO_ATTACH_FILTER", ring_set_filter(fd, filter));

    if (ok && *super_frames)
        warn_if_small(fd, ifindex);
    return ok;
}

// Returns whether this option of the socket has this value. An option that the kernel does not know has none.
static bool has(int fd, int level, int name, int value)
{
    int got = ~value;
    socklen_t length = sizeof(got);

    return getsockopt(fd, level, name, &got, &length) == 0 && got == value;
}

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 // Linux 5.14
#endif

// Returns whether both sockets are of one network namespace, or the kernel is too old to tell.
static bool same_network(int a, int b)
{
    uint64_t cookies[2] = {0, 0};
    socklen_t length = sizeof(cookies[0]);

    return (getsockopt(a, SOL_SOCKET, SO_NETNS_COOKIE, &cookies[0], &length) != 0 && errno == ENOPROTOOPT) ||
           (getsockopt(b, SOL_SOCKET, SO_NETNS_COOKIE, &cookies[1], &length) == 0 && cookies[0] == cookies[1]);
}

static bool is_bound_to(int fd, uint32_t ifindex)
{
    struct sockaddr_ll where = {.sll_ifindex = 0};
    socklen_t length = sizeof(where);

    return getsockname(fd, (struct sockaddr *) &where, &length) == 0 && where.sll_family == AF_PACKET &&
           where.sll_protocol == htons(ETH_P_ALL) && where.sll_ifindex > 0 && (uint32_t) where.sll_ifindex == ifindex;
}

// Returns whether the ring's memory has this size. The kernel maps the whole of it or nothing (packet_mmap()).
static bool has_memory_of(int fd, const struct ring_geometry *g)
{
    size_t size = (size_t) (g->n_slots / (g->block_size / g->slot_size)) * g->block_size;
    void *ring = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

    return ring != MAP_FAILED && munmap(ring, size) == 0;
}

bool ring_verify(int fd, int own, uint32_t ifindex, const struct ring_geometry *g, bool super_frames, const char **why)
{
    return option_step(why, "no packet socket",
                       has(fd, SOL_SOCKET, SO_DOMAIN, AF_PACKET) && has(fd, SOL_SOCKET, SO_TYPE, SOCK_RAW)) &&
           option_step(why, "of another network namespace", same_network(fd, own)) &&
           option_step(why, "not bound to the interface, which may be another one now", is_bound_to(fd, ifindex)) &&
           option_step(why, "its filter cannot be replaced", has(fd, SOL_SOCKET, SO_LOCK_FILTER, 0)) &&
           option_step(why, "other options",
                       has(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2) && has(fd, SOL_PACKET, PACKET_RESERVE, 0) &&
                           has(fd, SOL_PACKET, PACKET_TIMESTAMP, 0) && has(fd, SOL_PACKET, PACKET_FANOUT, 0) &&
                           has(fd, SOL_PACKET, PACKET_VNET_HDR, super_frames)) &&
           option_step(why, "a ring of another size", has_memory_of(fd, g)) &&
           option_step(why, "its options cannot be set",
                       (!super_frames || option_set(fd, SOL_PACKET, PACKET_COPY_THRESH, 1)) &&
                           option_set(fd, SOL_SOCKET, SO_RCVBUF, OVERSIZE_ROOM) &&
                           fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
}

bool ring_release(int fd)
{
    // Without an interface the socket cannot send. It receives nothing but frames of a protocol for experiments, which
    // the filter refuses; a socket cannot be bound to protocol 0 again.
    struct sockaddr_ll nowhere = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_802_EX1)};
    struct tpacket_req none = {.tp_block_size = 0};

    option_refuse_everything(fd);
    bind(fd, (struct sockaddr *) &nowhere, sizeof(nowhere));
    return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none)) == 0;
}
