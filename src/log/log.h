// SPDX-License-Identifier: Apache-2.0
// log: one event a line on stderr, key=value, limited per message kind. journald takes it from there.
#ifndef MCR_LOG_LOG_H
#define MCR_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "log/events.h"

// syslog(3) severities, written as "<N>" prefixes when journald reads stderr (sd-daemon(3)).
// A notice is a record that somebody asked for (audit, summary): never left out by the limit.
enum log_level {
    LOG_LEVEL_ERR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

// Sets what each line begins with: the process ("relay", "broker") and, when not empty, instance=NAME.
void log_setup(const char *process, const char *instance);

// Lets debug lines through.
void log_set_debug(bool on);

// From now on records and notices wait so long for room in standard error; without this call nothing does. For a
// process that nobody's traffic waits for.
void log_wait_for_room(int ms);

// Writes "LEVEL process event=EVENT key=value..." in one write(2). format gives the key=value fields; use
// log_quote() for values from outside. Of one event at most 10 lines a second are written; the next line after
// that says how many were left out (suppressed=N). log_sum_up() adds a line with their names.
// A LOG_KIND_RECORD, as a notice, is never left out by the limit; LOG_KIND_ERRNO adds error="strerror(errno)".
enum log_kind { LOG_KIND_EVENT, LOG_KIND_RECORD, LOG_KIND_ERRNO };
void log_write(enum log_level level, enum log_kind kind, enum event event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Writes value in double quotes into out, with quotes, backslashes, bytes that are no UTF-8, and characters that a
// reader would not see (utf8_is_hidden()) escaped, and returns out. What does not fit is cut.
const char *log_quote(const char *value, char *out, size_t size);

// A log_named() is a log_event() about something of this name, such as a rule. If the limit or a full standard error
// leaves the line out, the name is kept for log_sum_up().
void log_write_named(enum log_level level, enum event event, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Writes one line for each event of which lines with a name were left out, with suppressed=N, names="NAME, NAME" and,
// where they are too many for a line, more=N. To be called soon after: in each turn of a timer, or at the end of a
// request.
void log_sum_up(void);

// Appends name to the list "NAME, NAME" of so many bytes used. False, with nothing changed: there is no room for it.
bool log_list_add(char *list, size_t size, size_t *used, const char *name);

// The name of an event, and its levels: a bit 1 << enum log_level for each.
const char *log_event_name(enum event event);
unsigned log_event_levels(enum event event);

// With a level that is computed.
#define log_event(level, event, ...)  log_write(level, LOG_KIND_EVENT, event, __VA_ARGS__)
#define log_record(level, event, ...) log_write(level, LOG_KIND_RECORD, event, __VA_ARGS__)

// With a constant one. Another than the event's does not compile.
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
