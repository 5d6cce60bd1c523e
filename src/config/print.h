// SPDX-License-Identifier: Apache-2.0
// print: prints the effective config with every default, and a JSON Schema of this form.
#ifndef MCR_CONFIG_PRINT_H
#define MCR_CONFIG_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "config/model.h"
#include "config/schema.h"

struct json_t;

// Writes the config in the syntax of the file, so that the output parses to the same config. Returns false if writing
// failed.
bool config_print(const struct config *c, FILE *to);

// Writes the same as one JSON object with the key names of the file. Returns false if writing failed.
bool config_print_json(const struct config *c, FILE *to);

// Writes a JSON Schema (draft 2020-12) of the output of config_print_json(), made from the schema's rows. The file has
// the same keys, but those with defaults are optional. Returns false if writing failed.
bool config_describe(FILE *to);

// Return the printed form of one key of target, the struct of the key's place, or of a whole section. The caller calls
// json_decref(). NULL if nothing was given, or without memory.
struct json_t *config_value_tree(const struct schema_key *key, const void *target);
struct json_t *config_section_tree(enum schema_place where, const void *target);

// Writes such a tree in the syntax of the file; in one line, unless it has nested sections.
void config_tree_print(struct json_t *tree, FILE *to);

#endif
