// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

// Returns whether this text could be a string value: a name, an address, a prefix, a range, a rate.
static bool is_in_quotes(const char *text, size_t length)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-:/";
    size_t digits = strspn(text, "0123456789");

    if (!isalnum((unsigned char) *text) || strspn(text, plain) < length)
        return false;
    return digits == 0 || memchr(text, '.', length) || memchr(text, ':', length) || memchr(text, '-', length) ||
           (digits + 1 == length && strchr("kMG", text[digits]));
}

const char *hint_word(const char *start, size_t length, char hint[HINT_WORD_MAX])
{
    static const char *const words[][2] = {
        {"yes", "write true"},
        {"on", "write true"},
        {"enabled", "write true"},
        {"no", "write false"},
        {"off", "write false"},
        {"disabled", "write false"},
        {"none", "leave the key out"},
        {"null", "leave the key out"},
        {"nil", "leave the key out"},
        {"undef", "leave the key out"},
        {"todo", "put the value in its place"},
        {"tbd", "put the value in its place"},
        {"fixme", "put the value in its place"},
        {"changeme", "put the value in its place"},
        {"AnsibleUndefined", "its variable is not defined, give it a value"},
    };
    size_t digits = strspn(start, "0123456789"), grouped = strspn(start, "0123456789_");

    hint[0] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i][0]) == length && strncasecmp(start, words[i][0], length) == 0)
            snprintf(hint, HINT_WORD_MAX, ": %s", words[i][1]);
    if (digits > 0 && digits < length && digits + strspn(start + digits, "mus") == length) // 200ms
        snprintf(hint, HINT_WORD_MAX, ": a number stands without its unit, which the key names");
    if (digits > 0 && digits < length && grouped == length) // 5_000
        snprintf(hint, HINT_WORD_MAX, ": a number stands without \"_\"");
    // Suggests quotes for a word, an address, a range or a rate. Text that begins with 0 is most likely a number
    // instead.
    if (!*hint && length < 64 && (*start != '0' || memchr(start, '.', length)) && is_in_quotes(start, length))
        snprintf(hint, HINT_WORD_MAX, ": write \"%.*s\"", (int) length, start);
    return hint;
}
