// SPDX-License-Identifier: Apache-2.0
// One process writes audit_file: which has locked AUDIT_FILE.lock, as rotation gives the file itself another name.
#include <config.h>

#include "broker/audit_state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/descriptors.h"

// How long the broker of an mcrd that has just ended may take to write its last records.
#define LOCK_TRIES 100
#define LOCK_NS    20000000

// Nobody else may open it: who can read a file can lock it. A lock that root makes is given to the user, as the next
// start may be without root's rights. Returns -1 if there can be none, which the file itself then tells, too.
static int open_lock(int directory, const char *path, uid_t uid, gid_t gid)
{
    char name[NAME_MAX + 1];
    struct stat st;

    if ((size_t) snprintf(name, sizeof(name), "%s" TRAIL_LOCK_SUFFIX, strrchr(path, '/') + 1) >= sizeof(name))
        return -1;
    int fd = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (geteuid() != 0 || st.st_uid != 0 || fchown(fd, uid, gid) == 0))
        return fd;
    return descriptors_close(fd);
}

void audit_lock(struct audit *a, uint32_t uid, uint32_t gid)
{
    static const struct timespec pause = {.tv_nsec = LOCK_NS};
    int fd = open_lock(a->directory, a->path, uid, gid);
    struct flock lock;

    a->lock = fd;
    for (unsigned i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
        lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_SETLK, &lock) == 0 || (errno != EACCES && errno != EAGAIN))
            return;
        nanosleep(&pause, NULL);
    }
    if (fd < 0)
        return;
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    // One of another pid namespace has the number 0 here.
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        a->other = lock.l_pid > 0 ? lock.l_pid : -1;
}
