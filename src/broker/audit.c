// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/audit_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/directory.h"
#include "common/clock.h"
#include "common/descriptors.h"

void audit_init(struct audit *a)
{
    *a = (struct audit){
        .most = (uint64_t) AUDIT_MIB_DEFAULT << 20, .mark = CHAIN_BEGINS, .directory = -1, .fd = -1, .lock = -1};
}

void audit_hide(struct audit *a, enum audit_view view)
{
    if (a->shown[view])
        munmap(a->shown[view], sizeof(*a->shown[view]));
    a->shown[view] = NULL;
}

void audit_free(struct audit *a)
{
    for (enum audit_view view = 0; view < AUDIT_VIEWS; view++)
        audit_hide(a, view);
    free(a->late);
    descriptors_close(a->fd);
    descriptors_close(a->lock);
    descriptors_close(a->directory);
    audit_init(a);
}

void audit_prepare(struct audit *a, const char *path, uint32_t uid, uint32_t gid)
{
    snprintf(a->path, sizeof(a->path), "%s", path);
    if (a->path[0])
        a->directory = directory_open(a->path, 0750, uid, gid);
    if (a->directory >= 0)
        audit_lock(a, uid, gid);
}

// --- statistics ------------------------------------------------------------------------------------------------------

static void show_in(const struct audit *a, struct stats_audit *to)
{
    stats_write_begin(&to->sequence);
    to->n = a->head.n;
    memcpy(to->hash, a->head.hash, sizeof(to->hash));
    to->waiting = a->n_late;
    to->lost = a->n_lost;
    snprintf(to->file, sizeof(to->file), "%s", a->path);
    snprintf(to->error, sizeof(to->error), "%s", a->error);
    snprintf(to->changed, sizeof(to->changed), "%s", a->changed);
    to->changes = a->n_changed;
    stats_write_end(&to->sequence);
}

static void show(const struct audit *a)
{
    for (enum audit_view view = 0; view < AUDIT_VIEWS; view++)
        if (a->shown[view])
            show_in(a, &a->shown[view]->audit);
}

void audit_show(struct audit *a, enum audit_view view, int stats)
{
    audit_hide(a, view);
    void *memory = mmap(NULL, sizeof(*a->shown[view]), PROT_READ | PROT_WRITE, MAP_SHARED, stats, 0);
    if (memory != MAP_FAILED)
        a->shown[view] = memory;
    show(a);
}

// --- the file --------------------------------------------------------------------------------------------------------

void audit_fail(struct audit *a)
{
    char name[TRAIL_NAME_MAX], file[600];

    trail_name(a->path, a->obstacle, name);
    snprintf(a->error, sizeof(a->error), "%s: %s", name, strerror(errno));
    if (!a->failed)
        log_errno(LOG_LEVEL_ERR, EVENT_AUDIT,
                  "file=%s effect=\"records are in the log only; the file is tried again every %d s\"",
                  log_quote(name, file, sizeof(file)), AUDIT_RETRY_MS / 1000);
    a->failed = true;
    a->obstacle = 0;
}

static void works(struct audit *a)
{
    char file[600];

    if (a->failed)
        log_notice(EVENT_AUDIT, "file=%s result=\"works again\" late=%" PRIu64 " lost=%" PRIu64,
                   log_quote(a->path, file, sizeof(file)), a->n_late, a->n_lost);
    a->failed = false;
    a->error[0] = '\0';
    char *due = strstr(a->changed, AUDIT_ASIDE_DUE);
    if (due)
        snprintf(due, sizeof(a->changed) - (size_t) (due - a->changed), "%s", AUDIT_ASIDE);
}

static void leave(struct audit *a)
{
    // Behind a file that was left already, the first record of the next one waits.
    if (a->fd >= 0 && a->mark == CHAIN_NEXT)
        a->mark = CHAIN_CONTINUES;
    a->fd = descriptors_close(a->fd);
    a->size = 0;
}

bool audit_rotate(struct audit *a)
{
    char from[TRAIL_NAME_MAX], to[TRAIL_NAME_MAX];

    for (unsigned age = TRAIL_OLD; age > 0; age--)
        if (rename(trail_name(a->path, age - 1, from), trail_name(a->path, age, to)) != 0 && errno != ENOENT) {
            a->obstacle = errno == EISDIR || errno == ENOTEMPTY ? age : age - 1; // what is there, or may not be renamed
            return false;
        }
    leave(a);
    return true;
}

// Makes the file anew. What lies there was not written by this process: it stays, as an older one.
static bool make(struct audit *a)
{
    struct stat st;

    if (fstatat(AT_FDCWD, a->path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode)) { // no file of records, and no older one
            errno = EISDIR;
            return false;
        }
        if (!audit_rotate(a))
            return false;
    }
    a->fd = open(a->path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    a->size = 0;
    // Its name must be on the disk as its records are.
    return a->fd >= 0 && (a->directory < 0 || fsync(a->directory) == 0);
}

// Appends all of it or nothing.
static bool append(struct audit *a)
{
    size_t done = 0;

    while (done < a->n_bytes) {
        ssize_t n = write(a->fd, a->late + done, a->n_bytes - done);
        if (n <= 0)
            break;
        done += (size_t) n;
    }
    if (done == a->n_bytes && fsync(a->fd) == 0) {
        a->size += done;
        return true;
    }
    int saved = errno;
    if (ftruncate(a->fd, (off_t) a->size) != 0)
        leave(a); // it ends in a part of a record: it is set aside
    errno = saved;
    return false;
}

static bool write_late(struct audit *a)
{
    if (!a->path[0] || (a->n_bytes == 0 && !a->failed))
        return true;
    if (a->other)
        return false;
    if ((a->fd < 0 && !make(a)) || !append(a)) {
        audit_fail(a);
        return false;
    }
    works(a);
    a->n_bytes = 0;
    a->n_late = 0;
    return true;
}

bool audit_flush(struct audit *a)
{
    bool ok = write_late(a);

    // Also of records that are in the log only: no number is given twice.
    audit_head_set(a->kept, &a->head, ok && a->fd >= 0 && a->size > 0 ? a->path : NULL);
    show(a);
    return ok;
}

// --- records ---------------------------------------------------------------------------------------------------------

static void keep_late(struct audit *a, const char *line, size_t length)
{
    if (!a->path[0])
        return;
    if (a->other) {
        a->n_lost++;
        return;
    }
    if (a->n_bytes + length + 1 > AUDIT_LATE_MAX && !a->failed)
        write_late(a);
    if (!a->late || a->n_bytes + length + 1 > AUDIT_LATE_MAX) {
        a->n_lost++;
        return;
    }
    memcpy(a->late + a->n_bytes, line, length);
    a->n_bytes += length;
    a->late[a->n_bytes++] = '\n';
    a->n_late++;
}

static void seal(struct audit *a, enum log_level level, char line[CHAIN_LINE_MAX], size_t used)
{
    chain_seal(line, &used, &a->head, a->mark, clock_realtime_ns());
    a->mark = CHAIN_NEXT;
    log_line(level, line, used);
    keep_late(a, line, used);
}

void audit_note(struct audit *a, enum log_level level, const char *reason, const char *effect)
{
    char line[CHAIN_LINE_MAX], file[600], quoted[600];
    size_t used = log_format(line, sizeof(line), level, EVENT_AUDIT, "file=%s reason=%s effect=\"%s\"",
                             log_quote(a->path, file, sizeof(file)), log_quote(reason, quoted, sizeof(quoted)), effect);

    seal(a, level, line, used);
}

void audit_note_change(struct audit *a, const char *reason, const char *effect)
{
    a->n_changed++;
    snprintf(a->changed, sizeof(a->changed), "%s, and %s", reason, effect);
    audit_note(a, LOG_LEVEL_ERR, reason, effect);
}

// Whether the file is as this process has left it. A record of the contrary begins the next file.
static void look(struct audit *a)
{
    struct stat named, open;

    if (a->fd < 0 || a->n_bytes > 0)
        return;
    if (fstat(a->fd, &open) != 0 || fstatat(AT_FDCWD, a->path, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
        named.st_dev != open.st_dev || named.st_ino != open.st_ino) {
        leave(a);
        audit_note_change(a, "the file was moved, removed or replaced", "a new one is begun");
    } else if ((uint64_t) open.st_size != a->size) {
        bool aside = audit_rotate(a);
        if (!aside) {
            audit_fail(a);
            leave(a); // the first write tries it again
        }
        audit_note_change(a, "the file was changed by somebody else", aside ? AUDIT_ASIDE : AUDIT_ASIDE_DUE);
    }
}

static void make_room(struct audit *a)
{
    if (a->fd < 0 || a->size == 0 || a->size + a->n_bytes + CHAIN_LINE_MAX <= a->most)
        return;
    if (write_late(a) && !audit_rotate(a))
        audit_fail(a);
}

static void sum_up(struct audit *a)
{
    uint64_t refused = a->n_refused, repeats = a->n_repeats;

    a->n_refused = a->n_repeats = 0;
    if (refused + repeats > 0)
        audit_record(a, LOG_LEVEL_NOTICE, EVENT_LOADS_SUMMED,
                     "refused=%" PRIu64 " accepted=%" PRIu64
                     " reason=\"too many loads that change nothing: they are in the log, and not in the record\"",
                     refused, repeats);
}

void audit_record(struct audit *a, enum log_level level, enum event event, const char *format, ...)
{
    char line[CHAIN_LINE_MAX], fields[CHAIN_LINE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(fields, sizeof(fields), format, args);
    va_end(args);
    sum_up(a);
    look(a);
    make_room(a);
    seal(a, level, line, log_format(line, sizeof(line), level, event, "%s", fields));
}

// --- loads that change nothing ---------------------------------------------------------------------------------------

bool audit_admit(struct audit *a, bool refused, uint64_t now_ns)
{
    if (a->due_ns < now_ns)
        a->due_ns = now_ns;
    if (a->due_ns - now_ns <= AUDIT_IDLE_AHEAD_NS) {
        a->due_ns += AUDIT_IDLE_INTERVAL_NS;
        return true;
    }
    a->n_refused += refused;
    a->n_repeats += !refused;
    return false;
}

// One more than otherwise, which the next start finds in the file.
void audit_end(struct audit *a)
{
    if (a->due_ns <= clock_monotonic_ns() + AUDIT_IDLE_AHEAD_NS + AUDIT_IDLE_INTERVAL_NS)
        sum_up(a);
    audit_flush(a);
}

int audit_wait_ms(const struct audit *a, uint64_t now_ns)
{
    uint64_t room = AUDIT_IDLE_AHEAD_NS, wait_ms = UINT64_MAX;

    if (a->failed && !a->other)
        wait_ms = AUDIT_RETRY_MS;
    if (a->n_refused + a->n_repeats > 0 && a->due_ns <= now_ns + room)
        return 0;
    if (a->n_refused + a->n_repeats > 0 && (a->due_ns - now_ns - room) / 1000000 + 1 < wait_ms)
        wait_ms = (a->due_ns - now_ns - room) / 1000000 + 1;
    return wait_ms == UINT64_MAX ? -1 : (int) wait_ms;
}

void audit_tick(struct audit *a, uint64_t now_ns)
{
    bool summed = a->n_refused + a->n_repeats > 0 && a->due_ns <= now_ns + AUDIT_IDLE_AHEAD_NS;

    if (summed) {
        a->due_ns += AUDIT_IDLE_INTERVAL_NS;
        sum_up(a);
    }
    if (summed || a->failed)
        audit_flush(a);
}
