// SPDX-License-Identifier: Apache-2.0
// forward: handles a parsed packet under one table: match, check, limit, batch, send, count.
#ifndef MCR_RELAY_FORWARD_H
#define MCR_RELAY_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handover/handover.h"
#include "relay/egress.h"
#include "relay/health.h"
#include "relay/limiter.h"
#include "relay/streams.h"
#include "wire/merge.h"
#include "wire/packet.h"
#include "stats/layout.h"
#include "table/view.h"

// Batches that can be pending at once; if all are in use, the first datagram of another path flushes them. As many as
// the slots of a pass (INGRESS_BUDGET) and of a transmit ring (TABLE_TX_SLOTS).
#define FORWARD_BATCHES 256

// The changing state of one rule; the table is read-only.
struct rule_state {
    struct stats_rule_counters counters;
    struct limiter limiter;
    struct senders *senders; // with per_source: in place of limiter; else NULL
    struct health health;
    struct blockage blockage;
    uint32_t told_leg;        // by active: the leg that was last told as the active one; MERGE_NO_LEG: none
    struct residence *second; // of a rule with max_residence_us: its residence when the last second began; else NULL
    uint64_t second_ns;       // when that was
    bool touched;             // the counters have changed since they were published
    bool came;                // the rule stands in came
    uint32_t ended;           // not 0: active_until has passed, nothing is sent any more
};

// Whether sending by one output works. The data path does not touch it.
struct sends {
    struct spell failing;
    uint64_t packets;    // the output's counter when a failure was last seen, and for ICMP_PAUSE_NS (shown.c) from then
    uint64_t left_ns;    // first look at which a datagram had left since then; 0: none has
    uint64_t before;     // the output's counter when the spell began
    uint64_t seen;       // the output's counter at the last look in the spell
    uint64_t sent_ns;    // when it had grown last, or the spell had begun
    uint64_t sending_ns; // the time of the spell in which datagrams have left: up to a second for each
    bool single;         // hardly one has left in its first second
    uint64_t id;         // of its socket; 0: it has none
    uint64_t excused;    // how many failures were those of other sockets
};

// forward_new() allocates all memory; none is allocated for a packet.
struct forward {
    const struct table_view *table;
    struct stats_segment stats;
    struct handover_state *memory;               // the pieces marked with (M) lie there
    void *block;                                 // that memory lies in, if it is of forward_new(); else NULL
    struct stats_interface_counters *interfaces; // (M) one for each interface
    struct rule_state *flows;                    // (M) one for each rule, with its senders and its `second`
    struct stats_input_counters *legs;     // (M) one for each of the table's inputs; counts where the rule has several
    struct stats_output_counters *outputs; // (M) one for each of the table's counters
    struct refusals refusals;              // of the outputs, counted by egress.c
    struct residence *residence;           // (M) one for each rule
    bool untimed;                          // nothing leaves in truth, so that no datagram has a residence or a deadline
    struct sends *output_sends;            // one for each of the table's counters
    struct egress **egress;                // one for each element of table->egress, set by the owner; NULL: missing
    uint32_t *touched;                     // indexes of touched rules
    uint32_t n_touched;
    uint32_t *came; // indexes of rules to which something has come since forward_tick()
    uint32_t n_came;
    struct merge **merges; // (M) of each path of a rule that merges; else NULL
    uint32_t anew;         // of those that forward_resume() has found, how many were no state and begin anew
    uint32_t *holding;     // paths that may hold something back, each once
    bool *holds;           // of each path: it stands in holding
    uint32_t n_holding;
    uint64_t released;       // datagrams whose turn has come, since the caller set it to 0
    bool judges;             // the caller judges each packet by itself, and calls forward_release() behind it
    uint64_t due_ns;         // when what is held back leaves at the latest, CLOCK_REALTIME; UINT64_MAX: nothing is held
    struct streams *streams; // (M)
    uint64_t own[TABLE_INTERFACES_MAX]; // martian_bits() of each interface
    uint64_t stations;                  // station_bits()
    struct batch **batch;               // pending batch of each path, or NULL
    uint32_t pending[FORWARD_BATCHES];  // paths that hold a batch; batch i belongs to pending[i]
    uint32_t n_pending;
    struct egress **waiting; // the egress whose transmit rings hold frames until the end of a flush
    uint32_t n_waiting;
    uint64_t now_ns;                       // start of this pass, CLOCK_MONOTONIC
    bool has_merges;                       // some rule merges
    bool unreachable_seen;                 // an output may have counted what its rule did not bring
    bool by_active;                        // some rule merges so
    bool merging[TABLE_INTERFACES_MAX];    // of each interface: it brings a leg of a merge
    uint64_t others_ns;                    // stamp up to which the rings but that of this pass have been emptied
    uint64_t bridged_ns;                   // CLOCK_REALTIME of forward_bridge(), until forward_settle(); or 0
    uint64_t bridge_ends_ns;               // CLOCK_MONOTONIC, whatever the clock does
    uint64_t sends;                        // datagrams times outputs, since the caller set it to 0
    uint32_t flushed;                      // batches that were pending at a flush, since the caller set it to 0
    size_t mapped;                         // bytes of memory, if the caller has mapped it (mapping.c)
    struct batch batches[FORWARD_BATCHES]; // the first n_pending are in use
};

// Bytes of the memory in which the state of a table lies.
size_t forward_bytes(const struct table_view *table);

// Creates the forwarding state of a table in forward_bytes() of zero memory, aligned to a cache line; NULL: in memory
// of its own. The caller keeps table, statistics and memory, which must outlive the result. Returns NULL without
// memory; forward_free() frees it.
struct forward *forward_new(const struct table_view *table, const struct stats_segment *stats, void *memory,
                            uint64_t now_ns);
void forward_free(struct forward *f);

// Takes up the state that another process has left in such memory, of `size` bytes, to be carried over by
// forward_carry() and for nothing else. That process may have ended at any moment, or mean ill: its memory is not
// trusted. Returns NULL with *why (static text).
struct forward *forward_resume(const struct table_view *table, void *memory, size_t size, uint64_t now_ns,
                               const char **why);

// Copies counters, bucket levels and health from the state of the previous table, for the rules and outputs with
// carried_from. before: NULL if there is none.
void forward_carry(struct forward *f, struct forward *before);

// Copies the counters of a table of the same file to one that may be gone back to: those that forward_carry() does not
// find in the table on trial go on with them.
void forward_keep(struct forward *f, const struct forward *same);

// Begins the time of rules that were not in the table on trial, whose counters may be older, before forward_carry().
void forward_wake(struct forward *f, uint64_t now_ns);

// After a start that goes on with the state of an mcrd which ended gap_ns ago: limits take what waited meanwhile as if
// it had come in its time, and no residence alarm is raised for it, until forward_settle(), which is called once it has
// been taken. now_ns: CLOCK_MONOTONIC.
#define FORWARD_GAP_MOST_NS (60 * NS_PER_S)
void forward_bridge(struct forward *f, uint64_t gap_ns, uint64_t now_ns);
void forward_settle(struct forward *f);

// Datagrams from allowed senders.
static inline uint64_t forward_allowed(const struct rule_state *flow)
{
    return flow->counters.packets - flow->counters.drops.source;
}

enum forward_verdict { FORWARD_TAKEN, FORWARD_UNMATCHED, FORWARD_BAD_CHECKSUM, FORWARD_MARTIAN };

// Handles one packet from an interface (index in the table). Its payload must not change until forward_flush().
// FORWARD_TAKEN: a rule has counted it; otherwise the caller counts it for the interface.
enum forward_verdict forward_packet(struct forward *f, uint32_t interface, const struct packet *p,
                                    const struct packet_meta *meta);

// Sends all pending batches.
void forward_flush(struct forward *f);

// Sends what has been held back for reorder_ms by now_ns (CLOCK_REALTIME; UINT64_MAX: all), and sets due_ns anew.
void forward_release(struct forward *f, uint64_t now_ns);

// The same for one path; now_ns 0: only what is in order. due_ns stays.
void forward_release_path(struct forward *f, uint32_t path, uint64_t now_ns);

// Notes when a path must release what it holds back, if it holds something.
void forward_note_held(struct forward *f, uint32_t path);

// Returns the path of the oldest pending batch, or TABLE_NONE.
uint32_t forward_pending(const struct forward *f);

// Returns a rule whose counters have changed since it was last returned or published, or TABLE_NONE.
uint32_t forward_take_touched(struct forward *f);

// Checks the health of every rule, and calls tell for each rule whose alarms or limit spell have changed
// (health_look()). Returns whether there was one.
bool forward_look(struct forward *f, uint64_t now_ns,
                  void (*tell)(const struct table_rule *rule, const struct health *health, uint32_t changed));

// Calls tell for each output that has begun to fail, and for each that works again: a datagram has left by it, and none
// was refused or answered by an ICMP error for SPELL_QUIET_NS. Returns whether a rule's state has changed.
typedef void forward_tell_sends(const struct table_rule *rule, const struct table_interface *interface,
                                const struct refusal *refusal, const struct spell *failing);
bool forward_look_at_sends(struct forward *f, uint64_t now_ns, forward_tell_sends *tell);

// Notes that a neighbour does not answer (ARP, neighbour discovery): datagrams to it on this interface do not arrive.
void forward_unreachable(struct forward *f, uint32_t ifindex, const struct addr *to);

// Returns the present state of a rule.
enum stats_rule_state forward_state(const struct forward *f, uint32_t rule);

// Writes why the rule is in this state, as sentences; empty for one that relays what comes.
void forward_reason(const struct forward *f, uint32_t rule, enum stats_rule_state state, char reason[TABLE_REASON_MAX]);

// Whether the rule sends what passes.
bool forward_sends(const struct table_rule *r);

// Closes the rules whose active_until has passed at now_s (seconds since the epoch), which the next table lacks.
// Returns how many there are anew.
uint32_t forward_end_rules(struct forward *f, uint64_t now_s);

// Calls tell for each rule, merged by "active", whose active leg has changed. before: NULL: there was none.
typedef void forward_tell_switch(const struct table_rule *rule, const struct table_input *leg,
                                 const struct table_input *before);
void forward_look_at_switches(struct forward *f, forward_tell_switch *tell);

// Checks the legs of every rule (streams_look()). Returns whether an alarm has changed.
bool forward_look_at_legs(struct forward *f, uint64_t now_ns, streams_tell *tell);

// Writes what the monitors have counted to the statistics segment, where it has changed.
void forward_publish_streams(struct forward *f);

// Writes what the merges have counted to the statistics segment. now_ns: CLOCK_REALTIME, for the numbers that have left
// their windows meanwhile; 0: not asked for.
void forward_publish_merges(struct forward *f, uint64_t now_ns);

// For a timer: writes the residence of the rules to which something has come, and calls tell for each rule that has
// begun to drop nearly all that comes, and for each that does so no longer (blockage_look()). Returns whether there was
// one.
typedef void forward_tell_blockage(const struct table_rule *rule, const struct blockage *blockage);
bool forward_tick(struct forward *f, uint64_t now_ns, forward_tell_blockage *tell);

// Writes the changed counters to the statistics segment.
void forward_publish(struct forward *f);

// Writes counters, states and reasons of n rules from `first` on to the statistics segment (when it is new). Returns
// the rule behind them.
uint32_t forward_publish_part(struct forward *f, uint32_t first, uint32_t n);

#endif
