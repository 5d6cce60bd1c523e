// SPDX-License-Identifier: Apache-2.0
// print: the effective config, every default written out.
#ifndef MCR_CONFIG_PRINT_H
#define MCR_CONFIG_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "config/model.h"

// Writes it in the grammar of the file: what is printed parses to the same config. False when writing failed.
bool config_print(const struct config *c, FILE *to);

// The same as one JSON object with the file's own key names. False when writing failed.
bool config_print_json(const struct config *c, FILE *to);

#define CONFIG_SHA256_TEXT_MAX 65 // with the NUL

// The digest of the file in hexadecimal; returns text.
const char *config_sha256_format(const struct config_file_info *file, char text[CONFIG_SHA256_TEXT_MAX]);

#endif
