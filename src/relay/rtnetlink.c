// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/rtnetlink.h"

#include <errno.h>
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// A neighbour changes its state all the time, those of other interfaces too; only who does not answer matters.
static bool filter_neighbours(int fd)
{
    const uint32_t state = NLMSG_HDRLEN + offsetof(struct ndmsg, ndm_state);
    // BPF loads in network order what netlink writes in the host's.
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNEIGH), 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, state),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(NUD_FAILED), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

int rtnetlink_open(enum rtnetlink_news news)
{
    static const uint32_t groups[] = {
        [RTNETLINK_INTERFACES] = RTMGRP_LINK,
        [RTNETLINK_ADDRESSES] = RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE,
        [RTNETLINK_NEIGHBOURS] = RTMGRP_NEIGH,
    };
    struct sockaddr_nl from = {.nl_family = AF_NETLINK, .nl_groups = groups[news]};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0 || ((news != RTNETLINK_NEIGHBOURS || filter_neighbours(fd)) &&
                   bind(fd, (struct sockaddr *) &from, sizeof(from)) == 0))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static bool uses_index(const struct table_view *t, int index)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        if (index > 0 && t->interfaces[i].ifindex == (uint32_t) index)
            return true;
    return false;
}

static bool uses_name(const struct table_view *t, const char *name, size_t size)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        if (strnlen(t->interfaces[i].name, IFNAMSIZ) + 1 <= size && strncmp(t->interfaces[i].name, name, size) == 0)
            return true;
    return false;
}

static bool waits(const struct table_view *t)
{
    for (uint32_t i = 0; i < t->n_rules; i++)
        if (t->rules[i].flags & TABLE_RULE_WAITING)
            return true;
    return false;
}

static bool link_concerns(const struct nlmsghdr *h, const struct table_view *t)
{
    const struct ifinfomsg *info = NLMSG_DATA(h);
    int left = (int) h->nlmsg_len - (int) NLMSG_LENGTH(sizeof(*info));

    if (left < 0)
        return false;
    if (uses_index(t, info->ifi_index))
        return true;
    for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == IFLA_IFNAME)
            return uses_name(t, RTA_DATA(a), RTA_PAYLOAD(a));
    return false;
}

static enum rtnetlink_concern concern(const struct nlmsghdr *h, const struct table_view *t)
{
    bool table;

    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        table = link_concerns(h, t);
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        table = h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)) &&
                uses_index(t, (int) ((const struct ifaddrmsg *) NLMSG_DATA(h))->ifa_index);
        break;
    case RTM_NEWROUTE:
        return waits(t) ? RTNETLINK_TABLE : RTNETLINK_NOTHING;
    default:
        return RTNETLINK_NOTHING;
    }
    return table ? RTNETLINK_TABLE : RTNETLINK_OTHERS;
}

static enum rtnetlink_concern larger(enum rtnetlink_concern a, enum rtnetlink_concern b)
{
    return a > b ? a : b;
}

// As NLMSG_OK(), whose types compilers disagree about: the message lies within `left` bytes, which NLMSG_NEXT() lets
// fall below 0.
static bool is_whole(const struct nlmsghdr *h, int left)
{
    return left >= (int) sizeof(*h) && h->nlmsg_len >= sizeof(*h) && h->nlmsg_len <= (uint32_t) left;
}

// Reads `size` bytes of messages.
static enum rtnetlink_concern concern_of_all(const void *messages, size_t size, const struct table_view *table,
                                             rtnetlink_gone *gone, void *context)
{
    int left = (int) size;
    enum rtnetlink_concern most = RTNETLINK_NOTHING;

    for (const struct nlmsghdr *h = messages; is_whole(h, left); h = NLMSG_NEXT(h, left)) {
        const struct ifinfomsg *info = NLMSG_DATA(h);
        // RTM_DELLINK of AF_BRIDGE means that the interface has left a bridge, not that it is gone.
        if (gone && h->nlmsg_type == RTM_DELLINK && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*info)) &&
            info->ifi_family == AF_UNSPEC && info->ifi_index > 0)
            gone(context, (uint32_t) info->ifi_index);
        most = larger(most, table ? concern(h, table) : RTNETLINK_TABLE);
    }
    return most;
}

#define READS 64 // messages read at once, so that a storm of events cannot block the loop

// Reads the next messages of the kernel into buffer (netlink(7): at least 8 KiB, aligned). Returns their size in bytes,
// 0 for another sender, or -1 with errno set.
static ssize_t read_messages(int fd, uint32_t buffer[8192])
{
    struct iovec iov = {.iov_base = buffer, .iov_len = 8192 * sizeof(*buffer)};
    struct sockaddr_nl from = {.nl_family = AF_UNSPEC};
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = recvmsg(fd, &m, 0);

    return n > 0 && from.nl_pid != 0 ? 0 : n; // only the kernel (port 0) is trusted
}

enum rtnetlink_concern rtnetlink_changed(int fd, const struct table_view *table, rtnetlink_gone *gone, void *context)
{
    static uint32_t buffer[8192];
    enum rtnetlink_concern most = RTNETLINK_NOTHING;

    for (int i = 0; i < READS; i++) {
        ssize_t n = read_messages(fd, buffer);
        if (n < 0 && errno != ENOBUFS)
            return most;
        if (n < 0 && gone)
            gone(context, RTNETLINK_LOST);
        most = larger(most, n >= 0 ? concern_of_all(buffer, (size_t) n, table, gone, context)
                            : gone ? RTNETLINK_OTHERS
                                   : RTNETLINK_TABLE);
    }
    return most;
}

static void tell_silent(const struct nlmsghdr *h, rtnetlink_silent *silent, void *context)
{
    const struct ndmsg *n = NLMSG_DATA(h);
    int left = (int) h->nlmsg_len - (int) NLMSG_LENGTH(sizeof(*n));

    if (h->nlmsg_type != RTM_NEWNEIGH || left < 0 || n->ndm_state != NUD_FAILED || n->ndm_ifindex <= 0)
        return;
    struct addr address = {.family = n->ndm_family == AF_INET    ? ADDR_IPV4
                                     : n->ndm_family == AF_INET6 ? ADDR_IPV6
                                                                 : ADDR_NONE};
    size_t size = address.family == ADDR_IPV4 ? 4 : 16;
    for (const struct rtattr *a = (const void *) ((const char *) n + NLMSG_ALIGN(sizeof(*n)));
         address.family != ADDR_NONE && RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type != NDA_DST || RTA_PAYLOAD(a) != size)
            continue;
        memcpy(address.bytes, RTA_DATA(a), size);
        silent(context, (uint32_t) n->ndm_ifindex, &address);
        return;
    }
}

void rtnetlink_neighbours(int fd, rtnetlink_silent *silent, void *context)
{
    static uint32_t buffer[8192];

    for (int i = 0; i < READS; i++) {
        ssize_t n = read_messages(fd, buffer);
        int left = (int) n;
        if (n < 0 && errno != ENOBUFS)
            return;
        for (const struct nlmsghdr *h = (const void *) buffer; n > 0 && is_whole(h, left); h = NLMSG_NEXT(h, left))
            tell_silent(h, silent, context);
    }
}
