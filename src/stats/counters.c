// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/counters.h"

#include <cap-ng.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

// These counters are no drops; every other one is.
#define IS(type, one, other)  (offsetof(struct type, one) == offsetof(struct type, other))
#define INTERFACE_DROP(field) !IS(stats_interface_counters, field, received)
#define OUTPUT_DROP(field)                                                                                             \
    (!IS(stats_output_counters, field, packets) && !IS(stats_output_counters, field, bytes) &&                         \
     !IS(stats_output_counters, field, unreachable))

// Of a stream these are losses, or may fall.
#define STREAM_DROP(field) IS(stats_stream_counters, field, lost)
#define STREAM_GAUGE(field)                                                                                            \
    (IS(stats_stream_counters, field, lost) || IS(stats_stream_counters, field, jitter_us) ||                          \
     IS(stats_stream_counters, field, unjudged))
#define TS_DROP(field)                                                                                                 \
    (IS(stats_ts_counters, field, sync_errors) || IS(stats_ts_counters, field, continuity_errors) ||                   \
     IS(stats_ts_counters, field, transport_errors))
#define TS_GAUGE(field) IS(stats_ts_counters, field, pids)

#define NUMBERED_ROW(type, field, text, key, drop, meant, gauge, numbered)                                             \
    {#field, text, key, offsetof(struct type, field), drop, meant, gauge, numbered},
#define ROW(type, field, text, key, drop, meant, gauge) NUMBERED_ROW(type, field, text, key, drop, meant, gauge, false)
#define INTERFACE_ROW(field, text, key)                                                                                \
    ROW(stats_interface_counters, field, text, key, INTERFACE_DROP(field), false, false)
#define DROP_MEANT(field)            (IS(stats_drops, field, copy) || IS(stats_drops, field, standby))
#define RULE_ROW(field, text, key)   ROW(stats_drops, field, text, key, true, DROP_MEANT(field), false)
#define OUTPUT_ROW(field, text, key) ROW(stats_output_counters, field, text, key, OUTPUT_DROP(field), false, false)
#define INPUT_ROW(field, text, key)  ROW(stats_input_counters, field, text, key, false, false, false)
#define LEG_NUMBERED(field)          (IS(stats_leg_counters, field, missing) || IS(stats_leg_counters, field, reordered))
#define LEG_ROW(field, text, key)                                                                                      \
    NUMBERED_ROW(stats_leg_counters, field, text, key, false, false, false, LEG_NUMBERED(field))
#define MERGE_ROW(field, text, key) NUMBERED_ROW(stats_merge_counters, field, text, key, false, false, false, true)
#define STREAM_ROW(field, text, key)                                                                                   \
    ROW(stats_stream_counters, field, text, key, STREAM_DROP(field), false, STREAM_GAUGE(field))
#define TS_ROW(field, text, key) ROW(stats_ts_counters, field, text, key, TS_DROP(field), false, TS_GAUGE(field))
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, NULL, 0, false, false, false, false                                                                \
    }

const struct stats_counter stats_interface_counters[] = {STATS_INTERFACE_COUNTERS(INTERFACE_ROW) END};
const struct stats_counter stats_rule_drops[] = {STATS_RULE_DROPS(RULE_ROW) END};
const struct stats_counter stats_input_counters[] = {STATS_INPUT_COUNTERS(INPUT_ROW) END};
const struct stats_counter stats_leg_counters[] = {STATS_LEG_COUNTERS(LEG_ROW) END};
const struct stats_counter stats_merge_counters[] = {STATS_MERGE_COUNTERS(MERGE_ROW) END};
const struct stats_counter stats_stream_counters[] = {STATS_STREAM_COUNTERS(STREAM_ROW) END};
const struct stats_counter stats_ts_counters[] = {STATS_TS_COUNTERS(TS_ROW) END};
const struct stats_counter stats_output_counters[] = {STATS_OUTPUT_COUNTERS(OUTPUT_ROW) END};

#define AND(field, help, key) +drops->field

uint64_t stats_drops_total(const struct stats_drops *drops)
{
    return 0 STATS_RULE_DROPS(AND);
}

uint64_t stats_drops_faults(const struct stats_drops *drops)
{
    return stats_drops_total(drops) - drops->copy - drops->standby;
}

uint64_t stats_counter_value(const struct stats_counter *counter, const void *counters)
{
    uint64_t value;

    memcpy(&value, (const char *) counters + counter->at, sizeof(value));
    return value;
}

bool stats_counter_known(const struct stats_counter *counter, uint32_t merge)
{
    return !counter->numbered || stats_merge_numbered(merge);
}

bool stats_stream_known(const struct stats_counter *counter, const struct stats_input *in)
{
    return counter->at != offsetof(struct stats_stream_counters, jitter_us) ||
           (in->as != STATS_STREAM_FIELD && in->stream.expected > 0);
}

bool stats_merge_numbered(uint32_t merge)
{
    return merge == STATS_MERGE_RTP || merge == STATS_MERGE_FIELD;
}

// --- words -----------------------------------------------------------------------------------------------------------

#define COUNTER_WORD(name, help, key)         {#name, help},
#define STATE_WORD(NAME, word, help)          {#word, help},
#define FEATURE_WORD(NAME, field, name, help) {#field, help},

static const struct stats_word interface_counters[] = {STATS_INTERFACE_COUNTERS(COUNTER_WORD)};
static const struct stats_word rule_drops[] = {STATS_RULE_DROPS(COUNTER_WORD)};
static const struct stats_word input_counters[] = {STATS_INPUT_COUNTERS(COUNTER_WORD)};
static const struct stats_word leg_counters[] = {STATS_LEG_COUNTERS(COUNTER_WORD)};
static const struct stats_word merge_counters[] = {STATS_MERGE_COUNTERS(COUNTER_WORD)};
static const struct stats_word merges[] = {STATS_MERGES(STATE_WORD)};
static const struct stats_word stream_counters[] = {STATS_STREAM_COUNTERS(COUNTER_WORD)};
static const struct stats_word ts_counters[] = {STATS_TS_COUNTERS(COUNTER_WORD)};
static const struct stats_word streams[] = {STATS_STREAMS(STATE_WORD)};
static const struct stats_word output_counters[] = {STATS_OUTPUT_COUNTERS(COUNTER_WORD)};
static const struct stats_word interface_states[] = {STATS_INTERFACE_STATES(STATE_WORD)};
static const struct stats_word rule_states[] = {STATS_RULE_STATES(STATE_WORD)};
static const struct stats_word alarms[] = {STATS_ALARM_NAMES(STATE_WORD)};
static const struct stats_word config_states[] = {STATS_CONFIG_STATES(STATE_WORD)};
static const struct stats_word clocks[] = {STATS_CLOCKS(STATE_WORD)};
static const struct stats_word verdicts[] = {STATS_VERDICTS(STATE_WORD)};
static const struct stats_word seccomp_modes[] = {STATS_SECCOMP_MODES(STATE_WORD)};
static const struct stats_word features[] = {STATS_FEATURES(FEATURE_WORD)};
static const struct stats_word feature_states[] = {STATS_FEATURE_STATES(STATE_WORD)};

#define LIST(list)                                                                                                     \
    {                                                                                                                  \
#list, list, sizeof(list) / sizeof((list)[0])                                                                  \
    }

const struct stats_word_list stats_words[] = {
    LIST(interface_counters),
    LIST(rule_drops),
    LIST(input_counters),
    LIST(leg_counters),
    LIST(merge_counters),
    LIST(merges),
    LIST(stream_counters),
    LIST(ts_counters),
    LIST(streams),
    LIST(output_counters),
    LIST(interface_states),
    LIST(rule_states),
    LIST(alarms),
    LIST(config_states),
    LIST(clocks),
    LIST(verdicts),
    LIST(seccomp_modes),
    LIST(features),
    LIST(feature_states),
    {NULL, NULL, 0},
};

// Defines a function that returns the word of each value of a list.
#define WORDS(function, list)                                                                                          \
    const char *function(uint32_t value)                                                                               \
    {                                                                                                                  \
        return value < sizeof(list) / sizeof((list)[0]) ? (list)[value].word : "unknown";                              \
    }

WORDS(stats_interface_state_name, interface_states)
WORDS(stats_rule_state_name, rule_states)
WORDS(stats_merge_name, merges)
WORDS(stats_stream_name, streams)
WORDS(stats_alarm_name, alarms)
WORDS(stats_config_state_name, config_states)
WORDS(stats_clock_name, clocks)
WORDS(stats_verdict_name, verdicts)
WORDS(stats_feature_name, feature_states)
WORDS(stats_seccomp_name, seccomp_modes)

bool stats_rule_state_of(const char *word, uint32_t *state)
{
    for (*state = 0; *state < STATS_RULE_END; (*state)++)
        if (strcmp(word, rule_states[*state].word) == 0)
            return true;
    return false;
}

uint32_t stats_shown_state(const struct stats_rule *r)
{
    return r->state < STATS_RULE_END ? r->state : STATS_SHOWN_UNKNOWN;
}

const char *stats_last_error(const struct stats_header *h)
{
    return h->config_state != STATS_CONFIG_CURRENT && h->disk_error[0] ? h->disk_error : h->refusal;
}

uint32_t stats_disk_state(const struct stats_header *h)
{
    return h->config_state == STATS_CONFIG_TRIAL ? h->disk_state : h->config_state;
}

const char *stats_capability_name(unsigned capability, char out[STATS_CAPABILITY_MAX])
{
    const char *name = capng_capability_to_name(capability);

    if (name)
        snprintf(out, STATS_CAPABILITY_MAX, "cap_%s", name);
    else
        snprintf(out, STATS_CAPABILITY_MAX, "cap_%u", capability);
    for (char *c = out; *c; c++)
        *c = (char) toupper((unsigned char) *c);
    return out;
}
