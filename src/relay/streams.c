// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/streams.h"

#include <stdlib.h>
#include <string.h>

#include "common/arena.h"

_Static_assert(MONITOR_QUIET_NS == SPELL_QUIET_NS, "an alarm of a stream ends as a spell does");

// --- life ------------------------------------------------------------------------------------------------------------

static struct monitor **monitor_of(const struct streams *s, uint32_t path, uint32_t leg)
{
    return &s->monitors[s->first[path] + leg];
}

// Gives each path of a rule that monitors its place. Returns how many monitors there are.
static uint32_t place(struct streams *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->table->n_paths; i++) {
        const struct table_rule *r = &s->table->rules[s->table->paths[i].rule];
        s->first[i] = n;
        n += r->flags & TABLE_RULE_MONITORS ? r->n_inputs : 0;
    }
    return n;
}

// Gives each monitor its place, and makes it there.
static void fill(struct streams *s, struct arena *a)
{
    for (uint32_t i = 0; i < s->table->n_paths; i++) {
        const struct table_rule *r = &s->table->rules[s->table->paths[i].rule];
        if (!(r->flags & TABLE_RULE_MONITORS))
            continue;
        struct monitor_settings settings = monitor_settings_of(r);
        for (uint32_t leg = 0; leg < r->n_inputs; leg++) {
            void *memory = arena_place(a, 1, monitor_bytes(&settings));
            if (memory)
                *monitor_of(s, i, leg) = monitor_place(&settings, memory);
        }
    }
}

// The masks that are used to look something up.
static void mend(struct stream *leg)
{
    leg->alarms.alarms &= (1u << MONITOR_ALARMS) - 1;
    leg->raised &= (1u << STATS_ALARMS) - 1;
}

struct streams *streams_new(const struct table_view *table, struct arena *a, bool resumed, uint64_t now_ns)
{
    struct streams *s = calloc(1, sizeof(*s));
    static const struct monitor_counters none;

    if (!s)
        return NULL;
    s->table = table;
    s->legs = arena_place(a, table->n_inputs, sizeof(*s->legs));
    s->first = calloc(table->n_paths + 1, sizeof(*s->first));
    if (s->first)
        s->n_monitors = place(s);
    s->monitors = calloc(s->n_monitors + 1, sizeof(struct monitor *));
    if (!s->first || !s->monitors) {
        streams_free(s);
        return NULL;
    }
    fill(s, a);
    for (uint32_t i = 0; s->legs && i < table->n_inputs; i++) {
        if (resumed) {
            mend(&s->legs[i]);
            continue;
        }
        s->legs[i].health = (struct leg_health){.changed_ns = now_ns};
        monitor_alarms_init(&s->legs[i].alarms, &none, now_ns);
    }
    return s;
}

void streams_free(struct streams *s)
{
    if (!s)
        return;
    free(s->monitors);
    free(s->first);
    free(s);
}

// --- reload ----------------------------------------------------------------------------------------------------------

// Whether both rules look at the same, whatever their limits are.
static bool look_alike(const struct table_rule *r, const struct table_rule *was)
{
    struct table_monitor a = r->monitor, b = was->monitor;

    a.max_loss_ppm = b.max_loss_ppm = a.max_jitter_us = b.max_jitter_us = 0;
    return (r->flags & was->flags & TABLE_RULE_MONITORS) && r->n_paths == was->n_paths &&
           memcmp(&a, &b, sizeof(a)) == 0;
}

static void copy_monitors(struct streams *s, const struct table_rule *r, uint32_t leg, const struct streams *before,
                          const struct table_rule *was, uint32_t was_leg)
{
    for (uint32_t i = 0; i < r->n_paths; i++)
        monitor_copy(*monitor_of(s, r->first_path + i, leg), *monitor_of(before, was->first_path + i, was_leg));
}

// The silence of a leg is measured anew where it was not before.
static void carry_leg(struct streams *s, const struct table_rule *r, uint32_t leg, const struct streams *before,
                      uint32_t from)
{
    const struct table_rule *was = &before->table->rules[before->table->inputs[from].rule];
    struct stream *to = &s->legs[r->first_input + leg];
    const struct leg_health fresh = to->health;
    const struct monitor_alarms anew = to->alarms;
    bool alike = look_alike(r, was);

    *to = before->legs[from];
    if (was->silence_ms == 0)
        to->health.changed_ns = fresh.changed_ns;
    if (alike) {
        copy_monitors(s, r, leg, before, was, from - was->first_input);
    } else {
        to->alarms.before = anew.before;
        to->alarms.window_ns = anew.window_ns;
    }
}

void streams_carry(struct streams *s, const struct streams *before)
{
    for (uint32_t i = 0; i < s->table->n_inputs; i++) {
        const struct table_rule *r = &s->table->rules[s->table->inputs[i].rule];
        uint32_t from = s->table->inputs[i].carried_from;
        if (from >= before->table->n_inputs || !(r->flags & TABLE_RULE_ENABLED) ||
            !(before->table->rules[before->table->inputs[from].rule].flags & TABLE_RULE_ENABLED))
            continue;
        carry_leg(s, r, i - r->first_input, before, from);
    }
}

// --- datagrams -------------------------------------------------------------------------------------------------------

void streams_take(struct streams *s, uint32_t path, uint32_t leg, uint64_t stamp_ns, const uint8_t *at, uint64_t n,
                  size_t size)
{
    struct monitor *m = *monitor_of(s, path, leg);

    for (uint64_t i = 0; i < n; i++)
        monitor_take(m, stamp_ns, at + i * size, size);
}

static void add(struct monitor_counters *sum, const struct monitor_counters *c)
{
    sum->expected += c->expected;
    sum->lost += c->lost;
    sum->reordered += c->reordered;
    sum->repeated += c->repeated;
    sum->resets += c->resets;
    if (c->jitter_us > sum->jitter_us)
        sum->jitter_us = c->jitter_us;
    sum->unjudged += c->unjudged;
    sum->ts_packets += c->ts_packets;
    sum->sync_errors += c->sync_errors;
    sum->continuity_errors += c->continuity_errors;
    sum->transport_errors += c->transport_errors;
    sum->pids += c->pids;
}

struct monitor_counters streams_count(const struct streams *s, const struct table_rule *rule, uint32_t leg)
{
    struct monitor_counters sum = {.expected = 0};

    if (rule->flags & TABLE_RULE_MONITORS)
        for (uint32_t i = rule->first_path; i < rule->first_path + rule->n_paths; i++)
            add(&sum, monitor_counters(*monitor_of(s, i, leg)));
    return sum;
}

// --- alarms ----------------------------------------------------------------------------------------------------------

bool streams_wanted(const struct table_rule *rule)
{
    return rule->monitor.max_loss_ppm > 0 || rule->monitor.max_jitter_us > 0 ||
           (rule->n_inputs > 1 && (rule->silence_ms > 0 || rule->flags & TABLE_RULE_MERGES));
}

static const struct table_interface *interface_of(const struct streams *s, const struct table_rule *rule, uint32_t leg)
{
    return &s->table->interfaces[s->table->inputs[rule->first_input + leg].interface];
}

static bool is_up(const struct streams *s, const struct table_rule *rule, uint32_t leg)
{
    return interface_of(s, rule, leg)->state == TABLE_INTERFACE_UP;
}

// Whether this leg cannot bring anything, and another one of the merge can.
static bool lacks_link(const struct streams *s, const struct table_rule *rule, uint32_t leg)
{
    bool another = false;

    if (!(rule->flags & TABLE_RULE_MERGES) || is_up(s, rule, leg))
        return false;
    for (uint32_t i = 0; i < rule->n_inputs; i++)
        another = another || is_up(s, rule, i);
    return another;
}

// Notes what each leg has brought. Returns when one last brought something; 0: none has.
static uint64_t note_legs(struct streams *s, const struct table_rule *rule, const struct stats_input_counters *counts,
                          uint64_t now_ns)
{
    uint64_t last_ns = 0;

    for (uint32_t i = 0; i < rule->n_inputs; i++) {
        struct stream *leg = &s->legs[rule->first_input + i];
        leg_health_note(&leg->health, counts[i].packets - leg->strangers, now_ns);
        if (leg->health.heard_ns > last_ns)
            last_ns = leg->health.heard_ns;
    }
    return last_ns;
}

// Why the alarm ends that the last look has left raised.
static enum leg_end end_of(const struct streams *s, const struct table_rule *rule, uint32_t leg)
{
    const struct stream *at = &s->legs[rule->first_input + leg];

    if (at->health.heard_ns > at->alarm_ns)
        return LEG_HEARD;
    // Silence ends by a datagram or by another silence_ms.
    if (at->silent || !(rule->flags & TABLE_RULE_MERGES))
        return LEG_RELOADED;
    return is_up(s, rule, leg) ? LEG_LINKED : LEG_ALL_UNLINKED;
}

static uint32_t look_at_leg(struct streams *s, const struct table_rule *rule, uint32_t leg, uint64_t last_ns,
                            uint64_t now_ns)
{
    struct stream *at = &s->legs[rule->first_input + leg];
    const uint32_t alarm = 1u << STATS_ALARM_LEG;
    bool silent = leg_health_silent(&at->health, rule->silence_ms, last_ns);
    bool raised = rule->n_inputs > 1 && (silent || lacks_link(s, rule, leg));

    if (raised && !(at->raised & alarm))
        at->alarm_ns = now_ns;
    else if (!raised && at->raised & alarm)
        at->end = end_of(s, rule, leg);
    at->silent = silent;
    return raised ? alarm : 0;
}

static uint32_t look_at_stream(struct stream *leg, const struct table_rule *rule,
                               const struct monitor_counters *counters, uint64_t now_ns)
{
    struct monitor_limits limits = {rule->monitor.max_loss_ppm, rule->monitor.max_jitter_us};

    monitor_alarms_look(&leg->alarms, &limits, counters, now_ns);
    return (leg->alarms.alarms & 1u << MONITOR_ALARM_LOSS ? 1u << STATS_ALARM_LOSS : 0) |
           (leg->alarms.alarms & 1u << MONITOR_ALARM_JITTER ? 1u << STATS_ALARM_JITTER : 0);
}

bool streams_look(struct streams *s, const struct table_rule *rule, const struct stats_input_counters *counts,
                  uint64_t now_ns, streams_tell *tell)
{
    uint64_t last_ns = note_legs(s, rule, counts, now_ns);
    bool any = false;

    for (uint32_t i = 0; i < rule->n_inputs; i++) {
        struct stream *leg = &s->legs[rule->first_input + i];
        uint32_t raised = 0, before = leg->raised;
        struct monitor_counters counters = {.expected = 0};
        // Of a range, each destination has a monitor: they are added up only where somebody asks.
        if (rule->monitor.max_loss_ppm > 0 || rule->monitor.max_jitter_us > 0 || leg->alarms.alarms) {
            counters = streams_count(s, rule, i);
            raised = look_at_stream(leg, rule, &counters, now_ns);
        }
        raised |= look_at_leg(s, rule, i, last_ns, now_ns);
        leg->raised = raised;
        if (raised != before)
            tell(rule, &s->table->inputs[rule->first_input + i], interface_of(s, rule, i), leg, &counters,
                 raised ^ before);
        any |= raised != before;
    }
    return any;
}

uint32_t streams_alarms(const struct streams *s, const struct table_rule *rule)
{
    uint32_t alarms = 0;

    for (uint32_t i = rule->first_input; i < rule->first_input + rule->n_inputs; i++)
        alarms |= s->legs[i].raised;
    return alarms;
}
