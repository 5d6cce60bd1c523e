// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/descriptors.h"

int directory_open(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t) (slash - path) : 0;
    struct stat st;

    if (length >= sizeof(directory)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(directory, sizeof(directory), "%.*s", (int) (length ? length : 1), path);
    bool made = mkdir(directory, mode) == 0;
    if (!made && errno != EEXIST)
        return -1;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || !made || geteuid() != 0)
        return fd;
    // A directory that root has just made belongs to root, so it is given to the user.
    if (fstat(fd, &st) == 0 && (st.st_uid == 0 ? fchown(fd, uid, gid) == 0 : st.st_uid == uid))
        return fd;
    errno = EPERM;
    return descriptors_close(fd);
}
