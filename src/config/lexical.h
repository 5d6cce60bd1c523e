// SPDX-License-Identifier: Apache-2.0
// lexical: checks the text before libconfig sees it, and refuses what libconfig silently reads in another way than the
// author means.
#ifndef MCR_CONFIG_LEXICAL_H
#define MCR_CONFIG_LEXICAL_H

#include <stdbool.h>
#include <stddef.h>

#include "config/problems.h"

#define LEXICAL_DEPTH_MAX  16         // nested brackets
#define LEXICAL_KEYS_MAX   64         // keys of one group: libconfig compares each key with all previous ones
#define LEXICAL_VALUES_MAX (2u << 20) // values of the file, which take about 200 bytes of memory each
#define LEXICAL_ERRORS_MAX 100

enum lexical_kind {
    LEXICAL_NONE,
    LEXICAL_MARK, // one of = : ; , ( ) [ ] { }, or a character that libconfig refuses
    LEXICAL_KEY,
    LEXICAL_BOOL,
    LEXICAL_INTEGER,
    LEXICAL_FLOAT,
    LEXICAL_STRING,
};

struct lexical_token {
    enum lexical_kind kind;
    int line;
    unsigned depth;   // number of open brackets around it
    const char *text; // as in the file; of a string, the text within the quotes
    size_t length;
    long long number; // of an integer or a bool
};

typedef void lexical_see(void *context, const struct lexical_token *token);

// Refuses characters that are not plain UTF-8 text, @ directives, comments and strings without an end, unknown escapes,
// numbers that wrap or that libconfig 1.5 to 1.8 read differently, a comma before a closing bracket, and everything
// beyond the limits above. Adds an error for each, and returns false if there was one. A NUL must follow text. Calls
// `see` (unless NULL) with each token, even after an error; the tokens point into text.
bool lexical_check(const char *text, size_t size, lexical_see *see, void *context, struct config_problems *problems);

// Writes the string of a token without its escapes to out, with a NUL, cut to size bytes. Returns its full length in
// bytes.
size_t lexical_string(const struct lexical_token *t, char *out, size_t size);

#endif
