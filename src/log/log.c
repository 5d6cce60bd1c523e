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
#include <time.h>
#include <unistd.h>

#include "common/utf8.h"

#define LINE_MAX_BYTES 2048
#define KINDS_MAX      64 // distinct events of one process; those beyond share the last entry
#define PER_SECOND_MAX 10 // lines of one event

struct kind {
    const char *event;
    time_t second;
    unsigned written; // in that second
    unsigned long suppressed;
};

static struct {
    char process[16];
    char instance[64];
    bool debug;
    bool journald;
    int patience_ms;
    bool lost_patience; // a record has waited for room in vain: the next ones do not wait
    struct kind kinds[KINDS_MAX];
} ctx;

void log_setup(const char *process, const char *instance)
{
    snprintf(ctx.process, sizeof(ctx.process), "%s", process);
    snprintf(ctx.instance, sizeof(ctx.instance), "%s", instance ? instance : "");
    ctx.journald = getenv("JOURNAL_STREAM") != NULL;
}

void log_set_debug(bool on)
{
    ctx.debug = on;
}

void log_wait_for_room(int ms)
{
    ctx.patience_ms = ms;
}

static struct kind *find_kind(const char *event)
{
    for (size_t i = 0; i < KINDS_MAX - 1; i++) {
        if (!ctx.kinds[i].event)
            ctx.kinds[i].event = event;
        if (strcmp(ctx.kinds[i].event, event) == 0)
            return &ctx.kinds[i];
    }
    return &ctx.kinds[KINDS_MAX - 1];
}

// How many lines of this kind were left out before the one that is about to be written.
static void take_suppressed(const char *event, unsigned long *suppressed)
{
    struct kind *k = find_kind(event);

    *suppressed = k->suppressed;
    k->suppressed = 0;
}

// Says whether a line of this kind may be written now, and how many were left out before it.
static bool admit(const char *event, unsigned long *suppressed)
{
    struct timespec now;
    struct kind *k = find_kind(event);

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (k->second != now.tv_sec) {
        k->second = now.tv_sec;
        k->written = 0;
    }
    if (k->written >= PER_SECOND_MAX) {
        k->suppressed++;
        return false;
    }
    k->written++;
    take_suppressed(event, suppressed);
    return true;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_NOTICE:
        return "notice";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        break;
    }
    return "debug";
}

// Appends to line, which keeps room for its newline.
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

// Whether standard error has room for a line. A record waits for room, but only once: if nobody reads, later records do
// not wait.
static bool has_room(bool record)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    bool waits = record && !ctx.lost_patience;
    bool room = poll(&p, 1, waits ? ctx.patience_ms : 0) == 1;

    ctx.lost_patience = !room && (waits || ctx.lost_patience);
    return room;
}

static void __attribute__((format(printf, 5, 0)))
write_event(enum log_level level, bool record, const char *event, const char *error, const char *format, va_list args)
{
    char line[LINE_MAX_BYTES];
    size_t used = 0;
    unsigned long suppressed = 0;

    if (level == LOG_LEVEL_DEBUG && !ctx.debug)
        return;
    if (record)
        take_suppressed(event, &suppressed);
    else if (!admit(event, &suppressed))
        return;
    if (ctx.journald)
        appendf(line, &used, "<%d>", (int) level);
    appendf(line, &used, "level=%s process=%s", level_name(level), ctx.process[0] ? ctx.process : "mcrd");
    if (ctx.instance[0])
        appendf(line, &used, " instance=%s", ctx.instance);
    appendf(line, &used, " event=%s", event);
    if (format[0]) {
        appendf(line, &used, " ");
        append(line, &used, format, args);
    }
    if (error)
        appendf(line, &used, " error=\"%s\"", error);
    if (suppressed)
        appendf(line, &used, " suppressed=%lu", suppressed);
    line[used++] = '\n';
    // A pipe that nobody reads must not stop the traffic: lines without room are left out and counted.
    if (!has_room(record)) {
        find_kind(event)->suppressed += 1 + suppressed;
        return;
    }
    // Nobody is left to be told when stderr itself fails.
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void) ignored;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, level == LOG_LEVEL_NOTICE, event, NULL, format, args);
    va_end(args);
}

void log_record(enum log_level level, const char *event, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_event(level, true, event, NULL, format, args);
    va_end(args);
}

void log_errno(enum log_level level, const char *event, const char *format, ...)
{
    const char *error = strerror(errno);
    va_list args;

    va_start(args, format);
    write_event(level, false, event, error, format, args);
    va_end(args);
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
        // Behind it stand the closing quote and the NUL.
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
