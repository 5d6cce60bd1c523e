// SPDX-License-Identifier: Apache-2.0
// value: one value of a config file, and how it is stored in the model's field as the schema says.
#ifndef MCR_CONFIG_VALUE_H
#define MCR_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model.h"
#include "config/schema.h"

struct config_setting_t;

enum value_type { VALUE_INTEGER, VALUE_BOOL, VALUE_STRING, VALUE_OTHER };

struct value {
    enum value_type type;
    long long number; // of an integer or a bool; of a float that is one (whole)
    const char *text; // of a string; of another type its description: "a list ( )"
    bool empty;       // of VALUE_OTHER: it contains nothing
    bool whole;       // a float without a fraction: 5000.0
    bool list;        // an array [ ] or a list ( )
};

enum value_verdict {
    VALUE_OK,
    VALUE_NOT_ALLOWED, // schema_allowed() has the allowed values
    VALUE_HOST_BITS,   // a prefix with bits beyond its length: "239.1.0.1/28"
    VALUE_LENGTH,      // a prefix with an impossible length: "239.1.0.0/33"
    VALUE_SCOPED,      // an IPv6 address with a scope: "fe80::1%eth0"
    VALUE_MAPPED,      // an IPv4 address written as IPv6: "::ffff:192.0.2.1"
};

// Returns the value of a setting; its text points into the setting.
struct value value_of(const struct config_setting_t *setting);

// Returns the value that the file would have for the key's default.
struct value value_fallback(const struct schema_key *key);

// Stores the value in the fields of target, the struct of the key's place. Changes nothing unless it returns VALUE_OK.
// Not for sections and prefixes, which have more than one value.
enum value_verdict value_store(const struct schema_key *key, const struct value *value, void *target);

// Whether a key that is no list and no section takes the value.
bool value_is_allowed(const struct schema_key *key, const struct value *value);

// Stores the defaults of all keys of a place that have one.
void value_store_defaults(enum schema_place where, void *target);

#define VALUE_TEXT_MAX 160

// Returns the text of a verdict that schema_allowed() does not explain, else NULL.
const char *value_verdict_text(enum value_verdict verdict);

// Checks only the form of an address or prefix: VALUE_OK, VALUE_SCOPED, VALUE_MAPPED, or VALUE_NOT_ALLOWED if it is no
// text.
enum value_verdict value_judge_form(const struct value *value);

// Writes the value as in the file, shortened if it is long. Returns text.
const char *value_format(const struct value *value, char text[VALUE_TEXT_MAX]);

// Returns an unsigned integer, an enum or a bool of this size in bytes; 0 for any other size.
uint64_t value_load_number(const void *field, size_t size);

// The elements of SCHEMA_SECTIONS or SCHEMA_PREFIXES in target, the struct of the key's place, which owns them.
struct value_list {
    const char *elements;
    size_t n;
};
struct value_list value_load_list(const struct schema_key *key, const void *target);

// The section of target, or NULL: one that the file does not give has its defaults alone, and no line; one that is an
// element of a list is there where the list has this element alone.
const void *value_section(const struct schema_key *key, const void *target);

// Returns the kind of destination of SCHEMA_GROUP, SCHEMA_HOST or SCHEMA_BROADCAST.
enum config_destination value_destination(enum schema_kind kind);

#endif
