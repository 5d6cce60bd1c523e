// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/addr.h"
#include "config/model.h"

#define REPAIRED_MAX 64

static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

// Each function repairs one kind of mistake: it changes *v, and its text (below REPAIRED_MAX bytes) in place, and
// returns false if the mistake is not there. hint_value() then tries whether the key allows the result.

static bool is_text(const struct value *v)
{
    return v->type == VALUE_STRING;
}

static bool number_without_quotes(struct value *v, char *text)
{
    size_t digits = is_text(v) ? strspn(text, "0123456789") : 0;

    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return false;
    *v = (struct value){.type = VALUE_INTEGER, .number = atoll(text)};
    return true;
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

static bool without_port(struct value *v, char *text)
{
    char *colon = is_text(v) ? strchr(text, ':') : NULL;

    if (!colon || strchr(colon + 1, ':'))
        return false;
    *colon = '\0';
    return true;
}

static bool is_network(const char *text)
{
    struct addr_prefix p;
    const char *why;

    return strchr(text, '/') && addr_prefix_parse(text, &p, &why) && p.bits < 8 * addr_length(&p.addr);
}

static bool without_prefix(struct value *v, char *text)
{
    char *slash = is_text(v) && !is_network(text) ? strchr(text, '/') : NULL;

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
    if (strlen(text) + sizeof("/116") > REPAIRED_MAX)
        return false;
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

#define ANY_KIND SCHEMA_KINDS

static const struct {
    enum schema_kind kind; // of the key
    bool (*mend)(struct value *v, char *text);
    const char *why;
} mends[] = {
    {ANY_KIND, number_without_quotes, "write the number without quotes"},
    {ANY_KIND, quoted_number, "in quotes, write"},
    {ANY_KIND, lower_case, NULL},
    {ANY_KIND, multiplied, NULL},
    {SCHEMA_RATE, rate_in_words, NULL},
    {ANY_KIND, bool_without_quotes, NULL},
    {ANY_KIND, bool_of_number, NULL},
    {SCHEMA_PORT, range_with_dash, NULL},
    {SCHEMA_PORT, range_forwards, "the range is backwards, write"},
    {SCHEMA_DSCP, dscp_of_byte, "as a TOS byte that is dscp"},
    {ANY_KIND, without_brackets, NULL},
    {SCHEMA_IFNAME, without_port, "an alias is no interface of its own, write"},
    {ANY_KIND, without_port, "the port is a key of its own, write"},
    {SCHEMA_HOST, without_prefix, "one address has no prefix length, write"},
    {SCHEMA_SOURCE, without_prefix, "one address has no prefix length, write"},
    {SCHEMA_GROUP, shorter_prefix, "4096 groups at most, write rules for parts such as"},
    {ANY_KIND, without_zeros, NULL},
};

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

bool hint_is_template(const char *text)
{
    static const char *const marks[][2] = {{"{{", "}}"}, {"{%", "%}"}, {"${", "}"}, {"<%", "%>"}};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        const char *begin = strstr(text, marks[i][0]);
        if (begin && strstr(begin, marks[i][1]))
            return true;
    }
    return strcmp(text, "AnsibleUndefined") == 0 ||
           (*text == '$' && text[1] != '\0' && !isdigit((unsigned char) text[1]) &&
            text[1 + strspn(text + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0');
}

// What templates write, and people mean, where a key is not needed. 0 only where it would be "none".
static bool is_nothing(const struct schema_key *key, const struct value *value)
{
    static const char *const words[] = {"", "none", "null", "nil", "undef", "~"};

    if (key->need == SCHEMA_REQUIRED || key->need == SCHEMA_ONE_OF)
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

#define KIND(name) (1u << SCHEMA_##name)
#define ADDRESSES  (KIND(GROUP) | KIND(HOST) | KIND(SOURCE) | KIND(PREFIXES))

// What a text is, where nothing can be written in its place.
static const struct {
    unsigned kinds; // of the key
    bool (*is)(const char *text);
    const char *text;
} remarks[] = {
    {~0u, hint_is_template, ": a template that was not filled in, write the value"},
    {KIND(PREFIXES), is_every_sender, HINT_EVERY_SENDER},
    {KIND(BROADCAST), is_broadcast, ": write broadcast = true"},
    {KIND(HOST) | KIND(SOURCE), is_network, ": a network, write the address of one host"},
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

// A URL such as "udp://@239.10.0.1:5004", or an address with its interface behind it, "239.10.0.1@red0": writes the
// keys for its parts.
static bool take_url_apart(const struct schema_key *key, const char *url, char text[HINT_MAX])
{
    static const char ends[] = "@:/?#%";
    char host[ADDR_TEXT_MAX], behind[IFNAMSIZ];
    const char *scheme = strstr(url, "://"), *at = strchr(url, '@');
    const struct schema_key *taker = NULL;
    struct addr address;

    if (!(ADDRESSES & 1u << key->kind) || (!scheme && !at))
        return false;
    at = scheme ? scheme + 3 : url;
    at += *at == '@' ? 1 : 0;
    bool brackets = *at == '[';
    at += brackets ? 1 : 0;
    size_t length = strcspn(at, brackets ? "]" : ends);
    snprintf(host, sizeof(host), "%.*s", (int) length, at);
    at += length + (brackets && at[length] ? 1 : 0);
    const struct value v = {.type = VALUE_STRING, .text = host};
    for (const struct schema_key *other = NULL; (other = schema_next(key->where, other));)
        if (other == key || (key->need == SCHEMA_ONE_OF && other->need == SCHEMA_ONE_OF))
            taker = value_is_allowed(other, &v) ? other : taker;
    if (!taker || !addr_parse(host, &address))
        return false;
    snprintf(behind, sizeof(behind), "%.*s", (int) strspn(at + (*at != '\0'), plain), at + (*at != '\0'));
    int used = snprintf(text, HINT_MAX, ": write %s = \"%s\";", taker->name, host);
    if (*at == ':' && *behind && strspn(behind, "0123456789") == strlen(behind))
        snprintf(text + used, HINT_MAX - (size_t) used, " port = %s;", behind);
    else if (*at == '@' && *behind)
        snprintf(text + used, HINT_MAX - (size_t) used, " interface = \"%s\";", behind);
    return true;
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

static bool is_any_address(const struct value *value)
{
    return is_text(value) && is_every_sender(value->text);
}

#define EACH_INPUT  ": one input for each, write inputs = ( { ... }, { ... } )"
#define EACH_PORT   ": one rule for each, or a range such as \"5000-5009\""
#define EACH_OUTPUT ": one output for each, write outputs = ( { ... }, { ... } )"

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
    {SCHEMA_RULE, "input", is_several, ": " HINT_LEGS},
    {SCHEMA_RULE, "input", is_other, ": write input = { interface = \"...\"; group = \"...\"; port = ...; }"},
    {SCHEMA_RULE, "outputs", is_other, ": write outputs = ( { ... }, { ... } )"},
    {SCHEMA_TOP, "rules", is_other, ": write rules = ( { ... }, { ... } )"},
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

const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX])
{
    char repaired[REPAIRED_MAX] = "", shown[VALUE_TEXT_MAX];
    struct value number;

    text[0] = '\0';
    if (is_word_of_group(key, value, text))
        return text;
    if (is_nothing(key, value))
        return strcpy(text, ": leave the key out");
    if (is_otherwise(key, value, text))
        return text;
    if (is_text(value) && strstr(value->text, "\xc2\xa0"))
        return strcpy(text, ": there is a no-break space, U+00A0, in it");
    number = (struct value){.type = VALUE_INTEGER, .number = value->number};
    if ((value->whole || without_unit(key, value, &number)) && value_is_allowed(key, &number)) {
        snprintf(text, HINT_MAX, ": write %lld", number.number);
        return text;
    }
    if (value->type == VALUE_STRING && (take_url_apart(key, value->text, text) || strlen(value->text) >= REPAIRED_MAX))
        return text;
    for (size_t i = 0; i < sizeof(mends) / sizeof(mends[0]) && value->type != VALUE_OTHER; i++) {
        struct value v = *value;
        if (is_text(value))
            v.text = strcpy(repaired, value->text);
        if ((mends[i].kind != ANY_KIND && mends[i].kind != key->kind) || !mends[i].mend(&v, repaired) ||
            !value_is_allowed(key, &v))
            continue;
        if (i == 0)
            snprintf(text, HINT_MAX, ": %s", mends[i].why);
        else
            snprintf(text, HINT_MAX, ": %s %s", mends[i].why ? mends[i].why : "write", value_format(&v, shown));
        return text;
    }
    for (size_t i = 0; i < sizeof(remarks) / sizeof(remarks[0]) && is_text(value); i++)
        if ((remarks[i].kinds & 1u << key->kind) && remarks[i].is(value->text)) {
            snprintf(text, HINT_MAX, "%s", remarks[i].text);
            return text;
        }
    if (is_one_prefix(key, value))
        snprintf(text, HINT_MAX, ": write [ %s ]", value_format(value, shown));
    if (key->need != SCHEMA_ONE_OF)
        return text;
    if (is_text(value) && strcmp(value->text, "255.255.255.255") == 0)
        snprintf(text, HINT_MAX, ": write broadcast = true in place of \"%s\"", key->name);
    for (const struct schema_key *other = NULL; (other = schema_next(key->where, other));)
        if (other->need == SCHEMA_ONE_OF && value_is_allowed(other, value))
            snprintf(text, HINT_MAX, ": use \"%s\" for it", other->name);
    return text;
}
