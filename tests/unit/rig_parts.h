// SPDX-License-Identifier: Apache-2.0
// rig_parts: what rig.c has of the two processes.
#ifndef MCR_TESTS_UNIT_RIG_PARTS_H
#define MCR_TESTS_UNIT_RIG_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "machine/feature.h"

// Frames leave one by one, so that each is seen.
#define RIG_WITHOUT (FEATURE_SUPER_FRAMES | FEATURE_TX_RING | FEATURE_PACKET_GSO | FEATURE_UDP_GSO | FEATURE_LANDLOCK)
#define RIG_PID     4711471 // that of no process: more than PID_MAX_LIMIT of linux/threads.h

struct broker;
struct relay;

// first, n, names: what the manager has handed over.
struct broker *rig_broker_start(int relay, int inotify, const char *path, const char *trust, int first, size_t n,
                                const char *names);
// What is logged from now on is the broker's.
void rig_broker_speaks(const struct broker *b);
// Serves requests until the broker ends, as its process does, and frees it.
void rig_broker_run(struct broker *b);
// Of two times that the broker may wait, the one that it waits.
int rig_broker_sooner(int a, int b);

struct relay *rig_relay_start(int broker, int inotify);
// Whether it still listens to the broker.
bool rig_relay_hears(struct relay *r);
// Whether its loop is to end, and with which exit status.
bool rig_relay_ends(const struct relay *r, int *status);
// One message of the broker.
void rig_relay_take(struct relay *r);
// What is due at this time (CLOCK_MONOTONIC), a tick of 0.2 s behind the last one.
void rig_relay_tick(struct relay *r, uint64_t now_ns);
// One turn of the loop, without what libev does in it.
struct rig_turn {
    bool busy;        // it has polled
    bool held;        // a timer runs for what is held back
    unsigned wait_us; // before the next one
};
struct rig_turn rig_relay_turn(struct relay *r);
void rig_relay_signals(struct relay *r);
void rig_relay_news(struct relay *r, bool links);
// Writes what the loop watches, and lets each be answered once.
void rig_relay_watches(struct relay *r, FILE *to);
void rig_relay_end(struct relay *r, bool killed);

#endif
