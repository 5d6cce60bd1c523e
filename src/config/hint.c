// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"
#include "common/moment.h"
#include "common/utf8.h"
#include "config/model.h"

static bool is_text(const struct value *v)
{
    return v->type == VALUE_STRING;
}

#define KIND(name) (1u << SCHEMA_##name)
#define ANY_KIND   (~0u)
#define ADDRESSES  (KIND(GROUP) | KIND(HOST) | KIND(SOURCE) | KIND(PREFIXES))

// 200ms, 2 s: in the unit that the key names. Writes *v.
static bool without_unit(const struct schema_key *key, const struct value *value, struct value *v)
{
    static const struct {
        const char *key, *unit;
        long long times;
    } units[] = {{"_ms", "ms", 1},       {"_ms", "s", 1000},  {"_usecs", "us", 1},
                 {"_us", "us", 1},       {"_us", "ms", 1000}, {"_us", "s", 1000000},
                 {"_usecs", "ms", 1000}, {"_mib", "MiB", 1},  {"_mib", "M", 1}};
    size_t digits = is_text(value) ? strspn(value->text, "0123456789") : 0, length = strlen(key->name);

    for (size_t i = 0; digits > 0 && digits < 10 && i < sizeof(units) / sizeof(units[0]); i++) {
        size_t end = strlen(units[i].key);
        if (length > end && strcmp(key->name + length - end, units[i].key) == 0 &&
            strcmp(value->text + digits + (value->text[digits] == ' '), units[i].unit) == 0) {
            *v = (struct value){.type = VALUE_INTEGER, .number = atoll(value->text) * units[i].times};
            return true;
        }
    }
    return false;
}

static bool is_template(const char *text)
{
    static const char *const marks[][2] = {{"{{", "}}"}, {"{%", "%}"}, {"${", "}"}, {"%{", "}"}, {"<%", "%>"}};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        const char *begin = strstr(text, marks[i][0]);
        if (begin && strstr(begin, marks[i][1]))
            return true;
    }
    return strcmp(text, "AnsibleUndefined") == 0 || strcmp(text, "Sensitive [value redacted]") == 0 ||
           (*text == '$' && text[1] != '\0' && !isdigit((unsigned char) text[1]) &&
            text[1 + strspn(text + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0');
}

static bool is_omitted(const char *text)
{
    return strncmp(text, HINT_OMITTED, strlen(HINT_OMITTED)) == 0;
}

// What languages of templates write for a variable that has no value.
static bool is_empty_variable(const char *text)
{
    static const char *const words[] = {"None", "nil", "null", "undef", "undefined", "<no value>"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

// What nobody writes, and tools leave of what they could not write.
static bool has_remains(const char *text)
{
    static const char *const remains[] = {"<no value>", "<nil>", "[object Object]",
                                          "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"};

    for (size_t i = 0; i < sizeof(remains) / sizeof(remains[0]); i++)
        if (strstr(text, remains[i]))
            return true;
    return false;
}

static bool is_every_interface(const char *text)
{
    return strcmp(text, "any") == 0 || strcmp(text, "all") == 0 || strcmp(text, "*") == 0;
}

#define EACH_INTERFACE ": no name means all of them, write a rule or an input for each interface"

const char *hint_doubt(const struct schema_key *key, const char *text)
{
    if (is_omitted(text))
        return ": " HINT_OMIT;
    if (is_template(text))
        return ": a template that was not filled in?";
    if (has_remains(text))
        return ": a template's variable without a value, or one that is no text?";
    if ((key->kind == SCHEMA_IFNAME || key->kind == SCHEMA_NAME) && is_empty_variable(text))
        return ": an empty variable of a template?";
    return key->kind == SCHEMA_IFNAME && is_every_interface(text) ? EACH_INTERFACE : NULL;
}

// What templates write, and people mean, where a key is not needed. 0 only where it would be "none".
static bool is_nothing(const struct schema_key *key, const struct value *value)
{
    static const char *const words[] = {"", "none", "null", "nil", "undef", "~"};

    // A choice without a default is left out in some cases only, as a role.
    if (key->need == SCHEMA_REQUIRED || key->need == SCHEMA_ONE_OF || (key->kind == SCHEMA_CHOICE && !key->fallback))
        return false;
    if (value->type == VALUE_INTEGER)
        return value->number == 0 && !key->fallback && key->where != SCHEMA_LIMIT &&
               (key->kind == SCHEMA_NUMBER || key->kind == SCHEMA_OR_WORD);
    if (value->type == VALUE_BOOL)
        return !value->number && key->kind == SCHEMA_SECTION;
    if (value->type == VALUE_OTHER)
        return value->empty;
    for (size_t i = 0; is_text(value) && i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(value->text, words[i]) == 0)
            return true;
    return false;
}

// An alarm for more than so much: 0 may be meant as "at any".
static bool is_most(const struct schema_key *key)
{
    return key->where == SCHEMA_MONITOR && strncmp(key->name, "max_", 4) == 0;
}

static bool is_every_sender(const char *text)
{
    static const char *const words[] = {"any", "all", "*", "everyone", "0/0", "0.0.0.0/0", "::/0", "0.0.0.0", "::"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    return false;
}

// 01:0c:cd:01:00:01, or with dashes.
static bool is_hardware_address(const char *text)
{
    unsigned digits = 0;

    for (; isxdigit((unsigned char) *text) || (digits % 2 == 0 && (*text == ':' || *text == '-')); text++)
        digits += isxdigit((unsigned char) *text) != 0;
    return digits == 12 && *text == '\0';
}

// IPv4, and no group: where a broadcast is to be said, that of a subnet.
static bool is_broadcast(const char *text)
{
    struct addr a;

    return addr_parse(text, &a) && a.family == ADDR_IPV4 && !addr_is_multicast(&a) && a.bytes[3] == 255;
}

static bool is_host_name(const char *text)
{
    bool letter = false;

    for (; isalnum((unsigned char) *text) || (*text && strchr("._-", *text)); text++)
        letter = letter || isalpha((unsigned char) *text);
    return letter && *text == '\0';
}

static bool is_excluded(const char *text)
{
    return *text == '!';
}

// What a text is, where nothing can be written in its place.
static const struct {
    unsigned kinds; // of the key
    bool (*is)(const char *text);
    const char *text;
} remarks[] = {
    {~0u, is_omitted, ": " HINT_OMIT},
    {~0u, is_template, ": a template that was not filled in, write the value"},
    {~0u, is_empty_variable, ": it looks like an empty variable of a template, write the value"},
    {KIND(IFNAME), is_every_interface, EACH_INTERFACE},
    {KIND(PREFIXES), is_every_sender, HINT_EVERY_SENDER},
    {KIND(PREFIXES), is_excluded, ": none can be excluded, name those that may"},
    {KIND(BROADCAST), is_broadcast, ": write broadcast = true"},
    {KIND(HOST) | KIND(SOURCE), hint_is_network, ": a network, write the address of one host"},
    {ADDRESSES, is_hardware_address, ": mcr relays UDP, write the IP address"},
    {ADDRESSES, is_host_name, ": write an address, names are not looked up"},
};

// Whether it could be an element of the list that it stands in place of.
static bool is_one_prefix(const struct schema_key *key, const struct value *value)
{
    struct addr_prefix prefix;
    const char *why;

    return key->kind == SCHEMA_PREFIXES && value_judge_form(value) == VALUE_OK &&
           addr_prefix_parse(value->text, &prefix, &why) && addr_is_unicast(&prefix.addr);
}

static bool is_other(const struct value *value)
{
    (void) value;
    return true;
}

// Also as one text: "net-a,net-b".
static bool is_several(const struct value *value)
{
    return value->list || (is_text(value) && strchr(value->text, ',') && !strpbrk(value->text, ":="));
}

static bool is_2022_7(const struct value *value)
{
    return is_text(value) && strstr(value->text, "2022");
}

static bool is_mold(const struct value *value)
{
    return is_text(value) && strncasecmp(value->text, "mold", 4) == 0;
}

static bool is_any_address(const struct value *value)
{
    return is_text(value) && is_every_sender(value->text);
}

#define EACH_INPUT  ": one input for each, write inputs = ( { ... }, { ... } ), or one rule for each pair"
#define EACH_PORT   ": one rule for each, or a range such as \"5000-5009\""
#define EACH_OUTPUT ": one output for each, write outputs = ( { ... }, { ... } ), or one rule for each pair"

// What is meant by a value of another type than the key's, or that stands for more than one.
static const struct {
    enum schema_place where;
    const char *key;
    bool (*is)(const struct value *value);
    const char *text;
} otherwise[] = {
    {SCHEMA_INPUT, "interface", is_several, ": for two legs " HINT_LEGS},
    {SCHEMA_INPUT, "group", is_several, EACH_INPUT},
    {SCHEMA_INPUT, "address", is_several, EACH_INPUT},
    {SCHEMA_INPUT, "address", is_any_address, ": write an address of the interface, the one that is sent to"},
    {SCHEMA_OUTPUT, "interface", is_several, EACH_OUTPUT},
    {SCHEMA_OUTPUT, "group", is_several, EACH_OUTPUT},
    {SCHEMA_OUTPUT, "address", is_several, EACH_OUTPUT},
    {SCHEMA_INPUT, "port", is_several, EACH_PORT},
    {SCHEMA_OUTPUT, "port", is_several, EACH_PORT},
    {SCHEMA_MERGE, "by", is_2022_7, ": SMPTE ST 2022-7 merges by \"rtp\""},
    {SCHEMA_MERGE, "by", is_mold, ": write by = \"field\"; " HINT_MOLD ";"},
    {SCHEMA_RULE, "input", is_several, ": " HINT_LEGS},
    {SCHEMA_RULE, "input", is_other, ": write input = { interface = \"...\"; group = \"...\"; port = ...; }"},
    {SCHEMA_RULE, "outputs", is_other, ": write outputs = ( { ... }, { ... } )"},
    {SCHEMA_TOP, "rules", is_other, ": write rules = ( { ... }, { ... } )"},
    {SCHEMA_TOP, "interfaces", is_other, ": write interfaces = ( { name = \"ot0\"; role = \"in\"; } )"},
    {SCHEMA_RULE, "inputs", is_other, ": " HINT_LEGS},
    {SCHEMA_RULE, "merge", is_other, ": write " HINT_MERGE},
};

static bool is_otherwise(const struct schema_key *key, const struct value *value, char text[HINT_MAX])
{
    for (size_t i = 0; i < sizeof(otherwise) / sizeof(otherwise[0]); i++)
        if (key == schema_find(otherwise[i].where, otherwise[i].key) && otherwise[i].is(value)) {
            snprintf(text, HINT_MAX, "%s", otherwise[i].text);
            return true;
        }
    return false;
}

// A group that one word or number would choose: merge = "active", limit = 2000.
static bool is_word_of_group(const struct schema_key *key, const struct value *value, char text[HINT_MAX])
{
    char shown[VALUE_TEXT_MAX];

    for (const struct schema_key *in = NULL;
         key->kind == SCHEMA_SECTION && value->type != VALUE_OTHER && (in = schema_next(key->inside, in));)
        if (in->need == SCHEMA_REQUIRED ? is_text(value) && schema_word_index(in, value->text) >= 0
                                        : in->need == SCHEMA_ANY_OF && value_is_allowed(in, value)) {
            snprintf(text, HINT_MAX, ": write %s = { %s = %s; }", key->name, in->name, value_format(value, shown));
            return true;
        }
    return false;
}

// A character beyond ASCII, which may look like one of it.
static bool has_foreign(const struct schema_key *key, const char *text, char hint[HINT_MAX])
{
    uint32_t code = 0;

    while ((unsigned char) *text < 0x80 && *text)
        text++;
    if (!*text || key->kind == SCHEMA_NOTE || key->kind == SCHEMA_PATH || !utf8_decode(text, UTF8_MAX, &code))
        return false;
    snprintf(hint, HINT_MAX,
             code == 0xa0 ? ": there is a no-break space, U+%04X, in it" : ": character U+%04X in it is not ASCII",
             (unsigned) code);
    return true;
}

const char *hint_element(const struct schema_key *key, const struct value *value, char text[HINT_MAX])
{
    const struct schema_key *name = schema_find(key->inside, key->inside == SCHEMA_INTERFACE ? "name" : "interface");
    char shown[VALUE_TEXT_MAX];

    text[0] = '\0';
    if (is_text(value) && name && value_is_allowed(name, value))
        snprintf(text, HINT_MAX, ": write { %s = %s; %s", name->name, value_format(value, shown),
                 key->inside == SCHEMA_INTERFACE ? "role = \"in\"; }, or \"out\"" : "... }");
    return text;
}

const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX])
{
    char shown[VALUE_TEXT_MAX], time[MOMENT_TEXT_MAX];
    struct value number;
    uint64_t meant;

    text[0] = '\0';
    if (key->kind == SCHEMA_TIME) {
        if (value->type == VALUE_STRING && moment_guess(value->text, &meant))
            snprintf(text, HINT_MAX, ": write \"%s\"", moment_format(meant, time));
        return text;
    }
    if (is_word_of_group(key, value, text))
        return text;
    if (is_nothing(key, value))
        return strcpy(text, is_most(key) ? ": write 1; without the key there is no alarm" : ": leave the key out");
    if (is_text(value) && (ADDRESSES & 1u << key->kind) && hint_url(key, value->text, text))
        return text;
    if (is_otherwise(key, value, text))
        return text;
    if (is_text(value) && value->text[strcspn(value->text, "\t\n\r\f")] != '\0')
        return strcpy(text,
                      ": \\t in a text is a tab and \\n a new line, which none may have: write \\\\ for a backslash");
    if (is_text(value) && !is_template(value->text) && has_foreign(key, value->text, text))
        return text;
    number = (struct value){.type = VALUE_INTEGER, .number = value->number};
    if ((value->whole || without_unit(key, value, &number)) && value_is_allowed(key, &number)) {
        snprintf(text, HINT_MAX, ": write %lld", number.number);
        return text;
    }
    if (key->kind == SCHEMA_GROUP && is_text(value) && hint_group(value->text, text))
        return text;
    if (hint_mend(key, value, text))
        return text;
    for (size_t i = 0; i < sizeof(remarks) / sizeof(remarks[0]) && is_text(value); i++)
        if ((remarks[i].kinds & 1u << key->kind) && remarks[i].is(value->text)) {
            snprintf(text, HINT_MAX, "%s", remarks[i].text);
            return text;
        }
    if (is_one_prefix(key, value))
        snprintf(text, HINT_MAX, ": write [ %s ]", value_format(value, shown));
    // One group in place of a list, or a word that chooses none.
    if (key->kind == SCHEMA_SECTION)
        snprintf(text, HINT_MAX, ": write %s = { ... };", key->name);
    if (key->need != SCHEMA_ONE_OF)
        return text;
    if (is_text(value) && strcmp(value->text, "255.255.255.255") == 0)
        snprintf(text, HINT_MAX, ": write broadcast = true in place of \"%s\"", key->name);
    for (const struct schema_key *other = NULL; (other = schema_next(key->where, other));)
        if (other->need == SCHEMA_ONE_OF && value_is_allowed(other, value))
            snprintf(text, HINT_MAX, ": use \"%s\" for it", other->name);
    return text;
}
