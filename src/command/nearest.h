// SPDX-License-Identifier: Apache-2.0
// nearest: the rules that almost take a datagram, and in what they differ.
#ifndef MCR_COMMAND_NEAREST_H
#define MCR_COMMAND_NEAREST_H

#include "config/model.h"
#include "config/schema.h"
#include "table/view.h"

struct json_t;

#define NEAREST_TEXT_MAX 512

// Appends {"rule", "line", "differs", "text"} for the rules that differ least, at most NEAREST_MAX of them: nothing but
// the port, the VLAN, the interface (where one is given, not as in key), being disabled, or the address; the addresses
// most alike first. A rule of another family, or of another address and port, is not near.
#define NEAREST_MAX 8
void nearest_find(const struct config *config, const char *interface, const struct table_key *key,
                  struct json_t *array);

// What the file says of a key, cut where it does not fit, and of an input as a whole; return text.
const char *nearest_value(enum schema_place where, const char *key, const void *target, char text[NEAREST_TEXT_MAX]);
const char *nearest_input(const struct config_input *in, char text[NEAREST_TEXT_MAX]);

#endif
