// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "common/addr.h"

#define PORT_MAX 32 // of " port = 65535;"

// Reads an address, in brackets or not, up to what a URL or a pair has behind it. Returns where it ends, or NULL.
static const char *read_host(const char *at, char host[ADDR_TEXT_MAX], struct addr *address)
{
    static const char ends[] = ":@/?#%,) ";
    bool brackets = *at == '[';

    at += brackets ? 1 : 0;
    size_t length = strcspn(at, brackets ? "]" : ends + 1); // IPv6 has colons
    snprintf(host, ADDR_TEXT_MAX, "%.*s", (int) length, at);
    if (!brackets && !addr_parse(host, address)) {
        length = strcspn(at, ends);
        snprintf(host, ADDR_TEXT_MAX, "%.*s", (int) length, at);
    }
    return addr_parse(host, address) ? at + length + (brackets && at[length] ? 1 : 0) : NULL;
}

// Writes the key for a port that stands there, else "".
static const char *read_port(const char *at, char text[PORT_MAX])
{
    char port[6];

    text[0] = '\0';
    if (sscanf(at, ":%5[0-9]", port) == 1)
        snprintf(text, PORT_MAX, " port = %s;", port);
    return text;
}

// A group with its sender: "198.18.1.10@232.1.1.1:5004", "(198.18.1.10, 232.1.1.1)", "(*, 239.1.1.1)".
static bool take_channel_apart(enum schema_place where, const char *at, char text[HINT_MAX])
{
    char source[ADDR_TEXT_MAX], group[ADDR_TEXT_MAX], port[PORT_MAX];
    struct addr from = {.family = ADDR_NONE}, to;

    at += strspn(at, "( ");
    bool every = *at == '*';
    at = every ? at + 1 : read_host(at, source, &from);
    if (!at || *at == '\0' || !strchr("@, ", *at) || !(every || addr_is_unicast(&from)))
        return false;
    at = read_host(at + strspn(at, "@, "), group, &to);
    if (!at || !addr_is_multicast(&to) || !(every || from.family == to.family))
        return false;
    int used = snprintf(text, HINT_MAX, ": write group = \"%s\";%s", group, read_port(at, port));
    if (!every && where == SCHEMA_INPUT)
        snprintf(text + used, HINT_MAX - (size_t) used, " sources = [ \"%s\" ];", source);
    else if (!every)
        snprintf(text + used, HINT_MAX - (size_t) used, " source = \"%s\";", source);
    return true;
}

// The key that takes this value: this one, or one that stands in its place.
static const struct schema_key *taker_of(const struct schema_key *key, const char *host)
{
    const struct value v = {.type = VALUE_STRING, .text = host};

    for (const struct schema_key *other = NULL; (other = schema_next(key->where, other));)
        if ((other == key || (key->need == SCHEMA_ONE_OF && other->need == SCHEMA_ONE_OF)) &&
            value_is_allowed(other, &v))
            return other;
    return NULL;
}

bool hint_url(const struct schema_key *key, const char *url, char text[HINT_MAX])
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    const char *scheme = strstr(url, "://"), *at = scheme ? scheme + 3 : url;
    char host[ADDR_TEXT_MAX], port[PORT_MAX], behind[IFNAMSIZ];
    struct addr address;

    if (take_channel_apart(key->where, at, text))
        return true;
    if (!scheme && !strchr(url, '@'))
        return false;
    at = read_host(at + (*at == '@' ? 1 : 0), host, &address);
    const struct schema_key *taker = at ? taker_of(key, host) : NULL;
    if (!taker)
        return false;
    int used = snprintf(text, HINT_MAX, ": write %s = \"%s\";%s", taker->name, host, read_port(at, port));
    if (*at == '@') {
        size_t length = strspn(at + 1, plain);
        snprintf(behind, sizeof(behind), "%.*s", (int) length, at + 1);
        if (length > 0 && at[1 + length] == '\0' && !addr_parse(behind, &address))
            snprintf(text + used, HINT_MAX - (size_t) used, " interface = \"%s\";", behind);
    }
    return true;
}
