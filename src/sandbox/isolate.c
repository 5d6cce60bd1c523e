// SPDX-License-Identifier: Apache-2.0
// Isolation from the start: no network, no files, no child processes.
#include <config.h>

#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log/log.h"
#include "stats/counters.h"

const char *sandbox_role_name(enum sandbox_role role)
{
    return role == SANDBOX_RELAY ? "relay" : "broker";
}

bool sandbox_mode_parse(const char *text, unsigned *mode)
{
    for (*mode = SANDBOX_OFF; *mode <= SANDBOX_ENFORCE; ++*mode)
        if (strcmp(text, stats_seccomp_name(*mode)) == 0)
            return true;
    return false;
}

// Makes a removed directory the root: nothing can be found or made in it. name: a template of mkdtemp(3).
static bool enter_removed_directory(char *name)
{
    if (!mkdtemp(name))
        return false;
    int fd = open(name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool ok = rmdir(name) == 0 && fd >= 0 && fchdir(fd) == 0 && chroot(".") == 0;
    if (fd >= 0)
        close(fd);
    return ok && access("/proc", F_OK) != 0;
}

int sandbox_move_up(int fd)
{
    if (fd < 0)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, SANDBOX_INGRESS_FD);
    int saved = errno;

    close(fd);
    errno = saved;
    return moved;
}

unsigned sandbox_isolate(enum sandbox_mode mode)
{
    char run[] = "/run/mcr-empty-XXXXXX", tmp[] = "/tmp/mcr-empty-XXXXXX";
    unsigned done = 0;

    if (mode != SANDBOX_ENFORCE || geteuid() != 0)
        return 0;
    // A user namespace would allow this without root, but in one signalfd reports every sender's uid as 65534
    // (user_namespaces(7)).
    if (unshare(CLONE_NEWNET) == 0)
        done |= STATS_OWN_NETWORK;
    if (enter_removed_directory(run) || enter_removed_directory(tmp))
        done |= STATS_EMPTY_ROOT;
    return done;
}

// RLIMIT_FSIZE is not here, because the log may be a file of any size. mcrd.c limits descriptors before it starts the
// second process.
static const struct {
    int resource;
    const char *name;
} nothing_of[] = {
    {RLIMIT_NPROC, "NPROC"},
    {RLIMIT_CORE, "CORE"},
    {RLIMIT_MEMLOCK, "MEMLOCK"},
    {RLIMIT_MSGQUEUE, "MSGQUEUE"},
};

bool sandbox_limit(enum sandbox_role role, enum sandbox_mode mode)
{
    static const struct rlimit none = {0, 0};
    struct rlimit found;

    if (mode != SANDBOX_ENFORCE)
        return true;
    for (size_t i = 0; i < sizeof(nothing_of) / sizeof(nothing_of[0]); i++) {
        // NPROC counts all processes of the user, but is checked only when this process creates another one.
        if (setrlimit((__rlimit_resource_t) nothing_of[i].resource, &none) == 0 &&
            getrlimit((__rlimit_resource_t) nothing_of[i].resource, &found) == 0 && found.rlim_max == 0)
            continue;
        log_errno(LOG_LEVEL_ERR, EVENT_SANDBOX_LIMIT, "role=%s limit=%s", sandbox_role_name(role), nothing_of[i].name);
        return false;
    }
    return true;
}
