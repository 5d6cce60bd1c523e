// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <stdio.h>
#include <string.h>

#define LOOKED_UP_MAX 64 // bytes, with a blank at both ends

// Names that smcroute, socat, iptables, ip(8), Ansible and people use, in the order of their places.
static const struct {
    const char *names; // separated by blanks, with one at both ends
    enum schema_place where;
    const char *key;
} synonyms[] = {
    {" iface if intf ifname dev device nic from ", SCHEMA_INPUT, "interface"},
    {" name id label path ", SCHEMA_INPUT, "leg"},
    {" iface if intf ifname dev device nic to ", SCHEMA_OUTPUT, "interface"},
    {" iface if intf ifname dev device nic interface ", SCHEMA_INTERFACE, "name"},
    {" direction dir way ", SCHEMA_INTERFACE, "role"},
    {" area segment zone_name security_zone network ", SCHEMA_INTERFACE, "zone"},
    {" mcast multicast maddr dst dest destination ip to ", SCHEMA_INPUT, "group"},
    {" mcast multicast maddr dst dest destination ip ", SCHEMA_OUTPUT, "group"},
    {" host unicast addr local bind listen ", SCHEMA_INPUT, "address"},
    {" host unicast addr remote peer target ", SCHEMA_OUTPUT, "address"},
    {" dport dst_port dest_port udp_port destination_port ", SCHEMA_INPUT, "port"},
    {" dport dst_port dest_port udp_port destination_port ", SCHEMA_OUTPUT, "port"},
    {" src source sender senders allow ssm src_ip source_address ", SCHEMA_INPUT, "sources"},
    {" src src_ip source_address saddr snat ", SCHEMA_OUTPUT, "source"},
    {" sport src_port ", SCHEMA_OUTPUT, "source_port"},
    {" vid vlan_id tag vlan_tag dot1q ", SCHEMA_INPUT, "vlan"},
    {" vid vlan_id tag vlan_tag dot1q ", SCHEMA_OUTPUT, "vlan"},
    {" time-to-live time_to_live hops hop_limit hoplimit ", SCHEMA_OUTPUT, "ttl"},
    {" tos qos traffic_class tclass ", SCHEMA_OUTPUT, "dscp"},
    {" in src from receive ", SCHEMA_RULE, "input"},
    {" out dst dest destination destinations target targets to forward send ", SCHEMA_RULE, "outputs"},
    {" id title ", SCHEMA_RULE, "name"},
    {" description desc comment ticket ", SCHEMA_RULE, "note"},
    {" disabled disable active state ", SCHEMA_RULE, "enabled"},
    {" mtu size max_size ", SCHEMA_RULE, "max_payload"},
    {" rate bandwidth rate_limit ", SCHEMA_RULE, "limit"},
    {" loss max_loss loss_ppm ", SCHEMA_MONITOR, "max_loss_ppm"},
    {" jitter max_jitter jitter_us jitter_ms max_jitter_ms ", SCHEMA_MONITOR, "max_jitter_us"},
    {" clock clock_rate hz ", SCHEMA_MONITOR, "clock_hz"},
    {" dry_run test ", SCHEMA_RULE, "shadow"},
    {" residence residence_us residence_ms latency latency_us latency_ms max_latency max_latency_us max_latency_ms ",
     SCHEMA_RULE, "max_residence_us"},
    {" timeout silence silence_s silent_ms ", SCHEMA_RULE, "silence_ms"},
    {" mode type method how key ", SCHEMA_MERGE, "by"},
    {" window delay_ms skew_ms ", SCHEMA_MERGE, "window_ms"},
    {" pps packets rate ", SCHEMA_LIMIT, "packets_per_second"},
    {" bps bits bandwidth bitrate ", SCHEMA_LIMIT, "bits_per_second"},
    {" burst ", SCHEMA_LIMIT, "burst_ms"},
    {" flows streams routes relays forwards ", SCHEMA_TOP, "rules"},
    {" confirm commit commit_confirmed rollback probation ", SCHEMA_TOP, "trial"},
    {" timeout duration time minutes ", SCHEMA_TRIAL, "seconds"},
    {" rollback_on_silence on_silence silence ", SCHEMA_TRIAL, "return_on_silence"},
    {" interface ", SCHEMA_TOP, "interfaces"},
    {" stats statistics stats_path statsfile ", SCHEMA_TOP, "stats_file"},
    {" audit audit_log audit_path log_file history ", SCHEMA_TOP, "audit_file"},
    {" buffer ring ring_size rcvbuf ", SCHEMA_TOP, "ring_mib"},
};

#define PLACE(name) (1u << SCHEMA_##name)

#define NO_PRIORITY ", mcr sets no VLAN priority: dscp is the key of an output"

// What no key is for.
static const struct {
    const char *names; // between blanks
    unsigned places;
    const char *text;
} advice[] = {
    {" protocol proto l4proto transport tcp udp ", ~0u, ", mcr relays UDP only: leave it out"},
    {" action policy verdict default_action ", ~0u,
     ", every rule allows, and what no rule takes is dropped: leave it out"},
    {" source ", PLACE(RULE),
     ", \"sources\" in input are the senders that may, \"source\" in output is the address that it leaves with"},
    {" interfaces ", PLACE(INPUT), ", for two legs " HINT_LEGS},
    {" legs ", PLACE(RULE) | PLACE(MERGE), ", the legs are the rule's inputs: " HINT_LEGS},
    {" primary main preferred prefer priority ", PLACE(RULE) | PLACE(MERGE) | PLACE(INPUT),
     ", by = \"active\" prefers the first of inputs"},
    {" pcp vlan_priority vlan_prio vlan_pcp cos ", PLACE(INPUT) | PLACE(OUTPUT) | PLACE(RULE), NO_PRIORITY},
    {" priority prio ", PLACE(OUTPUT), NO_PRIORITY},
    {" enabled enable disabled disable ", PLACE(INPUT) | PLACE(OUTPUT),
     ", it belongs in the rule, for all of it: to leave out one leg or output, delete it or comment it out"},
    {" include ", ~0u, ", directives as @include are not allowed: the rules stand in one file"},
};

// Where else a key is: in a part of a rule, or else around the rules.
static void name_places(const char *name, char text[HINT_KEY_MAX])
{
    size_t used = 0;

    for (int at = SCHEMA_RULE; at < SCHEMA_PLACES + SCHEMA_RULE; at++) {
        enum schema_place where = (enum schema_place)(at % SCHEMA_PLACES);
        if ((where < SCHEMA_RULE && used > 0) || !schema_find(where, name))
            continue;
        used += (size_t) snprintf(text + used, HINT_KEY_MAX - used, "%s%s", used ? " or " : ", it belongs in ",
                                  where == SCHEMA_FIELD ? "field of merge" : schema_places[where].name);
    }
}

static void list_keys(enum schema_place where, char text[HINT_KEY_MAX])
{
    size_t used = (size_t) snprintf(text, HINT_KEY_MAX, ", allowed there:");

    for (const struct schema_key *key = NULL; (key = schema_next(where, key)) && used < HINT_KEY_MAX;)
        used += (size_t) snprintf(text + used, HINT_KEY_MAX - used, " %s", key->name);
}

// Units of time that keys end in, ours and those of others.
static const struct unit {
    const char *end, *name;
    long long of; // the smallest of the kind: nanoseconds, parts of a million, hertz
    char kind;
} units[] = {
    {"_ns", "nanoseconds", 1, 't'},
    {"_us", "microseconds", 1000, 't'},
    {"_usec", "microseconds", 1000, 't'},
    {"_usecs", "microseconds", 1000, 't'},
    {"_ms", "milliseconds", 1000000, 't'},
    {"_msec", "milliseconds", 1000000, 't'},
    {"_msecs", "milliseconds", 1000000, 't'},
    {"_s", "seconds", 1000000000, 't'},
    {"_sec", "seconds", 1000000000, 't'},
    {"_secs", "seconds", 1000000000, 't'},
    {"_seconds", "seconds", 1000000000, 't'},
    {"_ppm", "parts of a million", 1, 'p'},
    {"_pct", "percent", 10000, 'p'},
    {"_percent", "percent", 10000, 'p'},
    {"_hz", "hertz", 1, 'f'},
    {"_khz", "kilohertz", 1000, 'f'},
    {"_mhz", "megahertz", 1000000, 'f'},
};

// NULL: the name ends in none. *stem: the length of what is before it.
static const struct unit *unit_of(const char *name, size_t *stem)
{
    const char *end = strrchr(name, '_');

    for (size_t i = 0; end && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].end) == 0) {
            *stem = (size_t) (end - name);
            return &units[i];
        }
    return NULL;
}

// The key that says the same in another unit, or in one at all: reorder for reorder_ms.
static const struct schema_key *of_other_unit(enum schema_place where, const char *name)
{
    size_t length, other;
    const struct unit *unit = unit_of(name, &length), *of_key;

    if (!unit)
        length = strlen(name);
    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if ((of_key = unit_of(key->name, &other)) && (!unit || of_key->kind == unit->kind) && other == length &&
            strncmp(key->name, name, length) == 0)
            return key;
    return NULL;
}

// The name alone would take the number over as so many of the wrong unit: writes the number of the key's, if there is
// one.
static void name_meant(const struct schema_key *meant, const char *name, const struct value *value,
                       char text[HINT_KEY_MAX])
{
    size_t length;
    const struct unit *from = unit_of(name, &length), *to = unit_of(meant->name, &length);
    struct value v = {.type = VALUE_INTEGER};
    long long all;

    if (!from || !to || from->kind != to->kind || from->of == to->of)
        snprintf(text, HINT_KEY_MAX, ", did you mean \"%s\"?", meant->name);
    else if ((value->type == VALUE_INTEGER || value->whole) && !__builtin_mul_overflow(value->number, from->of, &all) &&
             all % to->of == 0 && (v.number = all / to->of, value_is_allowed(meant, &v)))
        snprintf(text, HINT_KEY_MAX, ", write %s = %lld", meant->name, v.number);
    else
        snprintf(text, HINT_KEY_MAX, ", did you mean \"%s\", in %s?", meant->name, to->name);
}

// src = "192.0.2.1", which is no section.
static bool is_sender(const char *name, const struct value *value)
{
    return strcmp(name, "src") == 0 && value->type == VALUE_STRING;
}

const char *hint_key(enum schema_place where, const char *name, const struct value *value, char text[HINT_KEY_MAX])
{
    char between[LOOKED_UP_MAX] = "";
    const struct schema_key *meant = NULL;

    text[0] = '\0';
    if (strlen(name) + 3 <= sizeof(between))
        snprintf(between, sizeof(between), " %s ", where == SCHEMA_RULE && is_sender(name, value) ? "source" : name);
    for (size_t i = 0; *between && i < sizeof(advice) / sizeof(advice[0]); i++)
        if ((advice[i].places & 1u << where) && strstr(advice[i].names, between)) {
            snprintf(text, HINT_KEY_MAX, "%s", advice[i].text);
            return text;
        }
    for (size_t i = 0; *between && !meant && i < sizeof(synonyms) / sizeof(synonyms[0]); i++)
        if (synonyms[i].where == where && strstr(synonyms[i].names, between))
            meant = schema_find(where, synonyms[i].key);
    if (!meant)
        meant = of_other_unit(where, name);
    // A key of another place before what is only near: "sources" in output is no "source".
    if (!meant)
        name_places(name, text);
    if (!meant && !*text)
        meant = schema_nearest(where, name);
    if (meant)
        name_meant(meant, name, value, text);
    if (!*text)
        list_keys(where, text);
    return text;
}
