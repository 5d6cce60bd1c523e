// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/port.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"

#define ANSWER_MAX 32768 // the most that the kernel says of a link

// The attribute of this type among `size` bytes of them, or NULL.
static const struct rtattr *find(const struct rtattr *a, size_t size, unsigned short type)
{
    for (int left = (int) size; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & ~NLA_F_NESTED) == type)
            return a;
    return NULL;
}

static size_t ask(int fd, unsigned index, void *answer)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
    } request = {.head = {.nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST},
                 .link = {.ifi_index = (int) index}};
    ssize_t n =
        send(fd, &request, sizeof(request), 0) == (ssize_t) sizeof(request) ? recv(fd, answer, ANSWER_MAX, 0) : 0;

    return n > 0 ? (size_t) n : 0;
}

// The other members of a VRF are interfaces of their own.
static bool belongs(const struct rtattr *kind)
{
    static const char *const kinds[] = {"bridge", "bond", "team"};

    for (size_t i = 0; kind && i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (RTA_PAYLOAD(kind) >= strlen(kinds[i]) && strncmp(RTA_DATA(kind), kinds[i], RTA_PAYLOAD(kind)) == 0)
            return true;
    return false;
}

static unsigned master_of(const struct nlmsghdr *h, size_t size)
{
    if (size < sizeof(*h) + sizeof(struct ifinfomsg) || h->nlmsg_len > size || h->nlmsg_type != RTM_NEWLINK ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return 0;
    size_t room = h->nlmsg_len - NLMSG_SPACE(sizeof(struct ifinfomsg));
    const struct rtattr *all = IFLA_RTA((const struct ifinfomsg *) NLMSG_DATA(h));
    const struct rtattr *master = find(all, room, IFLA_MASTER), *info = find(all, room, IFLA_LINKINFO);
    uint32_t index = 0;

    if (master && RTA_PAYLOAD(master) == sizeof(index) && info &&
        belongs(find(RTA_DATA(info), RTA_PAYLOAD(info), IFLA_INFO_SLAVE_KIND)))
        memcpy(&index, RTA_DATA(master), sizeof(index));
    return index;
}

bool port_of(const char *interface, char name[IF_NAMESIZE])
{
    static uint32_t answer[ANSWER_MAX / sizeof(uint32_t)];
    unsigned index = if_nametoindex(interface), master = 0;
    int fd = index ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) : -1;

    if (fd >= 0) {
        size_t size = ask(fd, index, answer);
        master = master_of((const struct nlmsghdr *) answer, size);
    }
    descriptors_close(fd);
    return master != 0 && if_indextoname(master, name);
}
