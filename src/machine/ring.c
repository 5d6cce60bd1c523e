// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/feature.h"
#include "common/kernel.h"
#include "log/log.h"

#define BLOCK_SIZE (256u << 10) // bytes; a multiple of every page size up to 64 KiB

struct ring_geometry ring_geometry(uint32_t mtu, uint32_t ring_mib)
{
    // tpacket_rcv() puts the network header behind the slot's own header, sockaddr_ll, at least 16 bytes for the
    // link header, and the virtio_net_hdr; 4 bytes for a tag that stays in the frame.
    uint32_t used = TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + sizeof(struct virtio_net_hdr) + mtu + 4;
    struct ring_geometry g = {.block_size = BLOCK_SIZE};

    g.slot_size = used < 256 ? 256 : (used + 63) & ~63u; // whole cache lines
    if (g.slot_size > BLOCK_SIZE)
        g.slot_size = BLOCK_SIZE;
    g.n_slots = (ring_mib << 20) / BLOCK_SIZE * (BLOCK_SIZE / g.slot_size);
    return g;
}

static bool set(int fd, int name, int value)
{
    return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) == 0;
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

// The kernel counts twice what is asked for.
static void warn_if_small(int fd, uint32_t ifindex, int asked)
{
    int got = 0;
    socklen_t length = sizeof(got);

    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &length) == 0 && got < asked)
        log_info("buffer_small",
                 "index=%u bytes=%d effect=\"bursts of super-frames are truncated: raise net.core.rmem_max\"", ifindex,
                 got / 2);
}

// Takes in no frame at all.
static bool refuse_everything(int fd)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

int ring_socket(const char **step)
{
    // Protocol 0: no frame arrives before bind().
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *step = "socket (needs CAP_NET_RAW)";
    if (fd < 0)
        return -1;
    *step = "SO_ATTACH_FILTER";
    if (refuse_everything(fd))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
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
    int room = 8 << 20; // bytes for super-frames that no slot holds; the kernel caps it at rmem_max

    *step = "PACKET_VERSION";
    if (!set(fd, PACKET_VERSION, TPACKET_V2))
        return false;
    *super_frames = !(without & FEATURE_SUPER_FRAMES) && feature_super_frames(fd);
    // Tells the segment size of super-frames.
    *step = "PACKET_VNET_HDR";
    if (*super_frames && !set(fd, PACKET_VNET_HDR, 1))
        return false;
    // Frames that exceed a slot are queued whole for read().
    *step = "PACKET_COPY_THRESH";
    if (*super_frames && !set(fd, PACKET_COPY_THRESH, 1))
        return false;
    *step = "SO_RCVBUF";
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) != 0)
        return false;
    // If the kernel lacks this option the relay drops the host's own frames.
    *step = "PACKET_IGNORE_OUTGOING";
    if (!(without & FEATURE_IGNORE_OUTGOING) && !set(fd, PACKET_IGNORE_OUTGOING, 1) && errno != ENOPROTOOPT)
        return false;
    // Reading clears what an earlier ring of this socket has counted.
    *step = "PACKET_STATISTICS";
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &before, &length) != 0)
        return false;
    *step = "PACKET_RX_RING (no memory for ring_mib?)";
    if (setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) != 0)
        return false;
    *step = "bind";
    if (bind(fd, (struct sockaddr *) &where, sizeof(where)) != 0)
        return false;
    // Last: until then the filter refuses everything, so that no frame arrives early.
    *step = "SO_ATTACH_FILTER";
    if (!ring_set_filter(fd, filter))
        return false;
    if (*super_frames)
        warn_if_small(fd, ifindex, room);
    return true;
}

bool ring_release(int fd)
{
    // A packet socket that is bound to no interface neither receives nor sends. The protocol is one for experiments,
    // because a socket cannot be bound to none again.
    struct sockaddr_ll nowhere = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_802_EX1)};
    struct tpacket_req none = {.tp_block_size = 0};

    refuse_everything(fd);
    bind(fd, (struct sockaddr *) &nowhere, sizeof(nowhere));
    return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none)) == 0 || errno != EBUSY;
}
