// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "stats/text.h"
#include "table/layout.h"

// A reload marks the old file as superseded a moment before the new one takes its name.
#define REOPEN_TRIES 40
#define REOPEN_NS    25000000

// Well above what TABLE_*_MAX records need.
#define BYTES_MAX (64u << 20)
_Static_assert(sizeof(struct stats_header) + TABLE_INTERFACES_MAX * sizeof(struct stats_interface) +
                       (uint64_t) TABLE_RULES_MAX * sizeof(struct stats_rule) +
                       (uint64_t) TABLE_INPUTS_MAX * sizeof(struct stats_input) +
                       (uint64_t) TABLE_OUTPUTS_MAX * sizeof(struct stats_output) <=
                   BYTES_MAX,
               "every table's statistics can be read");

// The relay may be interrupted in the middle of a change: after some tries, wait for it to run again.
#define READ_TRIES       1000
#define READ_TRIES_QUICK 100
#define READ_PAUSE_NS    1000000

// Writes why, and returns false, for the caller to return.
static bool __attribute__((format(printf, 2, 3))) refuse(char why[STATS_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, STATS_WHY_MAX, format, args);
    va_end(args);
    return false;
}

// --- parsing ---------------------------------------------------------------------------------------------------------

static bool parse_string(char *field, size_t size)
{
    if (!memchr(field, '\0', size))
        return false;
    text_repair(field);
    return true;
}

#define STRING(field) parse_string(field, sizeof(field))

bool stats_parse(struct stats_segment *at, void *memory, size_t size, char why[STATS_WHY_MAX])
{
    struct stats_header *h = memory;
    uint64_t next_output = 0, next_input = 0;

    if (size < sizeof(*h) || h->magic != STATS_MAGIC)
        return refuse(why, "it does not begin like one");
    if (h->version != STATS_VERSION)
        return refuse(why, "its layout is version %u, known here is %d: use the mcrstat that came with this mcrd",
                      h->version, STATS_VERSION);
    // Bounded first, so that their sum cannot wrap.
    if (h->n_interfaces > TABLE_INTERFACES_MAX || h->n_rules > TABLE_RULES_MAX || h->n_inputs > TABLE_INPUTS_MAX ||
        h->n_outputs > TABLE_OUTPUTS_MAX || h->size != size ||
        stats_segment_size(h->n_interfaces, h->n_rules, h->n_inputs, h->n_outputs) != size)
        return refuse(why, "%zu bytes cannot be %u interfaces, %u rules, %u inputs and %u outputs", size,
                      h->n_interfaces, h->n_rules, h->n_inputs, h->n_outputs);
    stats_segment_place(at, memory, h->n_interfaces, h->n_rules, h->n_inputs);
    if (!STRING(h->program_version) || !STRING(h->instance) || !STRING(h->file) || !STRING(h->refusal) ||
        !STRING(h->disk_error) || !STRING(h->returned) || !STRING(h->audit.file) || !STRING(h->audit.error) ||
        !STRING(h->audit.changed) || !STRING(h->signatures.trust_file) || !STRING(h->signatures.signed_by) ||
        !STRING(h->signatures.left))
        return refuse(why, "a string of the header does not end");
    for (uint32_t i = 0; i < h->n_interfaces; i++)
        if (!STRING(at->interfaces[i].name))
            return refuse(why, "the name of interface %u does not end", i);
    for (uint32_t i = 0; i < h->n_rules; i++) {
        struct stats_rule *r = &at->rules[i];
        if (!STRING(r->name) || !STRING(r->note) || !STRING(r->reason))
            return refuse(why, "a string of rule %u does not end", i);
        // In order and apart: all rules together have no more inputs and outputs than there are.
        uint64_t end = (uint64_t) r->first_input + r->n_inputs;
        if (r->first_input < next_input || end > h->n_inputs)
            return refuse(why, "the inputs of rule %u cannot be", i);
        next_input = end;
        end = (uint64_t) r->first_output + r->n_outputs;
        if (r->first_output < next_output || end > h->n_outputs)
            return refuse(why, "the outputs of rule %u cannot be", i);
        next_output = end;
        if (r->n_inputs == 1)
            at->inputs[r->first_input].counters =
                (struct stats_input_counters){.packets = r->counters.packets, .bytes = r->counters.bytes};
    }
    for (uint32_t i = 0; i < h->n_inputs; i++)
        if (!STRING(at->inputs[i].leg) || !STRING(at->inputs[i].to) || at->inputs[i].interface >= h->n_interfaces)
            return refuse(why, "input %u cannot be", i);
    for (uint32_t i = 0; i < h->n_outputs; i++)
        if (!STRING(at->outputs[i].to))
            return refuse(why, "the name of output %u does not end", i);
    return true;
}

// --- reading ---------------------------------------------------------------------------------------------------------

// The file is read, not mapped: whoever may write it may also truncate it, and a mapping would answer with SIGBUS.
static bool read_at(int fd, void *to, size_t size, size_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *) to + done, size - done, (off_t) (offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t) n;
    }
    // The next read must not be served earlier.
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return true;
}

// Reads the record of size bytes at offset, whose sequence number lies so far into it, until the relay did not write it
// meanwhile. Returns false if the file ended or cannot be read. If the relay wrote during each try, *consistent is
// false and the last copy stays.
static bool read_record(int fd, void *to, size_t size, size_t offset, size_t sequence, unsigned tries, bool *consistent)
{
    static const struct timespec pause = {.tv_nsec = READ_PAUSE_NS};
    uint32_t before, after;

    *consistent = false;
    for (unsigned i = 0; i < tries && !*consistent; i++) {
        if (i >= READ_TRIES_QUICK)
            nanosleep(&pause, NULL);
        if (!read_at(fd, &before, sizeof(before), offset + sequence) || !read_at(fd, to, size, offset) ||
            !read_at(fd, &after, sizeof(after), offset + sequence))
            return false;
        *consistent = before == after && !(before & 1);
    }
    return true;
}

bool stats_read_header(int fd, struct stats_header *h, bool *consistent)
{
    return read_record(fd, h, sizeof(*h), 0, offsetof(struct stats_header, sequence), READ_TRIES_QUICK, consistent);
}

static bool read_records(int fd, const struct stats_segment *at, void *first, size_t n, size_t size, size_t sequence)
{
    size_t offset = (size_t) ((char *) first - (char *) at->header);
    bool consistent = true;

    for (size_t i = 0; i < n && consistent; i++)
        if (!read_record(fd, (char *) first + i * size, size, offset + i * size, sequence, READ_TRIES, &consistent))
            return false;
    return consistent;
}

// The size of a record, and where its sequence number lies.
#define RECORD(type) sizeof(struct type), offsetof(struct type, sequence)

// --- the daemon ------------------------------------------------------------------------------------------------------

pid_t stats_writer(const char *path)
{
    // A query for a read lock reports only write locks. Anyone who may read the file can take a read lock, which means
    // nothing.
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char name[PATH_MAX];
    int fd = -1;

    errno = 0;
    if ((size_t) snprintf(name, sizeof(name), "%s" STATS_LOCK_SUFFIX, path) < sizeof(name))
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == EACCES ? -1 : 0;
    bool locked = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK;
    close(fd);
    if (!locked)
        return 0;
    return lock.l_pid > 0 ? lock.l_pid : -1;
}

static bool daemon_gone(const struct stats_snapshot *s, char why[STATS_WHY_MAX])
{
    const struct stats_header *h = s->at.header;
    char time[TEXT_NUMBER_MAX];

    text_time(time, s->realtime_ns - stats_age_ms(s, h->heartbeat_ns) * 1000000);
    return refuse(why,
                  "no daemon: mcrd (pid %u) %s; last statistics from %s; \"systemctl start mcrd\" starts it, "
                  "\"journalctl -u mcrd\" tells more",
                  h->pid,
                  h->state == STATS_STOPPED      ? "was stopped"
                  : h->state == STATS_SUPERSEDED ? "has ended"
                                                 : "has ended without being stopped",
                  time);
}

// Writes that path may not be opened, and which directory may not be entered, where that is why.
static void refuse_access(const char *path, char why[STATS_WHY_MAX])
{
    char directory[PATH_MAX];

    for (const char *slash = path; (slash = strchr(slash + 1, '/'));) {
        snprintf(directory, sizeof(directory), "%.*s", (int) (slash - path), path);
        if (access(directory, X_OK) != 0 && errno == EACCES) {
            refuse(why, "%s cannot be opened: this user may not enter %s", path, directory);
            return;
        }
    }
    refuse(why, "%s cannot be opened: %s", path, strerror(EACCES));
}

// Opens path if it is a regular file of a possible size, and sets *size. Never blocks. Returns -1 otherwise.
static int open_file(const char *path, size_t *size, char why[STATS_WHY_MAX])
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT) {
        refuse(why,
               "no daemon: %s does not exist; see \"systemctl status mcrd\", or name the stats_file of its "
               "config with --stats",
               path);
    } else if (fd < 0 && errno == ELOOP) {
        refuse(why, "%s is a symbolic link, which is not followed: name the file itself with --stats", path);
    } else if (fd < 0 && errno == EACCES) {
        refuse_access(path, why);
    } else if (fd < 0) {
        refuse(why, "%s cannot be opened: %s", path, strerror(errno));
    } else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        refuse(why, "%s is no regular file: name the stats_file of mcrd's config with --stats", path);
    } else if (st.st_size < (off_t) sizeof(struct stats_header) || st.st_size > (off_t) BYTES_MAX) {
        refuse(why,
               "%s is not the statistics of mcrd: %lld bytes are too %s; name the stats_file of its config with "
               "--stats",
               path, (long long) st.st_size, st.st_size > (off_t) BYTES_MAX ? "many" : "few");
    } else {
        *size = (size_t) st.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

// Checks what was read so far, and notes the time.
static bool check(struct stats_snapshot *s, size_t size, const char *path, char why[STATS_WHY_MAX])
{
    char what[STATS_WHY_MAX];

    s->monotonic_ns = clock_ns(CLOCK_MONOTONIC);
    s->boottime_ns = clock_ns(CLOCK_BOOTTIME);
    s->realtime_ns = clock_ns(CLOCK_REALTIME);
    return stats_parse(&s->at, s->memory, size, what) ||
           refuse(why, "%s is not the statistics of mcrd, or damaged: %s", path, what);
}

// Reads the open file into s->memory, which has size bytes, all 0. *superseded tells that another file has its name, or
// is about to.
static bool take_open(struct stats_snapshot *s, int fd, size_t size, const char *path, bool *superseded,
                      char why[STATS_WHY_MAX])
{
    struct stats_header *h = s->memory;
    bool consistent;

    if (!read_record(fd, h, sizeof(*h), 0, offsetof(struct stats_header, sequence), READ_TRIES, &consistent))
        return refuse(why, "%s cannot be read: it was cut: try again", path);
    if (!check(s, size, path, why))
        return false;
    bool ended = stats_writer(path) == 0;
    *superseded = h->state == STATS_SUPERSEDED && !ended;
    if (*superseded)
        return refuse(why,
                      "%s is from before the last reload and was not replaced: \"journalctl -u mcrd\" tells why "
                      "(event statistics or broker); restart mcrd",
                      path);
    // The sandbox keeps mcrd from asking.
    if (h->clock == STATS_CLOCK_SET && h->timed && clock_is_unsynchronised())
        h->clock = STATS_CLOCK_UNSYNCHRONISED;
    if (h->state == STATS_STOPPED || ended)
        return daemon_gone(s, why);
    if (h->state != STATS_LIVE)
        return refuse(why, "mcrd does not use %s yet: try again", path);
    if (!consistent || !read_records(fd, &s->at, &h->audit, 1, RECORD(stats_audit)) ||
        !read_records(fd, &s->at, s->at.interfaces, h->n_interfaces, RECORD(stats_interface)) ||
        !read_records(fd, &s->at, s->at.rules, h->n_rules, RECORD(stats_rule)) ||
        !read_records(fd, &s->at, s->at.inputs, h->n_inputs, RECORD(stats_input)) ||
        !read_records(fd, &s->at, s->at.outputs, h->n_outputs, RECORD(stats_output)))
        return refuse(why, "%s cannot be read: it was cut, or changes all the time: try again", path);
    return check(s, size, path, why);
}

// Takes what lies at `at`, of the daemon whose statistics are at path.
static bool take(struct stats_snapshot *s, const char *at, const char *path, bool *superseded, char why[STATS_WHY_MAX])
{
    size_t size;
    int fd = open_file(at, &size, why);

    *s = (struct stats_snapshot){.memory = NULL};
    *superseded = false;
    if (fd < 0)
        return false;
    s->memory = calloc(1, size);
    bool ok = s->memory ? take_open(s, fd, size, path, superseded, why)
                        : refuse(why, "no memory for the %zu bytes of %s", size, path);
    if (!ok)
        stats_snapshot_free(s);
    close(fd);
    return ok;
}

// What a relay uses that has gone back from a trial, until the broker gives it the name; which may have ended.
static bool take_back(struct stats_snapshot *s, const char *path)
{
    char back[PATH_MAX], why[STATS_WHY_MAX];
    bool superseded;

    snprintf(back, sizeof(back), "%s" STATS_BACK_SUFFIX, path);
    return take(s, back, path, &superseded, why);
}

bool stats_snapshot_take(struct stats_snapshot *s, const char *path, char why[STATS_WHY_MAX])
{
    static const struct timespec pause = {.tv_nsec = REOPEN_NS};
    bool superseded, ok = take(s, path, path, &superseded, why);

    for (unsigned i = 0; superseded && i < REOPEN_TRIES; i++) {
        if (take_back(s, path)) {
            why[0] = '\0';
            return true;
        }
        nanosleep(&pause, NULL);
        ok = take(s, path, path, &superseded, why);
    }
    return ok;
}

// A rule can be silent in a state that comes before.
static bool is_in_state(const struct stats_rule *r, uint32_t state)
{
    return state == STATS_RULE_END || r->state == state ||
           (state == STATS_RULE_SILENT && r->alarms >> STATS_ALARM_SILENCE & 1);
}

bool stats_snapshot_select(struct stats_snapshot *s, const struct stats_selection *only, char why[STATS_WHY_MAX])
{
    uint32_t n = s->at.header->n_rules, kept = 0;
    bool named = !only->rule;

    for (uint32_t i = 0; i < n; i++) {
        const struct stats_rule *r = &s->at.rules[i];
        bool is_named = !only->rule || strcmp(r->name, only->rule) == 0;
        named |= is_named;
        if (is_named && is_in_state(r, only->state))
            s->at.rules[kept++] = *r;
    }
    s->at.header->n_rules = kept;
    s->left_out = n - kept;
    return named || refuse(why, "no rule \"%s\" runs: mcrstat without --rule shows those that do", only->rule);
}

void stats_snapshot_free(struct stats_snapshot *s)
{
    free(s->memory);
    *s = (struct stats_snapshot){.memory = NULL};
}

uint64_t stats_age_ms(const struct stats_snapshot *s, uint64_t monotonic_ns)
{
    return monotonic_ns < s->monotonic_ns ? (s->monotonic_ns - monotonic_ns) / 1000000 : 0;
}

uint64_t stats_remaining_s(const struct stats_snapshot *s, uint64_t monotonic_ns)
{
    return monotonic_ns > s->monotonic_ns ? (monotonic_ns - s->monotonic_ns + NS_PER_S - 1) / NS_PER_S : 0;
}

uint64_t stats_age_s(const struct stats_snapshot *s, uint64_t boottime_ns)
{
    return boottime_ns < s->boottime_ns ? (s->boottime_ns - boottime_ns) / NS_PER_S : 0;
}
