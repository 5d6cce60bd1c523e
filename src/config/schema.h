// SPDX-License-Identifier: Apache-2.0
// schema: the keys of a config file as rows of data. Parser, printer, messages and tests follow from these rows.
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
    SCHEMA_MERGE,
    SCHEMA_FIELD,
    SCHEMA_MONITOR,
    SCHEMA_MONITOR_FIELD,
    SCHEMA_TRIAL,
    SCHEMA_PLACES
};

// How a value is written in the file and stored in the model. aside: the type of its companion field.
enum schema_kind {
    SCHEMA_NUMBER,    // an unsigned integer of the field's size; 0: not given
    SCHEMA_OR_WORD,   // a number as above, or one word in its place (aside: bool)
    SCHEMA_OR_BOOL,   // a number as above, or false for 0, true for UINT32_MAX
    SCHEMA_BOOL,      // bool
    SCHEMA_CHOICE,    // one of words, stored as its index in an enum or a bool
    SCHEMA_NAME,      // A-Z a-z 0-9 _ . -, at least one character
    SCHEMA_IFNAME,    // a name as above that does not begin with - or .
    SCHEMA_NOTE,      // text without control characters
    SCHEMA_PATH,      // an absolute path
    SCHEMA_DSCP,      // a number, its name, or "preserve"
    SCHEMA_RATE,      // a number, or a string with a suffix k, M or G
    SCHEMA_TIME,      // a point of time, as common/moment.h reads it (uint64_t); 0: not given
    SCHEMA_PORT,      // a UDP port, or a range of them: "5000-5015"
    SCHEMA_GROUP,     // a multicast address or a prefix of them (aside: enum config_destination)
    SCHEMA_HOST,      // a unicast address (aside: enum config_destination)
    SCHEMA_BROADCAST, // true, stored as no address (aside: enum config_destination)
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
    SCHEMA_ANY_OF, // at least one of these keys of the place
};

// Which changes of a key disturb present traffic (mcrd --diff).
enum schema_change {
    SCHEMA_ALWAYS,
    SCHEMA_NEVER,
    SCHEMA_RESTART,    // every change, which a reload cannot make
    SCHEMA_LESS,       // a smaller number, or true to false; not given means no limit
    SCHEMA_SOONER,     // a smaller number; 0 means never
    SCHEMA_APPEARS,    // from not given to given
    SCHEMA_DISAPPEARS, // from given to not given
    SCHEMA_NARROWER,   // a change that excludes senders
    SCHEMA_CLOSES,     // of a rule: a change by which it does not run now
};

struct schema_key {
    enum schema_place where;
    const char *name;
    enum schema_kind kind;
    int64_t least, most;  // bounds of the number, of the text's bytes, or of the list's elements
    const char *words[5]; // up to the first NULL: words that are allowed, too, or alone (SCHEMA_CHOICE)
    const char *fallback; // the default as the file writes it; NULL: none, or described in help
    enum schema_need need;
    enum schema_change change;
    enum schema_place inside; // of a section: the place of its keys
    size_t offset, size;      // the field in the place's struct; size 0: not stored
    size_t aside;             // offset of its companion field, see schema_kind
    size_t span;              // of an address or port: offset of the size of its range (uint16_t)
    const char *help;
};

// The places of keys.
struct schema_place_info {
    const char *name; // for messages
    size_t size;      // of its struct in the model, bytes
    size_t line;      // offset of its field line (int); 0: it has none
};

extern const struct schema_key schema_keys[];
extern const size_t schema_n_keys;
extern const struct schema_place_info schema_places[SCHEMA_PLACES];

// Returns the key of this place after `last`, or its first key for NULL. Returns NULL after the last one.
const struct schema_key *schema_next(enum schema_place where, const struct schema_key *last);

// Returns the key with this name in this place, or NULL.
const struct schema_key *schema_find(enum schema_place where, const char *name);

// Returns the default of a key that is there, and is a number with one.
uint32_t schema_default(enum schema_place where, const char *name);

// Returns the key of this place of which name is most likely a misspelling, or NULL if none is near.
const struct schema_key *schema_nearest(enum schema_place where, const char *name);

#define SCHEMA_ALLOWED_MAX 160

// Writes the allowed values: 1 to 255 or "decrement". Returns text.
const char *schema_allowed(const struct schema_key *key, char text[SCHEMA_ALLOWED_MAX]);

// Returns the index of word among the words of the key, or -1.
int schema_word_index(const struct schema_key *key, const char *word);

#endif
