// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/output.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/feature.h"
#include "common/kernel.h"
#include "table/layout.h"

#define SEND_ROOM (4 << 20)   // bytes; the kernel caps it at wmem_max
#define TX_BLOCK  (64u << 10) // bytes; a multiple of every page size up to 64 KiB, and of every slot

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

// ring: NULL where there is none.
static int open_frame(uint32_t ifindex, const struct tpacket_req *ring, const char **step)
{
    // Protocol 0 receives nothing. PACKET_QDISC_BYPASS stays off: it drops GSO frames on devices without UDP
    // segmentation. A ring's socket must not block: it would wait until the device has sent all.
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
    *step = "PACKET_VERSION";
    if (ring && !set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2))
        return fail(fd);
    *step = "PACKET_TX_RING";
    if (ring && setsockopt(fd, SOL_PACKET, PACKET_TX_RING, ring, sizeof(*ring)) != 0)
        return fail(fd);
    *step = "bind";
    if (bind(fd, (struct sockaddr *) &where, sizeof(where)) != 0)
        return fail(fd);
    return fd;
}

int output_open_frame(uint32_t ifindex, const char **step)
{
    return open_frame(ifindex, NULL, step);
}

uint32_t output_slot_size(uint32_t mtu, uint32_t *holds)
{
    const uint32_t lead = TPACKET_ALIGN(sizeof(struct tpacket2_hdr)) + sizeof(struct virtio_net_hdr) + TABLE_LINK_MAX;
    uint32_t size = TABLE_TX_SLOT_MIN;

    while (size - lead < mtu && size < TABLE_TX_SLOT_MAX)
        size *= 2;
    *holds = size - lead;
    return size;
}

int output_open_tx_ring(uint32_t ifindex, uint32_t slot_size, const char **step)
{
    struct tpacket_req ring = {
        .tp_block_size = TX_BLOCK,
        .tp_block_nr = TABLE_TX_SLOTS * slot_size / TX_BLOCK,
        .tp_frame_size = slot_size,
        .tp_frame_nr = TABLE_TX_SLOTS,
    };

    return open_frame(ifindex, &ring, step);
}

void output_revoke_frame(int fd)
{
    // Bound to no interface (packet(7)): ENXIO.
    struct sockaddr_ll nowhere = {.sll_family = AF_PACKET};

    bind(fd, (struct sockaddr *) &nowhere, sizeof(nowhere));
}

bool output_revoke_tx_ring(int fd)
{
    struct tpacket_req none = {.tp_block_size = 0};

    output_revoke_frame(fd);
    return setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &none, sizeof(none)) == 0 || errno != EBUSY;
}

void output_revoke_flow(int fd)
{
    // Connected to nobody (connect(2)): EDESTADDRREQ.
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    connect(fd, &nobody, sizeof(nobody));
}

union socket_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static socklen_t fill_address(union socket_address *to, const struct addr *a, uint16_t port, uint32_t ifindex)
{
    memset(to, 0, sizeof(*to));
    if (a->family == ADDR_IPV4) {
        to->in.sin_family = AF_INET;
        to->in.sin_port = htons(port);
        memcpy(&to->in.sin_addr, a->bytes, sizeof(to->in.sin_addr));
        return sizeof(to->in);
    }
    to->in6.sin6_family = AF_INET6;
    to->in6.sin6_port = htons(port);
    to->in6.sin6_scope_id = ifindex; // the kernel looks at it for link-local addresses only
    memcpy(&to->in6.sin6_addr, a->bytes, sizeof(to->in6.sin6_addr));
    return sizeof(to->in6);
}

static int domain_of(const struct addr *a)
{
    return a->family == ADDR_IPV4 ? AF_INET : AF_INET6;
}

// Sends by this interface whatever the routes say, never back to a listener on this host. The kernel may fragment: the
// relay's datagrams are new ones, without DF.
static bool set_way(int fd, const struct output_address *flow, const char **step)
{
    struct ip_mreqn multicast = {.imr_ifindex = (int) flow->ifindex};
    bool ipv4 = flow->destination.family == ADDR_IPV4;

    *step = "SO_BINDTODEVICE";
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, flow->interface, (socklen_t) strlen(flow->interface)) != 0)
        return false;
    *step = "SO_SNDBUF";
    if (!set(fd, SOL_SOCKET, SO_SNDBUF, SEND_ROOM))
        return false;
    *step = "path MTU discovery";
    if (ipv4 ? !set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
             : !set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT))
        return false;
    // Without it a datagram that the interface's queue drops counts as sent. It also queues ICMP errors, which nobody
    // reads: the queue is as small as the kernel allows.
    *step = "IP_RECVERR";
    if (!(ipv4 ? set(fd, IPPROTO_IP, IP_RECVERR, 1) : set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)) ||
        !set(fd, SOL_SOCKET, SO_RCVBUF, 1))
        return false;
    *step = "multicast interface";
    if (ipv4 ? setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &multicast, sizeof(multicast)) != 0
             : !set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int) flow->ifindex))
        return false;
    *step = "multicast loop";
    if (ipv4 ? !set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0) : !set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0))
        return false;
    *step = "SO_BROADCAST";
    return set(fd, SOL_SOCKET, SO_BROADCAST, 1);
}

static bool connect_to(int fd, const struct output_address *flow, uint16_t port, const char **step)
{
    union socket_address to;
    socklen_t length = fill_address(&to, &flow->destination, port, flow->ifindex);

    *step = "connect (no route to the address?)";
    return connect(fd, &to.any, length) == 0;
}

int output_open_socket(const struct output_address *flow, unsigned without, bool *gso, const char **step)
{
    union socket_address from;
    socklen_t length = fill_address(&from, &flow->source, flow->source_port, flow->ifindex);
    int fd = socket(domain_of(&flow->destination), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

    *step = "socket";
    if (fd < 0)
        return -1;
    *step = "SO_ATTACH_FILTER";
    if (!refuse_everything(fd))
        return fail(fd);
    // Rules may share a source port.
    *step = "SO_REUSEADDR";
    if (!set(fd, SOL_SOCKET, SO_REUSEADDR, 1) || !set_way(fd, flow, step))
        return fail(fd);
    *step = "bind to source and source_port";
    if (bind(fd, &from.any, length) != 0 || !connect_to(fd, flow, flow->port, step))
        return fail(fd);
    *gso = !(without & FEATURE_UDP_GSO) && set(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
    return fd;
}

int output_open_raw(const struct output_address *flow, bool udp, const char **step)
{
    union socket_address from;
    socklen_t length = fill_address(&from, &flow->source, 0, flow->ifindex);
    // IPPROTO_RAW receives nothing, and takes the IP header from us. IPPROTO_UDP may hold, unread, what came to this
    // host before the filter below.
    int fd =
        socket(domain_of(&flow->destination), SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, udp ? IPPROTO_UDP : IPPROTO_RAW);

    *step = "socket (needs CAP_NET_RAW)";
    if (fd < 0)
        return -1;
    *step = "SO_ATTACH_FILTER";
    if (!refuse_everything(fd))
        return fail(fd);
    *step = "header included";
    if (!udp && flow->destination.family == ADDR_IPV6 && !set(fd, IPPROTO_IPV6, IPV6_HDRINCL, 1))
        return fail(fd);
    if (!set_way(fd, flow, step))
        return fail(fd);
    *step = "bind to source";
    if (udp && bind(fd, &from.any, length) != 0)
        return fail(fd);
    if (!connect_to(fd, flow, 0, step))
        return fail(fd);
    return fd;
}

int output_open_quiet(const char *interface, uint32_t ifindex, const struct addr *address, uint16_t port,
                      const char **step)
{
    union socket_address at;
    socklen_t length = fill_address(&at, address, port, ifindex);
    int fd = socket(domain_of(address), SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);

    *step = "socket";
    if (fd < 0)
        return -1;
    *step = "SO_ATTACH_FILTER";
    if (!refuse_everything(fd))
        return fail(fd);
    *step = "SO_BINDTODEVICE";
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t) strlen(interface)) != 0)
        return fail(fd);
    *step = "bind to the input's address";
    if (bind(fd, &at.any, length) != 0)
        return fail(fd);
    return fd;
}
