// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "compile/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compilation.h"
#include "log/log.h"

static bool find_interfaces(struct compilation *c)
{
    compile_name_interfaces(c, true);
    // Those that only disabled rules name may be missing.
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
        if (l->ifindex || i >= n_used)
            continue;
        if (c->reject_missing)
            return compile_refuse(c, "interface \"%s\" does not exist and missing_interface is \"reject\"", l->name);
        log_warn("interface_missing", "interface=%s reason=\"its rules wait for it\"", l->name);
    }
    return true;
}

static bool allocate(struct compilation *c)
{
    const struct config *config = c->config;
    size_t paths = 0, outputs = 0, sources = 0, destinations = 0;

    for (size_t i = 0; i < config->n_rules; i++) {
        const struct config_rule *r = &config->rules[i];
        paths += compile_paths(r);
        outputs += compile_paths(r) * r->n_outputs;
        sources += r->input.n_sources;
        if (r->enabled)
            destinations += (r->input.kind == CONFIG_BROADCAST ? 2u : r->input.n_addresses) * (size_t) r->input.n_ports;
    }
    // At least twice as many slots as destinations keeps probes short.
    c->n_slots = 16;
    while (c->n_slots < 2 * destinations)
        c->n_slots *= 2;
    // An interface may be named by every rule and output; config/check.c bounds the distinct ones.
    c->interfaces = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->interfaces));
    c->links = calloc(CONFIG_INTERFACES_MAX, sizeof(*c->links));
    c->rules = calloc(config->n_rules + 1, sizeof(*c->rules));
    c->paths = calloc(paths + 1, sizeof(*c->paths));
    c->outputs = calloc(outputs + 1, sizeof(*c->outputs));
    c->egress = calloc(outputs + CONFIG_INTERFACES_MAX, sizeof(*c->egress)); // transmit rings
    c->sources = calloc(sources + 1, sizeof(*c->sources));
    c->destinations = calloc(destinations + 1, sizeof(*c->destinations));
    c->slots = calloc(c->n_slots, sizeof(*c->slots));
    return c->interfaces && c->links && c->rules && c->paths && c->outputs && c->egress && c->sources &&
           c->destinations && c->slots;
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
    bool ok = allocate(&c);

    if (!ok)
        compile_refuse(&c, "%s", strerror(ENOMEM));
    // Memberships last: a group's traffic finds its ring ready.
    ok = ok && find_interfaces(&c) && compile_plan(&c) && compile_open_outputs(&c) && compile_open_rings(&c) &&
         compile_join_groups(&c) && compile_lay_out(&c, generation, out);
    free(c.interfaces);
    if (c.links)
        link_release(c.links, c.n_interfaces);
    free(c.links);
    free(c.rules);
    free(c.paths);
    free(c.outputs);
    free(c.egress);
    free(c.sources);
    free(c.own);
    free(c.destinations);
    free(c.slots);
    return ok;
}
