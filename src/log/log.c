// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "log/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/utf8.h"

#define LINE_MAX_BYTES 2048
#define PER_SECOND_MAX 10   // lines of one event a second
#define NAMES_MAX      1500 // bytes of the names in a line; the whole line stays below LINE_MAX_BYTES

struct kind {
    uint64_t second;
    unsigned written;         // lines in that second
    unsigned long suppressed; // lines left out since the last line
    // Of the lines left out that have a name:
    enum log_level level;
    unsigned long named; // number of names in names
    size_t used;         // bytes of names
    char names[NAMES_MAX];
};

static struct {
    char origin[128]; // process and instance, as in each line
    bool debug, silent;
    bool journald;
    int patience_ms;
    bool lost_patience; // a record has waited for room in vain, so the next ones do not wait
    struct kind kinds[EVENTS];
} ctx = {.origin = "process=mcrd"};

void log_setup(const char *process, const char *instance)
{
    bool named = instance && instance[0];

    snprintf(ctx.origin, sizeof(ctx.origin), "process=%s%s%s", process, named ? " instance=" : "",
             named ? instance : "");
    ctx.journald = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_debug(bool on)
{
    ctx.debug = on;
}

void log_set_silent(bool on)
{
    ctx.silent = on;
}

void log_wait_for_room(int ms)
{
    ctx.patience_ms = ms;
}

const char *log_event_name(enum event event)
{
#define LOG_NAME(NAME, name, levels) [NAME] = #name,
    static const char *const names[] = {LOG_EVENTS(LOG_NAME)};

    return names[event];
}

unsigned log_event_levels(enum event event)
{
#define LOG_LEVELS(NAME, name, levels) [NAME] = (levels),
    static const unsigned all[] = {LOG_EVENTS(LOG_LEVELS)};

    return all[event];
}

// Counts a line of this kind. Returns whether it may be written now.
static bool admit(struct kind *k)
{
    uint64_t second = clock_monotonic_ns() / NS_PER_S;

    if (k->second != second) {
        k->second = second;
        k->written = 0;
    }
    if (k->written == PER_SECOND_MAX)
        return false;
    k->written++;
    return true;
}

// Appends to line, in which room for the newline stays.
static void __attribute__((format(printf, 3, 0))) append(char *line, size_t *used, const char *format, va_list args)
{
    size_t room = LINE_MAX_BYTES - 1 - *used;
    int n = vsnprintf(line + *used, room, format, args);

    if (n > 0)
        *used += (size_t) n < room ? (size_t) n : room - 1;
}

static void __attribute__((format(printf, 3, 4))) appendf(char *line, size_t *used, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    append(line, used, format, args);
    va_end(args);
}

// Returns whether standard error has room for a line. A record waits for room, but only once: if nobody reads, later
// records do not wait.
static bool has_room(bool record)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    bool waits = record && !ctx.lost_patience;
    bool room = poll(&p, 1, waits ? ctx.patience_ms : 0) == 1;

    ctx.lost_patience = !room && (waits || ctx.lost_patience);
    return room;
}

bool log_list_add(char *list, size_t size, size_t *used, const char *name)
{
    size_t room = size - *used;
    int n = snprintf(list + *used, room, "%s%s", *used > 0 ? ", " : "", name);

    if (n >= 0 && (size_t) n < room) {
        *used += (size_t) n;
        return true;
    }
    list[*used] = '\0';
    return false;
}

// Counts a line that is left out. name: the subject of the line, or NULL.
static void leave_out(struct kind *k, enum log_level level, const char *name)
{
    k->suppressed++;
    if (!name)
        return;
    k->level = level;
    k->named += log_list_add(k->names, sizeof(k->names), &k->used, name);
}

static const char *const levels[] = {[LOG_LEVEL_ERR] = "error",
                                     [LOG_LEVEL_WARNING] = "warning",
                                     [LOG_LEVEL_NOTICE] = "notice",
                                     [LOG_LEVEL_INFO] = "info",
                                     [LOG_LEVEL_DEBUG] = "debug"};

static void begin(char *line, size_t *used, enum log_level level, enum event event)
{
    if (ctx.journald)
        appendf(line, used, "<%d>", (int) level);
    appendf(line, used, "level=%s %s event=%s", levels[level], ctx.origin, log_event_name(event));
}

// Writes a line. Returns false if there is no room for it.
static bool put(char *line, size_t used, bool record)
{
    line[used++] = '\n';
    // Without room the line is left out: a pipe that nobody reads must not stop the traffic.
    if (!has_room(record))
        return false;
    // An error of stderr itself cannot be reported anywhere.
    (void) !write(STDERR_FILENO, line, used);
    return true;
}

static void __attribute__((format(printf, 5, 0)))
write_event(enum log_level level, enum log_kind kind, enum event event, const char *name, const char *format,
            va_list args)
{
    const char *error = kind == LOG_KIND_ERRNO ? strerror(errno) : NULL;
    bool record = kind == LOG_KIND_RECORD || (kind == LOG_KIND_EVENT && level == LOG_LEVEL_NOTICE);
    char line[LINE_MAX_BYTES];
    size_t used = 0;

    if (ctx.silent || (level == LOG_LEVEL_DEBUG && !ctx.debug))
        return;
    struct kind *k = &ctx.kinds[event];
    if (!record && !admit(k)) {
        leave_out(k, level, name);
        return;
    }
    begin(line, &used, level, event);
    if (format[0])
        appendf(line, &used, " ");
    append(line, &used, format, args);
    if (error)
        appendf(line, &used, " error=\"%s\"", error);
    // If lines with names were left out, log_sum_up() reports them with the count.
    if (k->suppressed && !k->used)
        appendf(line, &used, " suppressed=%lu", k->suppressed);
    if (!put(line, used, record))
        leave_out(k, level, name);
    else if (!k->used)
        k->suppressed = 0;
}

void log_write(enum log_level level, enum log_kind kind, enum event event, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, kind, event, NULL, format, args);
    va_end(args);
}

void log_write_named(enum log_level level, enum event event, const char *name, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, LOG_KIND_EVENT, event, name, format, args);
    va_end(args);
}

size_t log_format(char *out, size_t size, enum log_level level, enum event event, const char *format, ...)
{
    va_list args;
    int n = snprintf(out, size, "level=%s %s event=%s ", levels[level], ctx.origin, log_event_name(event));
    size_t used = n < 0 ? 0 : (size_t) n < size ? (size_t) n : size - 1;

    va_start(args, format);
    n = vsnprintf(out + used, size - used, format, args);
    va_end(args);
    if (n > 0)
        used += (size_t) n < size - used ? (size_t) n : size - used - 1;
    return used;
}

static void put_as_is(enum log_level level, const char *line, size_t length, bool record)
{
    char whole[LOG_RECORD_MAX + 8];
    int n = ctx.journald ? snprintf(whole, sizeof(whole), "<%d>", (int) level) : 0;

    if (ctx.silent)
        return;
    if (length >= LOG_RECORD_MAX)
        length = LOG_RECORD_MAX - 1;
    memcpy(whole + n, line, length);
    put(whole, (size_t) n + length, record);
}

void log_line(enum log_level level, const char *line, size_t length)
{
    put_as_is(level, line, length, true);
}

void log_plain(enum log_level level, const char *line, size_t length)
{
    put_as_is(level, line, length, false);
}

void log_sum_up(void)
{
    for (unsigned i = 0; i < EVENTS; i++) {
        struct kind *k = &ctx.kinds[i];
        char line[LINE_MAX_BYTES];
        size_t used = 0;
        if (!k->used)
            continue;
        begin(line, &used, k->level, (enum event) i);
        appendf(line, &used, " suppressed=%lu names=\"%s\"", k->suppressed, k->names);
        if (k->suppressed > k->named)
            appendf(line, &used, " more=%lu", k->suppressed - k->named);
        if (!put(line, used, true))
            continue;
        k->suppressed = k->named = 0;
        k->used = 0;
    }
}

const char *log_quote(const char *value, char *out, size_t size)
{
    size_t used = 0;
    uint32_t code;

    if (size < 3)
        return "";
    out[used++] = '"';
    while (*value) {
        size_t length = utf8_decode(value, UTF8_MAX, &code), bytes = length ? length : 1;
        bool shown = length > 0 && !utf8_is_hidden(code), escaped = *value == '"' || *value == '\\';
        // The closing quote and the NUL need 2 bytes.
        if (used + (escaped ? 2 : shown ? bytes : bytes * strlen("\\xff")) + 2 > size)
            break;
        if (escaped)
            out[used++] = '\\';
        for (size_t i = 0; i < bytes; i++, value++)
            if (shown)
                out[used++] = *value;
            else
                used += (size_t) snprintf(out + used, size - used, "\\x%02x", (unsigned char) *value);
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}
