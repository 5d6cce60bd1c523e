// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/model.h"

#define REPAIRED_MAX 64

// --- values ----------------------------------------------------------------------------------------------------------

// Each writes *v anew, its text (below REPAIRED_MAX bytes) in place, and returns false where it has nothing to mend.
// Whether the key takes the outcome is tried afterwards.

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

// 5k, where no suffix is taken.
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

// 40 Mbit/s; what speaks of bytes is left alone.
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

static bool without_prefix(struct value *v, char *text)
{
    char *slash = is_text(v) ? strchr(text, '/') : NULL;

    if (slash)
        *slash = '\0';
    return slash != NULL;
}

static bool shorter_prefix(struct value *v, char *text)
{
    if (!without_prefix(v, text) || strlen(text) + sizeof("/116") > REPAIRED_MAX)
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

// The traffic class as a whole byte: its upper six bits.
static bool dscp_of_byte(struct value *v, char *text)
{
    (void) text;
    if (v->type != VALUE_INTEGER || v->number < 64 || v->number > 255)
        return false;
    v->number >>= 2;
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

bool hint_is_template(const char *text)
{
    static const char *const marks[][2] = {{"{{", "}}"}, {"{%", "%}"}, {"${", "}"}, {"<%", "%>"}};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        const char *begin = strstr(text, marks[i][0]);
        if (begin && strstr(begin, marks[i][1]))
            return true;
    }
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

const char *hint_value(const struct schema_key *key, const struct value *value, char text[HINT_MAX])
{
    char repaired[REPAIRED_MAX] = "", shown[VALUE_TEXT_MAX];

    text[0] = '\0';
    if (value->type == VALUE_STRING && strlen(value->text) >= REPAIRED_MAX)
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

// --- keys ------------------------------------------------------------------------------------------------------------

// As smcroute, socat, iptables, ip(8), Ansible and people call them; in the order of the places in which one would
// stand.
static const struct {
    const char *names; // between blanks
    enum schema_place where;
    const char *key;
} synonyms[] = {
    {" iface if intf ifname dev device nic from ", SCHEMA_INPUT, "interface"},
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
    {" dry_run test trial ", SCHEMA_RULE, "shadow"},
    {" timeout ", SCHEMA_RULE, "silence_ms"},
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

const char *hint_key(enum schema_place where, const char *name, char text[HINT_KEY_MAX])
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
    // A key of another place before what is only near: "sources" in output is no "source".
    if (!meant)
        name_places(name, text);
    if (!meant && !*text)
        meant = schema_nearest(where, name);
    if (meant)
        snprintf(text, HINT_KEY_MAX, ", did you mean \"%s\"?", meant->name);
    if (!*text)
        list_keys(where, text);
    return text;
}
