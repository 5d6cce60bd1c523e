// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/registry.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

// Compares entries, or keys: the key is the first member of an entry.
static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct registry_key));
}

void registry_free(struct registry *r)
{
    for (size_t i = 0; i < r->n; i++) {
        tdelete(r->entries[i], &r->tree, compare);
        free(r->entries[i]);
    }
    free(r->entries);
}

void registry_begin(struct registry *r)
{
    for (size_t i = 0; i < r->n; i++)
        r->entries[i]->wanted = false;
}

struct registry_entry *registry_find(const struct registry *r, const struct registry_key *key)
{
    struct registry_entry *const *found = tfind(key, &r->tree, compare);

    return found ? *found : NULL;
}

struct registry_entry *registry_want(struct registry *r, const struct registry_key *key)
{
    struct registry_entry *e = registry_find(r, key);

    if (e)
        e->wanted = true;
    return e;
}

struct registry_entry *registry_add(struct registry *r, const struct registry_key *key, int fd)
{
    if (r->n == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        struct registry_entry **grown = reallocarray(r->entries, room, sizeof(struct registry_entry *));
        if (!grown)
            return NULL;
        r->entries = grown;
        r->room = room;
    }
    struct registry_entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    *e = (struct registry_entry){.key = *key, .fd = fd, .wanted = true};
    if (!tsearch(e, &r->tree, compare)) {
        free(e);
        return NULL;
    }
    e->id = ++r->last_id;
    r->entries[r->n++] = e;
    return e;
}

void registry_narrow(struct registry *r, void (*close_entry)(void *context, struct registry_entry *e), void *context)
{
    for (size_t i = 0; i < r->n; i++)
        r->entries[i]->running &= r->entries[i]->wanted;
    registry_settle(r, false, close_entry, context);
}

void registry_settle(struct registry *r, bool committed, void (*close_entry)(void *context, struct registry_entry *e),
                     void *context)
{
    size_t n = 0;

    // Start with the last entry, because the kernel's lists of groups begin with the latest one.
    for (size_t i = r->n; i-- > 0;) {
        struct registry_entry *e = r->entries[i];
        if (committed)
            e->running = e->wanted;
        if (!e->running)
            close_entry(context, e);
    }
    for (size_t i = 0; i < r->n; i++) {
        struct registry_entry *e = r->entries[i];
        if (e->running) {
            r->entries[n++] = e;
            continue;
        }
        tdelete(e, &r->tree, compare);
        free(e);
    }
    r->n = n;
}
