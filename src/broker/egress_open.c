// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/egress_open.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/feature.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 // linux/udp.h, since 4.18
#endif

#define SEND_ROOM (4 << 20) // bytes; the kernel caps it at wmem_max

static bool set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static bool refuse_everything(int fd)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

static int fail(int fd)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return -1;
}

int egress_open_frame(uint32_t ifindex, const char **step)
{
    // Protocol 0 receives nothing. PACKET_QDISC_BYPASS stays off: it drops GSO frames on devices without UDP
    // segmentation.
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = (int) ifindex};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *step = "socket (needs CAP_NET_RAW)";
    if (fd < 0)
        return -1;
    *step = "PACKET_VNET_HDR";
    if (!set(fd, SOL_PACKET, PACKET_VNET_HDR, 1))
        return fail(fd);
    *step = "SO_SNDBUF";
    if (!set(fd, SOL_SOCKET, SO_SNDBUF, SEND_ROOM))
        return fail(fd);
    *step = "bind";
    if (bind(fd, (struct sockaddr *) &where, sizeof(where)) != 0)
        return fail(fd);
    return fd;
}

static struct sockaddr_in sockaddr_of(const struct addr *a, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    memcpy(&in.sin_addr, a->bytes, sizeof(in.sin_addr));
    return in;
}

int egress_open_socket(const struct egress_flow *flow, unsigned without, bool *gso, const char **step)
{
    struct sockaddr_in from = sockaddr_of(&flow->source, flow->source_port);
    struct sockaddr_in to = sockaddr_of(&flow->destination, flow->port);
    struct ip_mreqn multicast = {.imr_ifindex = (int) flow->ifindex};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

    *step = "socket";
    if (fd < 0)
        return -1;
    *step = "SO_ATTACH_FILTER";
    if (!refuse_everything(fd))
        return fail(fd);
    // Rules may share a source port, and leave by one interface whatever the routes say.
    *step = "SO_REUSEADDR";
    if (!set(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return fail(fd);
    *step = "SO_BINDTODEVICE";
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, flow->interface, (socklen_t) strlen(flow->interface)) != 0)
        return fail(fd);
    *step = "SO_SNDBUF";
    if (!set(fd, SOL_SOCKET, SO_SNDBUF, SEND_ROOM))
        return fail(fd);
    // The kernel fragments what a smaller link needs fragmented: the relay's datagrams are its own.
    *step = "IP_MTU_DISCOVER";
    if (!set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT))
        return fail(fd);
    // Without it a datagram that the interface's queue drops counts as sent. ICMP errors then wait in a queue that nobody
    // reads: as small a one as the kernel makes.
    *step = "IP_RECVERR";
    if (!set(fd, IPPROTO_IP, IP_RECVERR, 1) || !set(fd, SOL_SOCKET, SO_RCVBUF, 1))
        return fail(fd);
    *step = "IP_MULTICAST_IF";
    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &multicast, sizeof(multicast)) != 0)
        return fail(fd);
    // Never back to a listener on this host.
    *step = "IP_MULTICAST_LOOP";
    if (!set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0))
        return fail(fd);
    *step = "bind to source and source_port";
    if (bind(fd, (struct sockaddr *) &from, sizeof(from)) != 0)
        return fail(fd);
    *step = "connect (no route to the address?)";
    if (connect(fd, (struct sockaddr *) &to, sizeof(to)) != 0)
        return fail(fd);
    *gso = !(without & FEATURE_UDP_GSO) && set(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
    return fd;
}
