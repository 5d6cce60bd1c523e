// SPDX-License-Identifier: Apache-2.0
// lexical: what libconfig would read in silence, but not as the author meant it, found before libconfig sees
// the text.
#ifndef MCR_CONFIG_LEXICAL_H
#define MCR_CONFIG_LEXICAL_H

#include <stdbool.h>
#include <stddef.h>

#include "config/problems.h"

#define LEXICAL_DEPTH_MAX  16         // brackets within brackets
#define LEXICAL_KEYS_MAX   64         // keys of one group: libconfig compares each with all before it
#define LEXICAL_VALUES_MAX (2u << 20) // of the file: 200 bytes or so of memory each
#define LEXICAL_ERRORS_MAX 100

// Refuses: characters that are not plain UTF-8 text, @ directives, comments and strings without an end,
// unknown escapes, integers that libconfig 1.5 would wrap, a comma before a closing bracket, and what exceeds
// the bounds above. text is followed by a NUL. Adds an error for each and returns false if there was one.
bool lexical_check(const char *text, size_t size, struct config_problems *problems);

#endif
