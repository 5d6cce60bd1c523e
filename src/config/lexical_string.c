// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/lexical.h"

#include <stdlib.h>
#include <string.h>

size_t lexical_string(const struct lexical_token *t, char *out, size_t size)
{
    static const char letters[] = "nrtf", meant[] = "\n\r\t\f";
    size_t used = 0;

    for (size_t i = 0; i < t->length; i++, used++) {
        char c = t->text[i];
        if (c == '\\' && i + 1 < t->length) {
            c = t->text[++i];
            const char *letter = strchr(letters, c);
            if ((c == 'x' || c == 'X') && i + 2 < t->length) {
                c = (char) strtol((const char[]){t->text[i + 1], t->text[i + 2], '\0'}, NULL, 16);
                i += 2;
            } else if (letter && c != '\0') {
                c = meant[letter - letters];
            }
        }
        if (used + 1 < size)
            out[used] = c;
    }
    out[used < size ? used : size - 1] = '\0';
    return used;
}
