// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "handover/handover.h"
#include "rig_manager.h"

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(handover, no_pair_without_descriptors)
{
    struct rlimit was, none;
    int ends[2];

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = was.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool made = handover_pair(ends);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
    cr_expect(!made);
}

Test(handover, carries_messages_and_descriptors)
{
    int ends[2], sent[HANDOVER_FDS_MAX], got[HANDOVER_FDS_MAX];
    struct handover_message m = {.type = HANDOVER_SOCKETS, .serial = 9, .n_fds = HANDOVER_FDS_MAX}, back;

    cr_assert(handover_pair(ends));
    cr_expect_eq(handover_receive(ends[0], &back, got), HANDOVER_EMPTY);
    for (int i = 0; i < HANDOVER_FDS_MAX; i++) {
        sent[i] = open("/dev/null", O_RDONLY);
        m.sockets[i] = (struct handover_socket){.id = (uint64_t) i + 1, .kind = HANDOVER_HOLD};
    }
    cr_assert(handover_send(ends[1], &m, sent));
    cr_assert_eq(handover_receive(ends[0], &back, got), HANDOVER_GOT);
    cr_expect_eq(back.serial, 9);
    cr_expect_eq(back.n_fds, HANDOVER_FDS_MAX);
    cr_expect_eq(back.sockets[63].id, 64);
    for (int i = 0; i < HANDOVER_FDS_MAX; i++)
        cr_expect(fcntl(got[i], F_GETFD) & FD_CLOEXEC);

    struct handover_message load = {.type = HANDOVER_LOAD, .serial = 10};
    cr_assert(handover_send(ends[0], &load, NULL));
    cr_assert_eq(handover_receive(ends[1], &back, got), HANDOVER_GOT);
    cr_expect_eq(back.type, HANDOVER_LOAD);
    close(ends[1]);
    cr_expect_eq(handover_receive(ends[0], &back, got), HANDOVER_CLOSED);
}

Test(handover, anything_else_is_bogus_and_leaks_nothing)
{
    int ends[2], got[HANDOVER_FDS_MAX], fd = open("/dev/null", O_RDONLY);
    struct handover_message m = {.type = HANDOVER_LOAD}, back;
    char bytes[sizeof(m) + 1];

    cr_assert(handover_pair(ends));
    memset(bytes, 0, sizeof(bytes));
    memcpy(bytes, &m, sizeof(m));
    int before = open_descriptors();

    static const size_t sizes[] = {1, 4, sizeof(m) - 1, sizeof(m) + 1};
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(send(ends[0], bytes, sizes[i], 0), (ssize_t) sizes[i]);
        cr_expect_eq(handover_receive(ends[1], &back, got), HANDOVER_BOGUS, "%zu bytes", sizes[i]);
    }
    static const uint32_t types[] = {0, HANDOVER_TYPES, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        m.type = types[i];
        cr_assert(handover_send(ends[0], &m, NULL));
        cr_expect_eq(handover_receive(ends[1], &back, got), HANDOVER_BOGUS, "type %u", types[i]);
    }

    // A descriptor more than the message says.
    m = (struct handover_message){.type = HANDOVER_OFFER, .n_fds = 0};
    struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    cr_assert_gt(sendmsg(ends[1], &msg, 0), 0);
    cr_expect_eq(handover_receive(ends[0], &back, got), HANDOVER_BOGUS);

    // With a message that brings none.
    m.type = HANDOVER_LOAD;
    m.n_fds = 1;
    cr_assert_gt(sendmsg(ends[1], &msg, 0), 0);
    cr_expect_eq(handover_receive(ends[0], &back, got), HANDOVER_BOGUS);
    iov.iov_len = 0;
    cr_assert_eq(sendmsg(ends[1], &msg, 0), 0);
    cr_expect_eq(handover_receive(ends[0], &back, got), HANDOVER_BOGUS);
    m.type = HANDOVER_OFFER;

    // And one less.
    m.n_fds = 1;
    cr_assert_gt(write(ends[1], &m, sizeof(m)), 0);
    cr_expect_eq(handover_receive(ends[0], &back, got), HANDOVER_BOGUS);
    cr_expect_eq(open_descriptors(), before);
}

static void on_alarm(int signal)
{
    (void) signal;
}

// The reason is the send's, whatever interrupts the pauses between its tries.
Test(handover, what_cannot_be_sent_says_why)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval often = {.it_interval = {.tv_usec = 200}, .it_value = {.tv_usec = 200}}, never = {0};
    struct handover_message m = {.type = HANDOVER_SOCKETS};
    int ends[2], fds[HANDOVER_FDS_MAX + 1] = {0};

    cr_assert(handover_pair(ends) && sigaction(SIGALRM, &action, NULL) == 0);
    m.n_fds = HANDOVER_FDS_MAX + 1;
    cr_expect(!handover_send(ends[0], &m, fds));
    cr_expect_eq(errno, EINVAL);
    m.n_fds = 1;
    cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    rig_manager_fails(ENOBUFS);
    bool sent = handover_send(ends[0], &m, fds);
    int error = errno;
    cr_expect_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    cr_expect(!sent);
    cr_expect_eq(error, ENOBUFS, "%d", error);
    rig_manager_fails(0);
    cr_expect(handover_send(ends[0], &m, fds));
    close(ends[1]);
    cr_expect(!handover_send(ends[0], &m, fds));
    cr_expect(errno == EPIPE || errno == ECONNRESET);
    close(ends[0]);
}
