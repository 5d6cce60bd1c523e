// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/rtnetlink.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int rtnetlink_open(enum rtnetlink_news news)
{
    struct sockaddr_nl from = {
        .nl_family = AF_NETLINK,
        .nl_groups = news == RTNETLINK_INTERFACES
                         ? RTMGRP_LINK
                         : RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE,
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd < 0 || bind(fd, (struct sockaddr *) &from, sizeof(from)) == 0)
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

static bool message_concerns(const struct nlmsghdr *h, const struct table_view *t)
{
    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        return link_concerns(h, t);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifaddrmsg)) &&
               uses_index(t, (int) ((const struct ifaddrmsg *) NLMSG_DATA(h))->ifa_index);
    case RTM_NEWROUTE:
        return waits(t);
    default:
        return false;
    }
}

bool rtnetlink_concern(const void *messages, size_t size, const struct table_view *table, rtnetlink_gone *gone,
                       void *context)
{
    uint32_t left = (uint32_t) size;
    bool concerned = false;

    for (const struct nlmsghdr *h = messages; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        const struct ifinfomsg *info = NLMSG_DATA(h);
        // An AF_BRIDGE message only says that the interface is no longer a port of a bridge.
        if (gone && h->nlmsg_type == RTM_DELLINK && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*info)) &&
            info->ifi_family == AF_UNSPEC && info->ifi_index > 0)
            gone(context, (uint32_t) info->ifi_index);
        concerned = concerned || !table || message_concerns(h, table);
    }
    return concerned;
}

bool rtnetlink_changed(int fd, const struct table_view *table, rtnetlink_gone *gone, void *context)
{
    static uint32_t buffer[8192]; // netlink(7): at least 8 KiB, aligned
    bool concerned = false;

    // Bounded: under a storm the rest is read in the next turn.
    for (int i = 0; i < 64; i++) {
        struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
        struct sockaddr_nl from = {.nl_family = AF_UNSPEC};
        struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
        ssize_t n = recvmsg(fd, &m, 0);
        if (n < 0 && errno == ENOBUFS && gone)
            gone(context, RTNETLINK_LOST);
        else if (n < 0 && errno == ENOBUFS)
            concerned = true;
        else if (n < 0)
            return concerned;
        // Only the kernel (port 0) is believed.
        else if (from.nl_pid == 0)
            concerned |= rtnetlink_concern(buffer, (size_t) n, table, gone, context);
    }
    return concerned;
}
