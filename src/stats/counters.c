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

#define INTERFACE_ROW(field, text)                                                                                     \
    {#field, text, offsetof(struct stats_interface_counters, field), INTERFACE_DROP(field)},
#define RULE_ROW(field, text)   {#field, text, offsetof(struct stats_drops, field), true},
#define OUTPUT_ROW(field, text) {#field, text, offsetof(struct stats_output_counters, field), OUTPUT_DROP(field)},
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, 0, false                                                                                           \
    }

const struct stats_counter stats_interface_counters[] = {STATS_INTERFACE_COUNTERS(INTERFACE_ROW) END};
const struct stats_counter stats_rule_drops[] = {STATS_RULE_DROPS(RULE_ROW) END};
const struct stats_counter stats_output_counters[] = {STATS_OUTPUT_COUNTERS(OUTPUT_ROW) END};

uint64_t stats_counter_value(const struct stats_counter *counter, const void *counters)
{
    uint64_t value;

    memcpy(&value, (const char *) counters + counter->at, sizeof(value));
    return value;
}

#define NAMED(names, value) ((value) < sizeof(names) / sizeof((names)[0]) ? (names)[value] : "unknown")

const char *stats_interface_state_name(uint32_t state)
{
    static const char *const names[] = {
        [STATS_INTERFACE_UP] = "up", [STATS_INTERFACE_DOWN] = "down", [STATS_INTERFACE_MISSING] = "missing"};

    return NAMED(names, state);
}

const char *stats_rule_state_name(uint32_t state)
{
    static const char *const names[] = {[STATS_RULE_ACTIVE] = "active",
                                        [STATS_RULE_WAITING] = "waiting",
                                        [STATS_RULE_SILENT] = "silent",
                                        [STATS_RULE_DISABLED] = "disabled"};

    return NAMED(names, state);
}

const char *stats_alarm_name(unsigned alarm)
{
#define NAME(NAME, name, help) [STATS_ALARM_##NAME] = #name,
    static const char *const names[] = {STATS_ALARM_NAMES(NAME)};
#undef NAME

    return NAMED(names, alarm);
}

const char *stats_config_state_name(uint32_t state)
{
    static const char *const names[] = {
        [STATS_CONFIG_CURRENT] = "current", [STATS_CONFIG_PENDING] = "pending", [STATS_CONFIG_INVALID] = "invalid"};

    return NAMED(names, state);
}

const char *stats_verdict_name(uint32_t verdict)
{
    static const char *const names[] = {
        [STATS_VERDICT_NONE] = "none", [STATS_VERDICT_ACCEPTED] = "accepted", [STATS_VERDICT_REFUSED] = "refused"};

    return NAMED(names, verdict);
}

const char *stats_last_error(const struct stats_header *h)
{
    return h->config_state == STATS_CONFIG_INVALID && h->disk_error[0] ? h->disk_error : h->refusal;
}

const char *stats_feature_name(uint32_t state)
{
    static const char *const names[] = {
        [STATS_FEATURE_NO] = "no", [STATS_FEATURE_YES] = "yes", [STATS_FEATURE_TRIED] = "tried"};

    return NAMED(names, state);
}

const char *stats_seccomp_name(uint32_t mode)
{
    static const char *const names[] = {
        [STATS_SECCOMP_OFF] = "off", [STATS_SECCOMP_LOG] = "log", [STATS_SECCOMP_ENFORCE] = "enforce"};

    return NAMED(names, mode);
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

const char *stats_sha256_text(const uint8_t sha256[32], char out[65])
{
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", sha256[i]);
    return out;
}
