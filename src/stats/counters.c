// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/counters.h"

#include <cap-ng.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

// What is no drop is named here; every other counter is one.
#define IS(type, one, other)  (offsetof(struct type, one) == offsetof(struct type, other))
#define INTERFACE_DROP(field) !IS(stats_interface_counters, field, received)
#define OUTPUT_DROP(field)    (!IS(stats_output_counters, field, packets) && !IS(stats_output_counters, field, bytes))

#define INTERFACE_ROW(field, text, key)                                                                                \
    {#field, text, key, offsetof(struct stats_interface_counters, field), INTERFACE_DROP(field)},
#define RULE_ROW(field, text, key) {#field, text, key, offsetof(struct stats_drops, field), true},
#define OUTPUT_ROW(field, text, key)                                                                                   \
    {#field, text, key, offsetof(struct stats_output_counters, field), OUTPUT_DROP(field)},
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, NULL, 0, false                                                                                     \
    }

const struct stats_counter stats_interface_counters[] = {STATS_INTERFACE_COUNTERS(INTERFACE_ROW) END};
const struct stats_counter stats_rule_drops[] = {STATS_RULE_DROPS(RULE_ROW) END};
const struct stats_counter stats_output_counters[] = {STATS_OUTPUT_COUNTERS(OUTPUT_ROW) END};

#define AND(field, help, key) +drops->field

uint64_t stats_drops_total(const struct stats_drops *drops)
{
    return 0 STATS_RULE_DROPS(AND);
}

uint64_t stats_counter_value(const struct stats_counter *counter, const void *counters)
{
    uint64_t value;

    memcpy(&value, (const char *) counters + counter->at, sizeof(value));
    return value;
}

// A function that tells the word of each value of a list.
#define WORD(NAME, word, help) #word,
#define WORDS(function, list)                                                                                          \
    const char *function(uint32_t value)                                                                               \
    {                                                                                                                  \
        static const char *const words[] = {list(WORD)};                                                               \
        return value < sizeof(words) / sizeof(words[0]) ? words[value] : "unknown";                                    \
    }

WORDS(stats_interface_state_name, STATS_INTERFACE_STATES)
WORDS(stats_rule_state_name, STATS_RULE_STATES)
WORDS(stats_alarm_name, STATS_ALARM_NAMES)
WORDS(stats_config_state_name, STATS_CONFIG_STATES)
WORDS(stats_verdict_name, STATS_VERDICTS)
WORDS(stats_feature_name, STATS_FEATURE_STATES)
WORDS(stats_seccomp_name, STATS_SECCOMP_MODES)

uint32_t stats_shown_state(const struct stats_rule *r)
{
    if (r->state == STATS_RULE_ACTIVE && r->alarms)
        return STATS_SHOWN_SLOW;
    return r->state < STATS_SHOWN_SLOW ? r->state : STATS_SHOWN_UNKNOWN;
}

const char *stats_shown_state_name(uint32_t shown)
{
    return shown == STATS_SHOWN_SLOW ? "slow" : stats_rule_state_name(shown);
}

const char *stats_last_error(const struct stats_header *h)
{
    return h->config_state == STATS_CONFIG_INVALID && h->disk_error[0] ? h->disk_error : h->refusal;
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
