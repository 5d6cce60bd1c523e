// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_addr.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct link *find(struct link *links, size_t n, const char *name)
{
    // getifaddrs() lists an IPv4 address by its label, which may have a suffix ("eth0:1").
    size_t length = strcspn(name, ":");

    for (size_t i = 0; i < n; i++)
        if (strlen(links[i].name) == length && strncmp(links[i].name, name, length) == 0)
            return &links[i];
    return NULL;
}

// Returns the index of the interface with this name or alternative name, up to a label; 0: there is none.
static uint32_t index_of(int socket_fd, const char *name)
{
    struct ifreq request = {.ifr_ifindex = 0};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%.*s", (int) strcspn(name, ":"), name);
    return ioctl(socket_fd, SIOCGIFINDEX, &request) == 0 && request.ifr_ifindex > 0 ? (uint32_t) request.ifr_ifindex
                                                                                    : 0;
}

// The kernel lists interfaces by their names alone: one that it does not list may be an alternative name
// (ip link property add ... altname).
static void note_other_name(struct link *l, const struct ifaddrs *all, int socket_fd)
{
    uint32_t index = index_of(socket_fd, l->name);

    for (const struct ifaddrs *a = all; index != 0 && a && !l->other[0]; a = a->ifa_next)
        if (index_of(socket_fd, a->ifa_name) == index)
            snprintf(l->other, sizeof(l->other), "%.*s", (int) strcspn(a->ifa_name, ":"), a->ifa_name);
}

// Fills in what does not depend on addresses. ioctl(), because getifaddrs() lists a link without hardware address (tun,
// WireGuard) without its AF_PACKET address. ifindex stays 0 if the interface has gone meanwhile. Returns false with
// errno set if the kernel does not tell.
static bool take_link(struct link *l, unsigned flags, int socket_fd)
{
    struct ifreq mtu = {.ifr_flags = 0}, address = {.ifr_flags = 0};
    uint32_t index = index_of(socket_fd, l->name);

    memcpy(mtu.ifr_name, l->name, sizeof(mtu.ifr_name));
    memcpy(address.ifr_name, l->name, sizeof(address.ifr_name));
    if (index == 0 || ioctl(socket_fd, SIOCGIFMTU, &mtu) != 0 || ioctl(socket_fd, SIOCGIFHWADDR, &address) != 0)
        return errno == ENODEV;
    l->ifindex = index;
    l->up = (flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
    if (mtu.ifr_mtu > 0)
        l->mtu = (uint32_t) mtu.ifr_mtu;
    l->loopback = address.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
    l->ethernet = address.ifr_hwaddr.sa_family == ARPHRD_ETHER || l->loopback;
    memcpy(l->mac, address.ifr_hwaddr.sa_data, sizeof(l->mac));
    return true;
}

static bool append(struct addr **list, uint32_t *n, const struct addr *address)
{
    struct addr *grown = reallocarray(*list, *n + 1, sizeof(*grown));

    if (!grown)
        return false;
    *list = grown;
    (*list)[(*n)++] = *address;
    return true;
}

static bool add_own(struct link *l, const struct addr *address)
{
    return append(&l->own, &l->n_own, address);
}

// Returns the broadcast address of the subnet, or ADDR_NONE.
static struct addr broadcast_of(const struct ifaddrs *a)
{
    struct addr broadcast = {.family = ADDR_NONE};
    struct sockaddr_in in, mask;

    if (!(a->ifa_flags & IFF_BROADCAST) || !a->ifa_netmask)
        return broadcast;
    memcpy(&in, a->ifa_addr, sizeof(in));
    // ifa_broadaddr is of no use: if no broadcast was configured, it is the interface's own address. A /31 has no
    // broadcast (RFC 3021).
    memcpy(&mask, a->ifa_netmask, sizeof(mask));
    uint32_t hosts = ~ntohl(mask.sin_addr.s_addr), last = htonl(ntohl(in.sin_addr.s_addr) | hosts);
    if (hosts < 3)
        return broadcast;
    broadcast.family = ADDR_IPV4;
    memcpy(broadcast.bytes, &last, sizeof(last));
    return broadcast;
}

static bool take_ipv4_address(struct link *l, const struct ifaddrs *a)
{
    struct addr address = {.family = ADDR_IPV4}, broadcast = broadcast_of(a);
    struct sockaddr_in in;

    memcpy(&in, a->ifa_addr, sizeof(in));
    memcpy(address.bytes, &in.sin_addr, sizeof(in.sin_addr));
    if (l->ipv4.family == ADDR_NONE) {
        l->ipv4 = address;
        l->broadcast = broadcast;
    }
    return add_own(l, &address) && (broadcast.family == ADDR_NONE || add_own(l, &broadcast));
}

static bool is_link_local(const struct addr *a)
{
    return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

// IPv6 addresses that the kernel has made from an advertised prefix (RFC 4862, section 5.5.3). Any host on the link can
// advertise one.
struct passing {
    struct addr *addresses; // sorted by addr_compare()
    uint32_t n;
};

// Reads them from /proc, because getifaddrs() does not tell them apart. Without /proc the list is empty. Returns false
// with errno set if it cannot be read.
static bool list_passing(struct passing *p)
{
    FILE *f = fopen("/proc/self/net/if_inet6", "re");
    unsigned bytes[16], flags;
    bool ok = f || errno == ENOENT || errno == EACCES;

    while (ok && f) {
        struct addr address = {.family = ADDR_IPV6};
        int n = 0;
        while (n < 16 && fscanf(f, "%2x", &bytes[n]) == 1)
            n++;
        if (n < 16 || fscanf(f, "%*x %*x %*x %x %*s", &flags) != 1)
            break;
        for (n = 0; n < 16; n++)
            address.bytes[n] = (uint8_t) bytes[n];
        ok = flags & IFA_F_PERMANENT || append(&p->addresses, &p->n, &address);
    }
    if (f && ferror(f))
        ok = false;
    int saved = errno;
    if (f)
        fclose(f);
    errno = saved;
    if (p->n > 1)
        qsort(p->addresses, p->n, sizeof(*p->addresses), addr_compare);
    return ok;
}

static bool is_passing(const struct passing *p, const struct addr *a)
{
    return p->n > 0 && bsearch(a, p->addresses, p->n, sizeof(*a), addr_compare) != NULL;
}

static bool take_ipv6_address(struct link *l, const struct ifaddrs *a, const struct passing *passing)
{
    struct sockaddr_in6 in6;
    struct addr address = {.family = ADDR_IPV6};

    memcpy(&in6, a->ifa_addr, sizeof(in6));
    memcpy(address.bytes, &in6.sin6_addr, sizeof(in6.sin6_addr));
    struct addr *to = is_link_local(&address) ? &l->local6 : &l->ipv6;
    // Prefer configured addresses to advertised ones, so that no host on the link can choose the source address of
    // outputs. The kernel lists the oldest address last.
    if (to->family == ADDR_NONE || is_passing(passing, to))
        *to = address;
    return add_own(l, &address);
}

const struct addr *link_source(const struct link *l, const struct addr *to)
{
    // ff01:: and ff02:: do not leave the link, with any flags (RFC 4291, section 2.7).
    bool local = is_link_local(to) || (to->bytes[0] == 0xff && (to->bytes[1] & 0x0f) <= 2);

    if (to->family == ADDR_IPV4)
        return &l->ipv4;
    if (local ? l->local6.family != ADDR_NONE : l->ipv6.family == ADDR_NONE)
        return &l->local6;
    return &l->ipv6;
}

bool link_query(struct link *links, size_t n)
{
    struct ifaddrs *all = NULL;
    struct passing passing = {.n = 0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    bool ok = fd >= 0 && list_passing(&passing) && getifaddrs(&all) == 0;

    for (const struct ifaddrs *a = all; ok && a; a = a->ifa_next) {
        struct link *l = find(links, n, a->ifa_name);
        if (l && l->ifindex == 0)
            ok = take_link(l, a->ifa_flags, fd);
        if (!ok)
            break;
        if (l && a->ifa_addr && a->ifa_addr->sa_family == AF_INET)
            ok = take_ipv4_address(l, a);
        else if (l && a->ifa_addr && a->ifa_addr->sa_family == AF_INET6)
            ok = take_ipv6_address(l, a, &passing);
    }
    for (size_t i = 0; ok && i < n; i++)
        if (links[i].ifindex == 0)
            note_other_name(&links[i], all, fd);
    for (size_t i = 0; i < n; i++)
        if (links[i].n_own > 1)
            qsort(links[i].own, links[i].n_own, sizeof(*links[i].own), addr_compare);
    int saved = errno;
    free(passing.addresses);
    if (all)
        freeifaddrs(all);
    if (fd >= 0)
        close(fd);
    errno = saved;
    return ok;
}

void link_release(struct link *links, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(links[i].own);
}

bool link_has_address(const struct addr *a)
{
    struct ifaddrs *all;
    bool found = false;

    if (getifaddrs(&all) != 0)
        return true;
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct addr has = {.family = ADDR_NONE};
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
            has.family = ADDR_IPV4;
            memcpy(has.bytes, &((const struct sockaddr_in *) (const void *) i->ifa_addr)->sin_addr, 4);
        } else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6) {
            has.family = ADDR_IPV6;
            memcpy(has.bytes, &((const struct sockaddr_in6 *) (const void *) i->ifa_addr)->sin6_addr, 16);
        }
        found = addr_equal(&has, a);
    }
    freeifaddrs(all);
    return found;
}

#define ASSUMED_INDEX 0x40000000u

bool link_is_assumed(uint32_t ifindex)
{
    return ifindex >= ASSUMED_INDEX;
}

bool link_assume(struct link *links, size_t n)
{
    if (!link_query(links, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct link *l = &links[i];
        if (l->ifindex != 0)
            continue;
        l->ifindex = ASSUMED_INDEX + (uint32_t) i;
        l->up = l->ethernet = l->assumed = true;
        l->mtu = 1500;
        memcpy(l->mac, (const uint8_t[]){0x02, 'm', 'c', 'r', 0, (uint8_t) (i + 1)}, sizeof(l->mac));
        l->ipv4.family = ADDR_IPV4;
        l->ipv6.family = l->local6.family = ADDR_IPV6;
    }
    return true;
}
