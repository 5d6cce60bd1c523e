// SPDX-License-Identifier: Apache-2.0
// options: the command line of mcrd. Commands and options are rows; the parser, --help and what is said of a wrong line
// follow from them, and completion and man page are held against --help.
#ifndef MCR_COMMAND_OPTIONS_H
#define MCR_COMMAND_OPTIONS_H

#include <stdbool.h>

#include "command/command.h"
#include "sandbox/sandbox.h"

struct options {
    int (*command)(const struct options *o); // NULL: run the daemon
    const char *config_path;
    bool json, debug;
    enum firewall_role role;
    double timeout; // seconds
    struct explain_options explain;
    struct replay_options replay;
    enum sandbox_mode sandbox;
    unsigned without; // mask of enum feature
};

// Fills *o, defaults included, from a command line. Returns -1 to go on, or the exit status, when all was said: by
// --help, by --version, or on stderr what is wrong.
int options_parse(int argc, char **argv, struct options *o);

#endif
