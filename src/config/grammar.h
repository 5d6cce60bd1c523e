// SPDX-License-Identifier: Apache-2.0
// grammar: parses the tokens of a file as libconfig does, to explain the first syntax error: libconfig reports only its
// line; this reports what is wrong and what to write. Pure.
#ifndef MCR_CONFIG_GRAMMAR_H
#define MCR_CONFIG_GRAMMAR_H

#include <stdbool.h>

#include "config/lexical.h"

enum grammar_state {
    GRAMMAR_KEY,        // in a group or the file: a key or the end is next
    GRAMMAR_TERMINATOR, // after a setting: ; or , or a key or the end
    GRAMMAR_EQUALS,     // after a key: =
    GRAMMAR_VALUE,      // after =: a value
    GRAMMAR_FIRST,      // after the opening bracket of a list or array: an element or the end
    GRAMMAR_ELEMENT,    // after a comma in a list or array: an element
    GRAMMAR_COMMA,      // after an element: a comma or the end
};

// The caller zeroes it.
struct grammar {
    enum grammar_state state;
    struct lexical_token last, key; // the previous token, and the last key
    const char *first;              // the first token; NULL: none yet
    unsigned depth;
    struct {
        char bracket;
        int line;
        struct lexical_token key; // the key of which this is the value
    } open[LEXICAL_DEPTH_MAX + 1];
};

#define GRAMMAR_WHY_MAX 300

// A string that seems to end at a quote within it.
#define GRAMMAR_QUOTE_INSIDE "%.*s right behind the end of a string: a quote within a string is written \\\""

struct grammar_fault {
    int line;
    bool whole; // it is another kind of file, or two in one: report no further error
    char why[GRAMMAR_WHY_MAX];
};

// Takes the next token. Returns false with *fault if it is a syntax error; the caller must then stop. The token's text
// must be part of the whole text, which ends with a NUL.
bool grammar_next(struct grammar *g, const struct lexical_token *t, struct grammar_fault *fault);

// Does the same for the end of the text.
bool grammar_end(const struct grammar *g, struct grammar_fault *fault);

#endif
