// SPDX-License-Identifier: Apache-2.0
// health: whether a rule's input comes as it should (silence_ms, min_packets_per_second), and the spells in which its
// limit drops, or an output fails. Pure: the caller counts and gives the time.
#ifndef MCR_RELAY_HEALTH_H
#define MCR_RELAY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "stats/layout.h"
#include "table/layout.h"

// A spell ends when its count has not grown for so long, so that what comes in bursts is one spell.
#define SPELL_QUIET_NS (5 * NS_PER_S)

// The time in which something that is counted happens again and again.
struct spell {
    bool on;
    uint64_t count;             // when last looked at
    uint64_t before;            // count when the spell began
    uint64_t began_ns, last_ns; // when count was first and last seen to grow
};

// Looks at the count so far. Returns whether a spell has begun, or has ended: without growth for quiet_ns.
bool spell_look(struct spell *s, uint64_t count, uint64_t quiet_ns, uint64_t now_ns);

// A timer looks at the count of datagrams from allowed senders; the data path does nothing for it.
struct health {
    uint64_t count;                   // when last looked at
    uint64_t changed_ns;              // when count was first seen to be what it is
    uint64_t window_count;            // count at the beginning of the present second
    uint64_t window_ns;               // when that was
    uint64_t rate;                    // datagrams a second in the last whole one
    uint32_t alarms;                  // mask of enum stats_alarm
    uint64_t raised_ns[STATS_ALARMS]; // when each was raised
    struct spell limit;               // of the drops by its limit
};

// Whether there is anything to look after under this rule.
bool health_wanted(const struct table_rule *rule);

void health_init(struct health *h, uint64_t now_ns);

// Looks at the counts so far: of datagrams, and of those that the limit has dropped. Returns the alarms that have
// changed, raised or cleared: h->alarms tells which; and HEALTH_LIMIT where a spell has begun or ended: h->limit tells.
#define HEALTH_LIMIT (1u << STATS_ALARMS)
uint32_t health_look(struct health *h, const struct table_rule *rule, uint64_t count, uint64_t limited,
                     uint64_t now_ns);

#endif
