// SPDX-License-Identifier: Apache-2.0
// What each role may still do behind its system call filter, limits, isolation and drop, each in a process of its own.
// tests/net/test_attack.py does more, as a relay or broker that was taken over.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log/log.h"
#include "sandbox/sandbox.h"

#ifndef MCR_SANITIZERS // their runtime needs calls that the filter refuses
#define NOT_LOADED    201
#define DENIED(error) (error)
#define DIES          202
#define PASSES        0

// Returns the errno of a call of a process that does this, PASSES, or DIES if it is killed for it.
struct attempt {
    enum sandbox_role role;
    enum sandbox_mode mode;
    long (*call)(void);
};

static int try(const struct attempt *a)
{
    pid_t child = fork();
    int status = -1;

    cr_assert_geq(child, 0);
    if (child == 0) {
        log_set_silent(true);
        if (!sandbox_filter(a->role, a->mode))
            syscall(SYS_exit_group, NOT_LOADED);
        long answer = a->call();
        syscall(SYS_exit_group, answer < 0 ? errno : PASSES);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return DIES;
    cr_assert(WIFEXITED(status), "status %d", status);
    return WEXITSTATUS(status);
}

static long write_nothing(void)
{
    return syscall(SYS_write, 2, "", 0);
}

static long write_to_ingress(void)
{
    return syscall(SYS_write, SANDBOX_INGRESS_FD, "", 0);
}

static long write_below_ingress(void)
{
    return syscall(SYS_write, SANDBOX_INGRESS_FD - 1, "", 0); // none is open
}

static long open_file(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY | O_CLOEXEC, 0);
}

static long make_datagram_socket(void)
{
    return syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
}

static long make_stream_socket(void)
{
    return syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
}

static long run_program(void)
{
    return syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static long signal_itself(void)
{
    return syscall(SYS_kill, getpid(), 0);
}

static long ask_for_memory(void)
{
    char room[256];

    return syscall(SYS_sysinfo, room);
}

static long ask_for_parent(void)
{
    return syscall(SYS_getppid);
}

static long map_memory(void)
{
    return syscall(SYS_munmap, NULL, 0) < 0 && errno == EINVAL ? 0 : -1;
}

Test(sandbox, each_role_does_what_its_list_says)
{
    static const struct {
        const char *what;
        long (*call)(void);
        int relay, broker;
    } cases[] = {
        {"write to a descriptor of its own", write_nothing, PASSES, PASSES},
        {"write to an ingress socket", write_to_ingress, DIES, DENIED(EBADF)},
        {"write to the descriptor below", write_below_ingress, DENIED(EBADF), DENIED(EBADF)},
        {"open a file", open_file, DIES, PASSES},
        {"socket for datagrams", make_datagram_socket, DIES, PASSES},
        {"socket for streams", make_stream_socket, DIES, DENIED(ENOSYS)},
        {"another program", run_program, DIES, DIES},
        {"signal", signal_itself, DIES, DIES},
        {"a query of the C library", ask_for_memory, DENIED(EPERM), DENIED(EPERM)},
        {"what no list has", ask_for_parent, DENIED(ENOSYS), DENIED(ENOSYS)},
        {"memory", map_memory, PASSES, PASSES},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int role = SANDBOX_RELAY; role <= SANDBOX_BROKER; role++) {
            int wanted = role == SANDBOX_RELAY ? cases[i].relay : cases[i].broker;
            struct attempt a = {(enum sandbox_role) role, SANDBOX_ENFORCE, cases[i].call};
            int found = try(&a);
            cr_expect_eq(found, wanted, "%s: %s: %d, wanted %d", sandbox_role_name(a.role), cases[i].what, found,
                         wanted);
        }
}

// To debug: the kernel logs, or there is no filter, and all goes on.
Test(sandbox, a_filter_that_only_logs_refuses_nothing)
{
    static long (*const calls[])(void) = {open_file, make_stream_socket, signal_itself, ask_for_memory, ask_for_parent};

    for (int mode = SANDBOX_OFF; mode <= SANDBOX_LOG; mode++)
        for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
            struct attempt a = {SANDBOX_RELAY, (enum sandbox_mode) mode, calls[i]};
            cr_expect_eq(try(&a), PASSES, "mode %d, call %zu", mode, i);
        }
}
#endif

// --- limits, isolation, drop -----------------------------------------------------------------------------------------

// Returns the exit status of a process that does this.
static int alone(int (*what)(void))
{
    pid_t child = fork();
    int status = -1;

    cr_assert_geq(child, 0);
    if (child == 0) {
        log_set_silent(true);
        _exit(what());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "status %d", status);
    return WEXITSTATUS(status);
}

static bool limits_are(const struct rlimit before[4], bool none)
{
    static const int resources[] = {RLIMIT_NPROC, RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE};
    struct rlimit now;

    for (size_t i = 0; i < 4; i++)
        if (getrlimit((__rlimit_resource_t) resources[i], &now) != 0 ||
            now.rlim_max != (none ? 0 : before[i].rlim_max) || now.rlim_cur != (none ? 0 : before[i].rlim_cur))
            return false;
    return true;
}

static int limits(void)
{
    struct rlimit before[4];

    getrlimit(RLIMIT_NPROC, &before[0]);
    getrlimit(RLIMIT_CORE, &before[1]);
    getrlimit(RLIMIT_MEMLOCK, &before[2]);
    getrlimit(RLIMIT_MSGQUEUE, &before[3]);
    for (int mode = SANDBOX_OFF; mode <= SANDBOX_LOG; mode++)
        if (!sandbox_limit(SANDBOX_RELAY, (enum sandbox_mode) mode) || !limits_are(before, false))
            return 1;
    return sandbox_limit(SANDBOX_RELAY, SANDBOX_ENFORCE) && limits_are(before, true) ? 0 : 2;
}

Test(sandbox, limits_are_none_and_only_where_it_is_enforced)
{
    cr_expect_eq(alone(limits), 0);
}

static int isolation(void)
{
    int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char before[64] = "", after[64] = "";

    for (int mode = SANDBOX_OFF; mode <= SANDBOX_LOG; mode++)
        if (sandbox_isolate((enum sandbox_mode) mode) != 0 || access("/proc", F_OK) != 0)
            return 1;
    if (readlinkat(proc, "self/ns/net", before, sizeof(before) - 1) < 0)
        return 2;
    unsigned done = sandbox_isolate(SANDBOX_ENFORCE);
    if (readlinkat(proc, "self/ns/net", after, sizeof(after) - 1) < 0)
        return 3;
    // What it says is what is so.
    if (((done & STATS_OWN_NETWORK) != 0) != (strcmp(before, after) != 0))
        return 4;
    if (((done & STATS_EMPTY_ROOT) != 0) != (access("/proc", F_OK) != 0))
        return 5;
    if ((done & STATS_EMPTY_ROOT) && open("/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0)
        return 6;
    return geteuid() == 0 || done == 0 ? 0 : 7;
}

Test(sandbox, isolation_says_what_is_so)
{
    cr_expect_eq(alone(isolation), 0, "%d", alone(isolation));
}

static int drop(enum sandbox_role role)
{
    const uint64_t wanted = role == SANDBOX_BROKER ? UINT64_C(1) << CAP_NET_RAW : 0;
    bool root = geteuid() == 0;
    uid_t uid = root ? 4711 : getuid();
    gid_t gid = root ? 4712 : getgid();

    if (!root && role == SANDBOX_BROKER)
        return 0;
    if (!sandbox_drop(role, uid, gid))
        return 1;
    if (getuid() != uid || geteuid() != uid || getgid() != gid || getegid() != gid)
        return 2;
    if (sandbox_capabilities() != wanted)
        return 3;
    if (root && (getgroups(0, NULL) != 0 || setuid(0) == 0 || setgid(0) == 0))
        return 4;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 5;
    for (int cap = 0; root && cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            return 6;
    return 0;
}

static int drop_of_relay(void)
{
    return drop(SANDBOX_RELAY);
}

static int drop_of_broker(void)
{
    return drop(SANDBOX_BROKER);
}

Test(sandbox, each_role_keeps_one_right_or_none)
{
    cr_expect_eq(alone(drop_of_relay), 0, "%d", alone(drop_of_relay));
    cr_expect_eq(alone(drop_of_broker), 0, "%d", alone(drop_of_broker));
}

static int landlock_off(void)
{
    unsigned abi = 7;

    for (int mode = SANDBOX_OFF; mode <= SANDBOX_LOG; mode++)
        if (!sandbox_landlock(SANDBOX_RELAY, (enum sandbox_mode) mode, NULL, &abi) || abi != 0 ||
            access("/etc/passwd", R_OK) != 0)
            return 1;
    return 0;
}

Test(sandbox, landlock_is_only_where_it_is_enforced)
{
    cr_expect_eq(alone(landlock_off), 0);
}

// --- small parts -----------------------------------------------------------------------------------------------------

Test(sandbox, ingress_descriptors_are_moved_up)
{
    struct rlimit files = {.rlim_cur = SANDBOX_FILES_MIN, .rlim_max = SANDBOX_FILES_MIN};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    cr_expect_eq(sandbox_move_up(-1), -1);
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        cr_skip_test("no right to so many descriptors");
    int moved = sandbox_move_up(fd);
    cr_expect_geq(moved, SANDBOX_INGRESS_FD);
    cr_expect_eq(fcntl(moved, F_GETFD), FD_CLOEXEC);
    cr_expect_lt(fcntl(fd, F_GETFD), 0, "the old one is open");
    // Where there is no room it is closed all the same.
    files.rlim_cur = 256;
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert(setrlimit(RLIMIT_NOFILE, &files) == 0);
    cr_expect_eq(sandbox_move_up(fd), -1);
    cr_expect_eq(errno, EINVAL);
    cr_expect_lt(fcntl(fd, F_GETFD), 0);
    close(moved);
}

Test(sandbox, names_of_modes_and_roles)
{
    unsigned mode;

    cr_expect(sandbox_mode_parse("off", &mode) && mode == SANDBOX_OFF);
    cr_expect(sandbox_mode_parse("log", &mode) && mode == SANDBOX_LOG);
    cr_expect(sandbox_mode_parse("enforce", &mode) && mode == SANDBOX_ENFORCE);
    cr_expect(!sandbox_mode_parse("on", &mode));
    cr_expect(!sandbox_mode_parse("", &mode));
    cr_expect_str_eq(sandbox_role_name(SANDBOX_RELAY), "relay");
    cr_expect_str_eq(sandbox_role_name(SANDBOX_BROKER), "broker");
}

// A reviewer reads the list: each row in its columns, and none without a reason.
Test(sandbox, the_list_has_a_reason_for_each_call_in_one_column)
{
    char *text = NULL;
    size_t size, column = 0, n = 0;
    FILE *to = open_memstream(&text, &size);

    cr_assert(to && sandbox_list(to));
    fclose(to);
    for (char *line = text; line[0] != '\n'; line = strchr(line, '\n') + 1, n++) {
        size_t length = strcspn(line, "\n");
        if (n == 0)
            column = (size_t) (strstr(line, "WHY") - line);
        cr_assert_gt(length, column, "no reason: %.*s", (int) length, line);
        cr_expect(line[column - 1] == ' ' && line[column - 2] == ' ' && line[column] != ' ', "%.*s", (int) length,
                  line);
        cr_expect(strspn(line, "relaybothkPROCESS") > 0);
    }
    cr_expect_gt(n, 100);
    cr_expect(strstr(text, "\nrelay    kill    socket "));
    cr_expect(strstr(text, "\nbroker   allow   socket "));
    cr_expect(strstr(text, "\nboth     kill    execve "));
    cr_expect(strstr(text, "\nboth     EPERM   sysinfo "));
    cr_expect(strstr(text, "\nboth     ENOSYS  any other "));
    cr_expect_null(strstr(text, " ? "));
    free(text);
}
