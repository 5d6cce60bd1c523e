// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/ask.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command/command.h"
#include "common/clock.h"

#define POLL_MS_LEAST 10
#define POLL_MS_MOST  100

int ask_find(const char *stats_file, const char *path, struct daemon *d)
{
    char why[DAEMON_WHY_MAX], shown[DAEMON_WHY_MAX];
    int process = -1;

    if (daemon_wait(stats_file, d, why) != DAEMON_RUNS || (process = daemon_open(stats_file, d, why)) < 0) {
        command_trouble("%s", why);
        return -1;
    }
    if (!daemon_is_of(d, path)) {
        command_trouble("the daemon (pid %d) runs %s, not %s: name its own file with --config", (int) d->pid,
                        daemon_text(d->header.file, shown), path);
        close(process);
        return -1;
    }
    return process;
}

int ask_login(void)
{
    FILE *f = fopen("/proc/self/loginuid", "re");
    unsigned login = UINT32_MAX;

    if (f) {
        if (fscanf(f, "%u", &login) != 1)
            login = UINT32_MAX;
        fclose(f);
    }
    return (int) login;
}

bool ask_signal(int process, const struct daemon *d, int number)
{
    siginfo_t info = {.si_signo = number, .si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = ask_login();
    if (syscall(SYS_pidfd_send_signal, process, number, &info, 0) == 0)
        return true;
    command_trouble("the daemon (pid %d) cannot be signalled: %s%s", (int) d->pid, strerror(errno),
                    errno == EPERM ? "; run as root or as the daemon's user" : "");
    return false;
}

enum answer { ANSWERED, GONE, TIMED_OUT };

static int64_t now_ms(void)
{
    return (int64_t) (clock_monotonic_ns() / 1000000);
}

static enum answer wait_for_answer(int process, const char *stats_file, double seconds, struct daemon *d)
{
    const int64_t deadline = now_ms() + (int64_t) (seconds * 1000);
    struct pollfd end = {.fd = process, .events = POLLIN};
    int64_t pause = POLL_MS_LEAST;
    char why[DAEMON_WHY_MAX];

    for (;;) {
        // First the process, then the statistics, so that the last verdict of a process that ends is seen.
        int64_t left = deadline - now_ms();
        bool ended = poll(&end, 1, (int) (left < 0 ? 0 : left < pause ? left : pause)) > 0;
        struct daemon seen;
        if (daemon_look(stats_file, &seen, why) == DAEMON_RUNS && seen.header.pid == d->header.pid &&
            seen.owner == d->owner && seen.header.answered > d->header.asked) {
            *d = seen;
            return ANSWERED;
        }
        if (ended)
            return GONE;
        if (now_ms() >= deadline)
            return TIMED_OUT;
        pause = pause * 3 / 2 < POLL_MS_MOST ? pause * 3 / 2 : POLL_MS_MOST;
    }
}

bool ask_wait(int process, const char *stats_file, double seconds, struct daemon *d)
{
    switch (wait_for_answer(process, stats_file, seconds, d)) {
    case ANSWERED:
        return true;
    case GONE:
        command_trouble("the daemon (pid %d) ended before it had answered", (int) d->pid);
        break;
    case TIMED_OUT:
        command_trouble("the daemon (pid %d) was signalled, but has not answered within %g s", (int) d->pid, seconds);
        break;
    }
    return false;
}
