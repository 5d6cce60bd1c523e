// SPDX-License-Identifier: Apache-2.0
// daemon: the running mcrd, found through its statistics. A process without rights writes them: what they say is
// checked where it matters, and made fit to be shown.
#ifndef MCR_COMMAND_DAEMON_H
#define MCR_COMMAND_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "stats/layout.h"

#define DAEMON_WHY_MAX 1536

struct daemon {
    struct stats_header header; // consistent; every string ends
    uid_t owner;                // of the file
    pid_t pid;                  // who holds its lock, as seen from here; -1: out of sight
};

enum daemon_state {
    DAEMON_NONE,     // there is none; why tells more
    DAEMON_CHANGING, // its statistics are about to be replaced: look again; why tells more
    DAEMON_RUNS,
};

// Looks at the statistics that have the name stats_file now.
enum daemon_state daemon_look(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX]);

// The same, but for a second waits for a change to end.
enum daemon_state daemon_wait(const char *stats_file, struct daemon *d, char why[DAEMON_WHY_MAX]);

// Whether it was started with the file at path.
bool daemon_is_of(const struct daemon *d, const char *path);

// A pidfd of the process that writes the statistics: not of whatever they name, or whoever may write them could have
// another process signalled. -1, with the reason in why, if not.
int daemon_open(const char *stats_file, const struct daemon *d, char why[DAEMON_WHY_MAX]);

// text as it may be shown on a terminal; returns out.
const char *daemon_text(const char *text, char out[DAEMON_WHY_MAX]);

#endif
