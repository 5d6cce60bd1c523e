// SPDX-License-Identifier: Apache-2.0
// The directories that a start makes, possibly as root, in places where others may write.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/audit.h"
#include "broker/directory.h"

#define OTHER 4711

static char top[] = "/tmp/mcr-units-XXXXXX";

static void enter(void)
{
    umask(022);
    cr_assert(mkdtemp(top) && chdir(top) == 0);
}

static void leave(void)
{
    cr_assert(chdir("/") == 0);
    cr_expect_eq(rmdir(top), 0, "%s", strerror(errno));
}

// Its file's directory, opened, has this mode and owner.
static void expect_made(const char *path, mode_t mode, uid_t uid)
{
    struct stat s;
    int fd = directory_open(path, 0750, OTHER, OTHER);

    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(fstat(fd, &s), 0);
    cr_expect(S_ISDIR(s.st_mode));
    cr_expect_eq(s.st_mode & 07777, mode, "%s: %o", path, s.st_mode);
    cr_expect_eq(s.st_uid, uid, "%s: %u", path, s.st_uid);
    cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

static void expect_refused(const char *path, int error)
{
    cr_expect_eq(directory_open(path, 0750, OTHER, OTHER), -1, "%.20s", path);
    cr_expect_eq(errno, error, "%.20s: %s", path, strerror(errno));
}

Test(audit, a_missing_directory_is_made_for_its_user, .init = enter, .fini = leave)
{
    uid_t mine = geteuid();

    expect_made("new/file", 0750, mine == 0 ? OTHER : mine);
    expect_made("new/file", 0750, mine == 0 ? OTHER : mine); // it is there
    // What was there stays as it was.
    cr_assert(mkdir("old", 0700) == 0);
    expect_made("old/file", 0700, mine);
    expect_made("old/../old/file", 0700, mine);
    cr_expect(rmdir("new") == 0 && rmdir("old") == 0);
}

Test(audit, only_the_last_component_is_made_and_no_link_is_followed, .init = enter, .fini = leave)
{
    char longest[PATH_MAX + 16];
    struct stat s;

    expect_refused("no/such/file", ENOENT);
    cr_expect_neq(stat("no", &s), 0);
    int fd = creat("plain", 0644);
    cr_assert(fd >= 0 && symlink(".", "link") == 0);
    close(fd);
    expect_refused("plain/file", ENOTDIR);
    expect_refused("link/file", ENOTDIR);
    memset(longest, 'a', sizeof(longest));
    strcpy(longest + sizeof(longest) - 6, "/file");
    expect_refused(longest, ENAMETOOLONG);
    cr_expect(unlink("plain") == 0 && unlink("link") == 0);
}

Test(audit, the_root_is_a_directory_too)
{
    struct stat root, found;
    int fd = directory_open("/file", 0750, OTHER, OTHER);

    cr_assert(fd >= 0 && stat("/", &root) == 0 && fstat(fd, &found) == 0);
    cr_expect(root.st_ino == found.st_ino && root.st_dev == found.st_dev);
    close(fd);
}

// What has been freed has nothing, and can be freed again: its descriptors are others' by then.
Test(audit, is_empty_when_it_has_been_freed, .init = enter, .fini = leave)
{
    struct audit a;

    audit_init(&a);
    audit_prepare(&a, "audit/log", getuid(), getgid());
    audit_open(&a, NULL);
    audit_record(&a, LOG_LEVEL_NOTICE, EVENT_RELOAD, "result=accepted");
    audit_flush(&a);
    cr_expect(a.fd >= 0 && a.directory >= 0 && a.lock >= 0);
    audit_free(&a);
    cr_expect(a.fd == -1 && a.directory == -1 && a.lock == -1 && !a.late && a.n_late == 0);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    audit_free(&a);
    cr_expect_geq(fcntl(next, F_GETFD), 0);
    close(next);
    cr_expect_eq(system("rm -r audit"), 0);
}
