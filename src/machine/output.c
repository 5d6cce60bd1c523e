// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/output.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "machine/feature.h"
#include "machine/option.h"
#include "common/descriptors.h"
#include "common/kernel.h"
#include "table/layout.h"

#define SEND_ROOM (4 << 20)   // bytes; the kernel caps it at wmem_max
#define TX_BLOCK  (64u << 10) // bytes; a multiple of every page size up to 64 KiB, and of every slot

uint32_t output_slot_size(uint32_t mtu, uint32_t *holds)
{
    const uint32_t lead = TPACKET_ALIGN(sizeof(struct tpacket2_hdr)) + sizeof(struct virtio_net_hdr) + TABLE_LINK_MAX;
    uint32_t size = TABLE_TX_SLOT_MIN;

    while (size - lead < mtu && size < TABLE_TX_SLOT_MAX)
        size *= 2;
    *holds = size - lead;
    return size;
}

// Opens a packet socket. slot_size: of its transmit ring; 0: it has none.
static int open_packet(uint32_t ifindex, uint32_t slot_size, const char **step)
{
    struct tpacket_req ring = {
        .tp_block_size = TX_BLOCK,
        .tp_block_nr = TABLE_TX_SLOTS * slot_size / TX_BLOCK,
        .tp_frame_size = slot_size,
        .tp_frame_nr = TABLE_TX_SLOTS,
    };
    // With protocol 0 the socket receives nothing. PACKET_QDISC_BYPASS stays off, because it drops GSO frames on
    // devices without UDP segmentation. The socket of a ring must not block: it would wait until the device has sent
    // all frames.
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = (int) ifindex};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = option_step(step, "socket (needs CAP_NET_RAW)", fd >= 0) &&
              option_step(step, "PACKET_VNET_HDR", option_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) &&
              option_step(step, "SO_SNDBUF", option_set(fd, SOL_SOCKET, SO_SNDBUF, SEND_ROOM));

    if (ok && slot_size > 0)
        ok = option_step(step, "PACKET_VERSION", option_set(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2)) &&
             option_step(step, "PACKET_TX_RING", setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &ring, sizeof(ring)) == 0);
    ok = ok && option_step(step, "bind", bind(fd, (struct sockaddr *) &where, sizeof(where)) == 0);
    return ok ? fd : descriptors_close(fd);
}

static int domain_of(const struct addr *a)
{
    return a->family == ADDR_IPV4 ? AF_INET : AF_INET6;
}

static bool bind_to_device(int fd, const struct output_address *a, const char **step)
{
    return option_step(step, "SO_BINDTODEVICE",
                       setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, a->interface, (socklen_t) strlen(a->interface)) ==
                           0);
}

static bool bind_to(int fd, const struct addr *address, uint16_t port, uint32_t ifindex)
{
    struct sockaddr_storage at;
    socklen_t length = option_address(&at, address, port, ifindex);

    return bind(fd, (struct sockaddr *) &at, length) == 0;
}

static bool connect_to(int fd, const struct output_address *a, uint16_t port, const char **step)
{
    struct sockaddr_storage to;
    socklen_t length = option_address(&to, &a->destination, port, a->ifindex);

    return option_step(step, "connect (no route to the address?)", connect(fd, (struct sockaddr *) &to, length) == 0);
}

// Makes a socket send by this interface, whatever the routes say, and never to a listener on this host. The kernel may
// fragment, because the relay's datagrams are new ones without DF.
static bool set_way(int fd, const struct output_address *a, const char **step)
{
    struct ip_mreqn multicast = {.imr_ifindex = (int) a->ifindex};
    bool ipv4 = a->destination.family == ADDR_IPV4;

    return bind_to_device(fd, a, step) &&
           option_step(step, "SO_SNDBUF", option_set(fd, SOL_SOCKET, SO_SNDBUF, SEND_ROOM)) &&
           option_step(step, "path MTU discovery",
                       ipv4 ? option_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
                            : option_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT)) &&
           // Without IP_RECVERR, a datagram that the interface's queue drops counts as sent. The option also queues
           // ICMP errors, which nobody reads, so the receive buffer is as small as the kernel allows.
           option_step(
               step, "IP_RECVERR",
               (ipv4 ? option_set(fd, IPPROTO_IP, IP_RECVERR, 1) : option_set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)) &&
                   option_set(fd, SOL_SOCKET, SO_RCVBUF, 1)) &&
           option_step(step, "multicast interface",
                       ipv4 ? setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &multicast, sizeof(multicast)) == 0
                            : option_set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int) a->ifindex)) &&
           option_step(step, "multicast loop",
                       ipv4 ? option_set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0)
                            : option_set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0)) &&
           option_step(step, "SO_BROADCAST", option_set(fd, SOL_SOCKET, SO_BROADCAST, 1));
}

static int open_socket(const struct output_address *a, unsigned without, bool *gso, const char **step)
{
    int fd = socket(domain_of(&a->destination), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
    bool ok =
        option_step(step, "socket", fd >= 0) && option_step(step, "SO_ATTACH_FILTER", option_refuse_everything(fd)) &&
        // Several rules may use the same source port.
        option_step(step, "SO_REUSEADDR", option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1)) && set_way(fd, a, step) &&
        option_step(step, "bind to source and source_port", bind_to(fd, &a->source, a->source_port, a->ifindex)) &&
        connect_to(fd, a, a->port, step);

    *gso = ok && !(without & FEATURE_UDP_GSO) && option_set(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
    return ok ? fd : descriptors_close(fd);
}

static int open_raw(const struct output_address *a, bool udp, const char **step)
{
    // A socket with IPPROTO_RAW receives nothing, and takes packets with an IP header. One with IPPROTO_UDP may have
    // queued datagrams to this host before the filter is attached; they are never read.
    int fd =
        socket(domain_of(&a->destination), SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, udp ? IPPROTO_UDP : IPPROTO_RAW);
    bool ok = option_step(step, "socket (needs CAP_NET_RAW)", fd >= 0) &&
              option_step(step, "SO_ATTACH_FILTER", option_refuse_everything(fd)) &&
              option_step(step, "header included",
                          udp || a->destination.family == ADDR_IPV4 || option_set(fd, IPPROTO_IPV6, IPV6_HDRINCL, 1)) &&
              set_way(fd, a, step) &&
              option_step(step, "bind to source", !udp || bind_to(fd, &a->source, 0, a->ifindex)) &&
              connect_to(fd, a, 0, step);

    return ok ? fd : descriptors_close(fd);
}

static int open_quiet(const struct output_address *a, const char **step)
{
    int fd = socket(domain_of(&a->destination), SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    bool ok = option_step(step, "socket", fd >= 0) &&
              option_step(step, "SO_ATTACH_FILTER", option_refuse_everything(fd)) && bind_to_device(fd, a, step) &&
              option_step(step, "bind to the input's address", bind_to(fd, &a->destination, a->port, a->ifindex));

    return ok ? fd : descriptors_close(fd);
}

int output_open(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                const char **step)
{
    *gso = false;
    switch (kind) {
    case REGISTRY_FRAME:
        // The kernel does not report whether it takes GSO frames; mcrd detects it on the first send (relay/egress.c).
        *gso = !(without & FEATURE_PACKET_GSO);
        return open_packet(address->ifindex, 0, step);
    case REGISTRY_TX_RING:
        return open_packet(address->ifindex, address->slot_size, step);
    case REGISTRY_SOCKET:
        return open_socket(address, without, gso, step);
    case REGISTRY_RAW:
    case REGISTRY_RAW_UDP:
        return open_raw(address, kind == REGISTRY_RAW_UDP, step);
    default: // REGISTRY_QUIET
        return open_quiet(address, step);
    }
}

bool output_has_source(const struct output_address *address)
{
    struct output_address at = *address;
    const char *step;

    at.destination = address->source;
    at.port = 0;
    int fd = open_quiet(&at, &step);
    bool refused = fd < 0 && errno == EADDRNOTAVAIL;
    descriptors_close(fd);
    return !refused;
}

bool output_revoke(enum registry_kind kind, int fd)
{
    // A send then fails: with ENXIO by a packet socket that is bound to no interface (packet(7)), with EDESTADDRREQ by
    // a socket that is not connected (connect(2)).
    struct sockaddr_ll nowhere = {.sll_family = AF_PACKET};
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    struct tpacket_req none = {.tp_block_size = 0};

    if (kind == REGISTRY_FRAME || kind == REGISTRY_TX_RING)
        bind(fd, (struct sockaddr *) &nowhere, sizeof(nowhere));
    else if (kind != REGISTRY_QUIET)
        connect(fd, &nobody, sizeof(nobody));
    return kind != REGISTRY_TX_RING || setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &none, sizeof(none)) == 0 ||
           errno != EBUSY;
}
