// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
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

// Whether all keys of this name take a number, as `kind`.
static bool is_key_of(const char *key, size_t length, enum schema_kind kind)
{
    bool any = false;

    for (const struct schema_key *k = schema_keys; k < schema_keys + schema_n_keys; k++) {
        if (strlen(k->name) != length || memcmp(k->name, key, length) != 0)
            continue;
        if (k->kind != kind)
            return false;
        any = true;
    }
    return any;
}

// BAC0, as BACnet/IP names its port.
static bool is_hexadecimal(const char *text, size_t length, unsigned *number)
{
    char digits[5] = "";

    if (length != 4 || !isalpha((unsigned char) *text))
        return false;
    memcpy(digits, text, length);
    *number = (unsigned) strtoul(digits, NULL, 16);
    return digits[strspn(digits, "0123456789ABCDEFabcdef")] == '\0';
}

const char *hint_word(const char *key, size_t key_length, const char *start, size_t length, char hint[HINT_WORD_MAX])
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
    unsigned number;

    hint[0] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i][0]) == length && strncasecmp(start, words[i][0], length) == 0)
            snprintf(hint, HINT_WORD_MAX, ": %s", words[i][1]);
    if (digits > 0 && digits < length && digits + strspn(start + digits, "mus") == length) // 200ms
        snprintf(hint, HINT_WORD_MAX, ": a number stands without its unit, which the key names");
    if (digits > 0 && digits < length && grouped == length) // 5_000
        snprintf(hint, HINT_WORD_MAX, ": a number stands without \"_\"");
    if (length > strlen(HINT_OMITTED) && strncmp(start, HINT_OMITTED, strlen(HINT_OMITTED)) == 0)
        snprintf(hint, HINT_WORD_MAX, ": " HINT_OMIT);
    if (*hint || is_key_of(key, key_length, SCHEMA_NUMBER))
        return hint;
    if (is_key_of(key, key_length, SCHEMA_PORT) && !memchr(start, '-', length)) {
        if (is_hexadecimal(start, length, &number))
            snprintf(hint, HINT_WORD_MAX, ": write 0x%.*s, which is %u", (int) length, start, number);
        return hint;
    }
    // Suggests quotes for a word, an address, a range or a rate. Text that begins with 0 is most likely a number
    // instead.
    if (!*hint && length < 64 && (*start != '0' || memchr(start, '.', length)) && is_in_quotes(start, length))
        snprintf(hint, HINT_WORD_MAX, ": write \"%.*s\"", (int) length, start);
    return hint;
}
