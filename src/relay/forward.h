// SPDX-License-Identifier: Apache-2.0
// forward: what happens to a parsed packet under one table: match, check, limit, batch, send, count.
#ifndef MCR_RELAY_FORWARD_H
#define MCR_RELAY_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/egress.h"
#include "relay/health.h"
#include "relay/limiter.h"
#include "wire/packet.h"
#include "stats/layout.h"
#include "table/view.h"

// Batches that can be pending at once; if all are in use, the first datagram of another path flushes them. As many as a
// pass has slots (INGRESS_BUDGET), and a transmit ring.
#define FORWARD_BATCHES 256

// What changes about one rule; the table is read-only.
struct rule_state {
    struct stats_rule_counters counters;
    struct limiter limiter;
    struct senders *senders; // with per_source: used in place of limiter; else NULL
    struct health health;
    bool touched; // its counters are newer than the published ones
};

// How sending by one output goes. The data path does nothing for it.
struct sends {
    struct spell failing;
    uint64_t packets; // of the output when a refusal was last seen
    uint64_t before;  // of the output when the spell began
};

// All memory is taken by forward_new(); nothing is allocated for a packet.
struct forward {
    const struct table_view *table;
    struct stats_segment stats;
    struct rule_state *flows;              // one for each rule
    struct stats_input_counters *legs;     // one for each of the table's inputs; counts where the rule has several
    struct stats_output_counters *outputs; // one for each of the table's counters
    struct refusals refusals;              // of its outputs, as egress.c counts them
    struct sends *output_sends;            // one for each of the table's counters
    struct egress **egress;                // one for each of the table's, set by the owner; NULL: missing
    uint32_t *touched;                     // rules
    uint32_t n_touched;
    uint64_t own[TABLE_INTERFACES_MAX]; // martian_bits() of each interface
    struct batch **batch;               // of each path: pending, or NULL
    uint32_t pending[FORWARD_BATCHES];  // paths that hold a batch; batch i belongs to pending[i]
    uint32_t n_pending;
    struct egress **waiting; // those whose transmit rings hold frames until the end of a flush
    uint32_t n_waiting;
    uint64_t now_ns;                       // of this pass
    uint64_t sends;                        // datagrams times outputs since the caller set it to 0
    uint32_t flushed;                      // batches that were pending at a flush, since the caller set it to 0
    struct batch batches[FORWARD_BATCHES]; // empty where none is pending
};

// Prepares forwarding by table. Table and mapped statistics stay the caller's and must outlive the result. NULL without
// memory.
struct forward *forward_new(const struct table_view *table, const struct stats_segment *stats, uint64_t now_ns);
void forward_free(struct forward *f);

// Copies the counters and the buckets' levels of the rules and outputs that the table says to carry over from the one
// before; NULL: none.
void forward_carry(struct forward *f, const struct forward *before);

enum forward_verdict { FORWARD_TAKEN, FORWARD_UNMATCHED, FORWARD_BAD_CHECKSUM, FORWARD_MARTIAN };

// Takes one packet from an interface (index in the table). Its payload must stay as it is until forward_flush().
// FORWARD_TAKEN: a rule counts it from here on.
enum forward_verdict forward_packet(struct forward *f, uint32_t interface, const struct packet *p,
                                    const struct packet_meta *meta);

// Sends everything that is pending.
void forward_flush(struct forward *f);

// The path of the oldest batch that waits for forward_flush(), or TABLE_NONE.
uint32_t forward_pending(const struct forward *f);

// Takes one of the rules whose counters have changed since they were taken or published, or TABLE_NONE.
uint32_t forward_take_touched(struct forward *f);

// Checks the health of every rule and calls tell for each one whose alarms have changed. Returns whether there was one.
bool forward_look(struct forward *f, uint64_t now_ns,
                  void (*tell)(const struct table_rule *rule, const struct health *health, uint32_t changed));

// Calls tell for each output that has ceased to get through, and for each that works again: something has left by it,
// and nothing was refused or answered by an ICMP error for SPELL_QUIET_NS. Returns whether a rule's state has changed.
typedef void forward_tell_sends(const struct table_rule *rule, const struct table_interface *interface,
                                const struct refusal *refusal, const struct spell *failing);
bool forward_look_at_sends(struct forward *f, uint64_t now_ns, forward_tell_sends *tell);

// An address of a link was asked for and does not answer: what is sent to it directly does not arrive.
void forward_unreachable(struct forward *f, uint32_t ifindex, const struct addr *to);

// The state of a rule now.
enum stats_rule_state forward_state(const struct forward *f, uint32_t rule);

// Writes the counters that have changed into the statistics segment.
void forward_publish(struct forward *f);

// The same for all rules, changed or not, and their states (a new segment).
void forward_publish_all(struct forward *f);

#endif
