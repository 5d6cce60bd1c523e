// SPDX-License-Identifier: Apache-2.0
// What the relay shows: the statistics segment, systemd's status line, the summary in the log, and alarms: of silent or
// slow inputs, of limits that drop, of outputs that fail. An alarm is logged once when it is raised and once when it is
// cleared.
#include <config.h>

#include "relay/state.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/moment.h"
#include "log/log.h"
#include "stats/counters.h"

#define PUBLISH_PART 32  // rules, until the rings are read again
#define STATUS_PART  256 // the same
#define MEANWHILE_NS UINT64_C(20000000)
#define SUMMARY_NS   UINT64_C(25000) // of one turn of the loop

void publish_header(struct relay *r, enum stats_segment_state state)
{
    if (!r->swap.now)
        return;
    struct stats_header *h = r->swap.now->stats.header;
    const size_t first = offsetof(struct stats_header, pid);

    r->shown.heartbeat_ns = clock_monotonic_ns();
    stats_write_begin(&h->sequence);
    h->state = state;
    memcpy((char *) h + first, (const char *) &r->shown + first, sizeof(*h) - first);
    stats_write_end(&h->sequence);
}

// What all of thousands of rules are asked takes milliseconds: the rings are read in between, but not for longer than
// MEANWHILE_NS, since nothing else has its turn: timers, links, the broker. Not at the end either, where what is held
// back has left.
static void meanwhile(struct relay *r, uint64_t began_ns)
{
    if (!r->ending && clock_monotonic_ns() - began_ns < MEANWHILE_NS)
        rings_pass_ready(r);
}

void publish_everything(struct relay *r)
{
    uint64_t began_ns = clock_monotonic_ns();

    if (!r->swap.now)
        return;
    rings_publish(r);
    forward_publish_merges(r->swap.now, 0);
    for (uint32_t i = 0; i < relay_table(r)->n_rules;) {
        i = forward_publish_part(r->swap.now, i, PUBLISH_PART);
        meanwhile(r, began_ns);
    }
    publish_header(r, STATS_LIVE);
}

void publish_status(struct relay *r)
{
    static const char *const files[STATS_CONFIG_END] = {[STATS_CONFIG_CURRENT] = "file is current",
                                                        [STATS_CONFIG_PENDING] = "a changed file is PENDING",
                                                        [STATS_CONFIG_INVALID] = "the file on disk is INVALID",
                                                        [STATS_CONFIG_TRIAL] = "the file is ON TRIAL",
                                                        [STATS_CONFIG_RETURNED] =
                                                            "the file on disk was on trial and has RETURNED"};
    const struct table_view *t = relay_table(r);
    uint64_t began_ns = clock_monotonic_ns();
    uint32_t in[STATS_RULE_END] = {0};
    char until[MOMENT_TEXT_MAX] = "";

    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_rules; i++) {
        in[forward_state(r->swap.now, i)]++;
        if (i % STATUS_PART == STATUS_PART - 1)
            meanwhile(r, began_ns);
    }
    if (r->shown.trial_ends_ns != 0)
        moment_format((clock_realtime_ns() + r->shown.trial_ends_ns - clock_monotonic_ns()) / NS_PER_S, until);
    notify_status(&r->notify,
                  "STATUS=generation %llu, %u rule%s, %u waiting, %u down, %u silent or slow; sandbox %s, landlock %u; "
                  "%s%s%s%s%s",
                  (unsigned long long) t->header->generation, t->n_rules, t->n_rules == 1 ? "" : "s",
                  in[STATS_RULE_WAITING], in[STATS_RULE_DOWN], in[STATS_RULE_SILENT] + in[STATS_RULE_SLOW],
                  stats_seccomp_name(r->shown.seccomp), r->shown.landlock, files[r->shown.config_state],
                  *until ? " until " : "", until, r->shown.refusal[0] ? "; last reload REFUSED" : "",
                  r->shown.broker_alive ? "" : "; the broker is GONE");
}

#define FORMAT(name, help, key)  " " #name "=%llu"
#define DROPPED(name, help, key) " dropped_" #name "=%llu"
#define VALUE(name, help, key)   , (unsigned long long) c->name

static void log_interface(const struct relay *r, const struct ingress *in)
{
    const struct stats_interface_counters *c = &in->counters;

    log_notice(EVENT_INTERFACE, "interface=%s" STATS_INTERFACE_COUNTERS(FORMAT),
               relay_table(r)->interfaces[in->interface].name STATS_INTERFACE_COUNTERS(VALUE));
}

static void log_rule(const struct relay *r, uint32_t i)
{
    const struct table_rule *rule = &relay_table(r)->rules[i];
    const struct stats_rule_counters *counters = &r->swap.now->flows[i].counters;
    const struct stats_drops *c = &counters->drops;
    uint64_t out = 0;

    for (uint32_t j = 0; j < rule->n_outputs; j++)
        out += r->swap.now->outputs[rule->first_counter + j].packets;
    log_notice(EVENT_RULE, "rule=%s packets=%llu bytes=%llu sent=%llu" STATS_RULE_DROPS(DROPPED), rule->name,
               (unsigned long long) counters->packets, (unsigned long long) counters->bytes,
               (unsigned long long) out STATS_RULE_DROPS(VALUE));
}

void publish_summary_begin(struct relay *r)
{
    r->summary_next = 0;
    if (!relay_table(r))
        return;
    publish_everything(r);
    for (size_t i = 0; i < r->swap.n_rings; i++)
        log_interface(r, r->swap.rings[i]);
}

// If the table changes meanwhile, the summary continues with the new table.
bool publish_summary_next(struct relay *r)
{
    const struct table_view *t = relay_table(r);
    const uint64_t until_ns = clock_monotonic_ns() + SUMMARY_NS;

    while (t && r->summary_next < t->n_rules) {
        log_rule(r, r->summary_next++);
        if (clock_monotonic_ns() >= until_ns)
            break;
    }
    return t && r->summary_next < t->n_rules;
}

// --- alarms ----------------------------------------------------------------------------------------------------------

#define LOOK_MOST_MS  200u
#define LOOK_TRIAL_MS 50u // goes back silence_ms + 100 ms behind the last datagram at the latest
#define LOOK_LEAST_MS 10u

static unsigned long long happened(const struct spell *s)
{
    return s->count - s->before;
}

static unsigned long long ms(uint64_t ns)
{
    return ns / 1000000;
}

static unsigned long long lasted_ms(const struct spell *s)
{
    return ms(s->last_ns - s->began_ns);
}

static void tell(const struct table_rule *rule, const struct health *h, uint32_t changed)
{
    const uint32_t silence = 1u << STATS_ALARM_SILENCE, rate = 1u << STATS_ALARM_RATE,
                   residence = 1u << STATS_ALARM_RESIDENCE, raised = changed & h->alarms;
    const uint64_t now = clock_monotonic_ns();

    if (raised & silence)
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_SILENT, rule->name, "rule=%s silent_ms=%llu allowed_ms=%u", rule->name,
                  ms(now - h->changed_ns), rule->silence_ms);
    else if (changed & silence)
        log_notice(EVENT_RULE_HEARD, "rule=%s alarm_ms=%llu", rule->name, ms(now - h->raised_ns[STATS_ALARM_SILENCE]));
    if (raised & rate)
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_SLOW, rule->name, "rule=%s packets_per_second=%llu least=%llu",
                  rule->name, (unsigned long long) h->rate, (unsigned long long) rule->min_packets_per_second);
    else if (changed & rate)
        log_notice(EVENT_RULE_IN_TIME, "rule=%s packets_per_second=%llu alarm_ms=%llu", rule->name,
                   (unsigned long long) h->rate, ms(now - h->raised_ns[STATS_ALARM_RATE]));
    if (raised & residence)
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_DELAYED, rule->name, "rule=%s p99_us=%llu allowed_us=%u", rule->name,
                  (unsigned long long) h->p99_us, rule->max_residence_us);
    else if (changed & residence)
        log_notice(EVENT_RULE_PROMPT, "rule=%s p99_us=%llu alarm_ms=%llu", rule->name, (unsigned long long) h->p99_us,
                   ms(now - h->raised_ns[STATS_ALARM_RESIDENCE]));
    if (changed & HEALTH_LIMIT && h->limit.on)
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_LIMITED, rule->name, "rule=%s dropped=%llu", rule->name,
                  happened(&h->limit));
    else if (changed & HEALTH_LIMIT)
        log_notice(EVENT_RULE_WITHIN_LIMIT, "rule=%s dropped=%llu limited_ms=%llu", rule->name, happened(&h->limit),
                   lasted_ms(&h->limit));
}

#define WITHOUT_LINK_MAX (IFNAMSIZ + 40)

// ' reason="net-b is down"', behind other keys; "" for an interface that is up.
static const char *without_link(const struct table_interface *i, char text[WITHOUT_LINK_MAX])
{
    *text = '\0';
    if (i->state != TABLE_INTERFACE_UP)
        snprintf(text, WITHOUT_LINK_MAX, " reason=\"%s is %s\"", i->name,
                 i->state == TABLE_INTERFACE_MISSING ? "missing" : "down");
    return text;
}

// Why an alarm has ended without a datagram.
static const char *const leg_ends[] = {
    [LEG_LINKED] = "its link is up again",
    [LEG_ALL_UNLINKED] = "no other leg has a link, either",
    [LEG_RELOADED] = "a reload has changed the rule",
};

static void tell_leg(const struct table_rule *rule, const struct table_input *in,
                     const struct table_interface *interface, const struct stream *leg,
                     const struct monitor_counters *counters, uint32_t changed)
{
    const uint32_t silence = 1u << STATS_ALARM_LEG, loss = 1u << STATS_ALARM_LOSS, jitter = 1u << STATS_ALARM_JITTER,
                   raised = changed & leg->raised;
    const uint64_t now = clock_monotonic_ns(), *since = leg->alarms.raised_ns;
    char name[TABLE_NAME_MAX + TABLE_LEG_MAX + 8], why[WITHOUT_LINK_MAX];

    snprintf(name, sizeof(name), "%s leg %s", rule->name, in->leg);
    if (raised & silence)
        log_named(LOG_LEVEL_WARNING, EVENT_LEG_SILENT, name, "rule=%s leg=%s silent_ms=%llu allowed_ms=%u%s",
                  rule->name, in->leg, ms(now - leg->health.changed_ns), rule->silence_ms,
                  without_link(interface, why));
    else if (changed & silence && leg->end == LEG_HEARD)
        log_notice(EVENT_LEG_HEARD, "rule=%s leg=%s alarm_ms=%llu", rule->name, in->leg, ms(now - leg->alarm_ns));
    else if (changed & silence)
        log_notice(EVENT_LEG_CLEARED, "rule=%s leg=%s alarm_ms=%llu reason=\"%s\"", rule->name, in->leg,
                   ms(now - leg->alarm_ns), leg_ends[leg->end]);
    if (raised & loss)
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_LOSSY, name,
                  "rule=%s leg=%s loss_ppm=%llu allowed_ppm=%u lost=%llu continuity_errors=%llu sync_errors=%llu "
                  "unjudged=%llu",
                  rule->name, in->leg, (unsigned long long) leg->alarms.loss_ppm, rule->monitor.max_loss_ppm,
                  (unsigned long long) counters->lost, (unsigned long long) counters->continuity_errors,
                  (unsigned long long) counters->sync_errors, (unsigned long long) counters->unjudged);
    else if (changed & loss)
        log_notice(EVENT_RULE_COMPLETE, "rule=%s leg=%s lost=%llu alarm_ms=%llu", rule->name, in->leg,
                   (unsigned long long) counters->lost, ms(now - since[MONITOR_ALARM_LOSS]));
    if (raised & jitter)
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_JITTERY, name,
                  "rule=%s leg=%s jitter_us=%llu allowed_us=%u unjudged=%llu", rule->name, in->leg,
                  (unsigned long long) counters->jitter_us, rule->monitor.max_jitter_us,
                  (unsigned long long) counters->unjudged);
    else if (changed & jitter)
        log_notice(EVENT_RULE_STEADY, "rule=%s leg=%s jitter_us=%llu alarm_ms=%llu", rule->name, in->leg,
                   (unsigned long long) counters->jitter_us, ms(now - since[MONITOR_ALARM_JITTER]));
}

static void tell_blockage(const struct table_rule *rule, const struct blockage *b)
{
    char why[BLOCKAGE_TEXT_MAX];

    if (b->on)
        log_named(LOG_LEVEL_WARNING, EVENT_RULE_BLOCKED, rule->name, "rule=%s dropped=\"%s\"", rule->name,
                  blockage_why(b, why));
    else
        log_notice(EVENT_RULE_UNBLOCKED, "rule=%s", rule->name);
}

// The first leg is the one that is meant to be active.
static void tell_switch(const struct table_rule *rule, const struct table_input *leg, const struct table_input *before)
{
    const char *was = before ? before->leg : "none";

    if (before && leg > before)
        log_named(LOG_LEVEL_WARNING, EVENT_LEG_ACTIVE, rule->name, "rule=%s leg=%s before=%s", rule->name, leg->leg,
                  was);
    else
        log_notice(EVENT_LEG_ACTIVE, "rule=%s leg=%s before=%s", rule->name, leg->leg, was);
}

void publish_drops(struct relay *r)
{
    if (!r->swap.now)
        return;
    forward_look_at_switches(r->swap.now, tell_switch);
    if (forward_tick(r->swap.now, clock_monotonic_ns(), tell_blockage))
        publish_status(r);
}

void publish_alarms(struct relay *r)
{
    if (!r->swap.now)
        return;
    bool rules = forward_look(r->swap.now, clock_monotonic_ns(), tell);
    bool legs = forward_look_at_legs(r->swap.now, clock_monotonic_ns(), tell_leg);
    if (rules || legs)
        publish_status(r);
    on_trial_look(r);
}

static void tell_sends(const struct table_rule *rule, const struct table_interface *interface,
                       const struct refusal *refusal, const struct spell *failing)
{
    char to[ADDR_TEXT_MAX], name[TABLE_NAME_MAX + IFNAMSIZ + ADDR_TEXT_MAX + 16];

    addr_port_format(&refusal->to, refusal->port, to);
    snprintf(name, sizeof(name), "%s to %s %s", rule->name, interface->name, to);
    if (failing->on)
        log_named(LOG_LEVEL_WARNING, EVENT_SEND_FAILED, name, "rule=%s interface=%s to=%s failed=%llu error=\"%s%s\"",
                  rule->name, interface->name, to, happened(failing), strerror(refusal->error),
                  refusal_hint(refusal->error));
    else
        log_notice(EVENT_SEND_WORKS, "rule=%s interface=%s to=%s failed=%llu failed_ms=%llu", rule->name,
                   interface->name, to, happened(failing), lasted_ms(failing));
}

void publish_sends(struct relay *r)
{
    if (r->swap.now && forward_look_at_sends(r->swap.now, clock_monotonic_ns(), tell_sends))
        publish_status(r);
}

// Returns the period of publish_alarms() in seconds: a quarter of the shortest silence_ms, so that an alarm is at most
// that much too late, within LOOK_LEAST_MS and LOOK_MOST_MS, on trial LOOK_TRIAL_MS. 0: no rule needs it.
static double period(const struct table_view *t, bool on_trial)
{
    uint32_t least = UINT32_MAX, most = on_trial ? LOOK_TRIAL_MS : LOOK_MOST_MS;

    for (uint32_t i = 0; i < t->n_rules; i++) {
        const struct table_rule *r = &t->rules[i];
        if (!(r->flags & TABLE_RULE_ENABLED) || (!health_wanted(r) && !streams_wanted(r)))
            continue;
        if (r->silence_ms > 0 && r->silence_ms / 4 < least)
            least = r->silence_ms / 4;
        if (most < least)
            least = most;
    }
    if (least == UINT32_MAX)
        return 0;
    least = least < LOOK_LEAST_MS ? LOOK_LEAST_MS : least;
    return least / 1e3;
}

void publish_alarms_watch(struct relay *r)
{
    double seconds = period(relay_table(r), on_trial_watches(r));

    // Look once even if no rule needs it now: a rule may have lost its bounds or its limit while an alarm was raised.
    publish_alarms(r);
    if (seconds == r->alarm.timer.repeat)
        return;
    r->alarm.timer.repeat = seconds;
    ev_timer_again(r->loop, &r->alarm.timer); // 0: stops it
}
