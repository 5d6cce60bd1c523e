// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/unmatched.h"

#include <inttypes.h>
#include <jansson.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "command/nearest.h"

struct tally {
    struct table_key key;
    uint64_t packets;
};

struct unmatched {
    void *tree; // of entries, by key: balanced, whatever a capture holds
    size_t n;
    uint64_t others; // packets to destinations for which there was no room
    struct tally entries[UNMATCHED_MAX];
};

struct unmatched *unmatched_new(void)
{
    return calloc(1, sizeof(struct unmatched));
}

static void keep(void *entry)
{
    (void) entry; // lies in the array
}

void unmatched_free(struct unmatched *u)
{
    if (u)
        tdestroy(u->tree, keep);
    free(u);
}

static int compare_keys(const void *a, const void *b)
{
    const struct table_key *x = &((const struct tally *) a)->key, *y = &((const struct tally *) b)->key;
    int order = (x->destination.family > y->destination.family) - (x->destination.family < y->destination.family);

    if (order == 0)
        order = memcmp(x->destination.bytes, y->destination.bytes, sizeof(x->destination.bytes));
    if (order == 0)
        order = (x->port > y->port) - (x->port < y->port);
    if (order == 0)
        order = (x->interface > y->interface) - (x->interface < y->interface);
    return order ? order : (x->vlan > y->vlan) - (x->vlan < y->vlan);
}

// The most frequent first.
static int compare_counts(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;

    if (x->packets != y->packets)
        return x->packets > y->packets ? -1 : 1;
    return compare_keys(a, b);
}

void unmatched_count(struct unmatched *u, const struct table_key *key)
{
    struct tally asked = {.key = *key}, **found = tfind(&asked, &u->tree, compare_keys);

    if (!found && u->n < UNMATCHED_MAX) {
        u->entries[u->n] = asked;
        found = tsearch(&u->entries[u->n], &u->tree, compare_keys);
        u->n += found != NULL;
    }
    if (found)
        (*found)->packets++;
    else
        u->others++;
}

json_t *unmatched_tree(struct unmatched *u, const struct config *config, const struct table_view *table, bool several,
                       json_t *notes)
{
    json_t *list = json_array();
    char address[ADDR_TEXT_MAX];
    uint64_t left = 0;

    tdestroy(u->tree, keep);
    u->tree = NULL;
    qsort(u->entries, u->n, sizeof(u->entries[0]), compare_counts);
    for (size_t i = 0; i < u->n && i < UNMATCHED_LISTED; i++) {
        const struct tally *e = &u->entries[i];
        const char *interface = table->interfaces[e->key.interface].name;
        json_t *nearest = json_array();
        nearest_find(config, interface, &e->key, nearest);
        json_array_append_new(list,
                              json_pack("{s:s*, s:s, s:i, s:o*, s:I, s:o}", "interface", several ? interface : NULL,
                                        "destination", addr_format(&e->key.destination, address), "port", e->key.port,
                                        "vlan", e->key.vlan ? json_integer(e->key.vlan) : NULL, "packets",
                                        (json_int_t) e->packets, "nearest", nearest));
    }
    for (size_t i = UNMATCHED_LISTED; i < u->n; i++)
        left += u->entries[i].packets;
    if (left > 0)
        json_array_append_new(notes, json_sprintf("%zu more destinations that no rule takes, with %" PRIu64
                                                  " packets, are not listed",
                                                  u->n - UNMATCHED_LISTED, left));
    if (u->others > 0)
        json_array_append_new(notes, json_sprintf("%" PRIu64 " packets to destinations beyond the first %d that no "
                                                  "rule takes were not told apart",
                                                  u->others, UNMATCHED_MAX));
    return list;
}
