// SPDX-License-Identifier: Apache-2.0
// counters: the counters and words that layout.h declares, as tables for those that show them.
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
extern const struct stats_counter stats_input_counters[];     // of struct stats_input_counters
extern const struct stats_counter stats_output_counters[];    // of struct stats_output_counters

// Of all drops of a rule together.
uint64_t stats_drops_total(const struct stats_drops *drops);

uint64_t stats_counter_value(const struct stats_counter *counter, const void *counters);

// What a counter, a state, a verdict, an alarm or a feature is called, and what that means.
struct stats_word {
    const char *word, *help;
};

// All of them, by list; one with a NULL name ends them.
extern const struct stats_word_list {
    const char *name;
    const struct stats_word *words;
    size_t n;
} stats_words[];

// The word of each value, as layout.h has it; "unknown" for any other one.
const char *stats_interface_state_name(uint32_t state);
const char *stats_rule_state_name(uint32_t state);

// The state of a rule, and one value for any number that is none.
enum { STATS_SHOWN_UNKNOWN = STATS_RULE_END, STATS_SHOWN };
uint32_t stats_shown_state(const struct stats_rule *r);

const char *stats_alarm_name(uint32_t alarm);
const char *stats_config_state_name(uint32_t state);
const char *stats_verdict_name(uint32_t verdict);
const char *stats_feature_name(uint32_t state);
const char *stats_seccomp_name(uint32_t mode);

// The state of a rule with this word; false: there is none.
bool stats_rule_state_of(const char *word, uint32_t *state);

// What is wrong with the file on disk, or else why the last load was refused; empty: neither.
const char *stats_last_error(const struct stats_header *h);

#define STATS_CAPABILITY_MAX 40

// "CAP_NET_RAW" for 13.
const char *stats_capability_name(unsigned capability, char out[STATS_CAPABILITY_MAX]);

#endif
