// SPDX-License-Identifier: Apache-2.0
// counters: the counters that layout.h declares, as tables for those that show them; and names for its enumerations.
#ifndef MCR_STATS_COUNTERS_H
#define MCR_STATS_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/layout.h"

// A uint64_t at so many bytes of the struct that it is a counter of. A table ends with a NULL name.
struct stats_counter {
    const char *name, *help, *key; // as layout.h has them
    size_t at;
    bool drop; // counts datagrams that were not relayed
};

extern const struct stats_counter stats_interface_counters[]; // of struct stats_interface_counters
extern const struct stats_counter stats_rule_drops[];         // of struct stats_drops
extern const struct stats_counter stats_output_counters[];    // of struct stats_output_counters

// Of all drops of a rule together.
uint64_t stats_drops_total(const struct stats_drops *drops);

uint64_t stats_counter_value(const struct stats_counter *counter, const void *counters);

// The word of each value, as layout.h has it; "unknown" for any other one.
const char *stats_interface_state_name(uint32_t state);
const char *stats_rule_state_name(uint32_t state);

// The state of a rule as a person is shown it: the one of layout.h, "slow" where an active rule has an alarm, and
// "unknown", one value for any other number.
#define STATS_AND_ONE(NAME, word, help) +1
enum { STATS_SHOWN_SLOW = 0 STATS_RULE_STATES(STATS_AND_ONE), STATS_SHOWN_UNKNOWN, STATS_SHOWN };
uint32_t stats_shown_state(const struct stats_rule *r);
const char *stats_shown_state_name(uint32_t shown);

const char *stats_alarm_name(uint32_t alarm);
const char *stats_config_state_name(uint32_t state);
const char *stats_verdict_name(uint32_t verdict);

// What is wrong with the file on disk, or else why the last load was refused; empty: neither.
const char *stats_last_error(const struct stats_header *h);
const char *stats_feature_name(uint32_t state);
const char *stats_seccomp_name(uint32_t mode);

#define STATS_CAPABILITY_MAX 40

// "CAP_NET_RAW" for 13.
const char *stats_capability_name(unsigned capability, char out[STATS_CAPABILITY_MAX]);

#endif
