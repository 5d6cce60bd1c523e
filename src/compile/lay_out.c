// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compilation.h"
#include "log/log.h"

static bool same_destination(const struct table_destination *a, const struct table_destination *b)
{
    return a->port == b->port && a->vlan == b->vlan && a->interface == b->interface &&
           addr_equal(&a->address, &b->address);
}

// The subnet's broadcast that one rule takes in may be the "address" of another, which would then never match. The
// check of the file cannot know the interface's addresses. Rules that run go on: the first of the file matches.
static bool tell_same(struct compilation *c, const struct table_destination *d, const struct table_destination *first)
{
    const char *rule = c->rules[c->paths[d->path].rule].name, *other = c->rules[c->paths[first->path].rule].name;
    char text[ADDR_TEXT_MAX];

    addr_format(&d->address, text);
    if (!c->running)
        return compile_refuse(c, "rules \"%s\" and \"%s\" both take in %s, port %u, a broadcast of interface \"%s\"",
                              other, rule, text, d->port, c->interfaces[d->interface].name);
    log_warn("rule_hidden", "rule=%s by=%s destination=%s port=%u interface=%s", rule, other, text, d->port,
             c->interfaces[d->interface].name);
    return true;
}

static bool index_destinations(struct compilation *c)
{
    for (uint32_t i = 0; i < c->n_slots; i++)
        c->slots[i].destination = TABLE_NONE;
    for (uint32_t i = 0; i < c->n_destinations; i++) {
        const struct table_destination *d = &c->destinations[i];
        struct table_key key = {.destination = d->address, .port = d->port, .vlan = d->vlan, .interface = d->interface};
        uint32_t hash = table_hash(&key), probe = 0;
        const struct table_slot *slot;
        while ((slot = &c->slots[(hash + probe) & (c->n_slots - 1)])->destination != TABLE_NONE) {
            const struct table_destination *other = &c->destinations[slot->destination];
            if (slot->hash == hash && same_destination(d, other) && !tell_same(c, d, other))
                return false;
            probe++;
        }
        c->slots[(hash + probe) & (c->n_slots - 1)] = (struct table_slot){.hash = hash, .destination = i};
        if (probe + 1 > c->longest_probe)
            c->longest_probe = probe + 1;
    }
    return true;
}

// --- layout ----------------------------------------------------------------------------------------------------------

static struct table_array reserve(size_t *size, uint32_t n, size_t each)
{
    struct table_array a = {.offset = (uint32_t) *size, .n = n};

    *size += (n * each + 7) & ~(size_t) 7;
    return a;
}

static void fill(uint8_t *base, const struct table_array *a, const void *from, size_t each)
{
    if (a->n > 0)
        memcpy(base + a->offset, from, a->n * each);
}

bool compile_lay_out(struct compilation *c, uint64_t generation, struct table_image *out)
{
    if (!index_destinations(c))
        return false;

    struct table_header h = {
        .magic = TABLE_MAGIC,
        .version = TABLE_VERSION,
        .generation = generation,
        .longest_probe = c->longest_probe,
        .n_counters = c->n_counters,
        .coalesce_usecs = c->config->coalesce_usecs,
        .busy_poll_usecs = c->config->busy_poll_usecs,
        .flags = c->config->reload_on_change ? TABLE_RELOAD_ON_CHANGE : 0,
    };
    size_t size = sizeof(h);

    memcpy(h.sha256, c->config->file.sha256, sizeof(h.sha256));
    snprintf(h.instance, sizeof(h.instance), "%s", c->config->instance);
    h.interfaces = reserve(&size, c->n_interfaces, sizeof(*c->interfaces));
    h.rules = reserve(&size, (uint32_t) c->config->n_rules, sizeof(*c->rules));
    h.paths = reserve(&size, c->n_paths, sizeof(*c->paths));
    h.outputs = reserve(&size, c->n_outputs, sizeof(*c->outputs));
    h.egress = reserve(&size, c->n_egress, sizeof(*c->egress));
    h.sources = reserve(&size, c->n_sources, sizeof(*c->sources));
    h.own = reserve(&size, c->n_own, sizeof(*c->own));
    h.holds = reserve(&size, (uint32_t) sockets_holds(c->sockets, NULL, 0), sizeof(uint64_t));
    h.destinations = reserve(&size, c->n_destinations, sizeof(*c->destinations));
    h.slots = reserve(&size, c->n_slots, sizeof(*c->slots));
    h.size = (uint32_t) size;
    if (size > TABLE_BYTES_MAX)
        return compile_refuse(c, "the table would need %zu bytes, allowed are %u", size, TABLE_BYTES_MAX);

    uint8_t *base = calloc(1, size);
    if (!base)
        return compile_refuse(c, "%s", strerror(ENOMEM));
    memcpy(base, &h, sizeof(h));
    fill(base, &h.interfaces, c->interfaces, sizeof(*c->interfaces));
    fill(base, &h.rules, c->rules, sizeof(*c->rules));
    fill(base, &h.paths, c->paths, sizeof(*c->paths));
    fill(base, &h.outputs, c->outputs, sizeof(*c->outputs));
    fill(base, &h.egress, c->egress, sizeof(*c->egress));
    fill(base, &h.sources, c->sources, sizeof(*c->sources));
    fill(base, &h.own, c->own, sizeof(*c->own));
    fill(base, &h.destinations, c->destinations, sizeof(*c->destinations));
    fill(base, &h.slots, c->slots, sizeof(*c->slots));
    sockets_holds(c->sockets, (uint64_t *) (void *) (base + h.holds.offset), h.holds.n);
    out->bytes = base;
    out->size = size;
    return true;
}
