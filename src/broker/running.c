// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/running.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/model.h"

static bool beside(const char *stats_file, const char *name, char out[PATH_MAX])
{
    const char *slash = strrchr(stats_file, '/');
    int directory = slash ? (int) (slash - stats_file) : 0;

    return snprintf(out, PATH_MAX, "%.*s/%s", directory, stats_file, name) < PATH_MAX;
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0)
            return false;
        text += n;
        size -= (size_t) n;
    }
    return true;
}

bool running_save(const char *stats_file, const char *text, size_t size, mode_t mode)
{
    char name[PATH_MAX], new_name[PATH_MAX];

    if (!beside(stats_file, CONFIG_RUNNING_NAME, name) || !beside(stats_file, CONFIG_RUNNING_NAME ".new", new_name)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (unlink(new_name) != 0 && errno != ENOENT)
        return false;
    int fd = open(new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = write_all(fd, text, size) && fchmod(fd, (mode & 0044) | 0600) == 0;
    int saved = errno;
    close(fd);
    if (ok && rename(new_name, name) == 0)
        return true;
    if (ok)
        saved = errno;
    unlink(new_name);
    errno = saved;
    return false;
}
