// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stats/reader.h"
#include "stats/text.h"

#define INSTANCE   "/run/mcr-" // the stats_file of mcrd@NAME is INSTANCE NAME "/stats"
#define LOOK_TRIES 40
#define LOOK_NS    25000000

// Writes the reason to why. Returns state.
static enum daemon_state __attribute__((format(printf, 3, 4)))
tell(enum daemon_state state, char why[DAEMON_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, DAEMON_WHY_MAX, format, args);
    va_end(args);
    return state;
}

const char *daemon_text(const char *text, char out[DAEMON_WHY_MAX])
{
    text_show(out, DAEMON_WHY_MAX, text, DAEMON_WHY_MAX);
    return out;
}

// Finds the unit of contrib/systemd whose daemon has this stats_file: mcrd, or mcrd@NAME. Returns false if there is
// none.
static bool find_unit(const char *stats_file, char unit[sizeof("mcrd@") + NAME_MAX])
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-";
    const char *name = stats_file + strlen(INSTANCE);

    snprintf(unit, sizeof("mcrd@") + NAME_MAX, "mcrd");
    if (strcmp(stats_file, STATS_DEFAULT_PATH) == 0)
        return true;
    if (strncmp(stats_file, INSTANCE, strlen(INSTANCE)) != 0)
        return false;
    size_t length = strspn(name, safe);
    snprintf(unit, sizeof("mcrd@") + NAME_MAX, "mcrd@%.*s", (int) length, name);
    return length > 0 && strcmp(name + length, "/stats") == 0;
}

// Writes why there is no daemon, and how to start it. Returns DAEMON_NONE.
static enum daemon_state __attribute__((format(printf, 3, 4)))
tell_none(const char *stats_file, char why[DAEMON_WHY_MAX], const char *format, ...)
{
    char unit[sizeof("mcrd@") + NAME_MAX], reason[DAEMON_WHY_MAX / 2];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    if (find_unit(stats_file, unit))
        return tell(DAEMON_NONE, why, "not running: systemctl start %s; no daemon: %s", unit, reason);
    return tell(DAEMON_NONE, why, "no daemon: %s", reason);
}

// --- its statistics --------------------------------------------------------------------------------------------------

static void end_strings(struct stats_header *h)
{
    h->program_version[sizeof(h->program_version) - 1] = '\0';
    h->instance[sizeof(h->instance) - 1] = '\0';
    h->file[sizeof(h->file) - 1] = '\0';
    h->refusal[sizeof(h->refusal) - 1] = '\0';
    h->disk_error[sizeof(h->disk_error) - 1] = '\0';
    h->returned[sizeof(h->returned) - 1] = '\0';
    h->signatures.trust_file[sizeof(h->signatures.trust_file) - 1] = '\0';
    h->signatures.signed_by[sizeof(h->signatures.signed_by) - 1] = '\0';
}

static enum daemon_state judge(int fd, const char *path, struct daemon *d, char why[DAEMON_WHY_MAX])
{
    struct stats_header *h = &d->header;
    struct stat st;
    bool consistent;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return tell(DAEMON_NONE, why,
                    "%s is no regular file: stats_file must be the one that the daemon was started with", path);
    d->owner = st.st_uid;
    if (!stats_read_header(fd, h, &consistent) || h->magic != STATS_MAGIC)
        return tell(DAEMON_NONE, why, "%s is not the statistics of mcrd", path);
    end_strings(h);
    if (h->version != STATS_VERSION)
        return tell(DAEMON_NONE, why,
                    "the layout of %s is version %u, known here is %d: use the mcrd that runs, or restart it", path,
                    h->version, STATS_VERSION);
    d->pid = stats_writer(path);
    // A reload marks the old file as superseded, and then renames the new one to its name; so does a return from a
    // trial, behind which the last one may have ended.
    if ((h->state == STATS_SUPERSEDED || !consistent) && d->pid != 0)
        return tell(DAEMON_CHANGING, why, "%s is being replaced", path);
    if (h->state == STATS_STOPPED || d->pid == 0)
        return tell_none(path, why, "mcrd (pid %u), whose statistics are in %s, %s", h->pid, path,
                         h->state == STATS_STOPPED ? "was stopped" : "has ended");
    if (h->state != STATS_LIVE)
        return tell(DAEMON_CHANGING, why, "mcrd does not use %s yet", path);
    return DAEMON_RUNS;
}

// What a relay uses that has gone back from a trial, until the broker gives it the name; which may have ended.
static enum daemon_state look_back(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX])
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s" STATS_BACK_SUFFIX, stats_file);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    enum daemon_state state = fd >= 0 ? judge(fd, stats_file, d, why) : DAEMON_NONE;
    if (fd >= 0)
        close(fd);
    return state;
}

enum daemon_state daemon_look(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX])
{
    int fd = open(stats_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return tell_none(stats_file, why,
                         "%s, the stats_file of the config, does not exist; a changed stats_file needs a restart",
                         stats_file);
    if (fd < 0)
        return tell(DAEMON_NONE, why, "%s cannot be opened: %s", stats_file, strerror(errno));
    enum daemon_state state = judge(fd, stats_file, d, why);
    close(fd);
    if (state == DAEMON_CHANGING && d->header.state == STATS_SUPERSEDED) {
        struct daemon back;
        char other[DAEMON_WHY_MAX];
        if (look_back(stats_file, &back, other) == DAEMON_RUNS) {
            *d = back;
            return DAEMON_RUNS;
        }
    }
    return state;
}

enum daemon_state daemon_wait(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX])
{
    static const struct timespec pause = {.tv_nsec = LOOK_NS};
    enum daemon_state state = daemon_look(stats_file, d, why);

    for (unsigned i = 0; state == DAEMON_CHANGING && i < LOOK_TRIES; i++) {
        nanosleep(&pause, NULL);
        state = daemon_look(stats_file, d, why);
    }
    return state;
}

bool daemon_is_of(const struct daemon *d, const char *path)
{
    char *theirs = realpath(d->header.file, NULL), *ours = realpath(path, NULL);
    bool same = theirs && ours && strcmp(theirs, ours) == 0;

    free(theirs);
    free(ours);
    return same;
}

// --- its process -----------------------------------------------------------------------------------------------------

int daemon_open(const char *stats_file, const struct daemon *d, char why[DAEMON_WHY_MAX])
{
    struct daemon again = {.pid = 0};
    int fd = -1;

    if (d->pid > 0)
        fd = (int) syscall(SYS_pidfd_open, d->pid, 0);
    else
        errno = ESRCH;
    if (fd < 0) {
        tell(DAEMON_NONE, why, "the process that writes %s cannot be reached: %s", stats_file, strerror(errno));
        return -1;
    }
    // While the process holds the lock, no other process can get its pid, so the pidfd is the right one.
    if (daemon_wait(stats_file, &again, why) == DAEMON_RUNS && again.pid == d->pid)
        return fd;
    tell(DAEMON_NONE, why, "the process that writes %s has just ended", stats_file);
    close(fd);
    return -1;
}
