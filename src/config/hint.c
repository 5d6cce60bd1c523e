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

// --- values ----------------------------------------------------------------------------------------------------------

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

static bool takes(const struct schema_key *key, const struct value *value)
{
    void *scratch = calloc(1, schema_places[key->where].size);
    bool ok = scratch && key->kind != SCHEMA_PREFIXES && key->kind != SCHEMA_SECTION && key->kind != SCHEMA_SECTIONS &&
              value_store(key, value, scratch) == VALUE_OK;

    free(scratch);
    return ok;
}

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
            taker = takes(other, &v) ? other : taker;
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
    return value->list || (is_text(value) && strchr(value->text, ','));
}

static bool is_any_address(const struct value *value)
{
    return is_text(value) && is_every_sender(value->text);
}

#define EACH_INPUT  ": one input for each, write inputs = ( { ... }, { ... } )"
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
    {SCHEMA_RULE, "input", is_several, ": " HINT_LEGS},
    {SCHEMA_RULE, "inputs", is_other, ": " HINT_LEGS},
    {SCHEMA_RULE, "merge", is_other, ": write merge = { by = \"rtp\"; }"},
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
                                        : in->need == SCHEMA_ANY_OF && takes(in, value)) {
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
    if ((value->whole || without_unit(key, value, &number)) && takes(key, &number)) {
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
            !takes(key, &v))
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
        if (other->need == SCHEMA_ONE_OF && takes(other, value))
            snprintf(text, HINT_MAX, ": use \"%s\" for it", other->name);
    return text;
}

// 10.0.0.0/255.0.0.0
static bool of_netmask(const char *text, struct addr_prefix *p)
{
    char address[REPAIRED_MAX];
    const char *slash = strchr(text, '/');
    struct addr mask;

    if (!slash || strlen(text) >= sizeof(address) || !addr_parse(slash + 1, &mask) || mask.family != ADDR_IPV4)
        return false;
    snprintf(address, sizeof(address), "%.*s", (int) (slash - text), text);
    uint32_t bits =
        (uint32_t) mask.bytes[0] << 24 | (uint32_t) mask.bytes[1] << 16 | (uint32_t) mask.bytes[2] << 8 | mask.bytes[3];
    p->bits = (uint8_t) __builtin_popcount(bits);
    bool whole = bits == 0 || (~bits & (~bits + 1)) == 0; // ones first
    return whole && addr_parse(address, &p->addr) && p->addr.family == ADDR_IPV4;
}

static void clear_host_bits(struct addr_prefix *p)
{
    for (size_t bit = p->bits; bit < 8 * addr_length(&p->addr); bit++)
        p->addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

// 10.0.0.1-10.0.0.9: writes the prefixes that are this range, as far as there is room.
static bool of_range(const char *range, char text[HINT_MAX])
{
    char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], shown[ADDR_TEXT_MAX];
    struct addr first, last;
    size_t used;

    if (sscanf(range, "%63[0-9.] - %63[0-9.]", from, to) != 2 || !addr_parse(from, &first) || !addr_parse(to, &last) ||
        memcmp(first.bytes, last.bytes, sizeof(first.bytes)) > 0)
        return false;
    used = (size_t) snprintf(text, HINT_MAX, ": a range is written as prefixes:");
    for (;;) {
        struct addr_prefix p = {.addr = first, .bits = 32}, wider = p;
        struct addr end;
        do {
            p = wider;
            wider.bits--;
            clear_host_bits(&wider);
            end = addr_after(&wider.addr, addr_prefix_size(&wider) - 1);
        } while (p.bits > 8 && addr_equal(&wider.addr, &first) &&
                 memcmp(end.bytes, last.bytes, sizeof(end.bytes)) <= 0);
        if (used + ADDR_TEXT_MAX > HINT_MAX) {
            snprintf(text + used, HINT_MAX - used, " ...");
            return true;
        }
        used += (size_t) snprintf(text + used, HINT_MAX - used, " \"%s\",", addr_prefix_format(&p, shown));
        end = addr_after(&first, addr_prefix_size(&p) - 1);
        if (memcmp(end.bytes, last.bytes, sizeof(end.bytes)) >= 0)
            break;
        first = addr_after(&end, 1);
    }
    text[used - 1] = '\0'; // the last comma
    return true;
}

const char *hint_network(const char *prefix, char text[HINT_MAX])
{
    char network[ADDR_TEXT_MAX], address[ADDR_TEXT_MAX];
    struct addr_prefix p;
    const char *why;

    text[0] = '\0';
    if (of_netmask(prefix, &p)) {
        clear_host_bits(&p);
        snprintf(text, HINT_MAX, ": write \"%s\"", addr_prefix_format(&p, network));
        return text;
    }
    // Of one with such bits, address and length are known.
    if (of_range(prefix, text) || addr_prefix_parse(prefix, &p, &why) || p.bits == 0)
        return text;
    addr_format(&p.addr, address);
    clear_host_bits(&p);
    snprintf(text, HINT_MAX, ": write \"%s\" or \"%s\"", addr_prefix_format(&p, network), address);
    return text;
}

// --- keys ------------------------------------------------------------------------------------------------------------

// Names that smcroute, socat, iptables, ip(8), Ansible and people use, in the order of their places.
static const struct {
    const char *names; // separated by blanks, with one at both ends
    enum schema_place where;
    const char *key;
} synonyms[] = {
    {" iface if intf ifname dev device nic from ", SCHEMA_INPUT, "interface"},
    {" name id label path ", SCHEMA_INPUT, "leg"},
    {" iface if intf ifname dev device nic to ", SCHEMA_OUTPUT, "interface"},
    {" iface if intf ifname dev device nic interface ", SCHEMA_INTERFACE, "name"},
    {" direction dir way ", SCHEMA_INTERFACE, "role"},
    {" mcast multicast maddr dst dest destination ip to ", SCHEMA_INPUT, "group"},
    {" mcast multicast maddr dst dest destination ip ", SCHEMA_OUTPUT, "group"},
    {" host unicast addr local bind listen ", SCHEMA_INPUT, "address"},
    {" host unicast addr remote peer target ", SCHEMA_OUTPUT, "address"},
    {" dport dst_port dest_port udp_port destination_port ", SCHEMA_INPUT, "port"},
    {" dport dst_port dest_port udp_port destination_port ", SCHEMA_OUTPUT, "port"},
    {" src source sender senders allow ssm src_ip source_address ", SCHEMA_INPUT, "sources"},
    {" src src_ip source_address saddr snat ", SCHEMA_OUTPUT, "source"},
    {" sport src_port ", SCHEMA_OUTPUT, "source_port"},
    {" vid vlan_id tag vlan_tag dot1q ", SCHEMA_INPUT, "vlan"},
    {" vid vlan_id tag vlan_tag dot1q ", SCHEMA_OUTPUT, "vlan"},
    {" time-to-live time_to_live hops hop_limit hoplimit ", SCHEMA_OUTPUT, "ttl"},
    {" tos qos traffic_class tclass ", SCHEMA_OUTPUT, "dscp"},
    {" in src from receive ", SCHEMA_RULE, "input"},
    {" out dst dest destination destinations target targets to forward send ", SCHEMA_RULE, "outputs"},
    {" id title ", SCHEMA_RULE, "name"},
    {" description desc comment ticket ", SCHEMA_RULE, "note"},
    {" disabled disable active state ", SCHEMA_RULE, "enabled"},
    {" mtu size max_size ", SCHEMA_RULE, "max_payload"},
    {" rate bandwidth rate_limit ", SCHEMA_RULE, "limit"},
    {" loss max_loss loss_ppm ", SCHEMA_MONITOR, "max_loss_ppm"},
    {" jitter max_jitter jitter_us ", SCHEMA_MONITOR, "max_jitter_us"},
    {" clock clock_rate hz ", SCHEMA_MONITOR, "clock_hz"},
    {" dry_run test trial ", SCHEMA_RULE, "shadow"},
    {" timeout silence silence_s silent_ms ", SCHEMA_RULE, "silence_ms"},
    {" mode type method how key ", SCHEMA_MERGE, "by"},
    {" window delay_ms skew_ms ", SCHEMA_MERGE, "window_ms"},
    {" pps packets rate ", SCHEMA_LIMIT, "packets_per_second"},
    {" bps bits bandwidth bitrate ", SCHEMA_LIMIT, "bits_per_second"},
    {" burst ", SCHEMA_LIMIT, "burst_ms"},
    {" flows streams routes relays forwards ", SCHEMA_TOP, "rules"},
    {" interface ", SCHEMA_TOP, "interfaces"},
    {" buffer ring ring_size rcvbuf ", SCHEMA_TOP, "ring_mib"},
};

#define PLACE(name) (1u << SCHEMA_##name)

// What no key is for.
static const struct {
    const char *names; // between blanks
    unsigned places;
    const char *text;
} advice[] = {
    {" protocol proto l4proto transport tcp udp ", ~0u, ", mcr relays UDP only: leave it out"},
    {" action policy verdict default_action ", ~0u,
     ", every rule allows, and what no rule takes is dropped: leave it out"},
    {" source ", PLACE(RULE),
     ", \"sources\" in input are the senders that may, \"source\" in output is the address that it leaves with"},
    {" interfaces ", PLACE(INPUT), ", for two legs " HINT_LEGS},
    {" legs ", PLACE(RULE) | PLACE(MERGE), ", the legs are the rule's inputs: " HINT_LEGS},
    {" include ", ~0u, ", directives as @include are not allowed: the rules stand in one file"},
};

// Where else a key is: in a part of a rule, or else around the rules.
static void name_places(const char *name, char text[HINT_KEY_MAX])
{
    size_t used = 0;

    for (int at = SCHEMA_RULE; at < SCHEMA_PLACES + SCHEMA_RULE; at++) {
        enum schema_place where = (enum schema_place)(at % SCHEMA_PLACES);
        if ((where < SCHEMA_RULE && used > 0) || !schema_find(where, name))
            continue;
        used += (size_t) snprintf(text + used, HINT_KEY_MAX - used, "%s%s", used ? " or " : ", it belongs in ",
                                  schema_places[where].name);
    }
}

static void list_keys(enum schema_place where, char text[HINT_KEY_MAX])
{
    size_t used = (size_t) snprintf(text, HINT_KEY_MAX, ", allowed there:");

    for (const struct schema_key *key = NULL; (key = schema_next(where, key)) && used < HINT_KEY_MAX;)
        used += (size_t) snprintf(text + used, HINT_KEY_MAX - used, " %s", key->name);
}

// Units of time that keys end in, ours and those of others.
static const struct unit {
    const char *end, *name;
    long long ns;
} units[] = {
    {"_ns", "nanoseconds", 1},           {"_us", "microseconds", 1000},       {"_usec", "microseconds", 1000},
    {"_usecs", "microseconds", 1000},    {"_ms", "milliseconds", 1000000},    {"_msec", "milliseconds", 1000000},
    {"_msecs", "milliseconds", 1000000}, {"_s", "seconds", 1000000000},       {"_sec", "seconds", 1000000000},
    {"_secs", "seconds", 1000000000},    {"_seconds", "seconds", 1000000000},
};

// NULL: the name ends in none. *stem: the length of what is before it.
static const struct unit *unit_of(const char *name, size_t *stem)
{
    const char *end = strrchr(name, '_');

    for (size_t i = 0; end && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].end) == 0) {
            *stem = (size_t) (end - name);
            return &units[i];
        }
    return NULL;
}

// The key that says the same in another unit.
static const struct schema_key *of_other_unit(enum schema_place where, const char *name)
{
    size_t length, other;

    if (!unit_of(name, &length))
        return NULL;
    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if (unit_of(key->name, &other) && other == length && strncmp(key->name, name, length) == 0)
            return key;
    return NULL;
}

// The name alone would take the number over as so many of the wrong unit: writes the number of the key's, if there is
// one.
static void name_meant(const struct schema_key *meant, const char *name, const struct value *value,
                       char text[HINT_KEY_MAX])
{
    size_t length;
    const struct unit *from = unit_of(name, &length), *to = unit_of(meant->name, &length);
    struct value v = {.type = VALUE_INTEGER};
    long long ns;

    if (!from || !to || from->ns == to->ns)
        snprintf(text, HINT_KEY_MAX, ", did you mean \"%s\"?", meant->name);
    else if ((value->type == VALUE_INTEGER || value->whole) && !__builtin_mul_overflow(value->number, from->ns, &ns) &&
             ns % to->ns == 0 && (v.number = ns / to->ns, takes(meant, &v)))
        snprintf(text, HINT_KEY_MAX, ", write %s = %lld", meant->name, v.number);
    else
        snprintf(text, HINT_KEY_MAX, ", did you mean \"%s\", in %s?", meant->name, to->name);
}

const char *hint_key(enum schema_place where, const char *name, const struct value *value, char text[HINT_KEY_MAX])
{
    char between[REPAIRED_MAX] = "";
    const struct schema_key *meant = NULL;

    text[0] = '\0';
    if (strlen(name) + 3 <= sizeof(between))
        snprintf(between, sizeof(between), " %s ", name);
    for (size_t i = 0; *between && i < sizeof(advice) / sizeof(advice[0]); i++)
        if ((advice[i].places & 1u << where) && strstr(advice[i].names, between)) {
            snprintf(text, HINT_KEY_MAX, "%s", advice[i].text);
            return text;
        }
    for (size_t i = 0; *between && !meant && i < sizeof(synonyms) / sizeof(synonyms[0]); i++)
        if (synonyms[i].where == where && strstr(synonyms[i].names, between))
            meant = schema_find(where, synonyms[i].key);
    if (!meant)
        meant = of_other_unit(where, name);
    // A key of another place before what is only near: "sources" in output is no "source".
    if (!meant)
        name_places(name, text);
    if (!meant && !*text)
        meant = schema_nearest(where, name);
    if (meant)
        name_meant(meant, name, value, text);
    if (!*text)
        list_keys(where, text);
    return text;
}
