// SPDX-License-Identifier: Apache-2.0
// notify: tells systemd how the service is (sd_notify(3)), by a socket that is connected before the sandbox closes.
#ifndef MCR_RELAY_NOTIFY_H
#define MCR_RELAY_NOTIFY_H

#include <stdint.h>

struct notify {
    int fd;               // -1: nobody wants to know
    uint64_t watchdog_ns; // half of what systemd grants between two signs of life; 0: no watchdog
};

// Connects to $NOTIFY_SOCKET and reads $WATCHDOG_USEC. What is missing there or malformed is left out.
void notify_init(struct notify *n);

// Sends one assignment or more, separated by newlines. Never waits, never fails.
void notify_send(const struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
