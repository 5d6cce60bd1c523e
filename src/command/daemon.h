// SPDX-License-Identifier: Apache-2.0
// daemon: finds the running mcrd by its statistics. A process without rights writes them, so what matters is checked,
// and texts are made safe to print.
#ifndef MCR_COMMAND_DAEMON_H
#define MCR_COMMAND_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "stats/layout.h"

#define DAEMON_WHY_MAX 1536

struct daemon {
    struct stats_header header; // consistent; every string ends
    uid_t owner;                // of the file of the statistics
    pid_t pid;                  // the process that holds the lock, in this pid namespace; -1: it is not visible
};

enum daemon_state {
    DAEMON_NONE,     // there is none; why has the reason
    DAEMON_CHANGING, // its statistics are being replaced: look again; why has the details
    DAEMON_RUNS,
};

// Looks for the daemon of stats_file, as it is now.
enum daemon_state daemon_look(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX]);

// Does the same, but waits up to a second while the statistics are being replaced.
enum daemon_state daemon_wait(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX]);

// Returns whether the daemon was started with the file at path.
bool daemon_is_of(const struct daemon *d, const char *path);

// Returns a pidfd of the process that writes the statistics, which the caller closes. It does not use the pid in the
// statistics, because whoever can write them could then have another process signalled. Returns -1 with why.
int daemon_open(const char *stats_file, const struct daemon *d, char why[DAEMON_WHY_MAX]);

// Writes text so that it is safe to print on a terminal. Returns out.
const char *daemon_text(const char *text, char out[DAEMON_WHY_MAX]);

#endif
