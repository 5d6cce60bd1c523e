// SPDX-License-Identifier: Apache-2.0
// schema: what a config file may say, as rows of data. Parser, printer, messages and tests all follow from these rows.
#ifndef MCR_CONFIG_SCHEMA_H
#define MCR_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_place {
    SCHEMA_TOP,
    SCHEMA_INTERFACE,
    SCHEMA_RULE,
    SCHEMA_INPUT,
    SCHEMA_OUTPUT,
    SCHEMA_LIMIT,
    SCHEMA_PLACES
};

// How a value is written in the file and kept in the model.
enum schema_kind {
    SCHEMA_NUMBER,    // an unsigned integer of the field's size; 0 when it was not given
    SCHEMA_OR_WORD,   // the same, or one word in its place (aside: bool)
    SCHEMA_OR_BOOL,   // the same, or false for 0, true for UINT32_MAX
    SCHEMA_BOOL,      // bool
    SCHEMA_CHOICE,    // one of words, kept as its index in an enum or a bool
    SCHEMA_NAME,      // A-Z a-z 0-9 _ . -, at least one character
    SCHEMA_IFNAME,    // the same, but not starting with - or .
    SCHEMA_NOTE,      // text without control characters
    SCHEMA_PATH,      // an absolute path
    SCHEMA_DSCP,      // a number, its name, or "preserve"
    SCHEMA_RATE,      // a number, or a string with a suffix k, M or G
    SCHEMA_PORT,      // a UDP port, or a range of them: "5000-5015"
    SCHEMA_GROUP,     // a multicast address or a prefix of them (aside: enum config_destination)
    SCHEMA_HOST,      // a unicast address (aside: enum config_destination)
    SCHEMA_BROADCAST, // true, kept as no address (aside: enum config_destination)
    SCHEMA_SOURCE,    // a unicast address, "interface", or "preserve" (aside: bool)
    SCHEMA_PREFIXES,  // a list of addresses and prefixes (aside: their number)
    SCHEMA_SECTION,   // a group of keys: { }; with an aside it is the only element of a list
    SCHEMA_SECTIONS,  // a list of such groups: ( { }, { } ) (aside: their number)
    SCHEMA_KINDS
};

enum schema_need {
    SCHEMA_OPTIONAL,
    SCHEMA_REQUIRED,
    SCHEMA_ONE_OF, // exactly one of these keys of the place
    SCHEMA_ANY_OF, // one of these keys of the place or more
};

// When another value of a key disturbs the traffic that flows now (mcrd --diff).
enum schema_change {
    SCHEMA_ALWAYS,
    SCHEMA_NEVER,
    SCHEMA_RESTART,    // a reload cannot do it
    SCHEMA_LESS,       // when the number falls, or true becomes false; what was not given is no limit
    SCHEMA_APPEARS,    // when it was not given before
    SCHEMA_DISAPPEARS, // when it is not given any more
    SCHEMA_NARROWER,   // when senders are shut out
};

struct schema_key {
    enum schema_place where;
    const char *name;
    enum schema_kind kind;
    int64_t least, most;  // of the number, the text's bytes, or the list's elements
    const char *words[4]; // up to the first NULL: taken too, or alone (SCHEMA_CHOICE)
    const char *fallback; // the default as the file would say it; NULL: none, or told in help
    enum schema_need need;
    enum schema_change change;
    enum schema_place inside; // of a section: what it holds
    size_t offset, size;      // the field in the place's struct; size 0: not kept
    size_t aside;             // its companion, see schema_kind
    size_t span;              // of an address or port: how many from it on (uint16_t)
    const char *help;
};

// Where keys can be.
struct schema_place_info {
    const char *name; // as messages call it
    size_t size;      // of its struct in the model
    size_t line;      // offset of its int line; 0: it has none
};

extern const struct schema_key schema_keys[];
extern const size_t schema_n_keys;
extern const struct schema_place_info schema_places[SCHEMA_PLACES];

// The key of this place whose row comes after that of last, its first one for NULL. NULL: there is none.
const struct schema_key *schema_next(enum schema_place where, const struct schema_key *last);

// The key of this name in this place, or NULL.
const struct schema_key *schema_find(enum schema_place where, const char *name);

// The key of this place that name is most likely a misspelling of, or NULL when none is near.
const struct schema_key *schema_nearest(enum schema_place where, const char *name);

#define SCHEMA_ALLOWED_MAX 160

// Says what the value may be ("1 to 255 or \"decrement\"") and returns text.
const char *schema_allowed(const struct schema_key *key, char text[SCHEMA_ALLOWED_MAX]);

// The index of word among the words of the key, or -1.
int schema_word_index(const struct schema_key *key, const char *word);

#endif
