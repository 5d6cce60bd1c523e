// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "compile/compile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compilation.h"
#include "config/check.h"
#include "config/endpoint.h"
#include "config/times.h"
#include "log/log.h"

// Returns whether an enabled rule of the previous table waits for this interface already.
static bool missing_before(const struct table_view *t, const char *name)
{
    for (uint32_t i = 0; t && i < t->n_rules; i++) {
        const struct table_rule *r = &t->rules[i];
        const struct table_output *outputs = &t->outputs[t->paths[r->first_path].first_output];
        const struct table_input *inputs = &t->inputs[r->first_input];
        for (uint32_t j = 0; (r->flags & TABLE_RULE_ENABLED) && j < r->n_outputs + r->n_inputs; j++) {
            const struct table_interface *used =
                &t->interfaces[j < r->n_outputs ? outputs[j].interface : inputs[j - r->n_outputs].interface];
            if (strcmp(used->name, name) == 0)
                return used->state == TABLE_INTERFACE_MISSING;
        }
    }
    return false;
}

static void tell_missing(const struct compilation *c, const char *name)
{
    char rules[1024] = "", more[32] = "", who[32] = "what uses it";
    size_t used = 0, left_out = 0, n = 0, alike = 0;
    const char *part = NULL;

    if (c->judging || missing_before(c->before, name))
        return;
    for (size_t i = 0; i < c->config->n_rules; i++) {
        const struct config_rule *r = &c->config->rules[i];
        if (!config_rule_runs(r) || !check_rule_names(r, name))
            continue;
        left_out += !log_list_add(rules, sizeof(rules), &used, r->name);
        part = part ? part : check_part(r, name);
        alike += strcmp(part, check_part(r, name)) == 0;
        n++;
    }
    if (part && alike == n)
        snprintf(who, sizeof(who), "the %s%s", part, n > 1 ? "s" : "");
    if (left_out > 0)
        snprintf(more, sizeof(more), " more=%zu", left_out);
    log_named(LOG_LEVEL_WARNING, EVENT_INTERFACE_MISSING, name,
              "interface=%s rules=\"%s\"%s reason=\"%s wait%s for it\"", name, rules, more, who,
              alike == n && n > 1 ? "" : "s");
}

// Refuses an interface that may not be missing, and an alternative name always: news of the interface come by its own.
static bool judge_link(struct compilation *c, const struct link *l)
{
    if (l->other[0] && !c->running)
        return compile_refuse(c, "interface \"%s\" is another name of \"%s\", allowed is \"%s\"", l->name, l->other,
                              l->other);
    return l->ifindex || !c->reject_missing ||
           compile_refuse(c, "interface \"%s\" does not exist and missing_interface is \"reject\"", l->name);
}

// A listed interface that no rule uses is not in the table: only its name may be wrong.
static bool judge_listed(struct compilation *c)
{
    struct link links[CONFIG_INTERFACES_MAX] = {{.ifindex = 0}};
    size_t n = 0;

    for (size_t i = 0; !c->running && i < c->config->n_interfaces; i++)
        if (check_is_only_listed(c->config, &c->config->interfaces[i]))
            memcpy(links[n++].name, c->config->interfaces[i].name, sizeof(links->name));
    bool ok = n == 0 || sockets_links(c->sockets, links, n) ||
              compile_refuse(c, "the kernel does not list the interfaces: %s", strerror(errno));
    for (size_t i = 0; ok && i < n; i++) {
        ok = judge_link(c, &links[i]);
        if (ok && links[i].ifindex == 0 && !c->judging)
            log_named(LOG_LEVEL_WARNING, EVENT_INTERFACE_MISSING, links[i].name,
                      "interface=%s reason=\"it is listed in interfaces, and its role holds for no other\"",
                      links[i].name);
    }
    link_release(links, n);
    return ok;
}

static bool find_interfaces(struct compilation *c)
{
    compile_name_interfaces(c, true);
    // The interfaces from n_used on are named by disabled rules only, and may be missing.
    uint32_t n_used = c->n_interfaces;
    compile_name_interfaces(c, false);
    if (!sockets_links(c->sockets, c->links, c->n_interfaces))
        return compile_refuse(c, "the kernel does not list the interfaces: %s", strerror(errno));
    uint32_t n_own = 0;
    for (uint32_t i = 0; i < c->n_interfaces; i++)
        n_own += c->links[i].n_own;
    c->own = calloc(n_own + 1, sizeof(*c->own));
    if (!c->own)
        return compile_refuse(c, "%s", strerror(ENOMEM));
    for (uint32_t i = 0; i < c->n_interfaces; i++) {
        const struct link *l = &c->links[i];
        c->interfaces[i].ifindex = l->ifindex;
        c->interfaces[i].link = l->ethernet ? TABLE_LINK_ETHERNET : TABLE_LINK_NONE;
        c->interfaces[i].state = !l->ifindex ? TABLE_INTERFACE_MISSING
                                 : l->up     ? TABLE_INTERFACE_UP
                                             : TABLE_INTERFACE_DOWN;
        if (i < n_used && !judge_link(c, l))
            return false;
        if (i < n_used && !l->ifindex)
            tell_missing(c, l->name);
    }
    return judge_listed(c);
}

static bool allocate(struct compilation *c)
{
    const struct config *config = c->config;
    size_t inputs = 0, paths = 0, outputs = 0, sources = 0, destinations = 0;

    for (size_t i = 0; i < config->n_rules; i++) {
        const struct config_rule *r = &config->rules[i];
        paths += endpoint_paths(r);
        outputs += endpoint_paths(r) * r->n_outputs;
        inputs += r->n_inputs;
        for (size_t j = 0; j < r->n_inputs; j++) {
            sources += r->inputs[j].n_sources;
            destinations += config_rule_runs(r) ? endpoint_destinations(&r->inputs[j]) : 0;
        }
    }
    // At least twice as many slots as destinations keep the probes short.
    c->n_slots = 16;
    while (c->n_slots < 2 * destinations)
        c->n_slots *= 2;
    // config/check.c limits the number of distinct interfaces.
    c->interfaces = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->interfaces));
    c->links = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->links));
    c->rules = calloc(config->n_rules + 1, sizeof(*c->rules));
    c->inputs = calloc(inputs + 1, sizeof(*c->inputs));
    c->paths = calloc(paths + 1, sizeof(*c->paths));
    c->outputs = calloc(outputs + 1, sizeof(*c->outputs));
    c->egress = calloc(outputs + CONFIG_INTERFACES_MAX, sizeof(*c->egress)); // and transmit rings
    c->sources = calloc(sources + 1, sizeof(*c->sources));
    c->destinations = calloc(destinations + 1, sizeof(*c->destinations));
    c->slots = calloc(c->n_slots, sizeof(*c->slots));
    c->keys = calloc(destinations + 1, sizeof(*c->keys));
    return (c->interfaces && c->links && c->rules && c->inputs && c->paths && c->outputs && c->egress && c->sources &&
            c->destinations && c->slots && c->keys) ||
           compile_refuse(c, "%s", strerror(ENOMEM));
}

// --- layout ----------------------------------------------------------------------------------------------------------

// Reports two rules that take in the same destination. The subnet broadcast of one rule can equal the "address" of
// another, which then never matches; config/check.c cannot detect this, because it does not know the interface's
// addresses. Rules that run already are not refused: the first one in the file matches.
static bool tell_same(struct compilation *c, const struct table_destination *d, const struct table_destination *first)
{
    const char *rule = c->rules[c->paths[d->path].rule].name, *other = c->rules[c->paths[first->path].rule].name;
    char text[ADDR_TEXT_MAX];

    addr_format(&d->address, text);
    if (!c->running)
        return compile_refuse(c, "rules \"%s\" and \"%s\" both take in %s, port %u, a broadcast of interface \"%s\"",
                              other, rule, text, d->port, c->interfaces[d->interface].name);
    log_warn(EVENT_RULE_HIDDEN, "rule=%s by=%s destination=%s port=%u interface=%s", rule, other, text, d->port,
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
            if (slot->hash == hash && table_key_matches(&key, other) && !tell_same(c, d, other))
                return false;
            probe++;
        }
        c->slots[(hash + probe) & (c->n_slots - 1)] = (struct table_slot){.hash = hash, .destination = i};
        if (probe + 1 > c->longest_probe)
            c->longest_probe = probe + 1;
    }
    return true;
}

// Appends an array of n elements of `each` bytes. Each array begins at a multiple of 8 bytes.
static struct table_array reserve(size_t *size, uint32_t n, size_t each)
{
    struct table_array a = {.offset = (uint32_t) *size, .n = n};

    *size += (n * each + 7) & ~(size_t) 7;
    return a;
}

static bool lay_out(struct compilation *c, uint64_t generation, struct table_image *out)
{
    c->n_holds = (uint32_t) sockets_holds(c->sockets, NULL, 0);
    c->holds = calloc(c->n_holds + 1, sizeof(*c->holds));
    if (!c->holds)
        return compile_refuse(c, "%s", strerror(ENOMEM));
    sockets_holds(c->sockets, c->holds, c->n_holds);
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
        .flags =
            (c->config->reload_on_change ? TABLE_RELOAD_ON_CHANGE : 0u) | (times_matter(c->config) ? TABLE_TIMED : 0u),
        .serial = c->config->serial,
        .valid_from = c->config->valid.from,
        .valid_until = c->config->valid.until,
        .next_change = c->config->next_change,
        .clock_least = c->config->clock_least,
    };
    size_t size = sizeof(h);

    memcpy(h.sha256, c->config->file.sha256, sizeof(h.sha256));
    snprintf(h.instance, sizeof(h.instance), "%s", c->config->instance);
#define RESERVE(name, type, most) h.name = reserve(&size, c->n_##name, sizeof(type));
    TABLE_ARRAYS(RESERVE)
#undef RESERVE
    h.size = (uint32_t) size;
    if (size > TABLE_BYTES_MAX)
        return compile_refuse(c, "the table would need %zu bytes, allowed are %u", size, TABLE_BYTES_MAX);

    uint8_t *base = calloc(1, size);
    if (!base)
        return compile_refuse(c, "%s", strerror(ENOMEM));
    memcpy(base, &h, sizeof(h));
#define COPY(name, type, most)                                                                                         \
    if (c->n_##name > 0)                                                                                               \
        memcpy(base + h.name.offset, c->name, c->n_##name * sizeof(type));
    TABLE_ARRAYS(COPY)
#undef COPY
    out->bytes = base;
    out->size = size;
    return true;
}

static void release(struct compilation *c)
{
    if (c->links)
        link_release(c->links, c->n_interfaces);
    free(c->links);
    free(c->keys);
#define FREE(name, type, most) free(c->name);
    TABLE_ARRAYS(FREE)
#undef FREE
}

bool compile(const struct config *config, const struct table_view *before, uint64_t generation, bool running,
             struct sockets *sockets, struct table_image *out, char why[COMPILE_WHY_MAX])
{
    struct compilation c = {.config = config,
                            .before = before,
                            .sockets = sockets,
                            .reject_missing = config->reject_missing && !running,
                            .running = running,
                            .why = why};
    // Memberships come last, so that the ring of a group is ready when its traffic begins.
    bool ok = allocate(&c) && find_interfaces(&c) && compile_plan(&c) && compile_open_outputs(&c) &&
              compile_open_rings(&c) && compile_join_groups(&c) && lay_out(&c, generation, out);
    release(&c);
    return ok;
}

bool compile_judge(const struct config *config, struct sockets *sockets, char why[COMPILE_WHY_MAX])
{
    struct compilation c = {
        .config = config, .sockets = sockets, .reject_missing = config->reject_missing, .judging = true, .why = why};
    bool ok = compile_fits(&c) && allocate(&c) && find_interfaces(&c);

    release(&c);
    return ok;
}
