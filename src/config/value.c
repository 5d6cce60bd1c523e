// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/value.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value value_of(const struct config_setting_t *setting)
{
    static const char *const others[] = {
        [CONFIG_TYPE_NONE] = "nothing",       [CONFIG_TYPE_GROUP] = "a group { }", [CONFIG_TYPE_FLOAT] = "a float",
        [CONFIG_TYPE_ARRAY] = "an array [ ]", [CONFIG_TYPE_LIST] = "a list ( )",
    };

    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return (struct value){.type = VALUE_INTEGER, .number = config_setting_get_int64(setting)};
    case CONFIG_TYPE_BOOL:
        return (struct value){.type = VALUE_BOOL, .number = config_setting_get_bool(setting)};
    case CONFIG_TYPE_STRING:
        return (struct value){.type = VALUE_STRING, .text = config_setting_get_string(setting)};
    default:
        return (struct value){.type = VALUE_OTHER, .text = others[config_setting_type(setting)]};
    }
}

struct value value_fallback(const struct schema_key *key)
{
    const char *text = key->fallback;

    if (key->kind == SCHEMA_BOOL || (key->kind == SCHEMA_OR_BOOL && (text[0] == 't' || text[0] == 'f')))
        return (struct value){.type = VALUE_BOOL, .number = strcmp(text, "true") == 0};
    if (text[strspn(text, "0123456789")] == '\0')
        return (struct value){.type = VALUE_INTEGER, .number = atoll(text)};
    return (struct value){.type = VALUE_STRING, .text = text};
}

// --- numbers ---------------------------------------------------------------------------------------------------------

uint64_t value_load_number(const void *field, size_t size)
{
    switch (size) {
    case 1:
        return *(const uint8_t *) field;
    case 2:
        return *(const uint16_t *) field;
    case 4:
        return *(const uint32_t *) field;
    case 8:
        return *(const uint64_t *) field;
    default:
        return 0;
    }
}

struct value_list value_load_list(const struct schema_key *key, const void *target)
{
    struct value_list list;

    memcpy(&list.elements, (const char *) target + key->offset, sizeof(list.elements));
    memcpy(&list.n, (const char *) target + key->aside, sizeof(list.n));
    return list;
}

bool value_has_section(const struct schema_key *key, const void *target)
{
    const void *line = (const char *) target + key->offset + schema_places[key->inside].line;

    return key->need == SCHEMA_REQUIRED || *(const int *) line != 0;
}

enum config_destination value_destination(enum schema_kind kind)
{
    return kind == SCHEMA_GROUP ? CONFIG_GROUP : kind == SCHEMA_HOST ? CONFIG_ADDRESS : CONFIG_BROADCAST;
}

static void store_number(void *field, size_t size, long long number)
{
    switch (size) {
    case 1:
        *(uint8_t *) field = (uint8_t) number;
        break;
    case 2:
        *(uint16_t *) field = (uint16_t) number;
        break;
    case 4:
        *(uint32_t *) field = (uint32_t) number;
        break;
    case 8:
        *(uint64_t *) field = (uint64_t) number;
        break;
    }
}

static bool in_range(const struct schema_key *key, long long number)
{
    return number >= key->least && number <= key->most;
}

static bool is_word(const struct schema_key *key, const struct value *value)
{
    return value->type == VALUE_STRING && schema_word_index(key->words, value->text) >= 0;
}

static enum value_verdict store_range(const struct schema_key *key, const struct value *value, void *field)
{
    if (value->type != VALUE_INTEGER || !in_range(key, value->number))
        return VALUE_NOT_ALLOWED;
    store_number(field, key->size, value->number);
    return VALUE_OK;
}

static enum value_verdict store_bool(const struct value *value, bool *field)
{
    if (value->type != VALUE_BOOL)
        return VALUE_NOT_ALLOWED;
    *field = value->number != 0;
    return VALUE_OK;
}

static enum value_verdict store_or_bool(const struct schema_key *key, const struct value *value, uint32_t *field)
{
    if (value->type != VALUE_BOOL)
        return store_range(key, value, field);
    *field = value->number ? CONFIG_ALWAYS : 0;
    return VALUE_OK;
}

static enum value_verdict store_choice(const struct schema_key *key, const struct value *value, void *field)
{
    if (!is_word(key, value))
        return VALUE_NOT_ALLOWED;
    store_number(field, key->size, schema_word_index(key->words, value->text));
    return VALUE_OK;
}

static enum value_verdict store_or_word(const struct schema_key *key, const struct value *value, void *field,
                                        bool *word)
{
    enum value_verdict verdict = is_word(key, value) ? VALUE_OK : store_range(key, value, field);

    if (verdict == VALUE_OK)
        *word = is_word(key, value);
    return verdict;
}

// RFC 2474 (csN), 2597 (afNN), 3246 (ef), 5865 (va), 8622 (le). Returns -1 when it is none.
static int dscp_of_name(const char *name)
{
    static const struct {
        char name[3];
        int dscp;
    } others[] = {{"be", 0}, {"le", 1}, {"va", 44}, {"ef", 46}};
    size_t length = strlen(name);

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(name, others[i].name) == 0)
            return others[i].dscp;
    if (length == 3 && strncmp(name, "cs", 2) == 0 && name[2] >= '0' && name[2] <= '7')
        return 8 * (name[2] - '0');
    if (length == 4 && strncmp(name, "af", 2) == 0 && name[2] >= '1' && name[2] <= '4' && name[3] >= '1' &&
        name[3] <= '3')
        return 8 * (name[2] - '0') + 2 * (name[3] - '0');
    return -1;
}

static enum value_verdict store_dscp(const struct schema_key *key, const struct value *value, int *dscp)
{
    if (value->type != VALUE_STRING)
        return store_range(key, value, dscp);
    if (!is_word(key, value) && dscp_of_name(value->text) < 0)
        return VALUE_NOT_ALLOWED;
    *dscp = is_word(key, value) ? CONFIG_DSCP_PRESERVE : dscp_of_name(value->text);
    return VALUE_OK;
}

// "40M": digits and one decimal suffix, so that "40" cannot be taken for something else than 40 bits a second.
static enum value_verdict store_rate(const struct schema_key *key, const struct value *value, uint64_t *rate)
{
    static const char suffixes[] = "kMG";
    struct value number = {.type = VALUE_INTEGER};
    const char *suffix;
    long long unit = 1;
    size_t digits;

    if (value->type != VALUE_STRING)
        return store_range(key, value, rate);
    digits = strspn(value->text, "0123456789");
    if (digits == 0 || digits > 12 || strlen(value->text) != digits + 1)
        return VALUE_NOT_ALLOWED;
    suffix = strchr(suffixes, value->text[digits]);
    if (!suffix)
        return VALUE_NOT_ALLOWED;
    for (const char *s = suffixes; s <= suffix; s++)
        unit *= 1000;
    number.number = atoll(value->text);
    number.number = number.number > key->most / unit ? key->most + 1 : number.number * unit;
    return store_range(key, &number, rate);
}

// --- text ------------------------------------------------------------------------------------------------------------

static bool text_is_allowed(enum schema_kind kind, const char *text)
{
    size_t length = strlen(text);

    switch (kind) {
    case SCHEMA_IFNAME:
        if (text[0] == '-' || text[0] == '.')
            return false;
        break;
    case SCHEMA_PATH:
        if (text[0] != '/' || text[length - 1] == '/')
            return false;
        break;
    default:
        break;
    }
    for (const char *c = text; *c; c++) {
        bool plain = (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_' ||
                     *c == '.' || *c == '-';
        // lexical.c leaves no other control characters than those that were written as an escape.
        bool control = (unsigned char) *c < 0x20 || *c == 0x7f;
        if (kind == SCHEMA_NOTE || kind == SCHEMA_PATH ? control : !plain)
            return false;
    }
    return true;
}

static enum value_verdict store_text(const struct schema_key *key, const struct value *value, char *field)
{
    if (value->type != VALUE_STRING || !in_range(key, (long long) strlen(value->text)) ||
        !text_is_allowed(key->kind, value->text))
        return VALUE_NOT_ALLOWED;
    memcpy(field, value->text, strlen(value->text) + 1);
    return VALUE_OK;
}

// --- addresses -------------------------------------------------------------------------------------------------------

// Parses what stands before the first of these characters. False when there is none.
static bool parse_before(const char *text, const char *ends, struct addr *out)
{
    char head[ADDR_TEXT_MAX];
    size_t length = strcspn(text, ends);

    if (text[length] == '\0' || length >= sizeof(head))
        return false;
    memcpy(head, text, length);
    head[length] = '\0';
    return addr_parse(head, out);
}

enum value_verdict value_judge_form(const struct value *value)
{
    static const struct addr_prefix mapped = {.addr = {.family = ADDR_IPV6, .bytes = {[10] = 0xff, [11] = 0xff}},
                                              .bits = 96};
    struct addr parsed;

    if (value->type != VALUE_STRING)
        return VALUE_NOT_ALLOWED;
    if (parse_before(value->text, "%", &parsed))
        return VALUE_SCOPED;
    // RFC 4291, section 2.5.5.2: never on the wire, but the kernel would send IPv4 for it.
    if ((addr_parse(value->text, &parsed) || parse_before(value->text, "/", &parsed)) &&
        addr_prefix_contains(&mapped, &parsed))
        return VALUE_MAPPED;
    return VALUE_OK;
}

// A prefix of multicast groups, or one of them.
static enum value_verdict store_group(const struct value *value, struct addr *field, uint16_t *span)
{
    enum value_verdict form = value_judge_form(value);
    struct addr_prefix groups;
    const char *why;

    if (form != VALUE_OK)
        return form;
    bool parsed = addr_prefix_parse(value->text, &groups, &why);
    const char *slash = strchr(value->text, '/');
    if (!parsed && slash && groups.bits == 0 && strcmp(slash, "/0") != 0 && addr_is_multicast(&groups.addr))
        return VALUE_LENGTH;
    if (!addr_is_multicast(&groups.addr) || addr_prefix_size(&groups) > CONFIG_SPAN_MAX)
        return VALUE_NOT_ALLOWED;
    if (!parsed)
        return VALUE_HOST_BITS;
    *field = groups.addr;
    *span = (uint16_t) addr_prefix_size(&groups);
    return VALUE_OK;
}

static enum value_verdict store_address(const struct value *value, struct addr *field)
{
    enum value_verdict form = value_judge_form(value);
    struct addr parsed;

    if (form != VALUE_OK)
        return form;
    if (!addr_parse(value->text, &parsed) || !addr_is_unicast(&parsed))
        return VALUE_NOT_ALLOWED;
    *field = parsed;
    return VALUE_OK;
}

// Its words are "interface" and "preserve".
static enum value_verdict store_source(const struct schema_key *key, const struct value *value, struct addr *field,
                                       bool *keep)
{
    enum value_verdict verdict = VALUE_OK;

    if (is_word(key, value))
        *field = (struct addr){.family = ADDR_NONE};
    else
        verdict = store_address(value, field);
    if (verdict == VALUE_OK)
        *keep = is_word(key, value) && schema_word_index(key->words, value->text) == 1;
    return verdict;
}

static enum value_verdict store_broadcast(const struct value *value, struct addr *field)
{
    if (value->type != VALUE_BOOL || !value->number)
        return VALUE_NOT_ALLOWED;
    *field = (struct addr){.family = ADDR_NONE};
    return VALUE_OK;
}

static enum value_verdict store_destination(const struct schema_key *key, const struct value *value, struct addr *field,
                                            enum config_destination *kind, uint16_t *span)
{
    uint16_t n = 1;
    enum value_verdict verdict = key->kind == SCHEMA_GROUP  ? store_group(value, field, &n)
                                 : key->kind == SCHEMA_HOST ? store_address(value, field)
                                                            : store_broadcast(value, field);

    if (verdict != VALUE_OK)
        return verdict;
    *span = n;
    *kind = value_destination(key->kind);
    return VALUE_OK;
}

// "5000-5015", or a number.
static enum value_verdict store_port(const struct schema_key *key, const struct value *value, void *field,
                                     uint16_t *span)
{
    struct value first = *value, last = *value;

    if (value->type == VALUE_STRING) {
        // Digits alone, and few of them, so that no number wraps.
        const char *dash = strchr(value->text, '-');
        if (!dash || strlen(value->text) > strlen("65535-65535") ||
            strspn(value->text, "0123456789") != (size_t) (dash - value->text) || dash == value->text ||
            dash[1] == '\0' || dash[1 + strspn(dash + 1, "0123456789")] != '\0')
            return VALUE_NOT_ALLOWED;
        first = (struct value){.type = VALUE_INTEGER, .number = atoll(value->text)};
        last = (struct value){.type = VALUE_INTEGER, .number = atoll(dash + 1)};
    }
    if (last.number < first.number || !in_range(key, last.number) || last.number - first.number >= CONFIG_SPAN_MAX)
        return VALUE_NOT_ALLOWED;
    enum value_verdict verdict = store_range(key, &first, field);
    if (verdict == VALUE_OK)
        *span = (uint16_t) (last.number - first.number + 1);
    return verdict;
}

// --- all of them -----------------------------------------------------------------------------------------------------

enum value_verdict value_store(const struct schema_key *key, const struct value *value, void *target)
{
    void *field = (char *) target + key->offset;
    void *aside = (char *) target + key->aside, *span = (char *) target + key->span;

    switch (key->kind) {
    case SCHEMA_NUMBER:
        return store_range(key, value, field);
    case SCHEMA_OR_BOOL:
        return store_or_bool(key, value, field);
    case SCHEMA_BOOL:
        return store_bool(value, field);
    case SCHEMA_CHOICE:
        return store_choice(key, value, field);
    case SCHEMA_NAME:
    case SCHEMA_IFNAME:
    case SCHEMA_NOTE:
    case SCHEMA_PATH:
        return store_text(key, value, field);
    case SCHEMA_OR_WORD:
        return store_or_word(key, value, field, aside);
    case SCHEMA_DSCP:
        return store_dscp(key, value, field);
    case SCHEMA_RATE:
        return store_rate(key, value, field);
    case SCHEMA_PORT:
        return store_port(key, value, field, span);
    case SCHEMA_GROUP:
    case SCHEMA_HOST:
    case SCHEMA_BROADCAST:
        return store_destination(key, value, field, aside, span);
    case SCHEMA_SOURCE:
        return store_source(key, value, field, aside);
    case SCHEMA_PREFIXES:
    case SCHEMA_SECTION:
    case SCHEMA_SECTIONS:
    case SCHEMA_KINDS:
        break;
    }
    return VALUE_NOT_ALLOWED;
}

void value_store_defaults(enum schema_place where, void *target)
{
    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if (key->fallback) {
            struct value value = value_fallback(key);
            value_store(key, &value, target);
        }
}

bool value_is_quoted_number(const struct schema_key *key, const struct value *value)
{
    static const bool takes_number[SCHEMA_KINDS] = {
        [SCHEMA_NUMBER] = true, [SCHEMA_OR_WORD] = true, [SCHEMA_OR_BOOL] = true,
        [SCHEMA_DSCP] = true,   [SCHEMA_RATE] = true,    [SCHEMA_PORT] = true,
    };

    return takes_number[key->kind] && value->type == VALUE_STRING && value->text[0] != '\0' &&
           strlen(value->text) < 19 && value->text[strspn(value->text, "0123456789")] == '\0' &&
           in_range(key, atoll(value->text));
}

const char *value_verdict_text(enum value_verdict verdict)
{
    switch (verdict) {
    case VALUE_HOST_BITS:
        return "address bits beyond the prefix length are set";
    case VALUE_LENGTH:
        return "allowed is a prefix length of up to 32 for IPv4, 128 for IPv6";
    case VALUE_SCOPED:
        return "allowed is an address without \"%\": the key \"interface\" says where";
    case VALUE_MAPPED:
        return "which is IPv4 written as IPv6, allowed is its IPv4 form";
    case VALUE_OK:
    case VALUE_NOT_ALLOWED:
        break;
    }
    return NULL;
}

// --- printed ---------------------------------------------------------------------------------------------------------

#define SHOWN_MAX 64 // bytes of a string

static const char *quote(const char *value, char text[VALUE_TEXT_MAX])
{
    static const char special[] = "\n\r\t\f\"\\", letters[] = "nrtf\"\\";
    size_t length = strlen(value), shown = length, used = 1;

    if (length > SHOWN_MAX) {
        shown = SHOWN_MAX;
        while (shown > 0 && ((unsigned char) value[shown] & 0xc0) == 0x80) // never half a UTF-8 sequence
            shown--;
    }
    text[0] = '"';
    for (size_t i = 0; i < shown; i++) {
        const char *escaped = strchr(special, value[i]);
        if (escaped)
            text[used++] = '\\';
        text[used++] = escaped ? letters[escaped - special] : value[i];
    }
    snprintf(text + used, VALUE_TEXT_MAX - used, "%s", shown < length ? "...\"" : "\"");
    return text;
}

const char *value_format(const struct value *value, char text[VALUE_TEXT_MAX])
{
    switch (value->type) {
    case VALUE_INTEGER:
        snprintf(text, VALUE_TEXT_MAX, "%lld", value->number);
        break;
    case VALUE_BOOL:
        snprintf(text, VALUE_TEXT_MAX, "%s", value->number ? "true" : "false");
        break;
    case VALUE_STRING:
        return quote(value->text, text);
    case VALUE_OTHER:
        snprintf(text, VALUE_TEXT_MAX, "%s", value->text);
        break;
    }
    return text;
}
