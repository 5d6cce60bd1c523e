// SPDX-License-Identifier: Apache-2.0
// print: the effective config, every default written out; and what that form may say, for programs.
#ifndef MCR_CONFIG_PRINT_H
#define MCR_CONFIG_PRINT_H

#include <stdbool.h>
#include <stdio.h>

#include "config/model.h"
#include "config/schema.h"

struct json_t;

// Writes it in the grammar of the file: what is printed parses to the same config. False when writing failed.
bool config_print(const struct config *c, FILE *to);

// The same as one JSON object with the file's own key names. False when writing failed.
bool config_print_json(const struct config *c, FILE *to);

// Writes a JSON Schema (draft 2020-12) of what config_print_json() writes, made of the schema's rows. The file itself
// has the same keys, with defaults left out where one likes. False when writing failed.
bool config_describe(FILE *to);

// What the printed form says of one key of target, the struct of the key's place, or of a whole section, for the caller
// to give back with json_decref(). NULL when nothing was given, or out of memory.
struct json_t *config_value_tree(const struct schema_key *key, const void *target);
struct json_t *config_section_tree(enum schema_place where, const void *target);

// Writes such a tree as the file would say it; in one line, unless it holds sections in sections.
void config_tree_print(struct json_t *tree, FILE *to);

#endif
