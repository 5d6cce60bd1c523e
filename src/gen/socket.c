// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/kernel.h"

// Newer than some libcs.
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
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

// Fills in a socket address and returns its length. The scope matters only for IPv6 link-local and multicast
// ones.
static socklen_t make_sockaddr(struct sockaddr_storage *storage, const struct addr *a, uint64_t port, unsigned ifindex)
{
    memset(storage, 0, sizeof(*storage));
    if (a->family == ADDR_IPV4) {
        struct sockaddr_in *in = (struct sockaddr_in *) storage;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t) port);
        memcpy(&in->sin_addr, a->bytes, sizeof(in->sin_addr));
        return sizeof(*in);
    }
    // Also for ADDR_NONE: the wildcard, which is all zero.
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t) port);
    memcpy(&in6->sin6_addr, a->bytes, sizeof(in6->sin6_addr));
    if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || IN6_IS_ADDR_MULTICAST(&in6->sin6_addr))
        in6->sin6_scope_id = ifindex;
    return sizeof(*in6);
}

socklen_t gen_socket_flow(struct sockaddr_storage *storage, const struct gen_options *o, uint32_t flow)
{
    struct addr to = addr_after(&o->destination, flow);

    return make_sockaddr(storage, &to, o->port, o->ifindex);
}

// Of the destination's family; one for both when there is none.
static int open_socket(const struct gen_options *o, int flags)
{
    int family = o->destination.family == ADDR_IPV4 ? AF_INET : AF_INET6;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        fprintf(stderr, "mcrgen: cannot open an %s socket: %s\n", family == AF_INET ? "IPv4" : "IPv6", strerror(errno));
    return fd;
}

static bool bind_to_device(int fd, const struct gen_options *o)
{
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->interface, (socklen_t) strlen(o->interface)) == 0)
        return true;
    fprintf(stderr, "mcrgen: cannot bind to interface %s: %s%s\n", o->interface, strerror(errno),
            errno == EPERM ? " (before Linux 5.7 this needs CAP_NET_RAW)" : "");
    return false;
}

static bool set_sender_options(int fd, const struct gen_options *o)
{
    bool v4 = o->destination.family == ADDR_IPV4;
    bool df = gen_given(o, GEN_DONT_FRAGMENT);
    int ttl = (int) o->ttl, tos = (int) o->dscp << 2;

    if (v4) {
        if (!set(fd, IPPROTO_IP, IP_TTL, ttl, "TTL") || !set(fd, IPPROTO_IP, IP_MULTICAST_TTL, ttl, "TTL") ||
            !set(fd, IPPROTO_IP, IP_TOS, tos, "DSCP") ||
            !set(fd, IPPROTO_IP, IP_MTU_DISCOVER, df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT, "don't fragment"))
            return false;
    } else if (!set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl, "hop limit") ||
               !set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ttl, "hop limit") ||
               !set(fd, IPPROTO_IPV6, IPV6_TCLASS, tos, "DSCP") ||
               !set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, df ? IPV6_PMTUDISC_DO : IPV6_PMTUDISC_DONT,
                    "don't fragment")) {
        return false;
    }
    if (o->gso > 1 && !set(fd, IPPROTO_UDP, UDP_SEGMENT, (int) o->size, "--gso (needs Linux 4.18)"))
        return false;
    return set(fd, SOL_SOCKET, SO_BROADCAST, 1, "broadcast");
}

int gen_socket_open_sender(const struct gen_options *o)
{
    struct sockaddr_storage address;
    struct addr source = o->source;
    char text[ADDR_TEXT_MAX];
    socklen_t length;
    int fd;

    source.family = o->destination.family;
    fd = open_socket(o, 0);
    if (fd < 0)
        return -1;
    if (!bind_to_device(fd, o) || !set_sender_options(fd, o))
        goto fail;
    if (gen_given(o, GEN_SOURCE) || gen_given(o, GEN_SOURCE_PORT)) {
        length = make_sockaddr(&address, &source, o->source_port, o->ifindex);
        if (bind(fd, (struct sockaddr *) &address, length) != 0) {
            fprintf(stderr, "mcrgen: cannot send from %s port %u: %s\n", addr_format(&source, text),
                    (unsigned) o->source_port, strerror(errno));
            goto fail;
        }
    }
    length = make_sockaddr(&address, &o->destination, o->port, o->ifindex);
    if (connect(fd, (struct sockaddr *) &address, length) != 0) {
        fprintf(stderr, "mcrgen: cannot send to %s by %s: %s\n", addr_format(&o->destination, text), o->interface,
                strerror(errno));
        goto fail;
    }
    return fd;

fail:
    close(fd);
    return -1;
}

// By interface index, with or without a source, in either family (RFC 3678), so that the interface needs no
// address.
static bool join(int fd, const struct gen_options *o)
{
    int level = o->group.family == ADDR_IPV4 ? IPPROTO_IP : IPPROTO_IPV6;
    int result;

    if (gen_given(o, GEN_SOURCE)) {
        struct group_source_req request = {.gsr_interface = o->ifindex};
        make_sockaddr(&request.gsr_group, &o->group, 0, o->ifindex);
        make_sockaddr(&request.gsr_source, &o->source, 0, o->ifindex);
        result = setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &request, sizeof(request));
    } else {
        struct group_req request = {.gr_interface = o->ifindex};
        make_sockaddr(&request.gr_group, &o->group, 0, o->ifindex);
        result = setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof(request));
    }
    if (result == 0)
        return true;
    char text[ADDR_TEXT_MAX];
    fprintf(stderr, "mcrgen: cannot join %s on %s: %s\n", addr_format(&o->group, text), o->interface, strerror(errno));
    return false;
}

static void enlarge_buffer(int fd)
{
    int wanted = GEN_SOCKET_BUFFER;

    // A smaller one is no error: the report says what it became, and what did not fit.
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof(wanted)) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
}

int gen_socket_open_receiver(const struct gen_options *o)
{
    struct sockaddr_storage address;
    bool v4 = o->destination.family == ADDR_IPV4;
    char text[ADDR_TEXT_MAX];
    int fd = open_socket(o, SOCK_NONBLOCK);

    if (fd < 0)
        return -1;
    enlarge_buffer(fd);
    // Bound to the interface before it is bound to the port: nothing from elsewhere may slip in.
    if (!bind_to_device(fd, o) || !set(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "receive timestamps") ||
        !set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0, "IP_MULTICAST_ALL"))
        goto fail;
    if (!v4) {
        // Since Linux 4.20; bound to the group and the interface, the socket gets nothing else anyway.
        int off = 0;
        setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof(off));
        if (!set(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->destination.family == ADDR_IPV6, "IPV6_V6ONLY"))
            goto fail;
    }
    if (gen_given(o, GEN_GRO) && !set(fd, IPPROTO_UDP, UDP_GRO, 1, "--gro (needs Linux 5.0)"))
        goto fail;
    // Several receivers may listen to one group, each gets all; of a unicast address they would rob each
    // other.
    if (gen_given(o, GEN_GROUP) && !set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"))
        goto fail;
    socklen_t length = make_sockaddr(&address, &o->destination, o->port, o->ifindex);
    if (bind(fd, (struct sockaddr *) &address, length) != 0) {
        fprintf(stderr, "mcrgen: cannot listen on %s port %u: %s\n",
                o->destination.family == ADDR_NONE ? "any address" : addr_format(&o->destination, text),
                (unsigned) o->port, strerror(errno));
        goto fail;
    }
    if (gen_given(o, GEN_GROUP) && !join(fd, o))
        goto fail;
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

// /proc/net/snmp: a line "Udp: " of names, then one of values in the same order.
static int64_t udp4_checksum_errors(void)
{
    FILE *file = fopen("/proc/self/net/snmp", "re");
    char names[1024], values[1024];
    int64_t found = -1;

    if (!file)
        return -1;
    while (found < 0 && fgets(names, sizeof(names), file)) {
        if (strncmp(names, "Udp: ", 5) != 0 || !fgets(values, sizeof(values), file))
            continue;
        char *name_rest, *value_rest;
        char *name = strtok_r(names, " \n", &name_rest), *value = strtok_r(values, " \n", &value_rest);
        while (name && value) {
            if (strcmp(name, "InCsumErrors") == 0)
                found = strtoll(value, NULL, 10);
            name = strtok_r(NULL, " \n", &name_rest);
            value = strtok_r(NULL, " \n", &value_rest);
        }
    }
    fclose(file);
    return found;
}

// /proc/net/snmp6: a name and a value on each line. Missing where IPv6 is off.
static int64_t udp6_checksum_errors(void)
{
    FILE *file = fopen("/proc/self/net/snmp6", "re");
    char name[64];
    long long value;
    int64_t found = 0;

    if (!file)
        return 0;
    while (fscanf(file, "%63s %lld", name, &value) == 2)
        if (strcmp(name, "Udp6InCsumErrors") == 0)
            found = value;
    fclose(file);
    return found;
}

int64_t gen_socket_checksum_errors(void)
{
    int64_t v4 = udp4_checksum_errors();

    return v4 < 0 ? -1 : v4 + udp6_checksum_errors();
}
