// SPDX-License-Identifier: Apache-2.0
// hint: suggests what to write in place of a value or key that is not allowed.
#ifndef MCR_CONFIG_HINT_H
#define MCR_CONFIG_HINT_H

#include "config/schema.h"
#include "config/value.h"

// What Ansible's omit leaves within nested data, before 40 hexadecimal digits.
#define HINT_OMITTED "__omit_place_holder__"
#define HINT_OMIT    "Ansible's omit, which does nothing within nested data: leave the key out by a condition"

#define HINT_MAX (VALUE_TEXT_MAX + 64)

// Remark for a list of senders where none would do.
#define HINT_EVERY_SENDER ": leave \"sources\" out, then every sender may"

// What to write for the two legs of a stream.
#define HINT_LEGS "write inputs = ( { leg = \"A\"; ... }, { leg = \"B\"; ... } )"

// Where MoldUDP64 has its number, session and count of messages.
#define HINT_MOLD "field = { at = 10; bytes = 8; session_at = 0; session_bytes = 10; count_at = 18; count_bytes = 2; }"

// What to write for one stream that comes twice.
#define HINT_MERGE "merge = { by = \"rtp\"; } for RTP, merge = { by = \"payload\"; } for all else"

// Returns what is doubtful about a text that the key allows: a template that was not filled in, an empty variable of
// one, a name that would mean every interface. NULL: nothing.
const char *hint_doubt(const struct schema_key *key, const char *text);

// Writes ": write 5000" if the key allows that value, ": use "group"" if that key allows the value, or what the value
// is for mcr; else "". For SCHEMA_PREFIXES, the value may be one element. Returns text.
const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX]);

// Writes ": write { name = "ot0"; role = "in"; }" for a text in place of a group in a list, where one key of the group
// would be this text; else "". Returns text.
const char *hint_element(const struct schema_key *key, const struct value *value, char text[HINT_MAX]);

// Writes ": write 5000" where the value has one of the common mistakes, without which the key allows it. Returns false
// where it has none.
bool hint_mend(const struct schema_key *key, const struct value *value, char text[HINT_MAX]);

// Returns whether the text is a prefix of more than one address.
bool hint_is_network(const char *text);

// Writes ": write group = "239.10.0.1"; port = 5004;" for a URL such as "udp://@239.10.0.1:5004", with the interface of
// "239.10.0.1@red0" and the sender of "198.18.1.10@232.1.1.1". Returns false where the text is nothing such. key: of an
// address.
bool hint_url(const struct schema_key *key, const char *url, char text[HINT_MAX]);

// Writes ": write "239.255.10.0/28" or "239.255.10.5"" for a prefix with bits beyond its length, ": write "10.0.0.0/8""
// for a netmask or a range of addresses; else "". Returns text.
const char *hint_network(const char *prefix, char text[HINT_MAX]);

// Writes what to write for "239.255.20.1/16" of an SDP file, whose number is the ttl, and for "239.255.20.*". Returns
// false where the text is nothing such.
bool hint_group(const char *group, char text[HINT_MAX]);

#define HINT_WORD_MAX 96

// Writes ": write "eth0.20"" and the like for a word of so many bytes that is no value, else "". key: whose value it
// stands for, of key_length bytes. Returns hint.
const char *hint_word(const char *key, size_t key_length, const char *start, size_t length, char hint[HINT_WORD_MAX]);

#define HINT_KEY_MAX 256

// Writes what to do about a key that this place does not have: ", did you mean "group"?", ", write deadline_us = 10000"
// for deadline_ms = 10, where it belongs, or which are allowed. Returns text.
const char *hint_key(enum schema_place where, const char *name, const struct value *value, char text[HINT_KEY_MAX]);

#endif
