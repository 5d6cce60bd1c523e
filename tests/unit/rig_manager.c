// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "rig_manager.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig_text.h"

static int own = -1;
static struct kept {
    char name[256];
    int fd;
} kept[64];
static size_t n_kept;

void rig_manager_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);

    // An abstract name that the kernel gives.
    own = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(own, (struct sockaddr *) &address, sizeof(address.sun_family)), 0);
    cr_assert_eq(getsockname(own, (struct sockaddr *) &address, &length), 0);
    address.sun_path[0] = '@';
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    setenv("FDSTORE", "64", 1);
}

static void keep(const char *name, int fd)
{
    cr_assert_lt(n_kept, sizeof(kept) / sizeof(kept[0]));
    kept[n_kept].fd = fd;
    snprintf(kept[n_kept++].name, sizeof(kept->name), "%s", name);
}

static void drop(const char *name)
{
    size_t left = 0;

    for (size_t i = 0; i < n_kept; i++)
        if (strcmp(kept[i].name, name) == 0)
            close(kept[i].fd);
        else
            kept[left++] = kept[i];
    n_kept = left;
}

static void take(const char *text, int fd)
{
    const char *at = strstr(text, "FDNAME=");
    char name[256] = "";

    if (at)
        snprintf(name, sizeof(name), "%.*s", (int) strcspn(at + 7, "\n"), at + 7);
    if (strstr(text, "FDSTOREREMOVE=1"))
        drop(name);
    else if (fd >= 0)
        keep(name, fd);
}

// What it was told, each with its end.
static char told[1 << 18];
static size_t n_told;

void rig_manager_hear(void)
{
    char text[2048];

    while (own >= 0) {
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr aligned;
        } control;
        struct iovec part = {.iov_base = text, .iov_len = sizeof(text) - 1};
        struct msghdr m = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        int fd = -1;
        ssize_t n = recvmsg(own, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
            return;
        text[n] = '\0';
        const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        if (c)
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        take(text, fd);
        for (char *line = text; (line = strchr(line, '\n')); *line = ' ')
            ;
        cr_assert_lt(n_told + (size_t) n + 1, sizeof(told));
        memcpy(told + n_told, text, (size_t) n + 1);
        n_told += (size_t) n + 1;
    }
}

// The kernel queues few messages, and how many is a setting of the machine's.
__typeof__(sendmsg) __wrap_sendmsg, __real_sendmsg;

static int fails;

void rig_manager_fails(int error)
{
    fails = error;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    if (fails) {
        errno = fails;
        return -1;
    }
    ssize_t n = __real_sendmsg(fd, m, flags);

    if (n >= 0 || errno != EAGAIN || own < 0)
        return n;
    rig_manager_hear();
    return __real_sendmsg(fd, m, flags);
}

void rig_manager_say(FILE *to, const char *directory)
{
    rig_manager_hear();
    for (const char *text = told; text < told + n_told; text += strlen(text) + 1) {
        fputs("  manager: ", to);
        rig_text_write(to, directory, text);
    }
    n_told = 0;
}

size_t rig_manager_hand_over(int first, char *names, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < n_kept; i++) {
        cr_assert_geq(dup2(kept[i].fd, first + (int) i), 0);
        used += (size_t) snprintf(names + used, size - used, "%s%s", i ? ":" : "", kept[i].name);
        cr_assert_lt(used, size);
    }
    return n_kept;
}

void rig_manager_forge(const char *name, int fd)
{
    drop(name);
    keep(name, fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

void rig_manager_close(void)
{
    while (n_kept > 0)
        close(kept[--n_kept].fd);
    if (own >= 0)
        close(own);
    own = -1;
}
