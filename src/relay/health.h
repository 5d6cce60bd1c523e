// SPDX-License-Identifier: Apache-2.0
// health: alarms of a rule's input (silence_ms, min_packets_per_second), and the spells in which its limit drops or an
// output fails. Pure: the caller counts and gives the time. Every now_ns is CLOCK_MONOTONIC.
#ifndef MCR_RELAY_HEALTH_H
#define MCR_RELAY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "stats/layout.h"
#include "table/layout.h"

// A spell ends when its count has not grown for this time, so that repeated bursts are one spell.
#define SPELL_QUIET_NS (5 * NS_PER_S)

// A period in which a count grows again and again.
struct spell {
    bool on;
    uint64_t count;             // at the last look
    uint64_t before;            // count before the spell began
    uint64_t began_ns, last_ns; // first and last look at which count had grown
};

// Updates the spell with the present count. Returns whether a spell has begun or ended. It ends after quiet_ns without
// growth.
bool spell_look(struct spell *s, uint64_t count, uint64_t quiet_ns, uint64_t now_ns);

// A timer looks at the count of datagrams from allowed senders. The data path does not touch it.
struct health {
    uint64_t count;                   // at the last look
    uint64_t changed_ns;              // first look at which count had its present value
    uint64_t window_count;            // count at the beginning of the present second
    uint64_t window_ns;               // beginning of the present second
    uint64_t rate;                    // datagrams a second in the last whole second
    uint64_t p99_us;                  // of the residence in the last second
    uint64_t above_ns;                // end of the last second in which it was too long
    uint32_t alarms;                  // mask of enum stats_alarm
    uint64_t raised_ns[STATS_ALARMS]; // when each alarm was last raised
    struct spell limit;               // spell of drops by the rule's limit
};

// Returns whether the rule has a silence_ms, a min_packets_per_second, a max_residence_us or a limit.
bool health_wanted(const struct table_rule *rule);

void health_init(struct health *h, uint64_t now_ns);

// Updates h with the present counts: of datagrams from allowed senders, and of those that the limit has dropped.
// Returns a mask of the alarms that were raised or cleared (h->alarms tells which of the two), and of HEALTH_LIMIT if a
// spell of the limit has begun or ended (h->limit.on).
#define HEALTH_LIMIT (1u << STATS_ALARMS)
uint32_t health_look(struct health *h, const struct table_rule *rule, uint64_t count, uint64_t limited,
                     uint64_t now_ns);

// Judges a second in which one datagram in a hundred stayed in the relay for p99_ns or longer; 0: there was none. The
// alarm ends when no second has been too long for SPELL_QUIET_NS, or without max_residence_us at once. Returns the mask
// of the alarm if it was raised or cleared.
uint32_t health_residence(struct health *h, const struct table_rule *rule, uint64_t p99_ns, uint64_t now_ns);

// A period in which the rule itself has dropped nearly all that came from allowed senders: too large, without a number
// to be merged by, its ttl used up, or stale. It is judged second by second.
struct blockage {
    bool on;
    uint64_t window_ns;        // beginning of the present second
    uint64_t packets;          // datagrams until then
    uint64_t fit, unfit;       // of them
    struct stats_drops seen;   // drops until then
    struct stats_drops before; // drops when it began
    uint32_t bad;              // seconds in which nearly all was dropped, since the last good one
    uint64_t last_ns;          // end of the last of them
};

// It takes so many bad seconds. A second is bad when so many times as much was dropped as passed.
#define BLOCKAGE_SECONDS 3
#define BLOCKAGE_TIMES   9

// Updates b with a rule's counters. Returns whether a blockage has begun or ended: by a good second, or when nothing
// more has come for SPELL_QUIET_NS.
bool blockage_look(struct blockage *b, const struct stats_rule_counters *c, uint64_t now_ns);

// Whether b has nothing to wait for: all that is counted is judged, and the last second was not a bad one.
bool blockage_settled(const struct blockage *b, const struct stats_rule_counters *c);

// Writes what has been dropped since it began: "no_sequence (has no number to be merged by)". Returns text.
#define BLOCKAGE_TEXT_MAX 96
const char *blockage_why(const struct blockage *b, char text[BLOCKAGE_TEXT_MAX]);

// One of several legs of a rule.
struct leg_health {
    uint64_t count;      // of datagrams from allowed senders, at the last look
    uint64_t changed_ns; // first look at which count had its present value
    uint64_t heard_ns;   // last look at which count had grown; 0: none
};

void leg_health_note(struct leg_health *leg, uint64_t count, uint64_t now_ns);

// Whether another leg has brought something for silence_ms without this one. last_ns: when one of all legs last did; 0:
// none has.
// Legs that fall silent together are the silence of the rule. silence_ms 0: false.
bool leg_health_silent(const struct leg_health *leg, uint32_t silence_ms, uint64_t last_ns);

#endif
