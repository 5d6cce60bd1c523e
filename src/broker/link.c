// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/link.h"

#include <ifaddrs.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct link *find(struct link *links, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(links[i].name, name) == 0)
            return &links[i];
    return NULL;
}

static void take_packet_address(struct link *l, const struct ifaddrs *a, int socket_fd)
{
    struct sockaddr_ll ll;
    struct ifreq request = {.ifr_flags = 0};

    memcpy(&ll, a->ifa_addr, sizeof(ll));
    l->ifindex = (uint32_t) ll.sll_ifindex;
    l->up = (a->ifa_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
    l->ethernet = ll.sll_hatype == ARPHRD_ETHER || ll.sll_hatype == ARPHRD_LOOPBACK;
    if (ll.sll_halen == sizeof(l->mac))
        memcpy(l->mac, ll.sll_addr, sizeof(l->mac));
    memcpy(request.ifr_name, l->name, sizeof(request.ifr_name));
    if (ioctl(socket_fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0)
        l->mtu = (uint32_t) request.ifr_mtu;
}

static void take_ipv4_address(struct link *l, const struct ifaddrs *a)
{
    struct sockaddr_in in;

    if (l->ipv4.family != ADDR_NONE)
        return;
    memcpy(&in, a->ifa_addr, sizeof(in));
    l->ipv4.family = ADDR_IPV4;
    memcpy(l->ipv4.bytes, &in.sin_addr, sizeof(in.sin_addr));
}

bool link_query(struct link *links, size_t n)
{
    struct ifaddrs *all = NULL;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    if (getifaddrs(&all) != 0) {
        close(fd);
        return false;
    }
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        struct link *l = a->ifa_addr ? find(links, n, a->ifa_name) : NULL;
        if (l && a->ifa_addr->sa_family == AF_PACKET)
            take_packet_address(l, a, fd);
        else if (l && a->ifa_addr->sa_family == AF_INET)
            take_ipv4_address(l, a);
    }
    freeifaddrs(all);
    close(fd);
    return true;
}
