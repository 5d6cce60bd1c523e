// SPDX-License-Identifier: Apache-2.0
// layout: the format of the shared statistics segment. The broker creates it, only the relay writes counters, and
// anyone may read it. Pure.
//
// It is a mapped file: header, interfaces[], rules[], inputs[], outputs[], in this order without gaps. The sequence
// number of a record is odd while the relay writes the record, so that a reader can take a consistent copy; no reader
// can make the relay wait or fail. A reload puts a new file under the same name; the header of the old one then says
// STATS_SUPERSEDED.
#ifndef MCR_STATS_LAYOUT_H
#define MCR_STATS_LAYOUT_H

#include <net/if.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/residence.h"

#define STATS_MAGIC UINT64_C(0x313053544154434d) // "MCTATS01" as little-endian bytes
// Appended to the path of the statistics: the file that the relay locks for its lifetime (fcntl, F_WRLCK), so that
// readers find its process. One file serves all segments of a process: the relay locks it before its system call filter
// is in force, which forbids locks because nothing bounds the kernel memory that they take.
#define STATS_LOCK_SUFFIX ".lock"
// Appended to it: the segment of the table that a trial goes back to. The relay uses it from then on, and the broker
// gives it its name; if that has ended, it stays under this one.
#define STATS_BACK_SUFFIX ".back"

#define STATS_VERSION 16

// Declares every counter once: X(name, help, key). The writer, the reader, JSON and the tables follow from it. key: the
// key of the config file on which it depends (config/schema.c); NULL: none.
#define STATS_INTERFACE_COUNTERS(X)                                                                                    \
    X(received, "datagrams taken from the ring", NULL)                                                                 \
    X(unmatched, "no rule for this destination and port", NULL)                                                        \
    X(malformed, "lengths or header checksum that cannot be", NULL)                                                    \
    X(truncated, "longer than a ring slot and not kept whole by the kernel", NULL)                                     \
    X(fragments, "in fragments that did not all come within 2 s, or too many at once", NULL)                           \
    X(overlapping, "in fragments that overlap or contradict each other", NULL)                                         \
    X(bad_checksum, "wrong UDP checksum", NULL)                                                                        \
    X(martian, "from an address that no sender has: loopback, a group, the interface's own", NULL)                     \
    X(vlan, "carries a VLAN tag that no rule asks for", "vlan")                                                        \
    X(own, "sent by this host itself", NULL)                                                                         \
    X(ring_drops, "frames lost by the kernel because the ring was full; not part of received", "ring_mib")

#define STATS_RULE_DROPS(X)                                                                                            \
    X(outside, "came behind active_until, before the rule was closed", "active_until")                                 \
    X(source, "sender is not in sources", "sources")                                                                   \
    X(size, "payload is larger than max_payload", "max_payload")                                                       \
    X(copy, "its first copy came by another leg", "merge")                                                             \
    X(late, "a copy from beyond window_ms, or a number whose turn is over", "merge")                                   \
    X(no_sequence, "has no number to be merged by", "merge")                                                           \
    X(standby, "another leg is the active one", "merge")                                                               \
    X(stale, "was here for longer than deadline_us", "deadline_us")                                                    \
    X(rate, "exceeds limit", "limit")                                                                                  \
    X(shadow, "would have been sent: the rule is on trial", "shadow")                                                  \
    X(ttl, "ttl is used up and every output decrements it", "ttl")

#define STATS_OUTPUT_COUNTERS(X)                                                                                       \
    X(packets, "datagrams handed to the kernel", NULL)                                                                 \
    X(bytes, "payload bytes handed to the kernel", NULL)                                                               \
    X(unreachable, "answers that nobody takes in what was sent (ICMP; no neighbour); no sum has them", NULL)           \
    X(errors, "datagrams that the kernel refused, or without a usable interface", NULL)                                \
    X(too_big, "datagrams larger than the interface's MTU", NULL)                                                      \
    X(expired, "ttl is used up, where other outputs of the rule do not decrement it", "ttl")

#define STATS_INPUT_COUNTERS(X)                                                                                        \
    X(packets, "datagrams that came by this leg and matched", NULL)                                                    \
    X(bytes, "their payload bytes", NULL)

// Of a leg of a rule that merges, and of all its legs together (wire/merge.h).
#define STATS_LEG_COUNTERS(X)                                                                                          \
    X(first, "of its datagrams left, as the first copy", "merge")                                                      \
    X(missing, "numbers that it did not bring within the window", "merge")                                             \
    X(reordered, "came behind a higher number of the same leg", "merge")                                               \
    X(repeated, "had come by the same leg already", "merge")

#define STATS_MERGE_COUNTERS(X)                                                                                        \
    X(recovered, "numbers that some leg missed and another brought", "merge")                                          \
    X(lost, "numbers that no leg brought", "merge")                                                                    \
    X(lost_together, "runs of them that all legs lost at once: they may share a path", "merge")                        \
    X(resets, "new beginnings: another sender, session or place in the numbers", "merge")

// How a rule merges its legs.
#define STATS_MERGES(X)                                                                                                \
    X(STATS_MERGE_NONE, none, "all that comes leaves")                                                                 \
    X(STATS_MERGE_RTP, rtp, "by SSRC and sequence number")                                                             \
    X(STATS_MERGE_FIELD, field, "by a number in the payload")                                                          \
    X(STATS_MERGE_PAYLOAD, payload, "by the whole payload")                                                            \
    X(STATS_MERGE_ACTIVE, active, "one leg at a time")

// As what a leg is monitored.
#define STATS_STREAMS(X)                                                                                               \
    X(STATS_STREAM_NONE, none, "nothing is looked at")                                                                 \
    X(STATS_STREAM_RTP, rtp, "RTP")                                                                                    \
    X(STATS_STREAM_TS, ts, "an MPEG transport stream, in UDP or in RTP")                                               \
    X(STATS_STREAM_FIELD, field, "a number in the payload")

// What a leg that is monitored brings (wire/monitor.h), all its paths together. lost, jitter_us and unjudged may fall.
#define STATS_STREAM_COUNTERS(X)                                                                                       \
    X(expected, "numbers from the first to the highest", "monitor")                                                    \
    X(lost, "of these, numbers that have not come; a late one takes its loss back", "monitor")                         \
    X(reordered, "numbers lower than one that came before", "monitor")                                                 \
    X(repeated, "numbers that had come before", "monitor")                                                             \
    X(resets, "other sources, or jumps of the number, that took over", "monitor")                                      \
    X(jitter_us, "interarrival jitter, microseconds (RFC 3550)", "monitor")                                            \
    X(unjudged, "datagrams without a number, or of a source that is not the present one", "monitor")

#define STATS_TS_COUNTERS(X)                                                                                           \
    X(packets, "packets of the transport stream", "monitor")                                                           \
    X(sync_errors, "places of a packet without the sync byte, or a part of a packet", "monitor")                       \
    X(continuity_errors, "packets that do not follow the one before of their PID", "monitor")                          \
    X(transport_errors, "packets that were marked as broken before", "monitor")                                        \
    X(pids, "PIDs that have been seen", "monitor")

// Abilities of newer kernels: X(NAME, field, name in mcrd --without, help). The value of each is one of enum
// stats_feature.
#define STATS_FEATURES(X)                                                                                              \
    X(PACKET_GSO, packet_gso, "packet-gso", "UDP segmentation of frames by packet sockets, Linux 6.2")                 \
    X(UDP_GSO, udp_gso, "udp-gso", "UDP segmentation by UDP sockets, Linux 4.18")                                      \
    X(IGNORE_OUTGOING, ignore_outgoing, "ignore-outgoing", "hiding of the host's own frames, Linux 4.20")              \
    X(SUPER_FRAMES, super_frames, "super-frames", "UDP super-frames in a ring, Linux 6.2, known by what 6.4 added")

#define STATS_FIELD(name, help, key) uint64_t name;
#define STATS_ENUM(NAME, word, help) NAME,

struct stats_interface_counters {
    STATS_INTERFACE_COUNTERS(STATS_FIELD)
};

struct stats_drops {
    STATS_RULE_DROPS(STATS_FIELD)
};

// Of all legs together.
struct stats_rule_counters {
    uint64_t packets;        // datagrams that matched: forwarded + every drop
    uint64_t bytes;          // of their payload
    uint64_t last_packet_ns; // CLOCK_MONOTONIC; 0: none yet
    struct stats_drops drops;
};

struct stats_input_counters {
    STATS_INPUT_COUNTERS(STATS_FIELD)
};

struct stats_leg_counters {
    STATS_LEG_COUNTERS(STATS_FIELD)
};

struct stats_merge_counters {
    STATS_MERGE_COUNTERS(STATS_FIELD)
};

struct stats_stream_counters {
    STATS_STREAM_COUNTERS(STATS_FIELD)
};

struct stats_ts_counters {
    STATS_TS_COUNTERS(STATS_FIELD)
};

struct stats_output_counters {
    STATS_OUTPUT_COUNTERS(STATS_FIELD)
    uint64_t largest_run; // most datagrams that one call has sent
};

// Bits of stats_rule.alarms: X(NAME, name, help).
#define STATS_ALARM_NAMES(X)                                                                                           \
    X(STATS_ALARM_SILENCE, silence, "nothing has come for silence_ms")                                                 \
    X(STATS_ALARM_LEG, leg, "nothing has come by a leg for silence_ms, while another brought something")               \
    X(STATS_ALARM_LOSS, loss, "more than max_loss_ppm was missing of what a leg brought in a second")                  \
    X(STATS_ALARM_JITTER, jitter, "the jitter of what a leg brings is above max_jitter_us")                            \
    X(STATS_ALARM_RATE, rate, "less than min_packets_per_second has come in the last second")                          \
    X(STATS_ALARM_RESIDENCE, residence, "one in a hundred stayed here for longer than max_residence_us")

enum stats_alarm { STATS_ALARM_NAMES(STATS_ENUM) STATS_ALARMS };

// States, with the word of each in tables, JSON, metrics and the log: X(NAME, word, help).
#define STATS_INTERFACE_STATES(X)                                                                                      \
    X(STATS_INTERFACE_UP, up, "it can be used")                                                                        \
    X(STATS_INTERFACE_DOWN, down, "it is there, but not up")                                                           \
    X(STATS_INTERFACE_MISSING, missing, "there is none of this name")

#define STATS_RULE_STATES(X)                                                                                           \
    X(STATS_RULE_ACTIVE, active, "relays what comes")                                                                  \
    X(STATS_RULE_SHADOW, shadow, "on trial: counts what comes, and sends nothing")                                     \
    X(STATS_RULE_WAITING, waiting, "an interface, address or route is missing")                                        \
    X(STATS_RULE_DOWN, down, "an interface is not up, an output does not get through, or nearly all is dropped")       \
    X(STATS_RULE_SILENT, silent, "nothing has come for silence_ms")                                                    \
    X(STATS_RULE_SLOW, slow, "less than min_packets_per_second has come in the last second")                           \
    X(STATS_RULE_DISABLED, disabled, "enabled = false")                                                                \
    X(STATS_RULE_SCHEDULED, scheduled, "before active_from, or the clock is not set")                                  \
    X(STATS_RULE_EXPIRED, expired, "active_until has passed")

// What is known of the clock (CLOCK_REALTIME), where the file has times.
#define STATS_CLOCKS(X)                                                                                                \
    X(STATS_CLOCK_SET, set, "it can be believed, or no key asks for it")                                               \
    X(STATS_CLOCK_UNSYNCHRONISED, unsynchronised, "the kernel says that nothing synchronises it")                      \
    X(STATS_CLOCK_UNSET, unset, "it shows a time before the file was written")

#define STATS_CONFIG_STATES(X)                                                                                         \
    X(STATS_CONFIG_CURRENT, current, "the file on disk is what runs")                                                  \
    X(STATS_CONFIG_PENDING, pending, "another one lies on disk, and is valid")                                         \
    X(STATS_CONFIG_INVALID, invalid, "what lies on disk would be refused")                                             \
    X(STATS_CONFIG_TRIAL, trial, "what runs is on trial: mcrd --confirm keeps it, else what ran before runs again")    \
    X(STATS_CONFIG_RETURNED, returned, "the file on disk was on trial and not confirmed; what ran before runs again")

#define STATS_VERDICTS(X)                                                                                              \
    X(STATS_VERDICT_NONE, none, "no load was asked for yet")                                                           \
    X(STATS_VERDICT_ACCEPTED, accepted, "the last load runs")                                                          \
    X(STATS_VERDICT_REFUSED, refused, "the last load was refused")

#define STATS_SECCOMP_MODES(X)                                                                                         \
    X(STATS_SECCOMP_OFF, off, "no filter")                                                                             \
    X(STATS_SECCOMP_LOG, log, "what enforcing would refuse is logged by the kernel")                                   \
    X(STATS_SECCOMP_ENFORCE, enforce, "in force")

#define STATS_FEATURE_STATES(X)                                                                                        \
    X(STATS_FEATURE_NO, no, "missing, or not to be used")                                                              \
    X(STATS_FEATURE_YES, yes, "used")                                                                                  \
    X(STATS_FEATURE_TRIED, tried, "nothing tells; the first use does")

enum stats_interface_state { STATS_INTERFACE_STATES(STATS_ENUM) };
enum stats_rule_state { STATS_RULE_STATES(STATS_ENUM) STATS_RULE_END };
enum stats_clock { STATS_CLOCKS(STATS_ENUM) };
enum stats_merge { STATS_MERGES(STATS_ENUM) };
enum stats_stream { STATS_STREAMS(STATS_ENUM) };
enum stats_config_state { STATS_CONFIG_STATES(STATS_ENUM) STATS_CONFIG_END };
enum stats_verdict { STATS_VERDICTS(STATS_ENUM) };
enum stats_seccomp { STATS_SECCOMP_MODES(STATS_ENUM) };
enum stats_feature { STATS_FEATURE_STATES(STATS_ENUM) };

enum stats_segment_state { STATS_PREPARED, STATS_LIVE, STATS_SUPERSEDED, STATS_STOPPED };
enum stats_isolation { STATS_OWN_NETWORK = 1 << 0, STATS_EMPTY_ROOT = 1 << 1 };

#define STATS_FEATURE_FIELD(NAME, field, name, help) uint32_t field;
struct stats_features {
    STATS_FEATURES(STATS_FEATURE_FIELD)
};

struct stats_interface {
    uint32_t sequence;
    uint32_t state; // enum stats_interface_state
    char name[IFNAMSIZ];
    struct stats_interface_counters counters;
};

// What a rule takes in by one leg.
struct stats_input {
    uint32_t sequence;
    uint32_t interface; // index of its record
    char leg[32];
    uint32_t vlan;   // 0: untagged
    uint32_t as;     // enum stats_stream
    uint32_t alarms; // bits 1 << enum stats_alarm, of this leg: leg, loss, jitter
    uint32_t reserved;
    char to[72]; // "ADDRESS:PORT"
    struct stats_stream_counters stream;
    struct stats_ts_counters ts;
    struct stats_leg_counters merged;
    uint64_t skew_us, skew_count, skew_max_us; // behind the first copy: sum, copies, most
    struct stats_input_counters counters;      // of one leg of several; the reader gives the only one those of the rule
};

struct stats_rule {
    uint32_t sequence;
    uint32_t state; // enum stats_rule_state
    char name[64];
    char note[256];
    char reason[128]; // why it is in this state, as sentences; empty: it is active
    uint32_t first_input, n_inputs;
    uint32_t first_output, n_outputs;
    uint32_t alarms;      // bits 1 << enum stats_alarm
    uint32_t merge;       // enum stats_merge
    uint32_t active_leg;  // its place among the inputs, where one is active; else UINT32_MAX
    uint32_t two_streams; // 1: lately its legs, merged by number, bring two streams
    uint32_t reorder_ms;
    uint32_t messages; // 1: a datagram says how many numbers it brings (count_at); 0: one
    struct stats_merge_counters merged;
    struct stats_rule_counters counters;
    struct residence residence;         // of its datagrams that were handed to the outputs
    uint64_t active_from, active_until; // seconds since the epoch; 0: none
};

struct stats_output {
    uint32_t sequence;
    uint32_t reserved;
    char to[96]; // "INTERFACE ADDRESS:PORT", with " vlan N" if it is tagged
    struct stats_output_counters counters;
};

// What a start has taken over of the mcrd before it, by the service manager's store.
struct stats_continued {
    uint32_t from_pid; // of the relay before; 0: unknown
    uint32_t rings;    // 0: nothing was taken over, or, with from_pid, no input was there
    uint32_t kept;     // 1: the file is the one that ran before, whatever lies on the disk
    uint32_t replaced; // rings that were taken over and do not fit this file: what waited in them is lost
    uint64_t ended_ns; // CLOCK_MONOTONIC, when the one before last wrote its statistics
    uint64_t gap_ns;   // from then until the first table was in force
    uint64_t waiting;  // frames that were found in the rings
    uint64_t dropped;  // frames for which the rings had no room meanwhile
};

// The head of the records of loads, as the broker has written it (audit/chain.h). A relay that was taken over can
// change it here, but not in audit_file.
struct stats_audit {
    uint32_t sequence;
    uint32_t reserved;
    uint64_t n; // number of the last record; 0: not told
    uint8_t hash[32];
    uint64_t waiting;  // records that are not in the file yet
    uint64_t lost;     // records that will never be there, since the start
    char file[108];    // empty: records are not kept in a file
    char error[148];   // why records cannot be written there; empty: they can
    char changed[140]; // what others have done to the file last, since the start; empty: nothing was noticed
    uint64_t changes;  // how often
};

// Which signatures the file in force needed, and has (trust.conf).
struct stats_signatures {
    uint32_t required; // 0: none are asked for
    uint32_t reserved;
    uint8_t trust_sha256[32]; // of trust.conf, as the start has read it
    char trust_file[256];     // its path, cut
    char signed_by[512];      // names of the keys, "a,b"
    char left[512];           // why the start did not go on with the file that ran before; empty: it did, or had none
};

struct stats_header {
    uint64_t magic;
    uint32_t version;
    uint32_t size; // bytes, of the whole segment
    uint32_t n_interfaces, n_rules, n_inputs, n_outputs;
    uint32_t state;       // enum stats_segment_state
    uint32_t inputs_most; // input interfaces that a later file may have without a restart; 0: not told
    uint32_t keeps;       // 1: a service manager keeps descriptors through a restart
    uint32_t not_kept;    // descriptors for which it has no room
    char program_version[32];
    char instance[64];
    char file[512]; // the config file's path
    struct stats_features features;
    struct stats_signatures signatures;
    struct stats_audit audit; // the broker writes it
    uint32_t sequence;        // of the following fields
    uint32_t pid;             // of the relay
    struct stats_continued continued;
    uint64_t generation;
    uint64_t started_ns, loaded_ns;   // CLOCK_REALTIME
    uint64_t started_boottime_ns;     // CLOCK_BOOTTIME: steps of the wall clock do not change the uptime
    uint64_t heartbeat_ns;            // CLOCK_MONOTONIC, when the relay last wrote here
    uint8_t sha256[32];               // of the file as it was loaded
    uint64_t serial;                  // 0: the file has none
    uint64_t valid_from, valid_until; // seconds since the epoch; 0: none
    uint32_t expired;                 // 1: valid_until has passed
    uint32_t clock;                   // enum stats_clock; UNSYNCHRONISED is what a reader finds (stats/reader.c)
    uint32_t timed;                   // not 0: the file has times, so that the clock matters
    uint32_t disk_state;              // of the file on disk; differs from config_state during a trial alone
    uint32_t config_state;            // enum stats_config_state
    uint32_t seccomp;                 // enum stats_seccomp, as the kernel reports it for the relay
    uint64_t capabilities;            // of the relay, effective or permitted, as the kernel reports them
    uint32_t landlock;                // ABI in force, 0: none
    uint32_t broker_alive;
    uint8_t disk_sha256[32]; // of the file that is on disk now; zero: it cannot be read
    // mcrd --reload reads asked, sends SIGHUP, and waits until answered is larger than the value it has read. So does
    // mcrd --confirm with STATS_CONFIRM_SIGNAL.
    uint64_t asked;         // loads and confirmations that were requested, by a signal or a file (reload_on_change)
    uint64_t answered;      // value of asked at the beginning of that to which verdict belongs
    uint32_t verdict;       // enum stats_verdict
    uint32_t isolation;     // of the relay: mask of enum stats_isolation
    char refusal[1024];     // why the last load was refused; empty: it was accepted
    char disk_error[1024];  // the first error of the file on disk; empty: it is valid
    uint64_t trial_ends_ns; // CLOCK_MONOTONIC; 0: nothing is on trial
    uint8_t returns_to[32]; // sha256 of the file that a trial goes back to
    char returned[256];     // why the last trial was not kept; empty: there was none since, or it was
};

// Ends a trial (signal(7): a real-time signal, which is queued with its value).
#define STATS_CONFIRM_SIGNAL SIGRTMIN

// Pointers to the records of a segment.
struct stats_segment {
    struct stats_header *header;
    struct stats_interface *interfaces;
    struct stats_rule *rules;
    struct stats_input *inputs;
    struct stats_output *outputs;
};

// Bytes of a segment with so many records.
size_t stats_segment_size(uint32_t n_interfaces, uint32_t n_rules, uint32_t n_inputs, uint32_t n_outputs);

// Points s into memory laid out for these counts. It reads nothing from memory.
void stats_segment_place(struct stats_segment *s, void *memory, uint32_t n_interfaces, uint32_t n_rules,
                         uint32_t n_inputs);

// The only writer of a record calls these before and after each change of its fields. Readers never write.
void stats_write_begin(uint32_t *sequence);
void stats_write_end(uint32_t *sequence);

#endif
