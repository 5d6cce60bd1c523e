// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/value.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/moment.h"

struct value value_of(const struct config_setting_t *setting)
{
    static const char *const others[] = {
        [CONFIG_TYPE_NONE] = "nothing",       [CONFIG_TYPE_GROUP] = "a group { }", [CONFIG_TYPE_FLOAT] = "a float",
        [CONFIG_TYPE_ARRAY] = "an array [ ]", [CONFIG_TYPE_LIST] = "a list ( )",
    };

    double number = config_setting_type(setting) == CONFIG_TYPE_FLOAT ? config_setting_get_float(setting) : 0.5;

    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return (struct value){.type = VALUE_INTEGER, .number = config_setting_get_int64(setting)};
    case CONFIG_TYPE_BOOL:
        return (struct value){.type = VALUE_BOOL, .number = config_setting_get_bool(setting)};
    case CONFIG_TYPE_STRING:
        return (struct value){.type = VALUE_STRING, .text = config_setting_get_string(setting)};
    default:
        // No more than a double tells apart, so that the conversion is defined.
        if (number >= 0 && number <= 1e15 && number == (double) (long long) number)
            return (struct value){
                .type = VALUE_OTHER, .text = others[CONFIG_TYPE_FLOAT], .number = (long long) number, .whole = true};
        return (struct value){.type = VALUE_OTHER,
                              .text = others[config_setting_type(setting)],
                              .list = config_setting_is_list(setting) || config_setting_is_array(setting),
                              .empty = config_setting_is_aggregate(setting) && config_setting_length(setting) == 0};
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

const void *value_section(const struct schema_key *key, const void *target)
{
    const char *section = (const char *) target + key->offset;

    if (key->aside) {
        struct value_list list = value_load_list(key, target);
        return list.n == 1 ? list.elements : NULL;
    }
    return *(const int *) (const void *) (section + schema_places[key->inside].line) != 0 ? section : NULL;
}

enum config_destination value_destination(enum schema_kind kind)
{
    static const enum config_destination destinations[SCHEMA_KINDS] = {
        [SCHEMA_GROUP] = CONFIG_GROUP,
        [SCHEMA_HOST] = CONFIG_ADDRESS,
        [SCHEMA_BROADCAST] = CONFIG_BROADCAST,
    };

    return destinations[kind];
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

static bool takes_integer(enum schema_kind kind)
{
    return kind == SCHEMA_NUMBER || kind == SCHEMA_OR_WORD || kind == SCHEMA_OR_BOOL || kind == SCHEMA_DSCP ||
           kind == SCHEMA_RATE || kind == SCHEMA_PORT;
}

// Returns the DSCP of a name, or -1: RFC 2474 (csN), 2597 (afNN), 3246 (ef), 5865 (va), 8622 (le).
static int dscp_of_name(const char *name)
{
    static const struct {
        const char *name;
        int dscp;
    } names[] = {
        {"be", 0},    {"le", 1},    {"va", 44},   {"ef", 46},   {"cs0", 0},   {"cs1", 8},   {"cs2", 16},  {"cs3", 24},
        {"cs4", 32},  {"cs5", 40},  {"cs6", 48},  {"cs7", 56},  {"af11", 10}, {"af12", 12}, {"af13", 14}, {"af21", 18},
        {"af22", 20}, {"af23", 22}, {"af31", 26}, {"af32", 28}, {"af33", 30}, {"af41", 34}, {"af42", 36}, {"af43", 38},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i].name) == 0)
            return names[i].dscp;
    return -1;
}

// Returns the rate of a text such as "40M": digits and one decimal suffix, so that "40" can only mean 40 bits a second.
// Returns -1 if it is none, or more than `most`.
static long long rate_of_text(const char *text, long long most)
{
    static const char suffixes[] = "kMG";
    size_t digits = strspn(text, "0123456789");
    const char *suffix = text[digits] ? strchr(suffixes, text[digits]) : NULL;
    long long unit = 1;

    if (digits == 0 || digits > 12 || !suffix || text[digits + 1] != '\0')
        return -1;
    for (const char *s = suffixes; s <= suffix; s++)
        unit *= 1000;
    return atoll(text) > most / unit ? -1 : atoll(text) * unit;
}

// Sets *number to the number that the model stores for the value. word: its index among the words of the key, or -1.
// Returns false if the value is not allowed.
static bool number_of(const struct schema_key *key, const struct value *value, int word, long long *number)
{
    switch (value->type) {
    case VALUE_INTEGER:
        *number = value->number;
        return takes_integer(key->kind) && in_range(key, value->number);
    case VALUE_BOOL:
        *number = value->number && key->kind == SCHEMA_OR_BOOL ? CONFIG_ALWAYS : value->number != 0;
        return key->kind == SCHEMA_BOOL || key->kind == SCHEMA_OR_BOOL;
    case VALUE_STRING:
        if (key->kind == SCHEMA_RATE)
            *number = rate_of_text(value->text, key->most);
        else if (key->kind == SCHEMA_DSCP)
            *number = word >= 0 ? CONFIG_DSCP_PRESERVE : dscp_of_name(value->text);
        else
            *number = key->kind == SCHEMA_CHOICE ? word : -1;
        return word >= 0 || *number >= key->least;
    case VALUE_OTHER:
        break;
    }
    return false;
}

static enum value_verdict store_as_number(const struct schema_key *key, const struct value *value, int word,
                                          void *field)
{
    long long number;

    if (!number_of(key, value, word, &number))
        return VALUE_NOT_ALLOWED;
    store_number(field, key->size, number);
    return VALUE_OK;
}

// --- text ------------------------------------------------------------------------------------------------------------

static bool text_is_allowed(enum schema_kind kind, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

    if (kind == SCHEMA_IFNAME && (text[0] == '-' || text[0] == '.'))
        return false;
    if (kind == SCHEMA_PATH && (text[0] != '/' || text[strlen(text) - 1] == '/'))
        return false;
    if (kind == SCHEMA_NAME || kind == SCHEMA_IFNAME)
        return text[strspn(text, plain)] == '\0';
    // lexical.c leaves no other control characters than those that were written as an escape.
    while ((unsigned char) *text >= 0x20 && *text != 0x7f)
        text++;
    return *text == '\0';
}

static enum value_verdict store_text(const struct schema_key *key, const struct value *value, char *field)
{
    if (value->type != VALUE_STRING || !in_range(key, (long long) strlen(value->text)) ||
        !text_is_allowed(key->kind, value->text))
        return VALUE_NOT_ALLOWED;
    memcpy(field, value->text, strlen(value->text) + 1);
    return VALUE_OK;
}

static enum value_verdict store_time(const struct value *value, uint64_t *field)
{
    return value->type == VALUE_STRING && moment_parse(value->text, field) ? VALUE_OK : VALUE_NOT_ALLOWED;
}

// --- addresses -------------------------------------------------------------------------------------------------------

// Parses what stands before the first such character, or before the end.
static bool parse_before(const char *text, char end, struct addr *out)
{
    char head[ADDR_TEXT_MAX];
    size_t length = (size_t) (strchrnul(text, end) - text);

    if (length >= sizeof(head))
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
    if (strchr(value->text, '%') && parse_before(value->text, '%', &parsed))
        return VALUE_SCOPED;
    // RFC 4291, section 2.5.5.2: never on the wire, but the kernel would send IPv4 for it.
    if (parse_before(value->text, '/', &parsed) && addr_prefix_contains(&mapped, &parsed))
        return VALUE_MAPPED;
    return VALUE_OK;
}

// A prefix of multicast groups, or one of them.
static enum value_verdict parse_group(const struct value *value, struct addr *field, uint16_t *span)
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

static enum value_verdict parse_address(const struct value *value, struct addr *field)
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

// word: 0 for "interface", 1 for "preserve", -1 for an address.
static enum value_verdict store_source(const struct value *value, int word, struct addr *field, bool *keep)
{
    enum value_verdict verdict = VALUE_OK;

    if (word >= 0)
        *field = (struct addr){.family = ADDR_NONE};
    else
        verdict = parse_address(value, field);
    if (verdict == VALUE_OK)
        *keep = word == 1;
    return verdict;
}

static enum value_verdict store_destination(const struct schema_key *key, const struct value *value, struct addr *field,
                                            enum config_destination *kind, uint16_t *span)
{
    enum value_verdict verdict = VALUE_OK;
    struct addr address = {.family = ADDR_NONE};
    uint16_t n = 1;

    if (key->kind == SCHEMA_GROUP)
        verdict = parse_group(value, &address, &n);
    else if (key->kind == SCHEMA_HOST)
        verdict = parse_address(value, &address);
    else if (value->type != VALUE_BOOL || !value->number)
        verdict = VALUE_NOT_ALLOWED;
    if (verdict != VALUE_OK)
        return verdict;
    *field = address;
    *span = n;
    *kind = value_destination(key->kind);
    return VALUE_OK;
}

// "5000-5015", or a number.
static enum value_verdict store_port(const struct schema_key *key, const struct value *value, void *field,
                                     uint16_t *span)
{
    static const char digits[] = "0123456789";
    long long first = value->number, last = value->number;

    if (value->type == VALUE_STRING) {
        const char *text = value->text, *dash = text + strspn(text, digits);
        // Digits alone, and few of them, so that no number wraps.
        if (dash == text || *dash != '-' || dash[1] == '\0' || dash[1 + strspn(dash + 1, digits)] != '\0' ||
            strlen(text) > strlen("65535-65535"))
            return VALUE_NOT_ALLOWED;
        first = atoll(text);
        last = atoll(dash + 1);
    } else if (value->type != VALUE_INTEGER) {
        return VALUE_NOT_ALLOWED;
    }
    if (!in_range(key, first) || !in_range(key, last) || last < first || last - first >= CONFIG_SPAN_MAX)
        return VALUE_NOT_ALLOWED;
    store_number(field, key->size, first);
    *span = (uint16_t) (last - first + 1);
    return VALUE_OK;
}

// --- all of them -----------------------------------------------------------------------------------------------------

enum value_verdict value_store(const struct schema_key *key, const struct value *value, void *target)
{
    void *field = (char *) target + key->offset;
    void *aside = (char *) target + key->aside, *span = (char *) target + key->span;
    int word = value->type == VALUE_STRING ? schema_word_index(key, value->text) : -1;

    switch (key->kind) {
    case SCHEMA_NUMBER:
    case SCHEMA_OR_BOOL:
    case SCHEMA_BOOL:
    case SCHEMA_CHOICE:
    case SCHEMA_DSCP:
    case SCHEMA_RATE:
        return store_as_number(key, value, word, field);
    case SCHEMA_OR_WORD:
        if (word < 0 && store_as_number(key, value, word, field) != VALUE_OK)
            return VALUE_NOT_ALLOWED;
        *(bool *) aside = word >= 0;
        return VALUE_OK;
    case SCHEMA_NAME:
    case SCHEMA_IFNAME:
    case SCHEMA_NOTE:
    case SCHEMA_PATH:
        return store_text(key, value, field);
    case SCHEMA_TIME:
        return store_time(value, field);
    case SCHEMA_PORT:
        return store_port(key, value, field, span);
    case SCHEMA_GROUP:
    case SCHEMA_HOST:
    case SCHEMA_BROADCAST:
        return store_destination(key, value, field, aside, span);
    case SCHEMA_SOURCE:
        return store_source(value, word, field, aside);
    case SCHEMA_PREFIXES:
    case SCHEMA_SECTION:
    case SCHEMA_SECTIONS:
    case SCHEMA_KINDS:
        break;
    }
    return VALUE_NOT_ALLOWED;
}

bool value_is_allowed(const struct schema_key *key, const struct value *value)
{
    void *scratch = calloc(1, schema_places[key->where].size);
    bool ok = scratch && key->kind != SCHEMA_PREFIXES && key->kind != SCHEMA_SECTION && key->kind != SCHEMA_SECTIONS &&
              value_store(key, value, scratch) == VALUE_OK;

    free(scratch);
    return ok;
}

void value_store_defaults(enum schema_place where, void *target)
{
    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if (key->fallback) {
            struct value value = value_fallback(key);
            value_store(key, &value, target);
        }
}

const char *value_verdict_text(enum value_verdict verdict)
{
    static const char *const texts[] = {
        [VALUE_HOST_BITS] = "address bits beyond the prefix length are set",
        [VALUE_LENGTH] = "allowed is a prefix length of up to 32 for IPv4, 128 for IPv6",
        [VALUE_SCOPED] = "allowed is an address without \"%\": the key \"interface\" says where",
        [VALUE_MAPPED] = "which is IPv4 written as IPv6, allowed is its IPv4 form",
    };

    return texts[verdict];
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
    if (value->type == VALUE_STRING)
        return quote(value->text, text);
    if (value->type == VALUE_INTEGER)
        snprintf(text, VALUE_TEXT_MAX, "%lld", value->number);
    else if (value->type == VALUE_BOOL)
        snprintf(text, VALUE_TEXT_MAX, "%s", value->number ? "true" : "false");
    else
        snprintf(text, VALUE_TEXT_MAX, "%s", value->text);
    return text;
}
