// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "handover/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(int) * HANDOVER_FDS_MAX)];
};

bool handover_pair(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    const struct timeval patience = {.tv_sec = HANDOVER_SEND_SECONDS};
    int flags = fcntl(ends[0], F_GETFL);
    if (flags >= 0 && fcntl(ends[0], F_SETFL, flags | O_NONBLOCK) == 0 &&
        setsockopt(ends[1], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0)
        return true;
    int saved = errno;
    close(ends[0]);
    close(ends[1]);
    errno = saved;
    return false;
}

#define TRIES    4 // where the kernel has no memory for a message at the moment
#define PAUSE_MS 1

// Returns whether a call that has returned n is to be made again: it was interrupted, or there was no memory for it.
static bool comes_again(ssize_t n, unsigned *tries)
{
    if (n >= 0 || (errno != EINTR && errno != ENOBUFS && errno != ENOMEM))
        return false;
    if (errno == EINTR)
        return true;
    int saved = errno;
    poll(NULL, 0, PAUSE_MS);
    errno = saved;
    return ++*tries < TRIES;
}

bool handover_send(int fd, const struct handover_message *m, const int *fds)
{
    struct iovec iov = {.iov_base = (void *) m, .iov_len = sizeof(*m)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    union control control;
    unsigned tries = 0;
    ssize_t n;

    if (m->n_fds > HANDOVER_FDS_MAX) {
        errno = EINVAL;
        return false;
    }
    if (m->n_fds == 0) {
        // write() in place of sendmsg(), so that the relay's system call filter can deny sendmsg().
        do
            n = write(fd, m, sizeof(*m));
        while (comes_again(n, &tries));
        return n == (ssize_t) sizeof(*m);
    }

    memset(&control, 0, sizeof(control));
    msg.msg_control = &control;
    msg.msg_controllen = CMSG_SPACE(sizeof(int) * m->n_fds);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * m->n_fds);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * m->n_fds);
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (comes_again(n, &tries));
    return n == (ssize_t) sizeof(*m);
}

// Copies the descriptors of msg to fds. Returns how many there are.
static uint32_t take_descriptors(struct msghdr *msg, int *fds)
{
    uint32_t n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t bytes = c->cmsg_len - CMSG_LEN(0);
        for (size_t i = 0; i < bytes / sizeof(int) && n < HANDOVER_FDS_MAX; i++, n++)
            memcpy(&fds[n], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return n;
}

// Returns whether messages of this type may have descriptors.
static bool may_carry(uint32_t type)
{
    return type == HANDOVER_HELLO || type == HANDOVER_OFFER || type == HANDOVER_POOL || type == HANDOVER_SOCKETS;
}

void handover_close(const struct handover_message *m, const int *fds)
{
    for (uint32_t i = 0; i < m->n_fds; i++)
        close(fds[i]);
}

// Returns whether the other side has closed its end. This tells that case from an empty message: both read as 0 bytes.
static bool is_closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) == 1;
}

enum handover_result handover_receive(int fd, struct handover_message *m, int *fds)
{
    struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
    union control control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    unsigned tries = 0;
    ssize_t n;

    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (comes_again(n, &tries));
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? HANDOVER_EMPTY : HANDOVER_CLOSED;

    // An empty message may have descriptors, too.
    uint32_t got = take_descriptors(&msg, fds);
    bool whole = n == (ssize_t) sizeof(*m) && !(msg.msg_flags & MSG_TRUNC) && m->type >= HANDOVER_HELLO &&
                 m->type < HANDOVER_TYPES && (m->n_fds == 0 || may_carry(m->type));
    bool cut = (msg.msg_flags & MSG_CTRUNC) && got < m->n_fds;
    if (whole && !(msg.msg_flags & MSG_CTRUNC) && m->n_fds == got)
        return HANDOVER_GOT;
    for (uint32_t i = 0; i < got; i++)
        close(fds[i]);
    if (n == 0 && is_closed(fd))
        return HANDOVER_CLOSED;
    return whole && cut ? HANDOVER_SHORT : HANDOVER_BOGUS;
}
