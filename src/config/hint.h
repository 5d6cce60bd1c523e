// SPDX-License-Identifier: Apache-2.0
// hint: suggests what to write in place of a value or key that is not allowed.
#ifndef MCR_CONFIG_HINT_H
#define MCR_CONFIG_HINT_H

#include "config/schema.h"
#include "config/value.h"

#define HINT_MAX (VALUE_TEXT_MAX + 64)

// Writes ": write 5000" if the key allows that value, or ": use "group"" if that key allows the value; else "". Returns
// text.
const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX]);

// Writes ": write "239.255.10.0/28" or "239.255.10.5"" for a prefix with bits beyond its length, else "". Returns text.
const char *hint_network(const char *prefix, char text[HINT_MAX]);

// Returns the key of this place for a name that other programs use, or NULL.
const struct schema_key *hint_key(enum schema_place where, const char *name);

#endif
