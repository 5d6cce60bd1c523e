// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/kernel.h"

// Headers of some C libraries lack it.
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

static bool set(int fd, int level, int name, int value, const char *what)
{
    if (setsockopt(fd, level, name, &value, sizeof(value)) == 0)
        return true;
    fprintf(stderr, "mcrgen: %s: %s\n", what, strerror(errno));
    return false;
}

socklen_t gen_socket_address(struct sockaddr_storage *storage, const struct addr *a, uint64_t port, unsigned ifindex)
{
    memset(storage, 0, sizeof(*storage));
    if (a->family == ADDR_IPV4) {
        struct sockaddr_in *in = (struct sockaddr_in *) storage;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t) port);
        memcpy(&in->sin_addr, a->bytes, sizeof(in->sin_addr));
        return sizeof(*in);
    }
    // For ADDR_NONE this is the wildcard, which is all zero.
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t) port);
    memcpy(&in6->sin6_addr, a->bytes, sizeof(in6->sin6_addr));
    // Only these addresses need a scope.
    if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || IN6_IS_ADDR_MULTICAST(&in6->sin6_addr))
        in6->sin6_scope_id = ifindex;
    return sizeof(*in6);
}

// Opens a socket that is bound to the interface: of the destination's family, or, without a destination, for both
// families.
static int open_socket(const struct gen_options *o, int flags)
{
    int family = o->destination.family == ADDR_IPV4 ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0) {
        fprintf(stderr, "mcrgen: cannot open an %s socket: %s\n", family == AF_INET ? "IPv4" : "IPv6", strerror(errno));
    } else if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->interface, (socklen_t) strlen(o->interface)) != 0) {
        fprintf(stderr, "mcrgen: cannot bind to interface %s: %s%s\n", o->interface, strerror(errno),
                errno == EPERM ? " (before Linux 5.7 this needs CAP_NET_RAW)" : "");
        close(fd);
        return -1;
    }
    return fd;
}

static bool set_sender_options(int fd, const struct gen_options *o)
{
    // Names of the socket options in each family. The values of MTU_DISCOVER are the same in both.
    static const struct names {
        int level, ttl, multicast_ttl, tos, mtu_discover;
    } v4 = {IPPROTO_IP, IP_TTL, IP_MULTICAST_TTL, IP_TOS, IP_MTU_DISCOVER},
      v6 = {IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS, IPV6_TCLASS, IPV6_MTU_DISCOVER};
    const struct names *n = o->destination.family == ADDR_IPV4 ? &v4 : &v6;

    return set(fd, n->level, n->ttl, (int) o->ttl, "--ttl") &&
           set(fd, n->level, n->multicast_ttl, (int) o->ttl, "--ttl") &&
           set(fd, n->level, n->tos, (int) o->dscp << 2, "--dscp") &&
           set(fd, n->level, n->mtu_discover, o->dont_fragment ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT,
               "--dont-fragment") &&
           (o->gso == 1 || set(fd, IPPROTO_UDP, UDP_SEGMENT, (int) o->size, "--gso (needs Linux 4.18)")) &&
           set(fd, SOL_SOCKET, SO_BROADCAST, 1, "broadcast");
}

int gen_socket_open_sender(const struct gen_options *o)
{
    struct sockaddr_storage address;
    struct addr source = o->source;
    char text[ADDR_TEXT_MAX];
    socklen_t length;
    int fd = open_socket(o, 0);

    if (fd < 0)
        return -1;
    if (!set_sender_options(fd, o))
        goto fail;
    source.family = o->destination.family; // without --source: the wildcard
    length = gen_socket_address(&address, &source, o->source_port, o->ifindex);
    if ((o->source.family || o->source_port) && bind(fd, (struct sockaddr *) &address, length) != 0) {
        fprintf(stderr, "mcrgen: cannot send from %s port %u: %s\n", addr_format(&source, text),
                (unsigned) o->source_port, strerror(errno));
        goto fail;
    }
    length = gen_socket_address(&address, &o->destination, o->port, o->ifindex);
    if (connect(fd, (struct sockaddr *) &address, length) == 0)
        return fd;
    fprintf(stderr, "mcrgen: cannot send to %s by %s: %s\n", addr_format(&o->destination, text), o->interface,
            strerror(errno));
fail:
    close(fd);
    return -1;
}

// Joins the group by interface index (RFC 3678), with or without a source, so that the interface needs no address.
static bool join(int fd, const struct gen_options *o)
{
    int level = o->group.family == ADDR_IPV4 ? IPPROTO_IP : IPPROTO_IPV6;
    bool any = !o->source.family;
    struct group_source_req request = {.gsr_interface = o->ifindex}; // begins as a struct group_req
    char text[ADDR_TEXT_MAX];

    gen_socket_address(&request.gsr_group, &o->group, 0, o->ifindex);
    gen_socket_address(&request.gsr_source, &o->source, 0, o->ifindex);
    if (setsockopt(fd, level, any ? MCAST_JOIN_GROUP : MCAST_JOIN_SOURCE_GROUP, &request,
                   any ? sizeof(struct group_req) : sizeof(request)) == 0)
        return true;
    fprintf(stderr, "mcrgen: cannot join %s on %s: %s\n", addr_format(&o->group, text), o->interface, strerror(errno));
    return false;
}

int gen_socket_open_receiver(const struct gen_options *o)
{
    const int wanted = GEN_SOCKET_BUFFER, off = 0;
    struct sockaddr_storage address;
    socklen_t length = gen_socket_address(&address, &o->destination, o->port, o->ifindex);
    bool v4 = o->destination.family == ADDR_IPV4, group = o->group.family;
    char text[ADDR_TEXT_MAX];
    // The socket is bound to the interface before the port, so that it never receives from another interface.
    int fd = open_socket(o, SOCK_NONBLOCK);

    if (fd < 0)
        return -1;
    // A smaller buffer is no error: the report has its size, and the number of dropped datagrams.
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof(wanted)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
    // Available since Linux 4.20. An error does not matter: the socket is bound to the group and the interface.
    if (!v4)
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof(off));
    // Several receivers of a group each get all datagrams. Those of a unicast address would take each other's, so they
    // must not share it.
    if (!set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "receive timestamps") ||
        !set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0, "IP_MULTICAST_ALL") ||
        (!v4 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->destination.family == ADDR_IPV6, "IPV6_V6ONLY")) ||
        (o->gro && !set(fd, IPPROTO_UDP, UDP_GRO, 1, "--gro (needs Linux 5.0)")) ||
        (group && !set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")))
        goto fail;
    if (bind(fd, (struct sockaddr *) &address, length) != 0) {
        fprintf(stderr, "mcrgen: cannot listen on %s port %u: %s\n",
                o->destination.family == ADDR_NONE ? "any address" : addr_format(&o->destination, text),
                (unsigned) o->port, strerror(errno));
        goto fail;
    }
    if (!group || join(fd, o))
        return fd;
fail:
    close(fd);
    return -1;
}

uint64_t gen_socket_buffer(int fd)
{
    int size = 0;
    socklen_t length = sizeof(size);

    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length);
    return (uint64_t) size;
}

uint32_t gen_socket_drops(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(info);

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) != 0)
        return 0;
    return info[SK_MEMINFO_DROPS];
}

uint64_t gen_socket_checksum_errors(void)
{
    FILE *v4 = fopen("/proc/self/net/snmp", "re"), *v6 = fopen("/proc/self/net/snmp6", "re");
    uint64_t errors4 = GEN_NONE, errors6 = 0, value;
    char line[1024], name[64];

    // InCsumErrors is the seventh number. New kernels only append numbers to the line.
    while (v4 && fgets(line, sizeof(line), v4))
        sscanf(line, "Udp: %*u %*u %*u %*u %*u %*u %" SCNu64, &errors4);
    // Each line has a name and a value. The file is missing if IPv6 is disabled.
    while (v6 && fscanf(v6, "%63s %" SCNu64, name, &value) == 2)
        if (strcmp(name, "Udp6InCsumErrors") == 0)
            errors6 = value;
    if (v4)
        fclose(v4);
    if (v6)
        fclose(v6);
    return errors4 == GEN_NONE ? GEN_NONE : errors4 + errors6;
}
