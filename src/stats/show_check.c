// SPDX-License-Identifier: Apache-2.0
// The line and the status of a monitoring plugin, https://www.monitoring-plugins.org/doc/guidelines.html:
// "SERVICE STATUS - text | label=value[unit] ...". Behind a '|' stands what is plotted; so none stands before.
#include <config.h>

#include "stats/show.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/moment.h"
#include "stats/counters.h"
#include "stats/merge_doubt.h"
#include "stats/text.h"

#define NAMED_MOST 5 // rules that are named, so that the line stays one that can be sent to a pager

static const char *const statuses[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

// An unknown state is one that this program is too old for.
static const enum show_status of_state[STATS_RULE_END] = {
    [STATS_RULE_ACTIVE] = SHOW_OK,     [STATS_RULE_SHADOW] = SHOW_OK,       [STATS_RULE_WAITING] = SHOW_CRITICAL,
    [STATS_RULE_DOWN] = SHOW_CRITICAL, [STATS_RULE_SILENT] = SHOW_CRITICAL, [STATS_RULE_SLOW] = SHOW_WARNING,
    [STATS_RULE_DISABLED] = SHOW_OK,   [STATS_RULE_SCHEDULED] = SHOW_OK,    [STATS_RULE_EXPIRED] = SHOW_OK,
};

struct finding {
    enum show_status status;
    char text[SHOW_UNKNOWN + 1][4096]; // what is to be said, by its status, separated by ", "
};

static void __attribute__((format(printf, 3, 4)))
find(struct finding *f, enum show_status status, const char *format, ...)
{
    char *text = f->text[status];
    size_t used = strlen(text), room = sizeof(f->text[status]);
    va_list args;

    if (status > f->status)
        f->status = status;
    if (used + sizeof(", ") >= room)
        return;
    if (used > 0)
        used += (size_t) snprintf(text + used, room - used, ", ");
    va_start(args, format);
    vsnprintf(text + used, room - used, format, args);
    va_end(args);
}

static void judge_daemon(struct finding *f, const struct stats_snapshot *s, bool whole)
{
    const struct stats_header *h = s->at.header;
    uint64_t silent_ms = stats_age_ms(s, h->heartbeat_ns);
    char age[TEXT_NUMBER_MAX], left[TEXT_NUMBER_MAX], time[MOMENT_TEXT_MAX];

    if (silent_ms >= SHOW_HEARTBEAT_LATE_MS)
        find(f, SHOW_CRITICAL, "no sign of life for %s", text_age(age, silent_ms));
    if (!whole)
        return;
    if (!h->broker_alive)
        find(f, SHOW_CRITICAL, "the broker is gone: %s", show_without_broker(h));
    if (h->verdict == STATS_VERDICT_REFUSED)
        find(f, SHOW_WARNING, "the last load was refused");
    if (h->verdict == STATS_VERDICT_REFUSED && show_may_put_back(h))
        find(f, SHOW_WARNING, SHOW_PUT_BACK);
    if (h->trial_ends_ns)
        find(f, SHOW_OK, "on trial for another %s", text_duration(left, stats_remaining_s(s, h->trial_ends_ns)));
    if (h->returned[0])
        find(f, SHOW_WARNING, "the last trial was not kept: %s", h->returned);
    if (h->signatures.left[0])
        find(f, SHOW_WARNING, "%s; the next load clears this", h->signatures.left);
    if (stats_disk_state(h) != STATS_CONFIG_CURRENT)
        find(f, SHOW_WARNING, "the file on disk is %s%s", stats_config_state_name(stats_disk_state(h)),
             h->trial_ends_ns ? ": not what is on trial" : "");
    if (h->audit.error[0])
        find(f, SHOW_WARNING, "records cannot be written: %s", h->audit.error);
    if (h->audit.changes > 0)
        find(f, SHOW_WARNING, "%s: %s: mcrd --history --verify; a restart clears this", h->audit.file,
             h->audit.changed);
    if (h->audit.lost > 0)
        find(f, SHOW_WARNING, "%" PRIu64 " records are not in %s", h->audit.lost, h->audit.file);
    if (h->expired)
        find(f, SHOW_WARNING, "the file that runs was valid until %s", moment_format(h->valid_until, time));
    if (h->clock != STATS_CLOCK_SET)
        find(f, SHOW_WARNING, "the clock is %s", stats_clock_name(h->clock));
    if (h->seccomp != STATS_SECCOMP_ENFORCE || h->capabilities)
        find(f, SHOW_WARNING, "the sandbox is not in force");
}

// Alarms that are in no state of the rule: of a leg, and of the rule itself.
#define LEG_ALARMS   (1u << STATS_ALARM_LEG | 1u << STATS_ALARM_LOSS | 1u << STATS_ALARM_JITTER)
#define ASIDE_ALARMS (LEG_ALARMS | 1u << STATS_ALARM_RESIDENCE)

static enum show_status state_status(const struct stats_rule *r)
{
    return r->state < STATS_RULE_END ? of_state[r->state] : SHOW_CRITICAL;
}

static enum show_status status_of(const struct stats_snapshot *s, const struct stats_rule *r)
{
    enum show_status status = state_status(r);

    return status == SHOW_OK && (r->alarms & ASIDE_ALARMS || merge_doubt(&s->at, r)) ? SHOW_WARNING : status;
}

#define ASIDES_MAX 512 // bytes of what is wrong beside a rule's state

// "netB is down (1 of 2 inputs), datagrams stay here too long, loss on leg A, silence on leg B"
static const char *asides(char text[ASIDES_MAX], const struct stats_snapshot *s, const struct stats_rule *r)
{
    const char *doubt = merge_doubt(&s->at, r);
    static const char *const what[STATS_ALARMS] = {
        [STATS_ALARM_LEG] = "silence", [STATS_ALARM_LOSS] = "loss", [STATS_ALARM_JITTER] = "jitter"};
    size_t used = 0;

    used = (size_t) snprintf(text, ASIDES_MAX, "%s%s", r->reason, *r->reason ? ", " : "");
    if (r->alarms >> STATS_ALARM_RESIDENCE & 1)
        used += (size_t) snprintf(text + used, ASIDES_MAX - used, "datagrams stay here too long, ");
    if (doubt)
        used += (size_t) snprintf(text + used, ASIDES_MAX - used, "%s, ", doubt);
    for (uint32_t i = r->first_input; i < r->first_input + r->n_inputs; i++)
        for (unsigned alarm = 0; alarm < STATS_ALARMS && used < ASIDES_MAX; alarm++)
            if (s->at.inputs[i].alarms & LEG_ALARMS & 1u << alarm)
                used += (size_t) snprintf(text + used, ASIDES_MAX - used, "%s on leg %s, ", what[alarm],
                                          s->at.inputs[i].leg);
    used = strlen(text);
    if (used >= strlen(", "))
        text[used - strlen(", ")] = '\0';
    return text;
}

// The worst are named.
static void judge_rules(struct finding *f, const struct stats_snapshot *s)
{
    enum show_status last = SHOW_OK;
    uint32_t named = 0, wrong = 0;
    char text[ASIDES_MAX];

    for (enum show_status status = SHOW_CRITICAL; status > SHOW_OK; status--)
        for (uint32_t i = 0; i < s->at.header->n_rules; i++) {
            const struct stats_rule *r = &s->at.rules[i];
            if (status_of(s, r) != status)
                continue;
            wrong++;
            if (named == NAMED_MOST)
                continue;
            if (state_status(r) == SHOW_OK)
                find(f, status, "%s: %s", r->name, asides(text, s, r));
            else
                find(f, status, "%s is %s: %s", r->name, stats_rule_state_name(r->state), r->reason);
            last = status;
            named++;
        }
    if (wrong > named)
        find(f, last, "and %u more", wrong - named);
}

// "2 rules active, 1 shadow"
static void put_states(const struct stats_snapshot *s, FILE *to)
{
    uint32_t n[STATS_RULE_END + 1] = {0};
    const char *unit = " rule";

    for (uint32_t i = 0; i < s->at.header->n_rules; i++)
        n[s->at.rules[i].state < STATS_RULE_END ? s->at.rules[i].state : STATS_RULE_END]++;
    for (uint32_t state = 0; state <= STATS_RULE_END; state++) {
        if (n[state] == 0)
            continue;
        bool first = *unit != '\0';
        fprintf(to, "%s%u%s%s %s", first ? "" : ", ", n[state], unit, first && n[state] > 1 ? "s" : "",
                stats_rule_state_name(state));
        unit = "";
    }
    if (*unit)
        fputs("no rules", to);
}

// Counters have the unit c.
static void put_figures(const struct stats_snapshot *s, FILE *to)
{
    uint64_t packets = 0, bytes = 0, sent = 0, dropped = 0, errors = 0;

    for (uint32_t i = 0; i < s->at.header->n_rules; i++) {
        const struct stats_rule *r = &s->at.rules[i];
        packets += r->counters.packets;
        bytes += r->counters.bytes;
        dropped += stats_drops_faults(&r->counters.drops);
        for (uint32_t j = 0; j < r->n_outputs; j++) {
            const struct stats_output_counters *o = &s->at.outputs[r->first_output + j].counters;
            sent += o->packets;
            errors += o->errors + o->too_big;
        }
    }
    fprintf(to, " | packets=%" PRIu64 "c bytes=%" PRIu64 "c sent=%" PRIu64 "c dropped=%" PRIu64 "c errors=%" PRIu64 "c",
            packets, bytes, sent, dropped, errors);
}

enum show_status show_check(const struct stats_snapshot *s, bool whole, enum show_status what, const char *why,
                            FILE *to)
{
    struct finding f = {.status = SHOW_OK};
    const char *before = "";

    if (s) {
        judge_daemon(&f, s, whole);
        judge_rules(&f, s);
        if (s->at.header->n_rules == 0)
            find(&f, SHOW_WARNING, "there is no rule: nothing is relayed");
    } else {
        find(&f, what, "%s", why);
    }
    fprintf(to, "MCR %s - ", statuses[f.status]);
    for (int status = SHOW_UNKNOWN; status >= SHOW_OK; status--) { // the worst first
        text_repair(f.text[status]);
        for (char *c = f.text[status]; *c; c++)
            if (*c == '|')
                *c = '/';
        fprintf(to, "%s%s", *f.text[status] ? before : "", f.text[status]);
        if (*f.text[status])
            before = ", ";
    }
    if (s) {
        fputs(*before ? "; " : "", to);
        put_states(s, to);
        put_figures(s, to);
    }
    fputc('\n', to);
    return f.status;
}
