// SPDX-License-Identifier: Apache-2.0
// lexical: what libconfig would read in silence, but not as the author meant it, found before libconfig sees the text.
#ifndef MCR_CONFIG_LEXICAL_H
#define MCR_CONFIG_LEXICAL_H

#include <stdbool.h>
#include <stddef.h>

#include "config/problems.h"

#define LEXICAL_DEPTH_MAX  16         // brackets within brackets
#define LEXICAL_KEYS_MAX   64         // keys of one group: libconfig compares each with all before it
#define LEXICAL_VALUES_MAX (2u << 20) // of the file: 200 bytes or so of memory each
#define LEXICAL_ERRORS_MAX 100

enum lexical_kind {
    LEXICAL_NONE,
    LEXICAL_MARK, // any other character that is none of these: = : ; , ( ) [ ] { }, or what libconfig refuses
    LEXICAL_KEY,
    LEXICAL_BOOL,
    LEXICAL_INTEGER,
    LEXICAL_FLOAT,
    LEXICAL_STRING,
};

struct lexical_token {
    enum lexical_kind kind;
    int line;
    unsigned depth;   // open brackets around it
    const char *text; // as the file has it; of a string, what stands in the quotes
    size_t length;
    long long number; // of an integer or a bool
};

typedef void lexical_see(void *context, const struct lexical_token *token);

// Refuses: characters that are not plain UTF-8 text, @ directives, comments and strings without an end, unknown
// escapes, numbers that libconfig 1.5 to 1.8 would not read alike or would wrap, a comma before a closing bracket, and
// what exceeds the bounds above. text is followed by a NUL. Adds an error for each and returns false if there was one.
// Shows each token to see (NULL: to nobody), also when there was an error; text must outlive the token.
bool lexical_check(const char *text, size_t size, lexical_see *see, void *context, struct config_problems *problems);

// Writes the string of a token, its escapes resolved, with a NUL to out, cut to size bytes. Returns its full length.
size_t lexical_string(const struct lexical_token *t, char *out, size_t size);

#endif
