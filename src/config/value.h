// SPDX-License-Identifier: Apache-2.0
// value: one value of a config file, and its way into the model's field as the schema says.
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
    long long number; // also of a bool
    const char *text; // of a string; of another type, what it is: "a list ( )"
};

enum value_verdict {
    VALUE_OK,
    VALUE_NOT_ALLOWED, // schema_allowed() says what is
    VALUE_HOST_BITS,   // a prefix with bits beyond its length: "239.1.0.1/28"
    VALUE_LENGTH,      // a prefix whose length is none: "239.1.0.0/33"
    VALUE_SCOPED,      // an IPv6 address with a scope: "fe80::1%eth0"
    VALUE_MAPPED,      // an IPv4 address written as IPv6: "::ffff:192.0.2.1"
};

// The value of a setting; text points into it.
struct value value_of(const struct config_setting_t *setting);

// The value that the file would have to say for this key to get its default.
struct value value_fallback(const struct schema_key *key);

// Puts the value into the fields of target, the struct of the key's place. Without VALUE_OK nothing is changed. Not for
// sections and prefixes, which hold more than one value.
enum value_verdict value_store(const struct schema_key *key, const struct value *value, void *target);

// Gives each key of a place that has a default this one.
void value_store_defaults(enum schema_place where, void *target);

#define VALUE_TEXT_MAX 160

// Says what is wrong where it is not for schema_allowed() to say, else NULL.
const char *value_verdict_text(enum value_verdict verdict);

// Judges an address or prefix by its form alone: VALUE_OK, VALUE_SCOPED, VALUE_MAPPED, or VALUE_NOT_ALLOWED where it is
// no text.
enum value_verdict value_judge_form(const struct value *value);

// The value as the file says it, shortened where it is long; returns text.
const char *value_format(const struct value *value, char text[VALUE_TEXT_MAX]);

// An unsigned integer, an enum or a bool of this size; 0 of any other size.
uint64_t value_load_number(const void *field, size_t size);

// The elements that target, the struct of the key's place, has of SCHEMA_SECTIONS or SCHEMA_PREFIXES. They stay its
// own.
struct value_list {
    const char *elements;
    size_t n;
};
struct value_list value_load_list(const struct schema_key *key, const void *target);

// The section of target, or NULL: one that the file does not give has its defaults alone, and no line; one that is an
// element of a list is there where the list has this element alone.
const void *value_section(const struct schema_key *key, const void *target);

// Of SCHEMA_GROUP, SCHEMA_HOST or SCHEMA_BROADCAST: the kind of destination that it gives.
enum config_destination value_destination(enum schema_kind kind);

#endif
