// SPDX-License-Identifier: Apache-2.0
// hint: suggests what to write in place of a value or key that is not allowed.
#ifndef MCR_CONFIG_HINT_H
#define MCR_CONFIG_HINT_H

#include "config/schema.h"
#include "config/value.h"

#define HINT_MAX (VALUE_TEXT_MAX + 64)

// Remark for a list of senders where none would do.
#define HINT_EVERY_SENDER ": leave \"sources\" out, then every sender may"

// What to write for the two legs of a stream.
#define HINT_LEGS "write inputs = ( { leg = \"A\"; ... }, { leg = \"B\"; ... } )"

// What to write for one stream that comes twice.
#define HINT_MERGE "merge = { by = \"rtp\"; } for RTP, merge = { by = \"payload\"; } for all else"

// Returns whether the text holds or is what a template would have replaced: {{ }}, {% %}, ${ }, <% %> or $NAME.
bool hint_is_template(const char *text);

// Writes ": write 5000" if the key allows that value, ": use "group"" if that key allows the value, or what the value
// is for mcr; else "". For SCHEMA_PREFIXES, the value may be one element. Returns text.
const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX]);

// Writes ": write "239.255.10.0/28" or "239.255.10.5"" for a prefix with bits beyond its length, ": write "10.0.0.0/8""
// for a netmask or a range of addresses; else "". Returns text.
const char *hint_network(const char *prefix, char text[HINT_MAX]);

#define HINT_KEY_MAX 256

// Writes what to do about a key that this place does not have: ", did you mean "group"?", ", write deadline_us = 10000"
// for deadline_ms = 10, where it belongs, or which are allowed. Returns text.
const char *hint_key(enum schema_place where, const char *name, const struct value *value, char text[HINT_KEY_MAX]);

#endif
