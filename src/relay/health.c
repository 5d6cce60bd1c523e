// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/health.h"

#include <stdbool.h>

#include "common/clock.h"

#define MILLISECOND UINT64_C(1000000)

void health_init(struct health *h, uint64_t now_ns)
{
    *h = (struct health){.changed_ns = now_ns, .window_ns = now_ns};
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

uint32_t health_look(struct health *h, const struct table_rule *rule, uint64_t count, uint64_t now_ns)
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
    return before ^ h->alarms;
}
