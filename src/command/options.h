// SPDX-License-Identifier: Apache-2.0
// options: the command line of mcrd, with a row for each command and option.
#ifndef MCR_COMMAND_OPTIONS_H
#define MCR_COMMAND_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arguments.h"

struct options {
    unsigned command;                  // 0: run the daemon
    struct argument_list config_paths; // at least one
    struct argument_list captures, interfaces;
    struct argument_list against; // none, or one for each of config_paths
    const char *out, *trust;      // or NULL
    bool verify;                  // --history
    struct argument_list from;
    const char *head;
    bool running, json, quiet, debug, fresh, detail;
    const char *at_text;     // --at, or NULL
    uint64_t at;             // the same, in seconds since the epoch; 0: now
    unsigned role;           // enum firewall_role
    double timeout;          // seconds
    unsigned sandbox;        // enum sandbox_mode
    unsigned without;        // mask of enum feature
    const char *datagram[3]; // SRC DST PORT
    uint64_t port, vlan, size, ttl;
};

// Parses a command line into *o, with defaults. Returns -1 to continue, or the exit status after --help, --version or a
// message on stderr.
int options_parse(int argc, char **argv, struct options *o);

// Runs the given command. Returns the exit status.
int options_run(const struct options *o);

#endif
