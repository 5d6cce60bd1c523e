// SPDX-License-Identifier: Apache-2.0
// counters: the counters and words of layout.h as tables, for the views.
#ifndef MCR_STATS_COUNTERS_H
#define MCR_STATS_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/layout.h"

// A counter: a uint64_t at offset `at` of its struct. A table ends with a NULL name.
struct stats_counter {
    const char *name, *help, *key; // as layout.h has them
    size_t at;
    bool drop;     // counts datagrams that were not relayed, or that a stream lacks
    bool meant;    // a drop that is no fault: the other copy of a datagram
    bool gauge;    // may fall
    bool numbered; // of a merge: counts numbers, which not every merge knows
};

extern const struct stats_counter stats_interface_counters[]; // of struct stats_interface_counters
extern const struct stats_counter stats_rule_drops[];         // of struct stats_drops
extern const struct stats_counter stats_input_counters[];     // of struct stats_input_counters
extern const struct stats_counter stats_leg_counters[];       // of struct stats_leg_counters
extern const struct stats_counter stats_merge_counters[];     // of struct stats_merge_counters
extern const struct stats_counter stats_stream_counters[];    // of struct stats_stream_counters
extern const struct stats_counter stats_ts_counters[];        // of struct stats_ts_counters
extern const struct stats_counter stats_output_counters[];    // of struct stats_output_counters

// Whether a merge of this kind (enum stats_merge) can know the counter: by the payload, or with one leg at a time,
// nobody knows what never came, and 0 would be a lie.
bool stats_counter_known(const struct stats_counter *counter, uint32_t merge);

// Whether the stream of a leg can tell one of stats_stream_counters: jitter needs the time stamps of RTP.
bool stats_stream_known(const struct stats_counter *counter, const struct stats_input *in);

// Whether a merge knows numbers.
bool stats_merge_numbered(uint32_t merge);

// Returns the sum of all drops of a rule, or of those that are faults.
uint64_t stats_drops_total(const struct stats_drops *drops);
uint64_t stats_drops_faults(const struct stats_drops *drops);

uint64_t stats_counter_value(const struct stats_counter *counter, const void *counters);

// The word of a counter, a state, a verdict, an alarm or a feature, with its meaning.
struct stats_word {
    const char *word, *help;
};

// All lists of words; the last one has a NULL name.
extern const struct stats_word_list {
    const char *name;
    const struct stats_word *words;
    size_t n;
} stats_words[];

// Return the word of a value from layout.h; "unknown" for any other value.
const char *stats_interface_state_name(uint32_t state);
const char *stats_rule_state_name(uint32_t state);

// Returns the state of a rule, or STATS_SHOWN_UNKNOWN for a number that is no state.
enum { STATS_SHOWN_UNKNOWN = STATS_RULE_END, STATS_SHOWN };
uint32_t stats_shown_state(const struct stats_rule *r);

const char *stats_merge_name(uint32_t merge);
const char *stats_clock_name(uint32_t clock);
const char *stats_stream_name(uint32_t as);
const char *stats_alarm_name(uint32_t alarm);
const char *stats_config_state_name(uint32_t state);
const char *stats_verdict_name(uint32_t verdict);
const char *stats_feature_name(uint32_t state);
const char *stats_seccomp_name(uint32_t mode);

// Sets *state to the state of a rule with this word. Returns false if there is none.
bool stats_rule_state_of(const char *word, uint32_t *state);

// Returns the error of the file on disk, or else the reason why the last load was refused; "" if there is neither.
const char *stats_last_error(const struct stats_header *h);

// Returns the state of the file on disk, also where config_state says that what runs is on trial.
uint32_t stats_disk_state(const struct stats_header *h);

#define STATS_CAPABILITY_MAX 40

// Writes the name of a capability: "CAP_NET_RAW" for 13. Returns out.
const char *stats_capability_name(unsigned capability, char out[STATS_CAPABILITY_MAX]);

#endif
