// SPDX-License-Identifier: Apache-2.0
// Looks after the inputs that should not fall silent: each alarm is told once when it is raised and once when it
// clears.
#include <config.h>

#include "relay/state.h"

#include "common/clock.h"
#include "log/log.h"

#define LOOK_MOST_MS  200u
#define LOOK_LEAST_MS 10u

static void tell(const struct table_rule *rule, const struct health *h, uint32_t changed)
{
    uint64_t now = clock_monotonic_ns();
    bool silence = changed & 1u << STATS_ALARM_SILENCE, rate = changed & 1u << STATS_ALARM_RATE;

    if (silence && (h->alarms & 1u << STATS_ALARM_SILENCE))
        log_warn("rule_silent", "rule=%s silent_ms=%llu allowed_ms=%u", rule->name,
                 (unsigned long long) ((now - h->changed_ns) / 1000000), rule->silence_ms);
    else if (silence)
        log_notice("rule_heard", "rule=%s alarm_ms=%llu", rule->name,
                   (unsigned long long) ((now - h->raised_ns[STATS_ALARM_SILENCE]) / 1000000));
    if (rate && (h->alarms & 1u << STATS_ALARM_RATE))
        log_warn("rule_slow", "rule=%s packets_per_second=%llu least=%llu", rule->name, (unsigned long long) h->rate,
                 (unsigned long long) rule->min_packets_per_second);
    else if (rate)
        log_notice("rule_in_time", "rule=%s packets_per_second=%llu alarm_ms=%llu", rule->name,
                   (unsigned long long) h->rate,
                   (unsigned long long) ((now - h->raised_ns[STATS_ALARM_RATE]) / 1000000));
}

void alarm_look(struct relay *r)
{
    if (r->swap.now && forward_look(r->swap.now, clock_monotonic_ns(), tell))
        publish_status(r);
}

// A quarter of the shortest silence, so that an alarm comes no more than that too late. 0: nothing to look after.
static double period(const struct table_view *t)
{
    uint32_t least = UINT32_MAX;

    for (uint32_t i = 0; i < t->n_rules; i++) {
        const struct table_rule *r = &t->rules[i];
        if (!(r->flags & TABLE_RULE_ENABLED))
            continue;
        if (r->silence_ms > 0 && r->silence_ms / 4 < least)
            least = r->silence_ms / 4;
        if (r->min_packets_per_second > 0 && LOOK_MOST_MS < least)
            least = LOOK_MOST_MS;
    }
    if (least == UINT32_MAX)
        return 0;
    least = least > LOOK_MOST_MS ? LOOK_MOST_MS : least < LOOK_LEAST_MS ? LOOK_LEAST_MS : least;
    return least / 1e3;
}

void alarm_watch(struct relay *r)
{
    double seconds = period(relay_table(r));

    // Once more even without: a rule may have lost its bounds while an alarm stood.
    alarm_look(r);
    if (seconds == r->alarm.timer.repeat)
        return;
    r->alarm.timer.repeat = seconds;
    ev_timer_again(r->loop, &r->alarm.timer); // 0: stops it
}
