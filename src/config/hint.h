// SPDX-License-Identifier: Apache-2.0
// hint: what the author most likely meant by a value or a key that is not allowed, to be written in its place.
#ifndef MCR_CONFIG_HINT_H
#define MCR_CONFIG_HINT_H

#include "config/schema.h"
#include "config/value.h"

#define HINT_MAX (VALUE_TEXT_MAX + 64)

// What every sender may is said by: nothing.
#define HINT_EVERY_SENDER ": leave \"sources\" out, then every sender may"

// Whether the text holds what a template would have had replaced: {{ }}, {% %}, ${ } or <% %>.
bool hint_is_template(const char *text);

// ": write 5000", where the key would take that, or ": use "group"", where that key would take the value, or what the
// value is for mcr; else "". For SCHEMA_PREFIXES, the value may be one element. Returns text.
const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX]);

#define HINT_KEY_MAX 256

// What to do about a key that this place does not have: ", did you mean "group"?", where it belongs, or which are
// allowed. Returns text.
const char *hint_key(enum schema_place where, const char *name, char text[HINT_KEY_MAX]);

#endif
