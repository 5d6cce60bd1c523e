// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef HAVE_CLOSEFROM
// For glibc before 2.34. Reads /proc, because descriptors may be above RLIMIT_NOFILE if it was lowered after they were
// opened.
static void closefrom(int first)
{
    DIR *listing = opendir("/proc/self/fd");
    const struct dirent *entry;

    while (listing && (entry = readdir(listing))) {
        int fd = atoi(entry->d_name); // "." and "..": 0
        if (fd >= first && fd != dirfd(listing))
            close(fd);
    }
    if (listing)
        closedir(listing);
}
#endif

bool descriptors_leave(int first)
{
    int null;

    // open(2) returns the lowest free number.
    do
        null = open("/dev/null", O_RDWR);
    while (null >= 0 && null <= STDERR_FILENO);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return false;
    close(null);
    closefrom(first);
    return true;
}

int descriptors_close(int fd)
{
    int saved = errno;

    if (fd >= 0)
        close(fd);
    errno = saved;
    return -1;
}
