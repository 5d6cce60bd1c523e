// SPDX-License-Identifier: Apache-2.0
// notify: reports the state of the service to systemd (sd_notify(3)), by a socket that is connected before the sandbox
// takes effect.
#ifndef MCR_RELAY_NOTIFY_H
#define MCR_RELAY_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_MAX 1024 // bytes of a message

struct notify {
    int fd;               // -1: not started by systemd; nothing is sent
    bool keeps;           // the manager keeps descriptors from one process to the next
    uint64_t watchdog_ns; // interval of keep-alives: half of systemd's limit; 0: no watchdog
    // Messages for which systemd's queue had no room.
    uint64_t reloading_usec; // RELOADING=1, with the start of the load (CLOCK_MONOTONIC, microseconds); 0: none
    bool ready;              // READY=1
    char status[NOTIFY_MAX], delivered[NOTIFY_MAX]; // STATUS=... as it is to be, and as systemd has got it
};

// Connects to $NOTIFY_SOCKET and reads $WATCHDOG_USEC and $WATCHDOG_PID. Ignores a variable that is missing or
// malformed.
void notify_init(struct notify *n);

// Sends one or more assignments, separated by newlines (printf format). Never blocks. Returns false if systemd's queue
// has no room.
bool notify_send(const struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Send the messages that systemd waits for: RELOADING=1 with the start of the load (CLOCK_MONOTONIC, microseconds), and
// READY=1. If the queue has no room, they are kept for notify_again().
void notify_reloading(struct notify *n, uint64_t monotonic_usec);
void notify_ready(struct notify *n);

// Sends the status line (printf format, "STATUS=..."), unless systemd has it. If the queue has no room, it is kept for
// notify_again().
void notify_status(struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Sends the kept messages, in order. Returns whether one was sent.
bool notify_again(struct notify *n);

#endif
