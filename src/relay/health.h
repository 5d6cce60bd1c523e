// SPDX-License-Identifier: Apache-2.0
// health: whether a rule's input comes as it should (silence_ms, min_packets_per_second). Pure: the caller counts and
// gives the time.
#ifndef MCR_RELAY_HEALTH_H
#define MCR_RELAY_HEALTH_H

#include <stdint.h>

#include "stats/layout.h"
#include "table/layout.h"

// A timer looks at the count of datagrams from allowed senders; the data path does nothing for it.
struct health {
    uint64_t count;                   // when last looked at
    uint64_t changed_ns;              // when count was first seen to be what it is
    uint64_t window_count;            // count at the beginning of the present second
    uint64_t window_ns;               // when that was
    uint64_t rate;                    // datagrams a second in the last whole one
    uint32_t alarms;                  // mask of enum stats_alarm
    uint64_t raised_ns[STATS_ALARMS]; // when each was raised
};

void health_init(struct health *h, uint64_t now_ns);

// Looks at the count of datagrams so far. Returns the alarms that have changed, raised or cleared; h->alarms tells
// which.
uint32_t health_look(struct health *h, const struct table_rule *rule, uint64_t count, uint64_t now_ns);

#endif
