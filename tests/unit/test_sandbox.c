// SPDX-License-Identifier: Apache-2.0
// Landlock, of which nothing is believed: what it must refuse is tried. Each in a process of its own.
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log/log.h"
#include "sandbox/sandbox.h"

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

// Returns the exit status of a process that does this.
static int alone(int (*what)(const char *), const char *directory)
{
    pid_t child = fork();
    int status = -1;

    cr_assert_geq(child, 0);
    if (child == 0) {
        log_set_silent(true);
        _exit(what(directory));
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "status %d", status);
    return WEXITSTATUS(status);
}

static bool restrict_to(const char *directory, unsigned *abi)
{
    const struct sandbox_paths paths = {.write = &directory, .n_write = 1};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); // as sandbox_drop() does
    return sandbox_landlock(SANDBOX_BROKER, SANDBOX_ENFORCE, &paths, abi);
}

static int has_none(const char *directory)
{
    unsigned abi;

    return restrict_to(directory, &abi) && abi == 0 ? 0 : 1;
}

static int is_in_force(const char *directory)
{
    int before = open_descriptors(), in = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned abi = 0;

    if (!restrict_to(directory, &abi) || abi == 0)
        return 1;
    if (in < 0 || openat(in, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0)
        return 2;
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0)
        return 3;
    return open_descriptors() == before + 2 ? 0 : 4;
}

// A kernel that says yes and does nothing.
static int is_not_believed(const char *directory)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    unsigned abi = 0;

    if (!c || seccomp_rule_add(c, SCMP_ACT_ERRNO(0), SCMP_SYS(landlock_restrict_self), 0) != 0 || seccomp_load(c) != 0)
        return 77;
    seccomp_release(c);
    int before = open_descriptors();
    if (restrict_to(directory, &abi))
        return 1;
    return open_descriptors() == before ? 0 : 2;
}

Test(sandbox, landlock_is_in_force_or_nothing_starts)
{
    char directory[] = "/tmp/mcr-units-XXXXXX", name[64];

    cr_assert(mkdtemp(directory));
    if (alone(has_none, directory) == 0)
        cr_log_warn("the kernel has no Landlock\n");
    else {
        cr_expect_eq(alone(is_in_force, directory), 0, "%d", alone(is_in_force, directory));
        int status = alone(is_not_believed, directory);
        cr_expect(status == 0 || status == 77, "%d", status);
    }
    snprintf(name, sizeof(name), "%s/new", directory);
    unlink(name);
    cr_expect_eq(rmdir(directory), 0);
}
