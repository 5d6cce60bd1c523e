// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/hint.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"

bool hint_is_network(const char *text)
{
    struct addr_prefix p;
    const char *why;

    return strchr(text, '/') && addr_prefix_parse(text, &p, &why) && p.bits < 8 * addr_length(&p.addr);
}

// 10.0.0.0/255.0.0.0
static bool of_netmask(const char *text, struct addr_prefix *p)
{
    char address[ADDR_TEXT_MAX];
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

// 198.18.1.*
static bool of_wildcards(const char *text, struct addr_prefix *p)
{
    char address[ADDR_TEXT_MAX];
    size_t stars = 0, length = strlen(text);

    if (length >= sizeof(address))
        return false;
    strcpy(address, text);
    for (; length > 2 && strcmp(address + length - 2, ".*") == 0; length -= 2, stars++)
        address[length - 2] = '\0';
    for (size_t i = 0; i < stars; i++)
        strcat(address, ".0");
    p->bits = (uint8_t) (32 - 8 * stars);
    return stars > 0 && addr_parse(address, &p->addr);
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
    if (of_netmask(prefix, &p) || of_wildcards(prefix, &p)) {
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

bool hint_group(const char *group, char text[HINT_MAX])
{
    char address[ADDR_TEXT_MAX];
    const char *slash = strchr(group, '/');
    struct addr_prefix p;
    const char *why;

    if (slash && slash - group < ADDR_TEXT_MAX) {
        snprintf(address, sizeof(address), "%.*s", (int) (slash - group), group);
        int ttl = isdigit((unsigned char) slash[1]) ? atoi(slash + 1) : 0;
        // As a prefix it would be too large, or none, and has bits beyond its length.
        if (ttl > 0 && ttl < 128 && (ttl < 20 || ttl > 32) && addr_parse(address, &p.addr) &&
            p.addr.family == ADDR_IPV4 && addr_is_multicast(&p.addr) && p.addr.bytes[3] != 0 &&
            !addr_prefix_parse(group, &p, &why)) {
            snprintf(text, HINT_MAX, ": write \"%s\", and the ttl, which SDP has behind it, at the output: ttl = %d",
                     address, ttl);
            return true;
        }
    }
    return of_wildcards(group, &p) && *hint_network(group, text);
}
