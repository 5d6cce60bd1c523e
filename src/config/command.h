// SPDX-License-Identifier: Apache-2.0
// command: the commands of mcrd that only look at a config file. They return the exit status: 0 valid, 1 not.
#ifndef MCR_CONFIG_COMMAND_H
#define MCR_CONFIG_COMMAND_H

#include <stdbool.h>

// Prints "FILE: valid, N rules, sha256 HEX" to stdout; errors and warnings go to stderr.
int config_command_check(const char *path);

// Prints the effective config to stdout, as the file would say it or as JSON.
int config_command_print(const char *path, bool json);

#endif
