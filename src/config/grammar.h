// SPDX-License-Identifier: Apache-2.0
// grammar: follows the tokens of a file as libconfig will, which says of the first that does not fit only where it is;
// what is wrong there, and what to write, is said here. Pure.
#ifndef MCR_CONFIG_GRAMMAR_H
#define MCR_CONFIG_GRAMMAR_H

#include <stdbool.h>

#include "config/lexical.h"

enum grammar_state {
    GRAMMAR_KEY,        // in a group or the file: a key is next, or the end
    GRAMMAR_TERMINATOR, // the same, or a ; or , behind the setting
    GRAMMAR_EQUALS,     // behind a key
    GRAMMAR_VALUE,      // behind that
    GRAMMAR_FIRST,      // in a list or array: an element or the end
    GRAMMAR_ELEMENT,    // behind a comma
    GRAMMAR_COMMA,      // behind an element: a comma or the end
};

// Zero-initialised by the caller.
struct grammar {
    enum grammar_state state;
    struct lexical_token last, key; // the token before, the last key
    unsigned depth;
    struct {
        char bracket;
        int line;
        struct lexical_token key; // whose value it is
    } open[LEXICAL_DEPTH_MAX + 1];
};

#define GRAMMAR_WHY_MAX 300

struct grammar_fault {
    int line;
    bool whole; // another kind of file, or two at once: nothing that follows is worth reading
    char why[GRAMMAR_WHY_MAX];
};

// Takes the next token. False when it does not fit: then *fault says why, and no further token may be given. The text
// of a token must lie in the whole text, which a NUL ends.
bool grammar_next(struct grammar *g, const struct lexical_token *t, struct grammar_fault *fault);

// The same for the end of the text.
bool grammar_end(const struct grammar *g, struct grammar_fault *fault);

#endif
