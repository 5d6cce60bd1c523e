// SPDX-License-Identifier: Apache-2.0
// News of links, with the kernel's side of it played by recvmsg() below.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "relay/rtnetlink.h"
#include "../make_table.h"

#define SCRIPTED (-77) // no descriptor

// What recvmsg() gives one after the other: a message of this type and index, or, where type is 0, the error.
static struct answer {
    uint16_t type;
    int index, error;
    unsigned char family;
    uint32_t port; // of the sender; 0: the kernel
    const void *bytes;
    size_t size; // or, where it is not 0, these bytes
} answers[4];
static size_t n_answers, at;

ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *m, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags)
{
    if (fd != SCRIPTED)
        return __real_recvmsg(fd, m, flags);
    struct answer a = at < n_answers ? answers[at++] : (struct answer){.error = EAGAIN};
    struct {
        struct nlmsghdr h;
        struct ifinfomsg info;
    } message = {.h = {.nlmsg_type = a.type, .nlmsg_len = sizeof(message)},
                 .info = {.ifi_index = a.index, .ifi_family = a.family}};
    if (a.type == 0 && a.size == 0) {
        errno = a.error;
        return -1;
    }
    ((struct sockaddr_nl *) m->msg_name)->nl_pid = a.port;
    size_t size = a.size > 0 ? a.size : sizeof(message);
    memcpy(m->msg_iov[0].iov_base, a.size > 0 ? a.bytes : &message, size);
    return (ssize_t) size;
}

// Its name where a 32-bit machine has times of 64 bits.
ssize_t __wrap___recvmsg64(int fd, struct msghdr *m, int flags) __attribute__((alias("__wrap_recvmsg")));

#define MOST 8
struct told {
    uint32_t gone[MOST];
    size_t n;
};

static void take_gone(void *context, uint32_t ifindex)
{
    struct told *t = context;

    cr_assert_lt(t->n, MOST);
    t->gone[t->n++] = ifindex;
}

// Of links 1 and 2.
static struct table_view table_of_two(void)
{
    struct table_view table;

    make_view(&table, NULL,
              "version=1;rules=({name=\"rule\";input={interface=\"in0\";group=\"239.255.0.1\";port=5000;};"
              "outputs=({interface=\"out0\";group=\"239.255.1.1\";port=6000;});});");
    return table;
}

Test(links, what_is_told)
{
    struct table_view table = table_of_two();
    static const struct {
        const char *what;
        struct answer answers[4];
        size_t n;
        enum rtnetlink_concern concern;
        uint32_t gone[MOST];
        size_t n_gone;
    } cases[] = {
        {"nothing", {{0}}, 0, RTNETLINK_NOTHING, {0}, 0},
        {"a link of the table", {{.type = RTM_NEWLINK, .index = 1}}, 1, RTNETLINK_TABLE, {0}, 0},
        {"another link", {{.type = RTM_NEWLINK, .index = 6}}, 1, RTNETLINK_OTHERS, {0}, 0},
        {"one that goes", {{.type = RTM_DELLINK, .index = 1}}, 1, RTNETLINK_TABLE, {1}, 1},
        {"another that goes", {{.type = RTM_DELLINK, .index = 6}}, 1, RTNETLINK_OTHERS, {6}, 1},
        {"out of a bridge", {{.type = RTM_DELLINK, .index = 1, .family = AF_BRIDGE}}, 1, RTNETLINK_TABLE, {0}, 0},
        {"not by the kernel", {{.type = RTM_DELLINK, .index = 1, .port = 4711}}, 1, RTNETLINK_NOTHING, {0}, 0},
        {"lost", {{.error = ENOBUFS}}, 1, RTNETLINK_OTHERS, {RTNETLINK_LOST}, 1},
        {"lost, and what came before and after",
         {{.type = RTM_DELLINK, .index = 6}, {.error = ENOBUFS}, {.type = RTM_DELLINK, .index = 1}},
         3,
         RTNETLINK_TABLE,
         {6, RTNETLINK_LOST, 1},
         3},
        {"lost twice",
         {{.error = ENOBUFS}, {.error = ENOBUFS}},
         2,
         RTNETLINK_OTHERS,
         {RTNETLINK_LOST, RTNETLINK_LOST},
         2},
        {"another error", {{.error = EIO}, {.type = RTM_DELLINK, .index = 1}}, 2, RTNETLINK_NOTHING, {0}, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct told told = {.n = 0};
        memcpy(answers, cases[i].answers, sizeof(answers));
        n_answers = cases[i].n;
        at = 0;
        cr_expect_eq(rtnetlink_changed(SCRIPTED, &table, take_gone, &told), cases[i].concern, "%s", cases[i].what);
        cr_expect_eq(told.n, cases[i].n_gone, "%s", cases[i].what);
        cr_expect(memcmp(told.gone, cases[i].gone, sizeof(told.gone[0]) * cases[i].n_gone) == 0, "%s", cases[i].what);
    }
    free((void *) table.header);
}

// A message whose length is no multiple of 4 ends what was read, although the buffer has more of what came before.
Test(links, an_odd_length)
{
    struct table_view table = table_of_two();
    struct message {
        struct nlmsghdr h;
        struct ifinfomsg info;
        uint32_t more;
    } messages[2] = {
        {.h = {.nlmsg_type = RTM_DELLINK, .nlmsg_len = sizeof(struct message)}, .info = {.ifi_index = 6}},
        {.h = {.nlmsg_type = RTM_DELLINK, .nlmsg_len = sizeof(struct message)}, .info = {.ifi_index = 7}},
    };
    struct message odd = messages[0];
    struct told told = {.n = 0};

    odd.h.nlmsg_len = sizeof(odd) - 3;
    answers[0] = (struct answer){.type = RTM_DELLINK, .bytes = messages, .size = sizeof(messages)};
    answers[1] = (struct answer){.type = RTM_DELLINK, .bytes = &odd, .size = odd.h.nlmsg_len};
    n_answers = 2;
    at = 0;
    rtnetlink_changed(SCRIPTED, &table, take_gone, &told);
    cr_expect_eq(told.n, 3, "%zu", told.n);
    free((void *) table.header);
}

// Of addresses and routes no loss takes an interface away.
Test(links, addresses)
{
    struct table_view table = table_of_two();

    answers[0] = (struct answer){.type = RTM_NEWADDR, .index = 6};
    n_answers = 1;
    at = 0;
    cr_expect_eq(rtnetlink_changed(SCRIPTED, &table, NULL, NULL), RTNETLINK_OTHERS);
    answers[1] = (struct answer){.error = ENOBUFS};
    n_answers = 2;
    at = 0;
    cr_expect_eq(rtnetlink_changed(SCRIPTED, &table, NULL, NULL), RTNETLINK_TABLE);
    free((void *) table.header);
}

// A table is on its way: any news may matter to it.
Test(links, without_a_table)
{
    struct told told = {.n = 0};

    answers[0] = (struct answer){.type = RTM_NEWLINK, .index = 6};
    n_answers = 1;
    at = 0;
    cr_expect_eq(rtnetlink_changed(SCRIPTED, NULL, take_gone, &told), RTNETLINK_TABLE);
    cr_expect_eq(told.n, 0);
}

// --- neighbours ------------------------------------------------------------------------------------------------------

// As the kernel writes them: the lladdr comes before or behind the address, or not at all.
struct neighbour {
    struct nlmsghdr h;
    struct ndmsg n;
    struct rtattr other;
    uint8_t station[8];
    struct rtattr dst;
    uint8_t address[16];
};

static struct neighbour neighbour(unsigned char family, uint16_t state, size_t length)
{
    return (struct neighbour){
        .h = {.nlmsg_type = RTM_NEWNEIGH, .nlmsg_len = (uint32_t) (offsetof(struct neighbour, address) + length)},
        .n = {.ndm_family = family, .ndm_ifindex = 2, .ndm_state = state},
        .other = {.rta_type = NDA_LLADDR, .rta_len = RTA_LENGTH(6)},
        .dst = {.rta_type = NDA_DST, .rta_len = (unsigned short) RTA_LENGTH(length)},
        .address = {198, 18, 2, 77},
    };
}

static void take_silent(void *context, uint32_t ifindex, const struct addr *address)
{
    struct told *t = context;
    char text[ADDR_TEXT_MAX];

    cr_assert_lt(t->n, MOST);
    t->gone[t->n++] = ifindex;
    cr_expect_str_eq(addr_format(address, text), address->family == ADDR_IPV4 ? "198.18.2.77" : "c612:24d::");
}

Test(neighbours, what_is_told)
{
    struct neighbour cut = neighbour(AF_INET, NUD_FAILED, 4), none = neighbour(AF_INET, NUD_FAILED, 4);

    cut.h.nlmsg_len -= 2;
    none.n.ndm_ifindex = 0;
    const struct {
        const char *what;
        struct neighbour message;
        size_t told;
    } cases[] = {
        {"IPv4", neighbour(AF_INET, NUD_FAILED, 4), 1},
        {"IPv6", neighbour(AF_INET6, NUD_FAILED, 16), 1},
        {"one that answers", neighbour(AF_INET, NUD_REACHABLE, 4), 0},
        {"of a bridge", neighbour(AF_BRIDGE, NUD_FAILED, 4), 0},
        {"an address of another length", neighbour(AF_INET, NUD_FAILED, 3), 0},
        {"of no interface", none, 0},
        {"cut", cut, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct told told = {.n = 0};
        answers[0] = (struct answer){.error = ENOBUFS}; // what was lost comes again
        answers[1] = (struct answer){.bytes = &cases[i].message, .size = cases[i].message.h.nlmsg_len};
        n_answers = 2;
        at = 0;
        rtnetlink_neighbours(SCRIPTED, take_silent, &told);
        cr_expect_eq(told.n, cases[i].told, "%s", cases[i].what);
        cr_expect(told.n == 0 || told.gone[0] == 2, "%s", cases[i].what);
    }
}
