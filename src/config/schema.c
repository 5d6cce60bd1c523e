// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/edits.h"
#include "config/model.h"

const struct schema_place_info schema_places[SCHEMA_PLACES] = {
    [SCHEMA_TOP] = {"the file", sizeof(struct config), 0},
    [SCHEMA_INTERFACE] = {"interfaces", sizeof(struct config_interface), offsetof(struct config_interface, line)},
    [SCHEMA_RULE] = {"the rule", sizeof(struct config_rule), offsetof(struct config_rule, line)},
    [SCHEMA_INPUT] = {"input", sizeof(struct config_input), offsetof(struct config_input, line)},
    [SCHEMA_OUTPUT] = {"output", sizeof(struct config_output), offsetof(struct config_output, line)},
    [SCHEMA_LIMIT] = {"limit", sizeof(struct config_limit), offsetof(struct config_limit, line)},
    [SCHEMA_MERGE] = {"merge", sizeof(struct config_merge), offsetof(struct config_merge, line)},
    [SCHEMA_FIELD] = {"field", sizeof(struct config_field), offsetof(struct config_field, line)},
    [SCHEMA_MONITOR] = {"monitor", sizeof(struct config_monitor), offsetof(struct config_monitor, line)},
    [SCHEMA_MONITOR_FIELD] = {"field of monitor", sizeof(struct config_field), offsetof(struct config_field, line)},
    [SCHEMA_TRIAL] = {"trial", sizeof(struct config_trial), offsetof(struct config_trial, line)},
};

#define FIELD(type, field) .offset = offsetof(struct type, field), .size = sizeof(((struct type *) 0)->field)
#define ASIDE(type, field) .aside = offsetof(struct type, field)
#define RANGE(low, high)   .least = (low), .most = (high)
#define TEXT(type, field)  FIELD(type, field), RANGE(1, sizeof(((struct type *) 0)->field) - 1)
#define SPAN(type, field)  .span = offsetof(struct type, field)
#define DESTINATION(type)  FIELD(type, address), ASIDE(type, kind), SPAN(type, n_addresses), .need = SCHEMA_ONE_OF
#define REQUIRED           .need = SCHEMA_REQUIRED
#define DISTURBS(when)     .change = SCHEMA_##when
#define DIGITS_OF(number)  #number
#define DIGITS(number)     DIGITS_OF(number)

// clang-format off
// The keys that say where a number lies in a payload: of a merge, where a change disturbs, and of a monitor.
#define NUMBER_IN_PAYLOAD(where, when)                                                                                 \
    {where, "at", SCHEMA_NUMBER, FIELD(config_field, at), RANGE(0, 65000), REQUIRED,                                   \
     .change = when, .help = "offset of the number in the payload, bytes"},                                            \
    {where, "bytes", SCHEMA_NUMBER, FIELD(config_field, bytes), RANGE(1, 8), REQUIRED,                                 \
     .change = when, .help = "its size: 1, 2, 4 or 8"},                                                                \
    {where, "endian", SCHEMA_CHOICE, FIELD(config_field, little), .words = {"big", "little"}, .fallback = "big",       \
     .change = when, .help = "which of its bytes is first"},                                                           \
    {where, "session_at", SCHEMA_NUMBER, FIELD(config_field, session_at), RANGE(0, 65000), .fallback = "0",            \
     .change = when, .help = "offset of what tells sessions apart, bytes"},                                            \
    {where, "session_bytes", SCHEMA_NUMBER, FIELD(config_field, session_bytes), RANGE(0, 16), .fallback = "0",         \
     .change = when, .help = "its size; 0: there is one session"}

// The printed form has the keys in this order.
const struct schema_key schema_keys[] = {
    {SCHEMA_TOP, "version", SCHEMA_NUMBER, RANGE(1, 1), REQUIRED,
     .help = "the grammar of this file"},
    {SCHEMA_TOP, "instance", SCHEMA_NAME, TEXT(config, instance),
     DISTURBS(NEVER), .help = "name of this relay in log lines and metrics"},
    {SCHEMA_TOP, "serial", SCHEMA_NUMBER, FIELD(config, serial), RANGE(1, CONFIG_SERIAL_MAX),
     DISTURBS(NEVER), .help = "a load of a lower one than what runs is refused; without it: none is"},
    {SCHEMA_TOP, "valid_from", SCHEMA_TIME, FIELD(config, valid.from),
     DISTURBS(NEVER), .help = "a load before this time is refused"},
    {SCHEMA_TOP, "valid_until", SCHEMA_TIME, FIELD(config, valid.until),
     DISTURBS(NEVER), .help = "a load from this time on is refused, and what runs raises an alarm"},
    {SCHEMA_TOP, "trial", SCHEMA_SECTION, FIELD(config, trial), .inside = SCHEMA_TRIAL,
     DISTURBS(NEVER), .help = "a reload of the file is on trial: it is taken back unless it is confirmed (mcrd --confirm)"},
    {SCHEMA_TOP, "user", SCHEMA_NAME, TEXT(config, user), .fallback = "mcr",
     DISTURBS(RESTART), .help = "whom to become when started as root"},
    {SCHEMA_TOP, "group", SCHEMA_NAME, TEXT(config, group), .fallback = "mcr",
     DISTURBS(RESTART), .help = "which group to become when started as root"},
    {SCHEMA_TOP, "stats_file", SCHEMA_PATH, TEXT(config, stats_file), .fallback = "/run/mcr/stats",
     DISTURBS(RESTART), .help = "the shared statistics"},
    {SCHEMA_TOP, "audit_file", SCHEMA_PATH, TEXT(config, audit_file),
     DISTURBS(RESTART), .help = "where the records of loads are appended; without it: in the log only"},
    {SCHEMA_TOP, "audit_mib", SCHEMA_NUMBER, FIELD(config, audit_mib), RANGE(1, 1024), .fallback = "8",
     DISTURBS(NEVER), .help = "size of audit_file from which on a new one is begun, MiB; eight old ones are kept"},
    {SCHEMA_TOP, "audit_required", SCHEMA_BOOL, FIELD(config, audit_required), .fallback = "false",
     DISTURBS(NEVER), .help = "true: what cannot be recorded in audit_file is not loaded"},
    {SCHEMA_TOP, "reload_on_change", SCHEMA_BOOL, FIELD(config, reload_on_change), .fallback = "false",
     DISTURBS(NEVER), .help = "take over a replaced file without a signal"},
    {SCHEMA_TOP, "missing_interface", SCHEMA_CHOICE, FIELD(config, reject_missing), .words = {"wait", "reject"},
     .fallback = "wait",
     DISTURBS(NEVER), .help = "whether a rule waits for an interface that does not exist, or the file is refused"},
    {SCHEMA_TOP, "ring_mib", SCHEMA_NUMBER, FIELD(config, ring_mib), RANGE(1, CONFIG_RING_MIB_MAX), .fallback = "16",
     .help = "ring size of each input interface, MiB"},
    {SCHEMA_TOP, "coalesce_usecs", SCHEMA_NUMBER, FIELD(config, coalesce_usecs), RANGE(0, 10000), .fallback = "150",
     DISTURBS(NEVER),
     .help = "most time that a packet may wait to be sent with its neighbours, under load only, microseconds"},
    {SCHEMA_TOP, "busy_poll", SCHEMA_OR_BOOL, FIELD(config, busy_poll_usecs), RANGE(1, 1000000), .fallback = "false",
     DISTURBS(NEVER),
     .help = "look for packets without sleep, for so many microseconds after the last one; true: always"},
    {SCHEMA_TOP, "interfaces", SCHEMA_SECTIONS, FIELD(config, interfaces), ASIDE(config, n_interfaces),
     RANGE(0, CONFIG_INTERFACES_MAX), .inside = SCHEMA_INTERFACE,
     DISTURBS(NEVER), .help = "which way an interface may be used"},
    {SCHEMA_TOP, "rules", SCHEMA_SECTIONS, FIELD(config, rules), ASIDE(config, n_rules),
     RANGE(0, CONFIG_RULES_MAX), .inside = SCHEMA_RULE, REQUIRED,
     .help = "what is relayed"},

    {SCHEMA_INTERFACE, "name", SCHEMA_IFNAME, TEXT(config_interface, name), REQUIRED,
     .help = "the interface"},
    {SCHEMA_INTERFACE, "role", SCHEMA_CHOICE, FIELD(config_interface, role), .words = {"in", "out"},
     DISTURBS(NEVER), .help = "the only way in which rules may use it; only with a zone it may be left out: both"},
    {SCHEMA_INTERFACE, "zone", SCHEMA_NAME, TEXT(config_interface, zone),
     DISTURBS(NEVER), .help = "the zone of the network behind it, for --graph and --check of several files"},

    {SCHEMA_RULE, "name", SCHEMA_NAME, TEXT(config_rule, name), REQUIRED,
     .help = "unique; counters are carried over a reload by it"},
    {SCHEMA_RULE, "note", SCHEMA_NOTE, TEXT(config_rule, note),
     DISTURBS(NEVER), .help = "ticket, owner; carried into log and statistics"},
    {SCHEMA_RULE, "enabled", SCHEMA_BOOL, FIELD(config_rule, enabled), .fallback = "true",
     DISTURBS(LESS), .help = "whether the rule is active"},
    {SCHEMA_RULE, "active_from", SCHEMA_TIME, FIELD(config_rule, active.from),
     DISTURBS(CLOSES), .help = "the rule begins at this time"},
    {SCHEMA_RULE, "active_until", SCHEMA_TIME, FIELD(config_rule, active.until),
     DISTURBS(CLOSES), .help = "the rule ends at this time: its groups are left, its sockets closed"},
    {SCHEMA_RULE, "two_way", SCHEMA_BOOL, FIELD(config_rule, two_way), .fallback = "false",
     DISTURBS(NEVER), .help = "on every rule of a circle: allows it"},
    {SCHEMA_RULE, "max_payload", SCHEMA_NUMBER, FIELD(config_rule, max_payload), RANGE(0, CONFIG_PAYLOAD_MAX),
     .fallback = "65507",
     DISTURBS(LESS), .help = "largest UDP payload let through, bytes"},
    {SCHEMA_RULE, "shadow", SCHEMA_BOOL, FIELD(config_rule, shadow), .fallback = "false",
     .help = "true: on trial, matched and counted, but nothing is sent"},
    {SCHEMA_RULE, "silence_ms", SCHEMA_NUMBER, FIELD(config_rule, silence_ms), RANGE(50, 86400000),
     DISTURBS(NEVER), .help = "alarm when nothing has come for so long, milliseconds; without it: none"},
    {SCHEMA_RULE, "min_packets_per_second", SCHEMA_NUMBER, FIELD(config_rule, min_packets_per_second),
     RANGE(1, 1000000000),
     DISTURBS(NEVER), .help = "alarm when fewer datagrams come in a second; without it: none"},
    {SCHEMA_RULE, "max_residence_us", SCHEMA_NUMBER, FIELD(config_rule, max_residence_us), RANGE(1, 10000000),
     DISTURBS(NEVER),
     .help = "alarm when one in a hundred of a second stays here for longer, microseconds; without it: none"},
    {SCHEMA_RULE, "deadline_us", SCHEMA_NUMBER, FIELD(config_rule, deadline_us), RANGE(1, 10000000),
     DISTURBS(LESS), .help = "what would leave later after its arrival is dropped, microseconds; without it: nothing"},
    {SCHEMA_RULE, "input", SCHEMA_SECTION, FIELD(config_rule, inputs), ASIDE(config_rule, n_inputs), RANGE(1, 1),
     .inside = SCHEMA_INPUT, .need = SCHEMA_ONE_OF,
     .help = "what is taken in"},
    {SCHEMA_RULE, "inputs", SCHEMA_SECTIONS, FIELD(config_rule, inputs), ASIDE(config_rule, n_inputs),
     RANGE(1, CONFIG_INPUTS_MAX), .inside = SCHEMA_INPUT, .need = SCHEMA_ONE_OF,
     DISTURBS(DISAPPEARS), .help = "several of them: all that comes by any is relayed"},
    {SCHEMA_RULE, "outputs", SCHEMA_SECTIONS, FIELD(config_rule, outputs), ASIDE(config_rule, n_outputs),
     RANGE(1, CONFIG_OUTPUTS_MAX), .inside = SCHEMA_OUTPUT, REQUIRED,
     DISTURBS(DISAPPEARS), .help = "where it goes"},
    {SCHEMA_RULE, "merge", SCHEMA_SECTION, FIELD(config_rule, merge), .inside = SCHEMA_MERGE,
     .help = "the inputs bring the same streams: the first copy of each datagram leaves"},
    {SCHEMA_RULE, "monitor", SCHEMA_SECTION, FIELD(config_rule, monitor), .inside = SCHEMA_MONITOR,
     DISTURBS(NEVER), .help = "what each input brings is looked at: numbers that are missing, late or twice, jitter"},
    {SCHEMA_RULE, "limit", SCHEMA_SECTION, FIELD(config_rule, limit), .inside = SCHEMA_LIMIT,
     DISTURBS(APPEARS), .help = "what exceeds it is dropped and counted"},

    {SCHEMA_INPUT, "leg", SCHEMA_NAME, TEXT(config_input, leg),
     DISTURBS(NEVER), .help = "its name, unique in the rule; without it, its place: 1 to 8"},
    {SCHEMA_INPUT, "interface", SCHEMA_IFNAME, TEXT(config_input, interface), REQUIRED,
     .help = "where it comes in"},
    {SCHEMA_INPUT, "vlan", SCHEMA_NUMBER, FIELD(config_input, vlan), RANGE(1, 4094),
     .help = "only frames with this tag; without it, only untagged frames"},
    {SCHEMA_INPUT, "group", SCHEMA_GROUP, DESTINATION(config_input),
     .help = "the multicast group that is taken in, or a prefix of groups"},
    {SCHEMA_INPUT, "address", SCHEMA_HOST, DESTINATION(config_input),
     .help = "the address of this host whose datagrams are taken in"},
    {SCHEMA_INPUT, "broadcast", SCHEMA_BROADCAST, DESTINATION(config_input),
     .help = "true: IPv4 broadcasts are taken in, those of the subnet and 255.255.255.255"},
    {SCHEMA_INPUT, "port", SCHEMA_PORT, FIELD(config_input, port), SPAN(config_input, n_ports), RANGE(1, 65535),
     REQUIRED,
     .help = "its UDP destination port, or a range of ports"},
    {SCHEMA_INPUT, "sources", SCHEMA_PREFIXES, FIELD(config_input, sources), ASIDE(config_input, n_sources),
     RANGE(1, CONFIG_SOURCES_MAX),
     DISTURBS(NARROWER),
     .help = "allowed senders; exact addresses alone become source-specific joins; without it: all"},

    {SCHEMA_OUTPUT, "interface", SCHEMA_IFNAME, TEXT(config_output, interface), REQUIRED,
     .help = "where it goes out"},
    {SCHEMA_OUTPUT, "vlan", SCHEMA_NUMBER, FIELD(config_output, vlan), RANGE(1, 4094),
     .help = "the tag of its frames; without it, they have none"},
    {SCHEMA_OUTPUT, "group", SCHEMA_GROUP, DESTINATION(config_output),
     .help = "the multicast group that it is sent to; a prefix as large as the input's: each group to its own"},
    {SCHEMA_OUTPUT, "address", SCHEMA_HOST, DESTINATION(config_output),
     .help = "the host that it is sent to"},
    {SCHEMA_OUTPUT, "broadcast", SCHEMA_BROADCAST, DESTINATION(config_output),
     .help = "true: it is sent to 255.255.255.255, all hosts of the interface"},
    {SCHEMA_OUTPUT, "port", SCHEMA_PORT, FIELD(config_output, port), SPAN(config_output, n_ports), RANGE(1, 65535),
     REQUIRED,
     .help = "the UDP destination port; a range as large as the input's: each port to its own"},
    {SCHEMA_OUTPUT, "ttl", SCHEMA_OR_WORD, FIELD(config_output, ttl), ASIDE(config_output, ttl_decrement),
     RANGE(1, 255), .words = {"decrement"}, .fallback = "1",
     .help = "reach; \"decrement\": the datagram's own less one"},
    {SCHEMA_OUTPUT, "dscp", SCHEMA_DSCP, FIELD(config_output, dscp), RANGE(0, 63), .words = {"preserve"},
     .fallback = "preserve",
     .help = "the traffic class"},
    {SCHEMA_OUTPUT, "source", SCHEMA_SOURCE, FIELD(config_output, source), ASIDE(config_output, keep_source),
     .words = {"interface", "preserve"}, .fallback = "interface",
     .help = "the source address; \"interface\": that of the interface; \"preserve\": the sender's"},
    {SCHEMA_OUTPUT, "source_port", SCHEMA_OR_WORD, FIELD(config_output, source_port),
     ASIDE(config_output, keep_source_port), RANGE(1, 65535), .words = {"preserve"},
     .help = "the UDP source port; without it, the port that it is sent to; \"preserve\": the sender's"},
    {SCHEMA_OUTPUT, "mode", SCHEMA_CHOICE, FIELD(config_output, mode), .words = {"auto", "frame", "socket"},
     .fallback = "auto",
     .help = "whether frames are written or the kernel's UDP is used"},
    {SCHEMA_OUTPUT, "burst", SCHEMA_NUMBER, FIELD(config_output, burst), RANGE(1, CONFIG_BURST_MAX), .fallback = "64",
     DISTURBS(NEVER), .help = "most datagrams of it that leave back to back, in one call"},

    {SCHEMA_MERGE, "by", SCHEMA_CHOICE, FIELD(config_merge, by), .words = {"rtp", "field", "payload", "active"}, REQUIRED,
     .help = "what copies have in common: RTP's SSRC and sequence number, a number in the payload, all of it; or one leg"},
    {SCHEMA_MERGE, "window_ms", SCHEMA_NUMBER, FIELD(config_merge, window_ms), RANGE(1, 10000), .fallback = "50",
     DISTURBS(LESS), .help = "how far apart copies may come, milliseconds"},
    {SCHEMA_MERGE, "reorder_ms", SCHEMA_NUMBER, FIELD(config_merge, reorder_ms), RANGE(0, 10000), .fallback = "0",
     DISTURBS(LESS), .help = "how long to wait for a missing number while later ones are held, milliseconds; 0: order of arrival"},
    {SCHEMA_MERGE, "field", SCHEMA_SECTION, FIELD(config_merge, field), .inside = SCHEMA_FIELD,
     .help = "where the number lies in the payload, by = \"field\""},
    {SCHEMA_MERGE, "switch_after_ms", SCHEMA_NUMBER, FIELD(config_merge, switch_after_ms), RANGE(1, 60000),
     .fallback = "200",
     DISTURBS(SOONER), .help = "by = \"active\": silence after which the next live leg takes over, milliseconds"},
    {SCHEMA_MERGE, "return_after_ms", SCHEMA_NUMBER, FIELD(config_merge, return_after_ms), RANGE(0, 3600000),
     .fallback = "5000",
     DISTURBS(SOONER), .help = "by = \"active\": how long a better leg must have been alive to take over again, milliseconds; 0: never"},

    NUMBER_IN_PAYLOAD(SCHEMA_FIELD, SCHEMA_ALWAYS),
    {SCHEMA_FIELD, "count_at", SCHEMA_NUMBER, FIELD(config_field, count_at), RANGE(0, 65000), .fallback = "0",
     .help = "offset of how many numbers a datagram brings, bytes"},
    {SCHEMA_FIELD, "count_bytes", SCHEMA_NUMBER, FIELD(config_field, count_bytes), RANGE(0, 4), .fallback = "0",
     .help = "its size: 1, 2 or 4; 0: each datagram brings one"},

    {SCHEMA_MONITOR, "as", SCHEMA_CHOICE, FIELD(config_monitor, as), .words = {"rtp", "ts", "field"}, REQUIRED,
     DISTURBS(NEVER), .help = "what the payload is: RTP, an MPEG transport stream (also in RTP), or a number in it"},
    {SCHEMA_MONITOR, "clock_hz", SCHEMA_NUMBER, FIELD(config_monitor, clock_hz), RANGE(1, 1000000000),
     .fallback = DIGITS(CONFIG_MONITOR_CLOCK_HZ),
     DISTURBS(NEVER), .help = "of the time stamps of RTP, ticks a second"},
    {SCHEMA_MONITOR, "max_loss_ppm", SCHEMA_NUMBER, FIELD(config_monitor, max_loss_ppm), RANGE(1, 1000000),
     DISTURBS(NEVER), .help = "alarm when more of a million is lost in a second; without it: none"},
    {SCHEMA_MONITOR, "max_jitter_us", SCHEMA_NUMBER, FIELD(config_monitor, max_jitter_us), RANGE(1, 1000000),
     DISTURBS(NEVER), .help = "alarm when the jitter is larger, microseconds; without it: none"},
    {SCHEMA_MONITOR, "field", SCHEMA_SECTION, FIELD(config_monitor, field), .inside = SCHEMA_MONITOR_FIELD,
     DISTURBS(NEVER), .help = "where the number lies in the payload, as = \"field\""},

    NUMBER_IN_PAYLOAD(SCHEMA_MONITOR_FIELD, SCHEMA_NEVER),

    {SCHEMA_TRIAL, "seconds", SCHEMA_NUMBER, FIELD(config_trial, seconds), RANGE(1, CONFIG_TRIAL_SECONDS_MAX), REQUIRED,
     DISTURBS(NEVER), .help = "how long it waits to be confirmed, seconds; then what ran before runs again"},
    {SCHEMA_TRIAL, "return_on_silence", SCHEMA_BOOL, FIELD(config_trial, return_on_silence), .fallback = "false",
     DISTURBS(NEVER),
     .help = "true: it is taken back at once when a rule that relayed before is silent (silence_ms) or drops nearly all"},

    {SCHEMA_LIMIT, "packets_per_second", SCHEMA_NUMBER, FIELD(config_limit, packets_per_second),
     RANGE(1, 1000000000), .need = SCHEMA_ANY_OF,
     DISTURBS(LESS), .help = "datagrams a second"},
    {SCHEMA_LIMIT, "bits_per_second", SCHEMA_RATE, FIELD(config_limit, bits_per_second),
     RANGE(1, 1000000000000), .need = SCHEMA_ANY_OF,
     DISTURBS(LESS), .help = "bits of UDP payload a second"},
    {SCHEMA_LIMIT, "burst_ms", SCHEMA_NUMBER, FIELD(config_limit, burst_ms), RANGE(1, 10000),
     .fallback = "100",
     DISTURBS(LESS), .help = "how much may come at once, in milliseconds of the rate"},
    {SCHEMA_LIMIT, "per_source", SCHEMA_BOOL, FIELD(config_limit, per_source), .fallback = "false",
     DISTURBS(LESS), .help = "each sender has the limit for itself"},
};
// clang-format on

const size_t schema_n_keys = sizeof(schema_keys) / sizeof(schema_keys[0]);

const struct schema_key *schema_next(enum schema_place where, const struct schema_key *last)
{
    for (const struct schema_key *key = last ? last + 1 : schema_keys; key < schema_keys + schema_n_keys; key++)
        if (key->where == where)
            return key;
    return NULL;
}

const struct schema_key *schema_find(enum schema_place where, const char *name)
{
    const struct schema_key *key = NULL;

    while ((key = schema_next(where, key)) && strcmp(key->name, name) != 0)
        ;
    return key;
}

uint32_t schema_default(enum schema_place where, const char *name)
{
    return (uint32_t) strtoul(schema_find(where, name)->fallback, NULL, 10);
}

const struct schema_key *schema_nearest(enum schema_place where, const char *name)
{
    const struct schema_key *nearest = NULL;
    unsigned least = edits_most(name) + 1;

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));) {
        unsigned d = edits_between(name, key->name);
        if (d < least) {
            least = d;
            nearest = key;
        }
    }
    return nearest;
}

int schema_word_index(const struct schema_key *key, const char *word)
{
    for (int i = 0; key->words[i]; i++)
        if (strcmp(key->words[i], word) == 0)
            return i;
    return -1;
}

const char *schema_allowed(const struct schema_key *key, char text[SCHEMA_ALLOWED_MAX])
{
    static const struct {
        bool range; // begin with least and most
        const char *text;
    } kinds[SCHEMA_KINDS] = {
        [SCHEMA_NUMBER] = {true, ""},
        [SCHEMA_OR_WORD] = {true, ""},
        [SCHEMA_OR_BOOL] = {true, " or true or false"},
        [SCHEMA_BOOL] = {false, "true or false"},
        [SCHEMA_CHOICE] = {false, ""},
        [SCHEMA_NAME] = {true, " characters of A-Z a-z 0-9 _ . -"},
        [SCHEMA_IFNAME] = {true, " characters of A-Z a-z 0-9 _ . -, the first neither . nor -"},
        [SCHEMA_NOTE] = {true, " bytes of text without control characters"},
        [SCHEMA_PATH] = {true, " bytes, the absolute path of a file"},
        [SCHEMA_DSCP] = {true, " or a name (be le ef va cs0 to cs7 af11 to af43)"},
        [SCHEMA_RATE] = {true, " or a string such as \"500k\", \"40M\", \"1G\""},
        [SCHEMA_TIME] = {false, "a time in UTC, to the second, as \"2026-12-01T22:00:00Z\" (RFC 3339)"},
        [SCHEMA_PORT] = {true, " or a range of up to 4096 ports such as \"5000-5015\""},
        [SCHEMA_GROUP] = {false, "an IPv4 or IPv6 multicast address, or a prefix of up to 4096 of them"},
        [SCHEMA_HOST] = {false, "an IPv4 or IPv6 unicast address"},
        [SCHEMA_BROADCAST] = {false, "true"},
        [SCHEMA_SOURCE] = {false, "an IPv4 or IPv6 unicast address"},
        [SCHEMA_PREFIXES] = {true, " unicast addresses or prefixes in a list"},
        [SCHEMA_SECTION] = {false, "a group { }"},
        [SCHEMA_SECTIONS] = {true, " groups { } in a list ( )"},
    };
    char range[48] = "";

    if (kinds[key->kind].range && key->least == key->most)
        snprintf(range, sizeof(range), "%lld", (long long) key->least);
    else if (kinds[key->kind].range)
        snprintf(range, sizeof(range), "%lld to %lld", (long long) key->least, (long long) key->most);
    size_t used = (size_t) snprintf(text, SCHEMA_ALLOWED_MAX, "%s%s", range, kinds[key->kind].text);
    for (size_t i = 0; key->words[i] && used < SCHEMA_ALLOWED_MAX; i++)
        used +=
            (size_t) snprintf(text + used, SCHEMA_ALLOWED_MAX - used, "%s\"%s\"", used ? " or " : "", key->words[i]);
    return text;
}
