// SPDX-License-Identifier: Apache-2.0
// What is written to standard error, which is a pipe here, when there is room, and what is told of the rest.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log/log.h"

#define TEXT_MAX 65536

struct standard_error {
    int reader;
    char text[TEXT_MAX];
};

static struct standard_error *redirect(void)
{
    struct standard_error *e = calloc(1, sizeof(*e));
    int ends[2];

    cr_assert_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    e->reader = ends[0];
    unsetenv("JOURNAL_STREAM");
    log_setup("test", NULL);
    return e;
}

// Everything that was written since the last time, but what fill() has.
static const char *taken(struct standard_error *e)
{
    size_t used = 0;
    char c;

    while (used < TEXT_MAX - 1 && read(e->reader, &c, 1) == 1)
        if (c != '\0')
            e->text[used++] = c;
    e->text[used] = '\0';
    return e->text;
}

static void fill(void)
{
    static const char full[65536];

    while (write(STDERR_FILENO, full, sizeof(full)) > 0)
        ;
}

static void write_record(enum event event)
{
    log_record(LOG_LEVEL_ERR, event, "key=1");
}

static void write_notice(enum event event)
{
    log_event(LOG_LEVEL_NOTICE, event, "key=1");
}

static void write_warning(enum event event)
{
    log_event(LOG_LEVEL_WARNING, event, "key=1");
}

static void write_error(enum event event)
{
    errno = EIO;
    log_write(LOG_LEVEL_ERR, LOG_KIND_ERRNO, event, "key=1");
}

static const struct {
    enum event event;
    void (*write)(enum event event);
} kinds[] = {
    {EVENT_RELOAD, write_record}, {EVENT_RULE, write_notice}, {EVENT_LINK, write_warning}, {EVENT_START, write_error}};

// How many lines were left out before the only line of e, which is of this event; -1: no such line.
static long told(struct standard_error *e, enum event event)
{
    char start[64];
    const char *text = taken(e), *suppressed = strstr(text, " suppressed=");

    snprintf(start, sizeof(start), " event=%s key=1", log_event_name(event));
    if (!strstr(text, start) || strchr(text, '\n') != text + strlen(text) - 1)
        return -1;
    return suppressed ? strtol(suppressed + strlen(" suppressed="), NULL, 10) : 0;
}

Test(log, what_standard_error_has_no_room_for_is_told_later)
{
    struct standard_error *e = redirect();

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        enum event event = kinds[i].event;
        const char *name = log_event_name(event);
        kinds[i].write(event);
        cr_expect_eq(told(e, event), 0, "%s: %s", name, e->text);
        fill();
        for (unsigned n = 0; n < 3; n++)
            kinds[i].write(event);
        cr_expect_str_eq(taken(e), "", "%s: there was room", name);
        write_notice(EVENT_INTERFACE);
        cr_expect_eq(told(e, EVENT_INTERFACE), 0, "the other event has lost none: %s", e->text);
        kinds[i].write(event);
        cr_expect_eq(told(e, event), 3, "%s: %s", name, e->text);
        kinds[i].write(event);
        cr_expect_eq(told(e, event), 0, "%s: once: %s", name, e->text);
    }
    close(e->reader);
    free(e);
}

// The lines of e, and those that they say were left out.
static unsigned long counted(struct standard_error *e)
{
    unsigned long n = 0;

    for (const char *at = taken(e); (at = strchr(at, '\n')); at++)
        n++;
    for (const char *at = e->text; (at = strstr(at, " suppressed=")); at++)
        n += strtoul(at + strlen(" suppressed="), NULL, 10);
    return n;
}

Test(log, what_exceeds_its_rate_and_what_had_no_room_are_told_together)
{
    struct standard_error *e = redirect();

    for (unsigned n = 0; n < 25; n++)
        write_warning(EVENT_LINK);
    unsigned long before = counted(e);
    cr_expect_lt(before, 25, "not all at once");
    fill();
    write_notice(EVENT_LINK); // would have told of the others
    write_notice(EVENT_LINK);
    taken(e);
    write_notice(EVENT_LINK);
    cr_expect_eq(before + counted(e), 28, "%s", e->text);
    close(e->reader);
    free(e);
}

// Whether e's text sums up rules `first` to `last`, and so many more without a name.
static bool names_from(const struct standard_error *e, unsigned first, unsigned last, unsigned more)
{
    char expected[TEXT_MAX];
    size_t used = (size_t) snprintf(expected, sizeof(expected),
                                    "level=warning process=test event=rule_silent suppressed=%u "
                                    "names=\"",
                                    last - first + 1 + more);

    for (unsigned i = first; i <= last; i++)
        used += (size_t) snprintf(expected + used, sizeof(expected) - used, "%srule-%u", i > first ? ", " : "", i);
    used += (size_t) snprintf(expected + used, sizeof(expected) - used, "\"");
    if (more > 0)
        used += (size_t) snprintf(expected + used, sizeof(expected) - used, " more=%u", more);
    snprintf(expected + used, sizeof(expected) - used, "\n");
    return strcmp(e->text, expected) == 0;
}

static void write_named(unsigned first, unsigned last)
{
    char name[16];

    for (unsigned i = first; i <= last; i++) {
        snprintf(name, sizeof(name), "rule-%u", i);
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_SILENT, name, "rule=%s", name);
    }
}

Test(log, names_of_what_exceeds_its_rate_are_summed_up_in_one_line)
{
    struct standard_error *e = redirect();
    unsigned lines = 0;

    log_sum_up();
    cr_expect_str_eq(taken(e), "", "nothing was left out");
    // Of one second, or of two.
    write_named(100, 139);
    for (const char *at = taken(e); (at = strchr(at, '\n')); at++)
        lines++;
    cr_assert(lines >= 10 && lines <= 20, "%u lines", lines);
    cr_expect_null(strstr(e->text, "suppressed="), "those with a name wait: %s", e->text);
    fill();
    log_sum_up();
    taken(e);
    log_sum_up();
    taken(e);
    cr_expect(lines > 10 || names_from(e, 110, 139, 0), "once there is room: %s", e->text);
    log_sum_up();
    cr_expect_str_eq(taken(e), "", "once");
    close(e->reader);
    free(e);
}

Test(log, names_that_are_too_many_for_a_line_are_counted)
{
    struct standard_error *e = redirect();
    const char *more;

    fill(); // each is left out
    write_named(1000, 1999);
    taken(e);
    log_sum_up();
    cr_assert((more = strstr(taken(e), " more=")), "%s", e->text);
    unsigned n_more = (unsigned) strtoul(more + strlen(" more="), NULL, 10);
    cr_expect(n_more > 0 && n_more < 1000 && names_from(e, 1000, 1999 - n_more, n_more), "%s", e->text);
    cr_expect_lt(strlen(e->text), 2048);
    close(e->reader);
    free(e);
}

Test(log, quotes_what_a_reader_would_not_see)
{
    static const char *const cases[][2] = {
        {"", "\"\""},
        {"a\"\\b", "\"a\\\"\\\\b\""},
        {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
        {"\x1b[2J\n", "\"\\x1b[2J\\x0a\""},
        {"\x7f", "\"\\x7f\""},
        {"\xc2\x9b!\x9b", "\"\\xc2\\x9b!\\x9b\""},
        {"\xe2\x80\xae", "\"\\xe2\\x80\\xae\""},
        {"0123456789012", "\"0123456789012\""},
        {"0123456789012345", "\"0123456789012\""},
        {"01234567890\x1b", "\"01234567890\""},
        {"012345678901\xc3\xbc", "\"012345678901\""},
        {"012345678901\"", "\"012345678901\""},
    };
    char out[16];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_str_eq(log_quote(cases[i][0], out, sizeof(out)), cases[i][1]);
}
