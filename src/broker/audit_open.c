// SPDX-License-Identifier: Apache-2.0
// The start of the records: where the chain goes on.
#include <config.h>

#include "broker/audit_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/descriptors.h"

struct scan {
    struct chain_check check;
    uint8_t prev[DIGEST_BYTES]; // of the first record
    struct chain_finding first; // the first fault
    uint64_t whole;             // bytes
    uint64_t due_ns;            // CLOCK_REALTIME: as audit_admit() would have it after these records
    char sha256[DIGEST_TEXT_MAX], returned[DIGEST_TEXT_MAX]; // as in struct audit
    bool cut;                                                // something follows them
};

static void note_fault(void *context, const struct chain_finding *finding)
{
    struct scan *s = context;

    if (s->check.faults == 1)
        s->first = *finding;
}

// Whether the record is of this event: what it quotes further on, as of a relay, does not say so.
static bool is_event(const char *line, size_t body, const char *event)
{
    const char *at = memmem(line, body, " event=", strlen(" event="));

    return at && (size_t) (line + body - at) >= strlen(event) && memcmp(at, event, strlen(event)) == 0;
}

static void digest_of(const char *line, size_t body, const char *key, char out[DIGEST_TEXT_MAX])
{
    const char *at = memmem(line, body, key, strlen(key));

    snprintf(out, DIGEST_TEXT_MAX, "%.64s", at ? at + strlen(key) : "");
}

// Notes what a start has to know of the records before it.
static void note_record(struct scan *s, const struct chain_record *r, const char *line)
{
    bool started = is_event(line, r->body, " event=started "), returned = is_event(line, r->body, " event=returned ");
    bool accepted = is_event(line, r->body, " event=reload result=accepted ");
    char sha256[DIGEST_TEXT_MAX], from[DIGEST_TEXT_MAX];
    uint64_t when = chain_time_ns(r);

    digest_of(line, r->body, " sha256=", sha256);
    digest_of(line, r->body, " from_sha256=", from);
    // As record.c has it: loads of what runs, or has returned, and another return of that, change nothing.
    bool idle = started || is_event(line, r->body, " event=start ") ||
                is_event(line, r->body, " event=loads_summed ") ||
                is_event(line, r->body, " event=reload result=refused ") ||
                (accepted && (strcmp(sha256, s->sha256) == 0 || strcmp(sha256, s->returned) == 0)) ||
                (returned && strcmp(from, s->returned) == 0);
    if (started || returned || accepted)
        memcpy(s->sha256, sha256, sizeof(s->sha256));
    if (returned)
        memcpy(s->returned, from, sizeof(s->returned));
    if (!idle)
        return;
    s->due_ns = (s->due_ns < when ? when : s->due_ns) + AUDIT_IDLE_INTERVAL_NS;
}

static void scan_line(void *context, const char *line, size_t length)
{
    struct scan *s = context;
    struct chain_record r;
    bool is_record = chain_parse(line, length, &r);

    if (is_record && !s->check.any)
        memcpy(s->prev, r.prev, sizeof(s->prev));
    if (is_record && r.right)
        note_record(s, &r, line);
    chain_check_line(&s->check, is_record ? &r : NULL);
}

// Returns false with errno set.
static bool scan(struct scan *s, int fd, const struct chain_head *kept)
{
    *s = (struct scan){.check = {.whole = true, .anchor = *kept, .found = note_fault}};
    s->check.context = s;
    bool ok = trail_read(fd, scan_line, s, false, &s->whole, &s->cut);
    chain_check_settle(&s->check);
    return ok;
}

// Returns a descriptor, or -1 with errno set.
static int open_regular(const char *name, int flags)
{
    struct stat st;
    int fd = open(name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        errno = EINVAL;
        return descriptors_close(fd);
    }
    return fd;
}

// Whether the file has, or directly follows, the head that was kept.
static bool has_kept(const struct scan *s, const struct chain_head *kept)
{
    return kept->n == 0 || (s->check.met && !s->check.wrong) ||
           (s->check.first == kept->n + 1 && memcmp(s->prev, kept->hash, sizeof(s->prev)) == 0);
}

// The head of the file before, where a start finds none that is written: mcrd ended while it rotated.
static void take_older(struct audit *a)
{
    static const struct chain_head nothing;
    char name[TRAIL_NAME_MAX];
    struct scan s;
    int fd = open_regular(trail_name(a->path, 1, name), O_RDONLY);

    if (fd >= 0 && scan(&s, fd, &nothing) && s.check.faults == 0 && !s.cut && s.check.any)
        a->head = s.check.last;
    descriptors_close(fd);
}

static void set_aside(struct audit *a, const char *reason)
{
    bool rotated = audit_rotate(a);

    if (!rotated) {
        audit_fail(a);
        a->fd = descriptors_close(a->fd); // the first write tries it again
    }
    a->mark = a->head.n > 0 ? CHAIN_CONTINUES : CHAIN_BEGINS;
    audit_note_change(a, reason, rotated ? AUDIT_ASIDE : AUDIT_ASIDE_DUE);
}

// Removes what follows the last whole record: a computer that lost its power wrote no more of it.
static void take_off_rest(struct audit *a, uint64_t bytes)
{
    char reason[80];

    snprintf(reason, sizeof(reason), "the last line was not whole: %" PRIu64 " bytes were removed", bytes);
    if (ftruncate(a->fd, (off_t) a->size) == 0)
        audit_note(a, LOG_LEVEL_ERR, reason, "the file goes on");
    else
        set_aside(a, reason);
}

// Wherever the clock was set to meanwhile, no more is ahead than there can be.
static void take_pace(struct audit *a, const struct scan *s)
{
    uint64_t now = clock_realtime_ns(), most = AUDIT_IDLE_AHEAD_NS + 2 * AUDIT_IDLE_INTERVAL_NS;
    uint64_t ahead = s->due_ns > now ? s->due_ns - now : 0;

    a->due_ns = clock_monotonic_ns() + (ahead < most ? ahead : most);
    memcpy(a->sha256, s->sha256, sizeof(a->sha256));
    memcpy(a->returned, s->returned, sizeof(a->returned));
}

// Decides by what was found in the open file.
// The records in between are in the log or in another file: the next one begins a file, and says so.
static void begin_behind_gap(struct audit *a, const char *reason)
{
    char text[200];

    snprintf(text, sizeof(text), "%s: the ones between are in the log", reason);
    if (!audit_rotate(a)) {
        audit_fail(a);
        a->fd = descriptors_close(a->fd); // the first write tries it again
    }
    a->mark = CHAIN_ELSEWHERE;
    audit_note(a, LOG_LEVEL_NOTICE, text, "a new one is begun");
}

static void go_on(struct audit *a, const struct scan *s, const struct chain_head *kept)
{
    const struct chain_check *c = &s->check;
    char reason[120];
    struct stat st;

    a->head = kept->n > 0 ? *kept : c->last;
    a->mark = CHAIN_NEXT;
    a->size = s->whole;
    take_pace(a, s);
    if (c->faults > 0) {
        if (s->first.fault == CHAIN_NO_RECORD)
            snprintf(reason, sizeof(reason), "it has a line that is no record, behind record %" PRIu64, s->first.from);
        else
            snprintf(reason, sizeof(reason), "it does not verify at record %" PRIu64, s->first.to);
        a->head = *kept;
        set_aside(a, reason);
        return;
    }
    if (has_kept(s, kept)) {
        a->head = c->last;
    } else if (kept->n > c->last.n) {
        uint64_t n = 0; // gcc's LTO does not see that it is set
        bool other = a->kept && strcmp(audit_head_file(a->kept, &n), a->path) != 0;
        snprintf(reason, sizeof(reason), "it ends with record %" PRIu64 ", and the last one was %" PRIu64, c->last.n,
                 kept->n);
        // Records of a time in which there was another file, or none.
        if (a->kept && (other || n == c->last.n)) {
            begin_behind_gap(a, reason);
            return;
        }
        audit_note_change(a, reason, "the file goes on");
    } else {
        snprintf(reason, sizeof(reason), "its record %" PRIu64 " is not the one that was written", kept->n);
        set_aside(a, reason);
        return;
    }
    if (s->cut && fstat(a->fd, &st) == 0)
        take_off_rest(a, (uint64_t) st.st_size - s->whole);
}

// Whether no file of this name had records before, as far as the kept head says: the start before had no audit_file, or
// another one. Where there was one, it is missing.
static bool is_first(const struct audit *a)
{
    char name[TRAIL_NAME_MAX];
    struct stat st;
    uint64_t n;

    return a->kept && strcmp(audit_head_file(a->kept, &n), a->path) != 0 &&
           fstatat(AT_FDCWD, trail_name(a->path, 1, name), &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

// Says of the first file where the records before are.
static void tell_first(struct audit *a)
{
    uint64_t n;
    const char *before = audit_head_file(a->kept, &n);
    char reason[TRAIL_PATH_MAX + 80];

    snprintf(reason, sizeof(reason), "the records before are in the log%s%s", *before ? "; audit_file was " : "",
             before);
    audit_note(a, LOG_LEVEL_NOTICE, reason, "a first file is begun");
}

// Two chains in one file could not be told from tampering.
static void tell_other(struct audit *a)
{
    char file[600];

    a->failed = true;
    if (a->other > 0)
        snprintf(a->error, sizeof(a->error), "another mcrd (pid %d) writes %s", (int) a->other, a->path);
    else
        snprintf(a->error, sizeof(a->error), "another mcrd writes %s", a->path);
    log_error(EVENT_AUDIT,
              "file=%s pid=%d error=\"another mcrd writes it\" effect=\"records are in the log only, until a restart; "
              "each instance needs an audit_file of its own\"",
              log_quote(a->path, file, sizeof(file)), a->other > 0 ? (int) a->other : 0);
}

void audit_open(struct audit *a, struct audit_head *kept)
{
    struct chain_head head = audit_head_get(kept);
    struct scan s;

    a->kept = kept;
    a->head = head;
    a->mark = head.n > 0 ? CHAIN_NEXT : CHAIN_BEGINS;
    if (!a->path[0])
        return;
    if (a->other) {
        tell_other(a);
        return;
    }
    a->late = malloc(AUDIT_LATE_MAX);
    a->fd = open_regular(a->path, O_RDWR | O_APPEND);
    if (a->fd >= 0 && scan(&s, a->fd, &head) && (s.whole > 0 || s.cut)) {
        go_on(a, &s, &head);
        return;
    }
    bool missing = a->fd < 0;
    if (missing && errno != ENOENT)
        audit_fail(a);
    else if (head.n == 0)
        take_older(a);
    // The next record is the first one of its file.
    bool first = head.n > 0 && is_first(a);
    a->mark = a->head.n == 0 ? CHAIN_BEGINS : first ? CHAIN_ELSEWHERE : CHAIN_CONTINUES;
    if (a->failed || head.n == 0)
        return;
    if (first)
        tell_first(a);
    else
        audit_note_change(a, missing ? "the file is missing" : "the file is empty", "a new one is begun");
}
