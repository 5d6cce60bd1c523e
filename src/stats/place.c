// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stats/layout.h"

static const char *judge(int fd)
{
    uint64_t magic;
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return "stats_file is no regular file";
    if (st.st_size > 0 && (read(fd, &magic, sizeof(magic)) != sizeof(magic) || magic != STATS_MAGIC))
        return "stats_file is a file of something else, which the statistics would replace: name another one";
    return NULL;
}

const char *stats_place_taken(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const char *why = fd >= 0           ? judge(fd)
                      : errno == ELOOP  ? "stats_file is a symbolic link"
                      : errno == ENOENT ? NULL
                                        : "stats_file cannot be opened";

    if (fd >= 0)
        close(fd);
    if (why && (fd >= 0 || errno == ELOOP))
        errno = EEXIST;
    return why;
}
