// SPDX-License-Identifier: Apache-2.0
// Where the statistics are put, and the lock by which a second mcrd finds out that they are the first one's.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/statistics.h"

static char top[] = "/tmp/mcr-units-XXXXXX";

static void enter(void)
{
    umask(022);
    cr_assert(mkdtemp(top) && chdir(top) == 0);
}

static void leave(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", top);
    cr_expect(chdir("/") == 0 && system(command) == 0);
}

static int prepare(const char *path, const char **why, pid_t *other)
{
    *why = NULL;
    *other = -1;
    errno = 0;
    int fd = statistics_prepare(path, getuid(), getgid(), why, other);
    cr_expect_not_null(fd < 0 ? *why : "");
    return fd;
}

static void expect_refused(const char *path, const char *reason)
{
    const char *why;
    pid_t other;

    cr_expect_eq(prepare(path, &why, &other), -1, "%.40s", path);
    cr_expect(why && strstr(why, reason), "%.40s: %s, wanted %s", path, why, reason);
    cr_expect_eq(other, 0);
}

// A process that holds this lock until it is killed.
static pid_t hold(const char *lock, short type)
{
    int ends[2];
    char byte = 0;

    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock all = {.l_type = type, .l_whence = SEEK_SET};
        int fd = open(lock, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fcntl(fd, F_SETLK, &all) != 0 || write(ends[1], &byte, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    cr_assert(child > 0 && read(ends[0], &byte, 1) == 1);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    cr_expect_eq(waitpid(child, NULL, 0), child);
}

Test(offer, statistics_of_one_mcrd_are_not_anothers, .init = enter, .fini = leave)
{
    const char *why;
    pid_t other;
    struct stat s;
    int fd = prepare("run/stats", &why, &other);

    cr_assert_geq(fd, 0, "%s", why);
    cr_expect(stat("run", &s) == 0 && (s.st_mode & 07777) == 0755);
    cr_expect(stat("run/stats.lock", &s) == 0 && S_ISREG(s.st_mode) && (s.st_mode & 07777) == 0644);
    cr_expect_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    cr_expect_eq(other, 0);
    close(fd);
    // The lock that it has left is no other's.
    fd = prepare("run/stats", &why, &other);
    cr_expect_geq(fd, 0, "%s", why);
    close(fd);
    pid_t child = hold("run/stats.lock", F_WRLCK);
    cr_expect_eq(prepare("run/stats", &why, &other), -1);
    cr_expect_eq(errno, EBUSY);
    cr_expect_eq(other, child);
    cr_expect_str_eq(why, "another mcrd uses this stats_file");
    end(child);
    // Anyone may take a lock for reading, and keeps nobody out by it.
    child = hold("run/stats.lock", F_RDLCK);
    fd = prepare("run/stats", &why, &other);
    cr_expect_geq(fd, 0, "%s", why);
    close(fd);
    end(child);
}

Test(offer, statistics_replace_no_file_of_another_kind, .init = enter, .fini = leave)
{
    char longest[NAME_MAX + 8] = "./";
    const char *why;
    pid_t other;
    int fd;

    memset(longest + 2, 'a', NAME_MAX);
    cr_assert(mkdir("directory", 0755) == 0 && mkfifo("pipe.lock", 0644) == 0 &&
              symlink("elsewhere", "link.lock") == 0);
    expect_refused("no/such/stats", "directory of stats_file");
    expect_refused("./directory", "");
    expect_refused("./pipe", "lock of stats_file");
    expect_refused("./link", "lock of stats_file");
    expect_refused(longest, "lock of stats_file");
    cr_expect(access("elsewhere", F_OK) != 0 && access("directory.lock", F_OK) != 0);
    cr_assert((fd = creat("text", 0644)) >= 0 && write(fd, "some text", 9) == 9);
    close(fd);
    expect_refused("./text", "");
    cr_expect(access("text.lock", F_OK) != 0);
    fd = prepare("./new", &why, &other);
    cr_expect_geq(fd, 0, "%s", why);
    close(fd);
}
