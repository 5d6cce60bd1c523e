// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/times.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/moment.h"

bool times_may_load(const struct config *c, uint64_t now, char why[TIMES_LOAD_MAX])
{
    enum schedule_phase phase = schedule_phase(c->valid, now);
    char bound[MOMENT_TEXT_MAX], present[MOMENT_TEXT_MAX];

    moment_format(now, present);
    if (phase == SCHEDULE_AFTER)
        snprintf(why, TIMES_LOAD_MAX, "valid_until is \"%s\", which has passed (now %s): no load takes it",
                 moment_format(c->valid.until, bound), present);
    if (phase == SCHEDULE_BEFORE)
        snprintf(why, TIMES_LOAD_MAX, "valid_from is \"%s\", which is to come (now %s): no load takes it before",
                 moment_format(c->valid.from, bound), present);
    return phase != SCHEDULE_AFTER && phase != SCHEDULE_BEFORE;
}

void times_check(const struct config *c, uint64_t now, struct config_problems *problems)
{
    char bound[MOMENT_TEXT_MAX], present[MOMENT_TEXT_MAX], end[MOMENT_TEXT_MAX], why[TIMES_LOAD_MAX];

    moment_format(now, present);
    if (!times_may_load(c, now, why))
        config_error(problems,
                     schedule_phase(c->valid, now) == SCHEDULE_AFTER ? c->valid_until_line : c->valid_from_line, NULL,
                     "%s", why);
    for (size_t i = 0; i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        if (r->enabled && schedule_phase(r->active, now) == SCHEDULE_AFTER)
            config_warning(problems, r->active_line, r->name,
                           "active_until is \"%s\", which has passed (now %s): the rule relays nothing: remove it",
                           moment_format(r->active.until, bound), present);
        if (r->enabled && c->valid.until && r->active.from >= c->valid.until)
            config_warning(problems, r->active_line, r->name,
                           "active_from is \"%s\", and the file is valid until \"%s\" only: the rule begins only if "
                           "this file still runs then",
                           moment_format(r->active.from, bound), moment_format(c->valid.until, end));
    }
}

static uint64_t clock_least(const struct config *c)
{
    uint64_t mtime_s = c->file.mtime.tv_sec > 0 ? (uint64_t) c->file.mtime.tv_sec : 0;

    return schedule_clock_least(c->written_s ? c->written_s : mtime_s);
}

bool times_clock_is_set(const struct config *c, uint64_t now)
{
    return now >= clock_least(c);
}

void times_apply(struct config *c, uint64_t now, bool set)
{
    c->next_change = schedule_next(c->valid, now);
    c->clock_least = times_matter(c) ? clock_least(c) : 0;
    if (!set && times_matter(c))
        c->next_change = schedule_sooner(c->next_change, clock_least(c));
    for (size_t i = 0; i < c->n_rules; i++) {
        struct config_rule *r = &c->rules[i];
        // What has ended stays so, also where the clock is set back.
        if (r->phase == SCHEDULE_AFTER)
            continue;
        r->phase = set || !schedule_given(r->active) ? schedule_phase(r->active, now) : SCHEDULE_UNKNOWN;
        if (r->enabled)
            c->next_change = schedule_sooner(c->next_change, schedule_next(r->active, now));
    }
}

bool times_matter(const struct config *c)
{
    bool any = schedule_given(c->valid);

    for (size_t i = 0; i < c->n_rules && !any; i++)
        any = c->rules[i].enabled && schedule_given(c->rules[i].active);
    return any;
}

bool times_may_follow(uint64_t serial, const uint8_t sha256[32], const struct config *next, char why[TIMES_WHY_MAX])
{
    bool same = memcmp(sha256, next->file.sha256, sizeof(next->file.sha256)) == 0;

    why[0] = '\0';
    if (serial == 0 || same || next->serial > serial)
        return true;
    if (next->serial == 0)
        snprintf(why, TIMES_WHY_MAX, "\"serial\" is missing, and what runs has %" PRIu64 ": allowed is a higher one",
                 serial);
    else if (next->serial < serial)
        snprintf(why, TIMES_WHY_MAX,
                 "\"serial\" is %" PRIu64 ", and what runs has %" PRIu64 ": allowed is a higher one", next->serial,
                 serial);
    else
        snprintf(why, TIMES_WHY_MAX,
                 "\"serial\" is %" PRIu64 ", as that of what runs, whose text is another: allowed is a higher one",
                 serial);
    return false;
}

const char *times_text(struct schedule s, char text[TIMES_TEXT_MAX])
{
    char from[MOMENT_TEXT_MAX], until[MOMENT_TEXT_MAX];

    snprintf(text, TIMES_TEXT_MAX, "%s%s%s%s%s", s.from ? "from " : "", s.from ? moment_format(s.from, from) : "",
             s.from && s.until ? " " : "", s.until ? "until " : "", s.until ? moment_format(s.until, until) : "");
    return text;
}

const char *times_reason(const struct config_rule *r, char text[TIMES_TEXT_MAX])
{
    struct schedule bound = {.from = r->phase == SCHEDULE_BEFORE ? r->active.from : 0,
                             .until = r->phase == SCHEDULE_AFTER ? r->active.until : 0};

    if (r->phase == SCHEDULE_UNKNOWN)
        snprintf(text, TIMES_TEXT_MAX, "the clock is not set");
    else
        times_text(bound, text);
    return text;
}
