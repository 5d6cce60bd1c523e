// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REPAIRED_MAX 64

// Each function repairs one kind of mistake: it changes *v, and its text (below REPAIRED_MAX bytes) in place, and
// returns false if the mistake is not there. hint_mend() then tries whether the key allows the result.

static bool is_text(const struct value *v)
{
    return v->type == VALUE_STRING;
}

static bool number_without_quotes(struct value *v, char *text)
{
    bool hex = is_text(v) && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    size_t digits = is_text(v) ? strspn(text, hex ? "0123456789abcdefABCDEFxX" : "0123456789") : 0;
    char *end;

    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return false;
    *v = (struct value){.type = VALUE_INTEGER, .number = strtoll(text, &end, hex ? 16 : 10)};
    return *end == '\0';
}

// BAC0, as BACnet/IP names its port.
static bool hexadecimal(struct value *v, char *text)
{
    if (!is_text(v) || strlen(text) != 4 || !isalpha((unsigned char) *text) ||
        text[strspn(text, "0123456789ABCDEFabcdef")] != '\0')
        return false;
    *v = (struct value){.type = VALUE_INTEGER, .number = strtoll(text, NULL, 16)};
    return true;
}

// 5_000
static bool without_underscores(struct value *v, char *text)
{
    char *to = text;

    if (!is_text(v) || !isdigit((unsigned char) *text) || !strchr(text, '_'))
        return false;
    for (const char *from = text; *from; from++)
        if (*from != '_')
            *to++ = *from;
    *to = '\0';
    return number_without_quotes(v, text);
}

static bool quoted_number(struct value *v, char *text)
{
    if (v->type != VALUE_INTEGER)
        return false;
    snprintf(text, REPAIRED_MAX, "%lld", v->number);
    *v = (struct value){.type = VALUE_STRING, .text = text};
    return true;
}

// 5k, for keys without suffixes.
static bool multiplied(struct value *v, char *text)
{
    static const char suffixes[] = "kMG";
    size_t digits = is_text(v) ? strspn(text, "0123456789") : 0;
    const char *suffix = digits > 0 && text[digits] ? strchr(suffixes, text[digits]) : NULL;

    if (!suffix || digits > 9 || text[digits + 1] != '\0')
        return false;
    *v = (struct value){.type = VALUE_INTEGER, .number = atoll(text)};
    for (const char *s = suffixes; s <= suffix; s++)
        v->number *= 1000;
    return true;
}

// 40 Mbit/s. Units of bytes are not repaired.
static bool rate_in_words(struct value *v, char *text)
{
    size_t digits = is_text(v) ? strspn(text, "0123456789") : 0;
    char *suffix = text + digits + (text[digits] == ' ');

    if (digits == 0 || strchr(text, 'B') || !*suffix || !strchr("kKmMgG", *suffix))
        return false;
    text[digits] = *suffix == 'k' || *suffix == 'K' ? 'k' : (char) toupper((unsigned char) *suffix);
    text[digits + 1] = '\0';
    return true;
}

static bool bool_without_quotes(struct value *v, char *text)
{
    static const char *const words[] = {"false", "no", "off", "true", "yes", "on"};

    for (int i = 0; is_text(v) && i < 6; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *v = (struct value){.type = VALUE_BOOL, .number = i >= 3};
            return true;
        }
    return false;
}

static bool bool_of_number(struct value *v, char *text)
{
    (void) text;
    if (v->type != VALUE_INTEGER || (v->number != 0 && v->number != 1))
        return false;
    v->type = VALUE_BOOL;
    return true;
}

static bool lower_case(struct value *v, char *text)
{
    for (char *c = text; is_text(v) && *c; c++)
        *c = (char) tolower((unsigned char) *c);
    return is_text(v);
}

static bool without_brackets(struct value *v, char *text)
{
    char *end = is_text(v) && text[0] == '[' ? strchr(text, ']') : NULL;

    if (!end || (end[1] != '\0' && end[1] != ':'))
        return false;
    memmove(text, text + 1, (size_t) (end - text) - 1);
    end[-1] = '\0';
    return true;
}

// red0@if2, as ip(8) shows one that has a peer, or red0.20@red0.
static bool without_peer(struct value *v, char *text)
{
    char *at = is_text(v) ? strchr(text, '@') : NULL;

    if (at)
        *at = '\0';
    return at != NULL;
}

static bool without_port(struct value *v, char *text)
{
    char *colon = is_text(v) ? strchr(text, ':') : NULL;

    if (!colon || strchr(colon + 1, ':'))
        return false;
    *colon = '\0';
    return true;
}

static bool without_prefix(struct value *v, char *text)
{
    char *slash = is_text(v) && !hint_is_network(text) ? strchr(text, '/') : NULL;

    if (slash)
        *slash = '\0';
    return slash != NULL;
}

static bool shorter_prefix(struct value *v, char *text)
{
    char *slash = is_text(v) ? strchr(text, '/') : NULL;

    if (!slash)
        return false;
    *slash = '\0';
    if (strlen(text) + sizeof("/116") + 1 > REPAIRED_MAX)
        return false;
    // 224.0.0.0/20 begins with the groups of the link itself, which nobody relays.
    if (strcmp(text, "224.0.0.0") == 0)
        strcpy(text, "224.0.16.0");
    strcat(text, strchr(text, ':') ? "/116" : "/20");
    return true;
}

static bool without_zeros(struct value *v, char *text)
{
    char *to = text;

    if (!is_text(v) || !strchr(text, '.'))
        return false;
    for (const char *from = text; *from; from++)
        if (*from != '0' || !isdigit((unsigned char) from[1]) ||
            (to > text && isdigit((unsigned char) from[-1]) && to[-1] != '.'))
            *to++ = *from;
    *to = '\0';
    return true;
}

// 5000:5015, 5000..5015, 5000 - 5015.
static bool range_with_dash(struct value *v, char *text)
{
    size_t digits = is_text(v) ? strspn(text, "0123456789") : 0;
    size_t between = digits ? strspn(text + digits, " :.-") : 0;

    if (between == 0)
        return false;
    text[digits] = '-';
    memmove(text + digits + 1, text + digits + between, strlen(text + digits + between) + 1);
    return true;
}

// The whole byte of the traffic class: the DSCP is its upper six bits.
static bool dscp_of_byte(struct value *v, char *text)
{
    (void) text;
    if (v->type != VALUE_INTEGER || v->number < 64 || v->number > 255)
        return false;
    v->number >>= 2;
    return true;
}

// 5015-5000
static bool range_forwards(struct value *v, char *text)
{
    char from[8], to[8];

    if (!is_text(v) || sscanf(text, "%7[0-9]-%7[0-9]", to, from) != 2)
        return false;
    snprintf(text, REPAIRED_MAX, "%s-%s", from, to);
    return true;
}

#define KIND(name) (1u << SCHEMA_##name)
#define ANY_KIND   (~0u)
#define ADDRESSES  (KIND(GROUP) | KIND(HOST) | KIND(SOURCE) | KIND(PREFIXES))

static const struct {
    unsigned kinds; // of the key
    bool (*mend)(struct value *v, char *text);
    const char *why;
} mends[] = {
    {ANY_KIND, number_without_quotes, "write the number without quotes"},
    {ANY_KIND, quoted_number, "in quotes, write"},
    {ANY_KIND, lower_case, NULL},
    {ANY_KIND, multiplied, NULL},
    {ANY_KIND, without_underscores, NULL},
    {KIND(RATE), rate_in_words, NULL},
    {ANY_KIND, bool_without_quotes, NULL},
    {ANY_KIND, bool_of_number, NULL},
    {KIND(PORT), hexadecimal, "as a hexadecimal number that is"},
    {KIND(PORT), range_with_dash, NULL},
    {KIND(PORT), range_forwards, "the range is backwards, write"},
    {KIND(DSCP), dscp_of_byte, "as a TOS byte that is dscp"},
    {ADDRESSES, without_brackets, NULL},
    {KIND(IFNAME), without_peer, "what stands behind \"@\" is its peer or the interface below it, write"},
    {KIND(IFNAME), without_port, "an alias is no interface of its own, write"},
    {ADDRESSES, without_port, "the port is a key of its own, write"},
    {KIND(HOST) | KIND(SOURCE), without_prefix, "one address has no prefix length, write"},
    {KIND(GROUP), shorter_prefix, "4096 groups at most, write rules for parts such as"},
    {ADDRESSES, without_zeros, NULL},
};

bool hint_mend(const struct schema_key *key, const struct value *value, char text[HINT_MAX])
{
    char repaired[REPAIRED_MAX] = "", shown[VALUE_TEXT_MAX];

    if (is_text(value) && strlen(value->text) >= REPAIRED_MAX)
        return false;
    for (size_t i = 0; i < sizeof(mends) / sizeof(mends[0]) && value->type != VALUE_OTHER; i++) {
        struct value v = *value;
        if (is_text(value))
            v.text = strcpy(repaired, value->text);
        if (!(mends[i].kinds & 1u << key->kind) || !mends[i].mend(&v, repaired) || !value_is_allowed(key, &v))
            continue;
        if (i == 0)
            snprintf(text, HINT_MAX, ": %s", mends[i].why);
        else
            snprintf(text, HINT_MAX, ": %s %s", mends[i].why ? mends[i].why : "write", value_format(&v, shown));
        return true;
    }
    return false;
}
