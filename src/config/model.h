// SPDX-License-Identifier: Apache-2.0
// model: the content of a config file with its defaults. Plain data, owned by struct config.
#ifndef MCR_CONFIG_MODEL_H
#define MCR_CONFIG_MODEL_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/addr.h"
#include "common/schedule.h"

#define CONFIG_DEFAULT_PATH       "/etc/mcr/mcr.conf"
#define CONFIG_FILE_MAX           (16u << 20) // bytes
#define CONFIG_RULES_MAX          10000
#define CONFIG_INPUTS_MAX         8                // of one rule
#define CONFIG_OUTPUTS_MAX        256              // of one rule
#define CONFIG_NAME_MAX           64               // with the NUL
#define CONFIG_NOTE_MAX           256              // with the NUL
#define CONFIG_LEG_MAX            32               // with the NUL
#define CONFIG_SOURCES_MAX        256              // of one input
#define CONFIG_INTERFACES_MAX     64               // distinct interfaces that the file uses
#define CONFIG_TOTAL_OUTPUTS_MAX  65536            // a range counts as its single outputs
#define CONFIG_SOCKET_OUTPUTS_MAX 7000             // each is a descriptor below SANDBOX_INGRESS_FD
#define CONFIG_SPAN_MAX           4096             // destinations of one input: its groups times its ports
#define CONFIG_DESTINATIONS_MAX   20000            // of all enabled rules; a broadcast input has two
#define CONFIG_PAYLOAD_MAX        65507            // IPv4: 65535 - 20 - 8
#define CONFIG_BURST_MAX          64               // of one batch (relay/egress.h)
#define CONFIG_SERIAL_MAX         9007199254740991 // 2^53 - 1: what every reader of JSON holds exactly

enum config_destination { CONFIG_GROUP, CONFIG_ADDRESS, CONFIG_BROADCAST };
enum config_role { CONFIG_ROLE_IN, CONFIG_ROLE_OUT, CONFIG_ROLE_ANY }; // any: not given, both
enum config_mode { CONFIG_MODE_AUTO, CONFIG_MODE_FRAME, CONFIG_MODE_SOCKET };

#define CONFIG_DSCP_PRESERVE (-1)
#define CONFIG_ALWAYS        UINT32_MAX
#define CONFIG_LOOPBACK      "lo"

struct config_input {
    char leg[CONFIG_LEG_MAX]; // empty: its place, config_leg()
    char interface[IFNAMSIZ];
    enum config_destination kind;
    struct addr address;           // the (first) group or host address; ADDR_NONE for a broadcast
    uint16_t port;                 // the first one
    uint16_t n_addresses, n_ports; // sizes of a range; else 1
    uint16_t vlan;                 // 1..4094; 0: untagged frames only
    struct addr_prefix *sources;
    size_t n_sources; // 0: every sender is allowed
    int line, sources_line;
};

struct config_output {
    char interface[IFNAMSIZ];
    enum config_destination kind;
    struct addr address;
    uint16_t port;
    uint16_t n_addresses, n_ports; // as many as an input's, each for its counterpart, or 1 for all of them
    uint16_t vlan;                 // 1..4094: frames carry this tag; 0: none
    uint8_t ttl;                   // 1..255
    bool ttl_decrement;            // the datagram's ttl minus one, in place of ttl
    int dscp;                      // 0..63 or CONFIG_DSCP_PRESERVE
    struct addr source;            // ADDR_NONE: the interface's own address
    bool keep_source;              // the sender's address, in place of source
    uint16_t source_port;          // 0, only for a range of ports: the port that it is sent to
    bool keep_source_port;         // the sender's port, in place of source_port
    enum config_mode mode;
    uint8_t burst; // datagrams
    int line;
};

struct config_limit {
    uint64_t packets_per_second; // 0: no limit
    uint64_t bits_per_second;    // 0: no limit; of UDP payload
    uint32_t burst_ms;
    bool per_source; // the limit applies to each sender separately
    int line;
};

// Where the number of a datagram lies in its payload.
struct config_field {
    uint32_t at; // bytes
    uint8_t bytes;
    bool little; // the least byte is first
    uint32_t session_at;
    uint8_t session_bytes; // 0: there is one session
    uint32_t count_at;
    uint8_t count_bytes; // 0: each datagram has one number
    int line;
};

enum config_merge_by { CONFIG_MERGE_RTP, CONFIG_MERGE_FIELD, CONFIG_MERGE_PAYLOAD, CONFIG_MERGE_ACTIVE };

// line 0: the legs are not merged.
struct config_merge {
    enum config_merge_by by;
    uint32_t window_ms, reorder_ms;
    struct config_field field;
    uint32_t switch_after_ms, return_after_ms;
    int line;
};

enum config_monitor_as { CONFIG_MONITOR_RTP, CONFIG_MONITOR_TS, CONFIG_MONITOR_FIELD };

#define CONFIG_MONITOR_CLOCK_HZ 90000 // where there is no section: of video (RFC 3551)

// line 0: only what a merge by a number asks for.
struct config_monitor {
    enum config_monitor_as as;
    uint32_t clock_hz;
    uint32_t max_loss_ppm, max_jitter_us; // 0: no alarm
    struct config_field field;            // without a count
    int line;
};

#define CONFIG_RING_MIB_MAX 1024

// The rate of a rule that has no limit of packets_per_second, for which a merge takes memory: datagrams a second.
#define CONFIG_MERGE_RATE     200000
#define CONFIG_MERGE_HELD_MAX 9216 // bytes of a datagram that reorder_ms holds back: a jumbo frame

struct config_rule {
    char name[CONFIG_NAME_MAX]; // "#3" while the third rule of the file has no valid name
    char note[CONFIG_NOTE_MAX];
    bool enabled;
    struct schedule active;    // active_from, active_until
    enum schedule_phase phase; // not of the file: config/times.h sets it, OPEN until then
    enum schedule_phase told;  // the phase that the log has
    bool two_way;
    bool shadow;                     // matched and counted, never sent
    uint32_t silence_ms;             // 0: no alarm
    uint64_t min_packets_per_second; // 0: no alarm
    uint32_t max_payload;            // bytes
    uint32_t max_residence_us;       // 0: no alarm
    uint32_t deadline_us;            // 0: none
    struct config_input *inputs;
    size_t n_inputs;
    struct config_output *outputs;
    size_t n_outputs;
    struct config_limit limit;
    struct config_merge merge;
    struct config_monitor monitor;
    int line;
    int max_payload_line, max_residence_line, deadline_line, active_line; // 0: the default
};

// Whether the rule relays now, as far as the file and the clock say.
static inline bool config_rule_runs(const struct config_rule *r)
{
    return r->enabled && r->phase == SCHEDULE_OPEN;
}

// Whether it relays now, or will.
static inline bool config_rule_may_run(const struct config_rule *r)
{
    return r->enabled && r->phase != SCHEDULE_AFTER;
}

// line 0: a load is in force at once.
struct config_trial {
    uint32_t seconds; // until it goes back to what ran before, unless it is confirmed
    bool return_on_silence;
    int line;
};

#define CONFIG_TRIAL_SECONDS_MAX 86400

struct config_interface {
    char name[IFNAMSIZ];
    enum config_role role;
    char zone[CONFIG_NAME_MAX]; // empty: a zone of its own
    bool complete;              // name and role are known: the file was not refused for them
    int line;
};

// Facts of the file, from its only read.
struct config_file_info {
    uint8_t sha256[32];
    uint64_t size; // bytes
    uid_t owner;
    mode_t mode;
    struct timespec mtime;
};

struct config {
    char *path;
    struct config_file_info file;
    char instance[CONFIG_NAME_MAX];
    uint64_t serial;       // 0: the file has none
    struct schedule valid; // valid_from, valid_until
    struct config_trial trial;
    // Not of the file: what config/times.h found at the time it was given, seconds since the epoch.
    uint64_t next_change, clock_least; // 0: none
    char user[32];
    char group[32];
    char stats_file[108];
    char audit_file[108]; // empty: records are not kept in a file
    uint32_t audit_mib;
    bool audit_required;
    int valid_from_line, valid_until_line, audit_mib_line, audit_required_line; // 0: the default
    bool reload_on_change;
    bool reject_missing; // missing_interface = "reject"
    uint64_t written_s;  // since the epoch, before which nobody loads it; 0: its mtime
    uint32_t ring_mib;
    uint32_t coalesce_usecs;
    uint32_t busy_poll_usecs; // 0: off; or CONFIG_ALWAYS
    struct config_interface *interfaces;
    size_t n_interfaces;
    struct config_rule *rules;
    size_t n_rules;
};

#endif
