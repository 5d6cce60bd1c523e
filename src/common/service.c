// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/service.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/arguments.h"
#include "common/descriptors.h"

int service_connect(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;

    errno = 0;
    if (!path)
        return -1;
    errno = EINVAL;
    if ((path[0] != '/' && path[0] != '@') || length < 2 || length >= sizeof(to.sun_path))
        return -1;
    memcpy(to.sun_path, path, length);
    if (path[0] == '@') // of the abstract namespace (unix(7))
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *) &to, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length)) != 0)
        return descriptors_close(fd);
    return fd;
}

uint32_t service_keeps(void)
{
    const char *most = getenv("FDSTORE");
    uint64_t n;

    return most && arguments_number(most, 1, UINT32_MAX, &n) ? (uint32_t) n : 0;
}

size_t service_handed_over(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t whose, n;

    if (!pid || !fds || !arguments_number(pid, 1, INT32_MAX, &whose) || whose != (uint64_t) getpid() ||
        !arguments_number(fds, 1, SERVICE_FDS_MAX, &n))
        return 0;
    return (size_t) n;
}

uint64_t service_other(pid_t pid)
{
    const char *text = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t whose, n;

    if (!text || !fds || !arguments_number(text, 1, INT32_MAX, &whose) || whose == (uint64_t) pid ||
        !arguments_number(fds, 1, SERVICE_FDS_MAX, &n))
        return 0;
    return whose;
}

void service_next_name(const char **list, char *name, size_t size)
{
    size_t length = strcspn(*list, ":");

    name[0] = '\0';
    if (length < size) {
        memcpy(name, *list, length);
        name[length] = '\0';
    }
    *list += length + ((*list)[length] == ':');
}
