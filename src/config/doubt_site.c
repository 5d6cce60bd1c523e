// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/doubt_site.h"

#include <stdio.h>
#include <string.h>

#include "config/doubt.h"

#define NEAR_LOOKED 256 // inputs

// --- two that feed one group -----------------------------------------------------------------------------------------

static bool in_one_zone(const struct site *s, const struct place *a, const struct place *b)
{
    const char *left = config_zone(s->files[a->file], site_rule(s, a)->inputs[0].interface);

    return *left && strcmp(left, config_zone(s->files[b->file], site_rule(s, b)->inputs[0].interface)) == 0;
}

// at: sends where `before` of another file sends.
static void tell_feeding(const struct site *s, const struct place *before, const struct place *at)
{
    const struct config_rule *of = site_rule(s, before), *rule = site_rule(s, at);
    bool one = in_one_zone(s, before, at) && doubt_one_stream(rule, of);
    char text[SITE_WHERE_MAX];

    config_warning(&s->problems[at->file], site_output(s, at)->line, rule->name,
                   "sends where rule \"%s\" in line %d of %s sends (%s)%s", of->name, site_output(s, before)->line,
                   s->files[before->file]->path, site_where(at, text),
                   one ? ", and takes in the same group: receivers get it twice unless one of the relays waits: merge "
                         "them, with a group for each relay"
                       : ": receivers get both streams");
}

void doubt_site_feeding(const struct site *s)
{
    const struct place *list = s->outputs.list;
    uint32_t told_rule = UINT32_MAX, told_file = UINT32_MAX; // ranges share more than one destination
    size_t first = 0, told = 0;

    for (size_t i = 1; i < s->outputs.n && told < SITE_TOLD_MAX; i++) {
        if (endpoint_compare(&list[first].endpoint, &list[i].endpoint) != 0) {
            first = i;
            continue;
        }
        if (list[i].endpoint.kind == CONFIG_ADDRESS || list[i].file == list[first].file ||
            !site_same_tag(&list[first], &list[i]) || (list[i].rule == told_rule && list[i].file == told_file))
            continue;
        told_rule = list[i].rule;
        told_file = list[i].file;
        tell_feeding(s, &list[first], &list[i]);
        told++;
    }
}

// --- what nobody takes -----------------------------------------------------------------------------------------------

// Whether another relay takes in anything in the zone.
static bool is_shared(const struct site *s, const char *zone, uint32_t file)
{
    const struct endpoint least = {.interface = zone};

    for (size_t i = site_find(&s->inputs, &least);
         i < s->inputs.n && strcmp(s->inputs.list[i].endpoint.interface, zone) == 0; i++)
        if (s->inputs.list[i].file != file)
            return true;
    return false;
}

// Looks for an input of another relay that takes the output. *near: one of the same destination that does not, for its
// tag or its senders; it stays as it is where there is none.
static bool is_taken(const struct site *s, const struct place *out, const struct place **near)
{
    for (size_t i = site_find(&s->inputs, &out->endpoint); i < s->inputs.n; i++) {
        const struct place *in = &s->inputs.list[i];
        if (endpoint_compare(&in->endpoint, &out->endpoint) != 0)
            break;
        if (site_takes(s, in, out) != TAKES_NOT)
            return true;
        if (in->file != out->file)
            *near = in;
    }
    return false;
}

// An input of another relay with the same address and another port, or NULL. Of the first few of that address.
static const struct place *find_near(const struct site *s, const struct place *out)
{
    struct endpoint least = out->endpoint;
    size_t looked = 0;

    least.port = 0;
    for (size_t i = site_find(&s->inputs, &least); i < s->inputs.n && looked < NEAR_LOOKED; i++, looked++) {
        const struct place *in = &s->inputs.list[i];
        least.port = in->endpoint.port;
        if (endpoint_compare(&in->endpoint, &least) != 0)
            break;
        if (in->file != out->file)
            return in;
    }
    return NULL;
}

// An output, of a rule that sends, of which no destination is taken.
struct untaken {
    struct place place;
    const struct place *near;
};

static bool look(const struct site *s, uint32_t file, uint32_t rule, uint32_t output, struct untaken *u)
{
    const struct config *c = s->files[file];
    const struct config_output *out = &c->rules[rule].outputs[output];
    struct endpoint e = endpoint_of_output(out, 0);

    *u = (struct untaken){.place = {.file = file, .rule = rule, .end = output, .vlan = e.vlan}};
    e.interface = config_zone(c, e.interface);
    e.vlan = 0;
    for (uint32_t i = endpoint_span(&e); i > 0; i--) {
        u->place.endpoint = endpoint_at(&e, i - 1);
        if (is_taken(s, &u->place, &u->near))
            return false;
    }
    u->near = u->near ? u->near : find_near(s, &u->place);
    return true;
}

static void tell_near(const struct site *s, const struct untaken *u)
{
    const struct config_rule *near = site_rule(s, u->near);
    char text[SITE_WHERE_MAX], what[64];

    if (u->near->endpoint.port != u->place.endpoint.port)
        snprintf(what, sizeof(what), "port %u", u->near->endpoint.port);
    else
        snprintf(what, sizeof(what), "%s",
                 site_same_tag(u->near, &u->place) ? "other senders (\"sources\")" : "another vlan");
    config_warning(&s->problems[u->place.file], site_output(s, &u->place)->line, site_rule(s, &u->place)->name,
                   "no other relay takes in what is sent here (%s): rule \"%s\" in line %d of %s takes %s",
                   site_where(&u->place, text), near->name, site_input(s, u->near)->line, s->files[u->near->file]->path,
                   what);
}

static void tell_rest(const struct site *s, const struct untaken *u, size_t n)
{
    char text[SITE_WHERE_MAX], more[64] = "";

    if (n > 1)
        snprintf(more, sizeof(more), "; the same holds for %zu more output%s there", n - 1, n == 2 ? "" : "s");
    config_warning(&s->problems[u->place.file], site_output(s, &u->place)->line, site_rule(s, &u->place)->name,
                   "no other relay takes in what is sent here (%s): only hosts of the zone get it%s",
                   site_where(&u->place, text), more);
}

// Finds which of the listed interfaces lead to a zone in which another relay takes in anything.
static void find_shared(const struct site *s, uint32_t file, bool shared[CONFIG_INTERFACES_MAX])
{
    const struct config *c = s->files[file];

    for (size_t i = 0; i < c->n_interfaces; i++)
        shared[i] = c->interfaces[i].zone[0] && is_shared(s, c->interfaces[i].zone, file);
}

static bool is_listed_shared(const struct config *c, const char *interface, const bool *shared)
{
    for (size_t i = 0; i < c->n_interfaces; i++)
        if (strcmp(c->interfaces[i].name, interface) == 0)
            return shared[i];
    return false;
}

// Those that are told once for each zone: the first output, and how many.
struct rest {
    struct untaken first[CONFIG_INTERFACES_MAX];
    size_t counts[CONFIG_INTERFACES_MAX], n;
};

static void add_rest(struct rest *r, const struct untaken *u)
{
    size_t at = 0;

    while (at < r->n && strcmp(r->first[at].place.endpoint.interface, u->place.endpoint.interface) != 0)
        at++;
    if (at == r->n) // there are not more zones than interfaces
        r->first[r->n++] = *u;
    r->counts[at]++;
}

// Where another relay takes nearly this, it is told for each output, else once for each zone.
static void doubt_untaken_of(const struct site *s, uint32_t file)
{
    const struct config *c = s->files[file];
    bool shared[CONFIG_INTERFACES_MAX] = {false};
    struct rest rest = {.n = 0};
    struct untaken u;
    size_t told = 0;

    find_shared(s, file, shared);
    for (uint32_t i = 0; i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        for (uint32_t o = 0; r->enabled && !r->shadow && o < r->n_outputs; o++) {
            const struct config_output *out = &r->outputs[o];
            if (out->kind == CONFIG_ADDRESS || !is_listed_shared(c, out->interface, shared) || !look(s, file, i, o, &u))
                continue;
            if (!u.near)
                add_rest(&rest, &u);
            else if (told++ < SITE_TOLD_MAX)
                tell_near(s, &u);
        }
    }
    for (size_t i = 0; i < rest.n; i++)
        tell_rest(s, &rest.first[i], rest.counts[i]);
}

void doubt_site_untaken(const struct site *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->counts[i])
            doubt_untaken_of(s, i);
}
