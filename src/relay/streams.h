// SPDX-License-Identifier: Apache-2.0
// streams: what each leg of a table's rules brings: its monitors, one for each path, and its alarms.
#ifndef MCR_RELAY_STREAMS_H
#define MCR_RELAY_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "relay/health.h"
#include "stats/layout.h"
#include "table/view.h"
#include "wire/monitor.h"

// Why the alarm of a leg has ended.
enum leg_end { LEG_HEARD, LEG_LINKED, LEG_ALL_UNLINKED, LEG_RELOADED };

// Of one of the table's inputs.
struct stream {
    uint64_t strangers; // datagrams of senders that are not in its sources, where the rule has several legs
    struct leg_health health;
    struct monitor_alarms alarms;
    uint64_t alarm_ns; // when STATS_ALARM_LEG was raised
    uint32_t silent;   // not 0: at the last look, silence was a reason of the alarm
    enum leg_end end;  // of the alarm that has just ended
    uint32_t raised;   // mask of 1 << enum stats_alarm: leg, loss, jitter
};

struct streams {
    const struct table_view *table;
    struct stream *legs;       // one for each of the table's inputs
    struct monitor **monitors; // those of one path side by side, in the order of its rule's legs
    uint32_t n_monitors;
    uint32_t *first; // of each path of a rule that monitors: its first one
};

// Places legs and monitors in a, whose memory is zero, or, if resumed, what streams of this table have left there, in
// whatever state it is. The caller keeps the table and the memory, which must outlive the result. Without memory in a,
// the result is only good to be freed. now_ns: CLOCK_MONOTONIC. NULL without memory; streams_free() frees it.
struct streams *streams_new(const struct table_view *table, struct arena *a, bool resumed, uint64_t now_ns);
void streams_free(struct streams *s);

// Copies what goes on under the next table, for the legs with carried_from: monitors whose settings have not changed,
// and the alarms.
void streams_carry(struct streams *s, const struct streams *before);

// Looks at n datagrams of one size that lie side by side, of a rule with TABLE_RULE_MONITORS. stamp_ns: the kernel's.
void streams_take(struct streams *s, uint32_t path, uint32_t leg, uint64_t stamp_ns, const uint8_t *at, uint64_t n,
                  size_t size);

// Adds up what the paths of a rule say of one of its legs; of the jitter, the largest.
struct monitor_counters streams_count(const struct streams *s, const struct table_rule *rule, uint32_t leg);

// Whether the legs of the rule have alarms that need a timer.
bool streams_wanted(const struct table_rule *rule);

// Updates the alarms of a rule's legs; counts: the datagrams that each has brought. Calls tell for each leg of which
// some have changed: leg->raised has which are raised, interface is the one of the leg. Returns whether there was one.
// now_ns: CLOCK_MONOTONIC.
typedef void streams_tell(const struct table_rule *rule, const struct table_input *in,
                          const struct table_interface *interface, const struct stream *leg,
                          const struct monitor_counters *counters, uint32_t changed);
bool streams_look(struct streams *s, const struct table_rule *rule, const struct stats_input_counters *counts,
                  uint64_t now_ns, streams_tell *tell);

// The alarms of all legs of a rule.
uint32_t streams_alarms(const struct streams *s, const struct table_rule *rule);

#endif
