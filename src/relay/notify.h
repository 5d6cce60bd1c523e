// SPDX-License-Identifier: Apache-2.0
// notify: tells systemd how the service is (sd_notify(3)), by a socket that is connected before the sandbox closes.
#ifndef MCR_RELAY_NOTIFY_H
#define MCR_RELAY_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct notify {
    int fd;               // -1: nobody wants to know
    uint64_t watchdog_ns; // half of what systemd grants between two signs of life; 0: no watchdog
    // What systemd's queue had no room for: when the load began (CLOCK_MONOTONIC, microseconds; 0: sent), and that it
    // is over.
    uint64_t reloading_usec;
    bool ready;
};

// Connects to $NOTIFY_SOCKET and reads $WATCHDOG_USEC. What is missing there or malformed is left out.
void notify_init(struct notify *n);

// Sends one assignment or more, separated by newlines. Never waits. False when systemd's queue had no room.
bool notify_send(const struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

// What systemd waits for: RELOADING=1 with the time at which the load began, and READY=1. Kept for notify_again() where
// the queue has no room.
void notify_reloading(struct notify *n, uint64_t monotonic_usec);
void notify_ready(struct notify *n);

// Sends what had no room, in its order. Whether something of it went out.
bool notify_again(struct notify *n);

#endif
