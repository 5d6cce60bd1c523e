// SPDX-License-Identifier: Apache-2.0
// nearest: finds the rules that almost match a datagram, and in what they differ.
#ifndef MCR_COMMAND_NEAREST_H
#define MCR_COMMAND_NEAREST_H

#include "config/model.h"
#include "config/schema.h"
#include "table/view.h"

struct json_t;

#define NEAREST_TEXT_MAX 512

// Appends {"rule", "line", "differs", "text"} for the at most NEAREST_MAX rules that differ least: in the port, the
// VLAN, the interface (`interface`, not that of key; NULL: any), the address, or by being disabled. Rules with the most
// similar address come first. A rule of another family, or of another address and port, is not near.
#define NEAREST_MAX 8
void nearest_find(const struct config *config, const char *interface, const struct table_key *key,
                  struct json_t *array);

// Write the value of a key as in the file, cut if it does not fit, or a whole input. Return text.
const char *nearest_value(enum schema_place where, const char *key, const void *target, char text[NEAREST_TEXT_MAX]);
const char *nearest_input(const struct config_input *in, char text[NEAREST_TEXT_MAX]);

#endif
