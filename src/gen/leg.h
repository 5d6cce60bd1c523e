// SPDX-License-Identifier: Apache-2.0
// leg: one of the ways by which mcrgen sends the same stream, and what it does to the stream there: losses, delay,
// disorder, repeats. Pure: all but the delay follows from the seed, the leg's number and a datagram's place in the
// stream, whatever the timing.
#ifndef MCR_GEN_LEG_H
#define MCR_GEN_LEG_H

#include "common/addr.h"
#include "gen/list.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define LEG_MOST         8     // as many as a rule of mcr.conf(5) may have inputs
#define LEG_DELAY_MS     10000 // the longest window_ms of mcr.conf(5)
#define LEG_REORDER_MOST 1000
#define LEG_REPEAT_MOST  9
#define LEG_PATTERNS     8

struct leg {
    char interface[IFNAMSIZ];
    unsigned ifindex; // left to the caller
    struct addr to;
    uint64_t port;

    uint64_t delay_ms;
    uint64_t reorder; // of so many and one more, the first comes last; 0: in order
    uint64_t repeat;  // so many further copies of each
    uint64_t loss;    // of 2^32 datagrams; 2^32: all
    // A run of datagrams from a place on that do not leave, once (every is 0) or again and again.
    struct leg_pattern {
        uint64_t run, every, from;
    } patterns[LEG_PATTERNS];
    unsigned n_patterns;
    uint64_t key; // of the losses by probability
};

// Reads "INTERFACE,ADDRESS,PORT[,delay_ms=N][,loss=P%][,pattern=RUN[/EVERY][@FROM]]...[,reorder=N][,repeat=N]". False,
// with the reason in why, when it is not one.
bool leg_parse(const char *text, struct leg *leg, char why[LIST_WHY_MAX]);

// To be called once for a leg by its number, 1 to LEG_MOST, before leg_loses().
void leg_seed(struct leg *leg, uint64_t seed, unsigned number);

// Whether the datagram at this place of the stream, counted from 0, does not leave.
bool leg_loses(const struct leg *leg, uint64_t place);

// Which datagram the leg sends at a turn, counted from 0, when `made` datagrams are there, and no further one comes
// once the stream has ended. False when that datagram is not there yet, or all have had their turn.
bool leg_turn(const struct leg *leg, uint64_t turn, uint64_t made, bool ended, uint64_t *place);

// The first place that the leg may still send at this turn or a later one.
uint64_t leg_oldest(const struct leg *leg, uint64_t turn);

#endif
