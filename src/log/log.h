// SPDX-License-Identifier: Apache-2.0
// log: writes events to stderr, one a line with key=value fields, with a limit for each event. journald reads stderr.
#ifndef MCR_LOG_LOG_H
#define MCR_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "log/events.h"

// syslog(3) severities, written as "<N>" prefixes when journald reads stderr (sd-daemon(3)).
// A notice is a record that somebody asked for (audit, summary): the limit does not apply to it.
enum log_level {
    LOG_LEVEL_ERR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

// Sets the process ("relay", "broker") in each line and, if instance is not NULL or empty, instance=NAME.
void log_setup(const char *process, const char *instance);

// Switches debug lines on or off.
void log_set_debug(bool on);

// Writes nothing while on: what a question finds is told in its answer.
void log_set_silent(bool on);

// Lets records and notices wait up to ms milliseconds for room in standard error from now on. Without this call no line
// waits. Only for a process that forwards no traffic.
void log_wait_for_room(int ms);

// Writes "level=LEVEL process=PROCESS event=EVENT key=value..." with one write(2). format gives the key=value fields;
// use log_quote() for values from outside. At most 10 lines a second of one event are written; the next line says how
// many were left out (suppressed=N), or log_sum_up() writes a line with their names. The limit does not apply to
// LOG_KIND_RECORD and notices. LOG_KIND_ERRNO adds error="strerror(errno)".
enum log_kind { LOG_KIND_EVENT, LOG_KIND_RECORD, LOG_KIND_ERRNO };
void log_write(enum log_level level, enum log_kind kind, enum event event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// A record that is more than a line of the log. log_format() writes "level=LEVEL process=PROCESS event=EVENT
// key=value..." to out, which has size bytes, and returns how many it took; log_line() writes such bytes, to which the
// caller may have added some, and a newline in one write(2), as a record. size, length: below LOG_RECORD_MAX.
#define LOG_RECORD_MAX 4090
size_t log_format(char *out, size_t size, enum log_level level, enum event event, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void log_line(enum log_level level, const char *line, size_t length);

// The same of a line that is no record: it waits for no room, and is left out where there is none.
void log_plain(enum log_level level, const char *line, size_t length);

// Writes value in double quotes to out, which has size bytes, and cuts it if it does not fit. Escapes quotes,
// backslashes, bytes that are not UTF-8, and hidden characters (utf8_is_hidden()). Returns out.
const char *log_quote(const char *value, char *out, size_t size);

// Writes an event about something with a name, such as a rule. If the line is left out, because of the limit or of a
// full standard error, its name is kept for log_sum_up().
void log_write_named(enum log_level level, enum event event, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Writes one line for each event of which lines with a name were left out: with suppressed=N, names="NAME, NAME" and,
// if the names do not fit, more=N. Call it soon afterwards: at each tick of a timer, or at the end of a request.
void log_sum_up(void);

// Appends name to a list "NAME, NAME" in a buffer of size bytes. *used: bytes of the list. Returns false, and changes
// nothing, without room.
bool log_list_add(char *list, size_t size, size_t *used, const char *name);

// Return the name of an event, and its levels as a mask of 1 << enum log_level.
const char *log_event_name(enum event event);
unsigned log_event_levels(enum event event);

// Macros for a level that is computed.
#define log_event(level, event, ...)  log_write(level, LOG_KIND_EVENT, event, __VA_ARGS__)
#define log_record(level, event, ...) log_write(level, LOG_KIND_RECORD, event, __VA_ARGS__)

// Macros for a constant level. A level that the event does not have does not compile.
#define LOG_EVENT_LEVELS(NAME, name, levels) NAME##_LEVELS = (levels),
enum event_levels { LOG_EVENTS(LOG_EVENT_LEVELS) };
#define LOG_CHECKED(level, event)                                                                                      \
    ((void) sizeof(struct {                                                                                            \
         _Static_assert(event##_LEVELS & 1 << (level), "not a level of this event: log/events.h");                     \
         int unused;                                                                                                   \
     }),                                                                                                               \
     (level))

#define log_errno(level, event, ...) log_write(LOG_CHECKED(level, event), LOG_KIND_ERRNO, event, __VA_ARGS__)
#define log_named(level, event, ...) log_write_named(LOG_CHECKED(level, event), event, __VA_ARGS__)
#define log_error(event, ...)        log_event(LOG_CHECKED(LOG_LEVEL_ERR, event), event, __VA_ARGS__)
#define log_warn(event, ...)         log_event(LOG_CHECKED(LOG_LEVEL_WARNING, event), event, __VA_ARGS__)
#define log_notice(event, ...)       log_event(LOG_CHECKED(LOG_LEVEL_NOTICE, event), event, __VA_ARGS__)
#define log_info(event, ...)         log_event(LOG_CHECKED(LOG_LEVEL_INFO, event), event, __VA_ARGS__)
#define log_debug(event, ...)        log_event(LOG_CHECKED(LOG_LEVEL_DEBUG, event), event, __VA_ARGS__)

#endif
