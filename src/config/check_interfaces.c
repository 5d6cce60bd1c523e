// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/check.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/local.h"

struct check {
    const struct config *c;
    struct config_problems *problems;
    const struct config *roles; // whose list of interfaces holds
    size_t n_interfaces;        // that rules use
    const struct local *local;  // of check_interfaces_exist()
};

struct use {
    const char *interface;
    const struct config_rule *rule;
    enum config_role role;
    int line;
};

static const char *const role_names[] = {[CONFIG_ROLE_IN] = "in", [CONFIG_ROLE_OUT] = "out"};

static int compare_uses(const void *a, const void *b)
{
    const struct use *left = a, *right = b;
    int order = strcmp(left->interface, right->interface);

    if (order == 0)
        order = (left->rule > right->rule) - (left->rule < right->rule);
    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

// Calls look() for each interface of the rules, with its n uses in the order of the file.
static void each_interface(struct check *k, void look(struct check *k, const struct use *uses, size_t n))
{
    size_t n = 0, most = 1;
    struct use *uses;

    for (size_t i = 0; i < k->c->n_rules; i++)
        most += k->c->rules[i].n_inputs + k->c->rules[i].n_outputs;
    uses = calloc(most, sizeof(*uses));
    if (!uses) {
        config_error(k->problems, 0, NULL, "out of memory");
        return;
    }
    for (size_t i = 0; i < k->c->n_rules; i++) {
        const struct config_rule *rule = &k->c->rules[i];
        for (size_t j = 0; j < rule->n_inputs; j++)
            if (rule->inputs[j].interface[0])
                uses[n++] = (struct use){rule->inputs[j].interface, rule, CONFIG_ROLE_IN, rule->inputs[j].line};
        for (size_t o = 0; o < rule->n_outputs; o++)
            if (rule->outputs[o].interface[0])
                uses[n++] = (struct use){rule->outputs[o].interface, rule, CONFIG_ROLE_OUT, rule->outputs[o].line};
    }
    qsort(uses, n, sizeof(*uses), compare_uses);
    for (size_t at = 0, end; at < n; at = end) {
        for (end = at + 1; end < n && strcmp(uses[end].interface, uses[at].interface) == 0;)
            end++;
        look(k, &uses[at], end - at);
    }
    free(uses);
}

// Whether an entry of the list was refused, and which interface it is for is unknown.
static bool has_nameless(const struct config *c)
{
    for (size_t i = 0; i < c->n_interfaces; i++)
        if (c->interfaces[i].name[0] == '\0')
            return true;
    return false;
}

// An interface that is used one way, and has no role while others have: it is not listed by mistake, or its name is, or
// it is listed for its zone only. One that is used both ways has no role. listed: or NULL.
static void doubt_unlisted(const struct check *k, const struct config_interface *listed, const struct use *uses,
                           size_t n)
{
    const struct use *first = NULL; // of an enabled rule
    bool one_way = true;

    for (size_t i = 0; i < n; i++) {
        one_way = one_way && uses[i].role == uses->role;
        first = !first && uses[i].rule->enabled ? &uses[i] : first;
    }
    if (!first || !one_way || strcmp(first->interface, CONFIG_LOOPBACK) == 0)
        return;
    if (listed)
        config_warning(k->problems, listed->line, NULL,
                       "interface \"%s\" is used for %sputs only, and no role keeps it to that: add role = \"%s\"",
                       listed->name, role_names[first->role], role_names[first->role]);
    else if (k->c->n_interfaces > 0 && !has_nameless(k->c))
        config_warning(k->problems, first->line, first->rule->name,
                       "interface \"%s\" is not in \"interfaces\" (line %d), so no role keeps it to one way: list it "
                       "there, with role = \"%s\"",
                       first->interface, k->c->interfaces[0].line, role_names[first->role]);
}

static void check_roles(struct check *k, const struct use *uses, size_t n)
{
    const struct config_interface *listed = k->roles->interfaces, *end = listed + k->roles->n_interfaces;

    k->n_interfaces++;
    while (listed < end && strcmp(listed->name, uses->interface) != 0)
        listed++;
    if (k->roles == k->c && (listed == end || (listed->complete && listed->role == CONFIG_ROLE_ANY)))
        doubt_unlisted(k, listed < end ? listed : NULL, uses, n);
    for (size_t i = 0; listed < end && listed->complete && listed->role != CONFIG_ROLE_ANY && i < n; i++)
        if (listed->role != uses[i].role)
            config_error(k->problems, uses[i].line, uses[i].rule->name,
                         "interface \"%s\" is used for an %sput, allowed by its role in line %d%s%s is \"%s\"",
                         listed->name, role_names[uses[i].role], listed->line, k->roles == k->c ? "" : " of ",
                         k->roles == k->c ? "" : k->roles->path, role_names[listed->role]);
}

// Reports an interface that does not exist, or that has this only as an alternative name. The daemon knows only the
// main name, so an alternative name is always an error: the rule would never match.
static void check_exists(struct check *k, const struct use *uses, size_t n)
{
    const struct use *first = NULL, *last = NULL; // of enabled rules
    char name[IF_NAMESIZE], others[48] = "", hint[LOCAL_HINT_MAX];
    size_t n_rules = 0;

    for (size_t i = 0; i < n; i++) {
        if (!uses[i].rule->enabled)
            continue;
        first = first ? first : &uses[i];
        n_rules += !last || last->rule != uses[i].rule;
        last = &uses[i];
    }
    if (!first)
        return;
    unsigned index = if_nametoindex(first->interface);
    bool exists = index != 0 && if_indextoname(index, name);
    snprintf(others, sizeof(others), "the %s waits", check_part(first->rule, first->interface));
    if (n_rules > 1)
        snprintf(others, sizeof(others), "the rule and %zu more wait", n_rules - 1);
    if (exists && strcmp(name, first->interface) != 0)
        config_error(k->problems, first->line, first->rule->name,
                     "interface \"%s\" is another name of \"%s\", allowed is \"%s\"", first->interface, name, name);
    else if (!exists && k->c->reject_missing)
        config_error(k->problems, first->line, first->rule->name,
                     "interface \"%s\" does not exist here%s, which missing_interface = \"reject\" refuses",
                     first->interface, local_interface_hint(k->local, first->interface, hint));
    else if (!exists)
        config_warning(k->problems, first->line, first->rule->name, "interface \"%s\" does not exist here%s; %s for it",
                       first->interface, local_interface_hint(k->local, first->interface, hint), others);
}

const char *check_part(const struct config_rule *r, const char *interface)
{
    for (size_t i = 0; i < r->n_inputs; i++)
        if (strcmp(r->inputs[i].interface, interface) == 0)
            return r->n_inputs > 1 ? "input" : "rule";
    return r->n_outputs > 1 ? "output" : "rule";
}

bool check_rule_names(const struct config_rule *r, const char *interface)
{
    bool found = false;

    for (size_t i = 0; i < r->n_inputs; i++)
        found |= strcmp(r->inputs[i].interface, interface) == 0;
    for (size_t i = 0; i < r->n_outputs; i++)
        found |= strcmp(r->outputs[i].interface, interface) == 0;
    return found;
}

bool check_is_only_listed(const struct config *c, const struct config_interface *listed)
{
    for (size_t i = 0; i < c->n_rules; i++)
        if (check_rule_names(&c->rules[i], listed->name))
            return false;
    return listed->complete;
}

// Reports a listed interface that does not exist: its role holds for no other, as for the one that is meant.
static void check_listed(const struct check *k)
{
    for (size_t i = 0; i < k->c->n_interfaces; i++) {
        const struct config_interface *listed = &k->c->interfaces[i];
        char name[IF_NAMESIZE] = "", hint[LOCAL_HINT_MAX];
        unsigned index = if_nametoindex(listed->name);
        if (!check_is_only_listed(k->c, listed) ||
            (index != 0 && if_indextoname(index, name) && strcmp(name, listed->name) == 0))
            continue;
        local_interface_hint(k->local, listed->name, hint);
        if (name[0])
            snprintf(hint, sizeof(hint), " (it is another name of \"%s\")", name);
        if (k->c->reject_missing)
            config_error(k->problems, listed->line, NULL,
                         "interface \"%s\" does not exist here%s, which missing_interface = \"reject\" refuses",
                         listed->name, hint);
        else
            config_warning(k->problems, listed->line, NULL,
                           "interface \"%s\" does not exist here%s; its role holds for no other", listed->name, hint);
    }
}

void check_interfaces_exist(const struct config *c, struct config_problems *problems)
{
    struct local local;
    struct check k = {.c = c, .problems = problems, .local = &local};

    local_read(&local);
    each_interface(&k, check_exists);
    check_listed(&k);
    local_check(c, &local, problems);
    local_free(&local);
}

size_t check_roles_of(const struct config *c, const struct config *other, struct config_problems *problems)
{
    struct check k = {.c = c, .problems = problems, .roles = other};

    each_interface(&k, check_roles);
    return k.n_interfaces;
}
