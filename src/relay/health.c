// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/health.h"

#include <stdio.h>
#include <string.h>

#include "stats/counters.h"

#define MILLISECOND UINT64_C(1000000)

void health_init(struct health *h, uint64_t now_ns)
{
    *h = (struct health){.changed_ns = now_ns, .window_ns = now_ns};
}

bool spell_look(struct spell *s, uint64_t count, uint64_t quiet_ns, uint64_t now_ns)
{
    bool before = s->on;

    if (count != s->count) {
        if (!s->on) {
            s->before = s->count;
            s->began_ns = now_ns;
        }
        s->on = true;
        s->count = count;
        s->last_ns = now_ns;
    }
    if (now_ns - s->last_ns >= quiet_ns)
        s->on = false;
    return s->on != before;
}

static bool has_limit(const struct table_rule *rule)
{
    return rule->packets_per_second > 0 || rule->bits_per_second > 0;
}

bool health_wanted(const struct table_rule *rule)
{
    return rule->silence_ms > 0 || rule->min_packets_per_second > 0 || rule->max_residence_us > 0 || has_limit(rule);
}

static void judge(struct health *h, unsigned alarm, bool raised, uint64_t now_ns)
{
    if (raised && !(h->alarms & 1u << alarm)) {
        h->alarms |= 1u << alarm;
        h->raised_ns[alarm] = now_ns;
    } else if (!raised) {
        h->alarms &= ~(1u << alarm);
    }
}

uint32_t health_look(struct health *h, const struct table_rule *rule, uint64_t count, uint64_t limited, uint64_t now_ns)
{
    uint32_t before = h->alarms;

    if (count != h->count) {
        h->count = count;
        h->changed_ns = now_ns;
    }
    judge(h, STATS_ALARM_SILENCE, rule->silence_ms > 0 && now_ns - h->changed_ns >= rule->silence_ms * MILLISECOND,
          now_ns);
    if (rule->min_packets_per_second == 0)
        judge(h, STATS_ALARM_RATE, false, now_ns);
    if (now_ns - h->window_ns >= NS_PER_S) {
        h->rate = (count - h->window_count) * NS_PER_S / (now_ns - h->window_ns);
        h->window_count = count;
        h->window_ns = now_ns;
        judge(h, STATS_ALARM_RATE, h->rate < rule->min_packets_per_second, now_ns);
    }
    // If a reload has removed the limit, its spell ends at once.
    bool turned = spell_look(&h->limit, limited, has_limit(rule) ? SPELL_QUIET_NS : 0, now_ns);
    return (before ^ h->alarms) | (turned ? HEALTH_LIMIT : 0);
}

uint32_t health_residence(struct health *h, const struct table_rule *rule, uint64_t p99_ns, uint64_t now_ns)
{
    uint32_t before = h->alarms, raised = before & 1u << STATS_ALARM_RESIDENCE;

    h->p99_us = p99_ns / 1000;
    if (h->p99_us > rule->max_residence_us)
        h->above_ns = now_ns;
    judge(h, STATS_ALARM_RESIDENCE,
          rule->max_residence_us > 0 &&
              (h->p99_us > rule->max_residence_us || (raised && now_ns - h->above_ns < SPELL_QUIET_NS)),
          now_ns);
    return before ^ h->alarms;
}

void leg_health_note(struct leg_health *leg, uint64_t count, uint64_t now_ns)
{
    if (count == leg->count)
        return;
    leg->count = count;
    leg->changed_ns = leg->heard_ns = now_ns;
}

bool leg_health_silent(const struct leg_health *leg, uint32_t silence_ms, uint64_t last_ns)
{
    // A leg that a reload has added is younger than what others brought before.
    return silence_ms > 0 && last_ns >= leg->changed_ns + silence_ms * MILLISECOND;
}

// Drops by which nothing can be meant to pass: what comes is not what the rule is made for, or too late.
#define UNFIT(X)    X(size) X(no_sequence) X(ttl) X(stale)
#define AND(name)   +drops->name
#define IS_AT(name) || at == offsetof(struct stats_drops, name)

static uint64_t count_unfit(const struct stats_drops *drops)
{
    return 0 UNFIT(AND);
}

static bool is_unfit(size_t at)
{
    return false UNFIT(IS_AT);
}

bool blockage_look(struct blockage *b, const struct stats_rule_counters *c, uint64_t now_ns)
{
    uint64_t unfit = count_unfit(&c->drops);
    uint64_t fit = c->packets - c->drops.source - c->drops.late - unfit;
    uint64_t dropped = unfit - b->unfit, passed = fit - b->fit;
    bool before = b->on;

    if (now_ns - b->window_ns < NS_PER_S)
        return false;
    if (dropped > 0 && dropped >= BLOCKAGE_TIMES * passed) {
        if (b->bad == 0)
            b->before = b->seen;
        b->bad++;
        b->last_ns = now_ns;
    } else if (passed > 0 || now_ns - b->last_ns >= SPELL_QUIET_NS) {
        b->bad = 0;
    }
    b->on = b->bad >= BLOCKAGE_SECONDS || (before && b->bad > 0);
    b->window_ns = now_ns;
    b->fit = fit;
    b->unfit = unfit;
    b->seen = c->drops;
    b->packets = c->packets;
    return b->on != before;
}

bool blockage_settled(const struct blockage *b, const struct stats_rule_counters *c)
{
    return b->bad == 0 && memcmp(&b->seen, &c->drops, sizeof(b->seen)) == 0 && b->packets == c->packets;
}

const char *blockage_why(const struct blockage *b, char text[BLOCKAGE_TEXT_MAX])
{
    uint64_t most = 0;

    *text = '\0';
    for (const struct stats_counter *c = stats_rule_drops; c->name; c++) {
        uint64_t n = stats_counter_value(c, &b->seen) - stats_counter_value(c, &b->before);
        if (!is_unfit(c->at) || n <= most)
            continue;
        most = n;
        snprintf(text, BLOCKAGE_TEXT_MAX, "%s (%s)", c->name, c->help);
    }
    return text;
}
