// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stats/layout.h"

static const char *judge(int fd)
{
    uint64_t magic;
    struct stat st;
    bool known = fstat(fd, &st) == 0, regular = known && S_ISREG(st.st_mode);
    bool ours =
        regular && (st.st_size == 0 || (read(fd, &magic, sizeof(magic)) == sizeof(magic) && magic == STATS_MAGIC));

    errno = known && S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
    return ours      ? NULL
           : regular ? "stats_file is a file of something else, which the statistics would replace: name another one"
                     : "stats_file is no regular file";
}

const char *stats_place_taken(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const char *why = fd >= 0           ? judge(fd)
                      : errno == ELOOP  ? "stats_file is a symbolic link"
                      : errno == ENOENT ? NULL
                                        : "stats_file cannot be opened";
    int saved = fd < 0 && errno == ELOOP ? EEXIST : errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return why;
}
