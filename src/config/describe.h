// SPDX-License-Identifier: Apache-2.0
// describe: what a file may say, for programs.
#ifndef MCR_CONFIG_DESCRIBE_H
#define MCR_CONFIG_DESCRIBE_H

#include <stdbool.h>
#include <stdio.h>

// Writes a JSON Schema (draft 2020-12) of what config_print_json() writes, made of the schema's rows. The file itself
// has the same keys, with defaults left out where one likes. False when writing failed.
bool config_describe(FILE *to);

#endif
