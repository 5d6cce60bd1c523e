// SPDX-License-Identifier: Apache-2.0
// Landlock: the second layer, which refuses access even by system calls that the filter allows.
#include <config.h>

#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log/log.h"

// Names that linux/landlock.h of Linux 6.1 lacks, with the values of Linux 6.18.
// Documentation/userspace-api/landlock.rst gives the ABI of each.
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP    (1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL               (1ULL << 1)
#endif

// struct landlock_ruleset_attr of ABI 6. Older kernels accept the longer struct if the rest is zero.
struct ruleset {
    uint64_t fs, net, scope;
};

// The rights that each ABI adds. ABI 7 adds no right, only flags for the audit log.
static const struct {
    unsigned abi;
    struct ruleset rights;
} known[] = {
    {1,
     {.fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
            LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
            LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
            LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
            LANDLOCK_ACCESS_FS_MAKE_SYM}},
    {2, {.fs = LANDLOCK_ACCESS_FS_REFER}},
    {3, {.fs = LANDLOCK_ACCESS_FS_TRUNCATE}},
    {4, {.net = LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP}},
    {5, {.fs = LANDLOCK_ACCESS_FS_IOCTL_DEV}},
    {6, {.scope = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL}},
    {7, {.fs = 0}},
};

#define KNOWN    (sizeof(known) / sizeof(known[0]))
#define MAY_READ LANDLOCK_ACCESS_FS_READ_FILE
#define MAY_WRITE                                                                                                      \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |                      \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

// Returns the newest ABI that both kernel and this file know, with its rights in *all; 0: none.
static unsigned find_abi(struct ruleset *all)
{
    long found = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    unsigned abi = 0;

    *all = (struct ruleset){0};
    for (size_t i = 0; i < KNOWN && (long) known[i].abi <= found; i++) {
        abi = known[i].abi;
        all->fs |= known[i].rights.fs;
        all->net |= known[i].rights.net;
        all->scope |= known[i].rights.scope;
    }
    return abi;
}

static bool allow(int ruleset, const char *directory, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights,
                                              .parent_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC)};

    // A missing directory needs no rule: it stays inaccessible when it is created.
    if (rule.parent_fd < 0)
        return errno == ENOENT;
    bool ok = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    int saved = errno;
    close(rule.parent_fd);
    errno = saved;
    return ok;
}

// Returns whether the domain is in force: it must refuse to open the root directory. Else sets errno.
static bool refuses(void)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return true;
    close(fd);
    errno = EPERM;
    return false;
}

bool sandbox_landlock(enum sandbox_role role, enum sandbox_mode mode, const struct sandbox_paths *paths, unsigned *abi)
{
    struct ruleset all;

    *abi = mode == SANDBOX_ENFORCE ? find_abi(&all) : 0;
    if (*abi == 0)
        return true;
    int ruleset = (int) syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    bool ok = ruleset >= 0;

    for (size_t i = 0; ok && paths && i < paths->n_write; i++)
        ok = allow(ruleset, paths->write[i], MAY_WRITE & all.fs);
    for (size_t i = 0; ok && paths && i < paths->n_read; i++)
        ok = allow(ruleset, paths->read[i], MAY_READ);
    ok = ok && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 && refuses();
    if (!ok)
        log_errno(LOG_LEVEL_ERR, EVENT_SANDBOX_LANDLOCK, "role=%s abi=%u", sandbox_role_name(role), *abi);
    if (ruleset >= 0)
        close(ruleset);
    return ok;
}
