// SPDX-License-Identifier: Apache-2.0
// hint: what the author most likely meant by a value or a key that is not allowed, to be written in its place.
#ifndef MCR_CONFIG_HINT_H
#define MCR_CONFIG_HINT_H

#include "config/schema.h"
#include "config/value.h"

#define HINT_MAX (VALUE_TEXT_MAX + 64)

// ": write 5000", where the key would take that, or ": use "group"", where that key would take the value; else "".
// Returns text.
const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX]);

// The key of this place for what other programs call by this name, or NULL.
const struct schema_key *hint_key(enum schema_place where, const char *name);

#endif
