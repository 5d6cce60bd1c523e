// SPDX-License-Identifier: Apache-2.0
// Asks the daemon for a reload. There is no control socket: SIGHUP is the request, and the verdict is in the
// statistics.
#include <config.h>

#include "command/command.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command/account.h"
#include "command/daemon.h"
#include "command/signed.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/exit.h"
#include "config/load.h"
#include "config/times.h"
#include "log/log.h"

#define POLL_MS_LEAST 10
#define POLL_MS_MOST  100

// Returns a pidfd of the daemon, after a check that it runs this file, or -1 after a message.
static int find(const struct config *c, struct daemon *d)
{
    char why[DAEMON_WHY_MAX], shown[DAEMON_WHY_MAX];
    int process = -1;

    if (daemon_wait(c->stats_file, d, why) != DAEMON_RUNS || (process = daemon_open(c->stats_file, d, why)) < 0) {
        command_trouble("%s", why);
        return -1;
    }
    if (!daemon_is_of(d, c->path)) {
        command_trouble("the daemon (pid %d) runs %s, not %s: name its own file with --config", (int) d->pid,
                        daemon_text(d->header.file, shown), c->path);
        close(process);
        return -1;
    }
    return process;
}

static int own_login(void)
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

// Sends SIGHUP with the login uid, which the daemon may be unable to read from /proc (ProtectProc= in systemd.exec(5)).
static bool ask(int process, const struct daemon *d)
{
    siginfo_t info = {.si_signo = SIGHUP, .si_code = SI_QUEUE};

    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = own_login();
    if (syscall(SYS_pidfd_send_signal, process, SIGHUP, &info, 0) == 0)
        return true;
    command_trouble("the daemon (pid %d) cannot be signalled: %s%s", (int) d->pid, strerror(errno),
                    errno == EPERM ? "; run as root or as the daemon's user" : "");
    return false;
}

static int64_t now_ms(void)
{
    return (int64_t) (clock_monotonic_ns() / 1000000);
}

enum answer { ANSWERED, GONE, TIMED_OUT };

// Waits for a verdict on a load that was requested after *d was read, and reads it into *d. Looks up the statistics by
// name each time, because each load replaces their file.
static enum answer wait_for_answer(int process, const struct config *c, double seconds, struct daemon *d)
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
        if (daemon_look(c->stats_file, &seen, why) == DAEMON_RUNS && seen.header.pid == d->header.pid &&
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

static int tell_verdict(const struct config *c, const struct daemon *d)
{
    const struct stats_header *h = &d->header;
    char ours[DIGEST_TEXT_MAX], theirs[DIGEST_TEXT_MAX], shown[DAEMON_WHY_MAX];

    digest_text(h->sha256, theirs);
    digest_text(c->file.sha256, ours);
    if (h->verdict == STATS_VERDICT_REFUSED) {
        command_trouble("reload refused: %s", daemon_text(h->refusal, shown));
        return 1;
    }
    if (h->verdict != STATS_VERDICT_ACCEPTED)
        return command_trouble("the daemon has answered, but neither that it accepts nor that it refuses");
    if (strcmp(ours, theirs) != 0)
        return command_trouble("reload accepted: generation %" PRIu64
                               ", but %s was replaced meanwhile: sha256 %s was checked, %s runs",
                               h->generation, c->path, ours, theirs);
    // The file is in force, even if that cannot be printed.
    printf("reload accepted: generation %" PRIu64 ", sha256 %s, %zu rule%s\n", h->generation, theirs, c->n_rules,
           c->n_rules == 1 ? "" : "s");
    command_flush(c->path, true);
    return 0;
}

// Records a refusal by this process, of which the daemon does not learn. systemd adds the record to the unit's journal.
static void record_refusal(const char *path, const struct config_problems *problems, const struct config_bytes *bytes)
{
    char hex[DIGEST_TEXT_MAX], file[600], why[1024], quoted[1100];

    config_problems_first(problems, path, why, sizeof(why));
    log_error(EVENT_RELOAD, "result=refused file=%s sha256=%s size=%llu owner=%u pid=%d uid=%u loginuid=%d reason=%s",
              log_quote(path, file, sizeof(file)), digest_or_none(bytes->info.sha256, hex),
              (unsigned long long) bytes->info.size, (unsigned) bytes->info.owner, (int) getpid(), (unsigned) getuid(),
              own_login(), log_quote(why, quoted, sizeof(quoted)));
}

// Checks that the daemon may read the file: one that root started has dropped the rights by which this process has read
// it. Returns false after a message if it may not. Also prints the problems that it will have at its next start.
static bool may_daemon_read(const struct config *c, const char *trust, const struct daemon *d,
                            const struct config_bytes *bytes)
{
    struct config_problems problems = {0};
    struct file_reader reader;
    char why[FILE_WHY_MAX];

    // A daemon that root did not start has kept its user, which may differ from that of the file.
    if (account_find(c, &reader, &problems) && reader.uid == d->owner &&
        !account_may_read(c->path, &reader, d->pid, why))
        config_error(&problems, 0, NULL, "%s", why);
    signed_readable(c, trust, bytes, d, &problems);
    bool ok = problems.n_errors == 0;
    config_problems_print(&problems, c->path, stderr);
    if (!ok)
        record_refusal(c->path, &problems, bytes);
    config_problems_free(&problems);
    return ok;
}

static void warn_of_clock(const struct config *c)
{
    struct config_problems problems = {0};

    if (times_matter(c) && clock_is_unsynchronised())
        config_warning(
            &problems, 0, NULL,
            "the clock of this host is not synchronised (adjtimex): what begins and ends may do so too early "
            "or too late");
    config_problems_print(&problems, c->path, stderr);
    config_problems_free(&problems);
}

static int reload(const struct config *c, const char *trust, double seconds, const struct config_bytes *bytes)
{
    struct daemon d;
    int process = find(c, &d), status = EXIT_TROUBLE;

    if (process < 0)
        return EXIT_TROUBLE;
    warn_of_clock(c);
    if (!may_daemon_read(c, trust, &d, bytes))
        status = 1;
    else if (ask(process, &d))
        switch (wait_for_answer(process, c, seconds, &d)) {
        case ANSWERED:
            status = tell_verdict(c, &d);
            break;
        case GONE:
            command_trouble("the daemon (pid %d) ended before it had answered", (int) d.pid);
            break;
        case TIMED_OUT:
            command_trouble("the daemon (pid %d) was signalled, but has not answered within %g s", (int) d.pid,
                            seconds);
            break;
        }
    signed_note(c, trust, bytes, &d);
    close(process);
    return status;
}

int command_reload(const char *path, const char *trust, double seconds)
{
    struct config_problems problems = {0};
    struct config_bytes bytes;
    struct config *c = config_load(path, 0, &problems, &bytes);
    int status = 1;

    if (c && signed_wait(path, trust, &bytes, seconds)) {
        config_problems_free(&problems);
        file_free(&bytes);
        config_free(c);
        c = config_load(path, 0, &problems, &bytes);
    }
    config_problems_print(&problems, path, stderr);
    if (c) {
        setlocale(LC_CTYPE, ""); // for the texts of the daemon
        status = reload(c, trust, seconds, &bytes);
    } else {
        record_refusal(path, &problems, &bytes);
    }
    config_problems_free(&problems);
    file_free(&bytes);
    config_free(c);
    return status;
}
