// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stats/reader.h"
#include "stats/text.h"

#define READ_TRIES 10000
#define LOOK_TRIES 40
#define LOOK_NS    25000000

static void __attribute__((format(printf, 2, 3))) tell(char why[DAEMON_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, DAEMON_WHY_MAX, format, args);
    va_end(args);
}

const char *daemon_text(const char *text, char out[DAEMON_WHY_MAX])
{
    text_show(out, DAEMON_WHY_MAX, text, DAEMON_WHY_MAX);
    return out;
}

// --- its statistics --------------------------------------------------------------------------------------------------

static bool read_at(int fd, void *to, size_t size, size_t offset)
{
    ssize_t n;

    do
        n = pread(fd, to, size, (off_t) offset);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t) size;
}

// The file is read, not mapped: whoever may write it may also cut it. Nothing was written meanwhile when the sequence
// number is even and the same before and after. False when it was cut; *consistent is false when it changes too often.
static bool read_header(int fd, struct stats_header *h, bool *consistent)
{
    const size_t at = offsetof(struct stats_header, sequence);
    uint32_t before, after;

    *consistent = false;
    for (unsigned i = 0; i < READ_TRIES && !*consistent; i++) {
        if (!read_at(fd, &before, sizeof(before), at))
            return false;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!read_at(fd, h, sizeof(*h), 0))
            return false;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!read_at(fd, &after, sizeof(after), at))
            return false;
        *consistent = !(before & 1) && before == after;
    }
    return true;
}

static void end_strings(struct stats_header *h)
{
    h->program_version[sizeof(h->program_version) - 1] = '\0';
    h->instance[sizeof(h->instance) - 1] = '\0';
    h->file[sizeof(h->file) - 1] = '\0';
    h->refusal[sizeof(h->refusal) - 1] = '\0';
    h->disk_error[sizeof(h->disk_error) - 1] = '\0';
}

static enum daemon_state judge(int fd, const char *path, struct daemon *d, char why[DAEMON_WHY_MAX])
{
    struct stats_header *h = &d->header;
    struct stat st;
    bool consistent;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        tell(why, "%s is no regular file: stats_file must be the one that the daemon was started with", path);
        return DAEMON_NONE;
    }
    d->owner = st.st_uid;
    if (!read_header(fd, h, &consistent) || h->magic != STATS_MAGIC) {
        tell(why, "%s is not the statistics of mcrd", path);
        return DAEMON_NONE;
    }
    end_strings(h);
    if (h->version != STATS_VERSION) {
        tell(why, "the layout of %s is version %u, known here is %d: use the mcrd that runs, or restart it", path,
             h->version, STATS_VERSION);
        return DAEMON_NONE;
    }
    d->pid = stats_writer(path);
    // A reload marks the old file, lets it go, and then gives the new one its name.
    if (h->state == STATS_SUPERSEDED || !consistent) {
        tell(why, "%s is being replaced", path);
        return DAEMON_CHANGING;
    }
    if (h->state == STATS_STOPPED || d->pid == 0) {
        tell(why, "no daemon: mcrd (pid %u), whose statistics are in %s, %s", h->pid, path,
             h->state == STATS_STOPPED ? "was stopped" : "has ended");
        return DAEMON_NONE;
    }
    if (h->state != STATS_LIVE) {
        tell(why, "mcrd does not use %s yet", path);
        return DAEMON_CHANGING;
    }
    return DAEMON_RUNS;
}

enum daemon_state daemon_look(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX])
{
    enum daemon_state state;
    int fd = open(stats_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            tell(why,
                 "no daemon: %s, the stats_file of the config, does not exist; a changed stats_file needs a restart",
                 stats_file);
        else
            tell(why, "%s cannot be opened: %s", stats_file, strerror(errno));
        return DAEMON_NONE;
    }
    state = judge(fd, stats_file, d, why);
    close(fd);
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
        tell(why, "the process that writes %s cannot be reached: %s", stats_file, strerror(errno));
        return -1;
    }
    // As long as it held the lock, its number could not go to another.
    if (daemon_wait(stats_file, &again, why) == DAEMON_RUNS && again.pid == d->pid)
        return fd;
    tell(why, "the process that writes %s has just ended", stats_file);
    close(fd);
    return -1;
}
