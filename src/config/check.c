// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/check.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/check_circles.h"
#include "config/endpoint.h"
#include "config/way.h"

struct check {
    const struct config *c;
    struct config_problems *problems;
    struct endpoint *inputs; // of enabled rules, sorted
    size_t n_inputs;
};

static void out_of_memory(const struct check *k)
{
    config_error(k->problems, 0, NULL, "out of memory");
}

static const char *label_of(const struct config *c, const struct config_rule *rule, char text[CONFIG_RULE_LABEL_MAX])
{
    return config_rule_label(rule->name, (size_t) (rule - c->rules), text);
}

// --- names -----------------------------------------------------------------------------------------------------------

static int compare_names(const void *a, const void *b)
{
    const struct config_rule *const *left = a, *const *right = b;
    int order = strcmp((*left)->name, (*right)->name);

    return order != 0 ? order : (*left > *right) - (*left < *right); // in the order of the file
}

static void check_names(const struct check *k)
{
    size_t n = k->c->n_rules, first = 0;
    const struct config_rule **sorted = calloc(n + 1, sizeof(struct config_rule *));

    if (!sorted) {
        out_of_memory(k);
        return;
    }
    for (size_t i = 0; i < n; i++)
        sorted[i] = &k->c->rules[i];
    qsort(sorted, n, sizeof(struct config_rule *), compare_names);
    for (size_t i = 1; i < n; i++) {
        if (sorted[i]->name[0] == '\0' || strcmp(sorted[i]->name, sorted[first]->name) != 0)
            first = i;
        else
            config_error(k->problems, sorted[i]->line, sorted[i]->name,
                         "\"name\" is \"%s\", taken by the rule in line %d already", sorted[i]->name,
                         sorted[first]->line);
    }
    free(sorted);
}

static void check_interface_list(const struct check *k)
{
    const struct config_interface *list = k->c->interfaces;

    for (size_t i = 0; i < k->c->n_interfaces; i++)
        for (size_t j = 0; j < i && list[i].name[0]; j++)
            if (strcmp(list[i].name, list[j].name) == 0) {
                config_error(k->problems, list[i].line, NULL, "interface \"%s\" is listed in line %d already",
                             list[i].name, list[j].line);
                break;
            }
}

// --- inputs and outputs ----------------------------------------------------------------------------------------------

// What the rules come to when ranges are taken apart. False after an error.
static bool check_sizes(const struct check *k)
{
    size_t destinations = 0, outputs = 0, sockets = 0;

    for (size_t i = 0; i < k->c->n_rules; i++) {
        const struct config_rule *rule = &k->c->rules[i];
        outputs += rule->n_outputs * endpoint_paths(rule);
        if (!rule->enabled)
            continue;
        destinations += rule->input.kind == CONFIG_BROADCAST ? 2u * rule->input.n_ports
                                                             : (size_t) rule->input.n_addresses * rule->input.n_ports;
        for (size_t o = 0; o < rule->n_outputs; o++)
            if (config_way(&rule->outputs[o], true) != CONFIG_WAY_FRAME)
                sockets += (size_t) rule->outputs[o].n_addresses * rule->outputs[o].n_ports;
    }
    if (destinations > CONFIG_DESTINATIONS_MAX)
        config_error(k->problems, 0, NULL, "the rules take in %zu destinations, allowed is up to %d in the file",
                     destinations, CONFIG_DESTINATIONS_MAX);
    if (outputs > CONFIG_TOTAL_OUTPUTS_MAX)
        config_error(k->problems, 0, NULL, "the rules have %zu outputs, allowed is up to %d in the file", outputs,
                     CONFIG_TOTAL_OUTPUTS_MAX);
    if (sockets > CONFIG_SOCKET_OUTPUTS_MAX)
        config_error(k->problems, 0, NULL,
                     "the rules need %zu sockets for outputs (\"address\", or \"mode\" is \"socket\"), "
                     "allowed is up to %d in the file",
                     sockets, CONFIG_SOCKET_OUTPUTS_MAX);
    return destinations <= CONFIG_DESTINATIONS_MAX && outputs <= CONFIG_TOTAL_OUTPUTS_MAX;
}

// Every destination of the enabled rules' complete inputs, sorted; index is that of the rule. NULL when out of memory.
static struct endpoint *collect_inputs(const struct check *k, size_t *n)
{
    struct endpoint *inputs = calloc(CONFIG_DESTINATIONS_MAX, sizeof(*inputs));

    *n = 0;
    for (size_t i = 0; inputs && i < k->c->n_rules; i++) {
        struct endpoint e = endpoint_of_input(&k->c->rules[i].input, (uint32_t) i);
        if (!k->c->rules[i].enabled || !endpoint_is_complete(&e))
            continue;
        for (uint32_t j = 0; j < endpoint_span(&e); j++)
            inputs[(*n)++] = endpoint_at(&e, j);
    }
    if (inputs)
        endpoint_sort(inputs, *n);
    return inputs;
}

// Sources do not make inputs different: the relay looks a datagram up by its destination and finds one rule.
static void check_same_inputs(const struct check *k)
{
    char text[ENDPOINT_TEXT_MAX], label[CONFIG_RULE_LABEL_MAX], other[CONFIG_RULE_LABEL_MAX];
    size_t first = 0;
    uint32_t told = UINT32_MAX, told_of = UINT32_MAX; // the pair of rules before: ranges share more than one

    for (size_t i = 1; i < k->n_inputs; i++) {
        if (endpoint_compare(&k->inputs[i], &k->inputs[first]) != 0) {
            first = i;
            continue;
        }
        if (k->inputs[i].index == told && k->inputs[first].index == told_of)
            continue;
        told = k->inputs[i].index;
        told_of = k->inputs[first].index;
        const struct config_rule *rule = &k->c->rules[k->inputs[i].index], *same = &k->c->rules[k->inputs[first].index];
        config_error(k->problems, rule->input.line, label_of(k->c, rule, label),
                     "\"input\" is that of rule \"%s\" in line %d (%s), allowed is one enabled rule for it",
                     label_of(k->c, same, other), same->line, endpoint_format(&k->inputs[i], text));
    }
}

// A header of another family cannot hold the sender's address.
static void check_kept_sources(const struct check *k, const struct config_rule *rule)
{
    struct endpoint input = endpoint_of_input(&rule->input, 0);
    char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX], label[CONFIG_RULE_LABEL_MAX];

    for (size_t i = 0; endpoint_is_complete(&input) && i < rule->n_outputs; i++) {
        const struct config_output *out = &rule->outputs[i];
        struct endpoint output = endpoint_of_output(out, (uint32_t) i);
        if (!out->keep_source || !endpoint_is_complete(&output) || endpoint_family(&output) == endpoint_family(&input))
            continue;
        config_error(k->problems, out->line, label_of(k->c, rule, label),
                     "\"source\" of output %zu is \"preserve\" from IPv%d (%s) to IPv%d (%s), "
                     "allowed is within one family",
                     i + 1, endpoint_family(&input), endpoint_format(&input, from), endpoint_family(&output),
                     endpoint_format(&output, to));
    }
}

// What each output of the rule is sent to, ranges taken apart, sorted; index is that of the output. NULL when out of
// memory.
static struct endpoint *collect_outputs(const struct config_rule *rule, size_t *n)
{
    size_t most = 1;
    struct endpoint *outputs;

    *n = 0;
    for (size_t i = 0; i < rule->n_outputs; i++)
        most += (size_t) rule->outputs[i].n_addresses * rule->outputs[i].n_ports;
    outputs = calloc(most, sizeof(*outputs));
    for (size_t i = 0; outputs && i < rule->n_outputs; i++) {
        struct endpoint e = endpoint_of_output(&rule->outputs[i], (uint32_t) i);
        for (uint32_t j = 0; endpoint_is_complete(&e) && j < endpoint_span(&e); j++)
            outputs[(*n)++] = endpoint_at(&e, j);
    }
    if (outputs)
        endpoint_sort(outputs, *n);
    return outputs;
}

static void check_outputs_of(const struct check *k, const struct config_rule *rule)
{
    struct endpoint input = endpoint_of_input(&rule->input, 0);
    char text[ENDPOINT_TEXT_MAX], label[CONFIG_RULE_LABEL_MAX];
    const char *name = label_of(k->c, rule, label);
    bool feeds[CONFIG_OUTPUTS_MAX] = {false}, repeats[CONFIG_OUTPUTS_MAX] = {false};
    size_t n, first = 0;
    struct endpoint *outputs = collect_outputs(rule, &n);

    if (!outputs) {
        out_of_memory(k);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t o = outputs[i].index;
        int line = rule->outputs[o].line;
        if (!feeds[o] && endpoint_is_complete(&input) && endpoint_contains(&input, &outputs[i])) {
            feeds[o] = true;
            config_error(k->problems, line, name, "output %u feeds the rule's own input (%s)", o + 1,
                         endpoint_format(&outputs[i], text));
        }
        if (i == 0 || endpoint_compare(&outputs[i], &outputs[first]) != 0) {
            first = i;
        } else if (!repeats[o]) {
            repeats[o] = true;
            config_error(k->problems, line, name, "output %u repeats output %u (%s)", o + 1, outputs[first].index + 1,
                         endpoint_format(&outputs[i], text));
        }
    }
    free(outputs);
}

static void check_outputs(const struct check *k)
{
    for (size_t i = 0; i < k->c->n_rules; i++) {
        check_outputs_of(k, &k->c->rules[i]);
        check_kept_sources(k, &k->c->rules[i]);
    }
}

// --- interfaces ------------------------------------------------------------------------------------------------------

struct use {
    const char *interface;
    const struct config_rule *rule;
    enum config_role role;
    int line;
};

static int compare_uses(const void *a, const void *b)
{
    const struct use *left = a, *right = b;
    int order = strcmp(left->interface, right->interface);

    if (order == 0)
        order = (left->rule > right->rule) - (left->rule < right->rule);
    return order != 0 ? order : (left->line > right->line) - (left->line < right->line);
}

// Each use of an interface by a rule, sorted by interface, then in the order of the file. NULL when out of memory.
static struct use *collect_uses(const struct config *c, size_t *n)
{
    size_t most = 1;
    struct use *uses;

    *n = 0;
    for (size_t i = 0; i < c->n_rules; i++)
        most += 1 + c->rules[i].n_outputs;
    uses = calloc(most, sizeof(*uses));
    for (size_t i = 0; uses && i < c->n_rules; i++) {
        const struct config_rule *rule = &c->rules[i];
        if (rule->input.interface[0])
            uses[(*n)++] = (struct use){rule->input.interface, rule, CONFIG_ROLE_IN, rule->input.line};
        for (size_t o = 0; o < rule->n_outputs; o++)
            if (rule->outputs[o].interface[0])
                uses[(*n)++] = (struct use){rule->outputs[o].interface, rule, CONFIG_ROLE_OUT, rule->outputs[o].line};
    }
    if (uses)
        qsort(uses, *n, sizeof(*uses), compare_uses);
    return uses;
}

// The index after the last use of the interface that uses[at] is of.
static size_t end_of_run(const struct use *uses, size_t n, size_t at)
{
    size_t end = at + 1;

    while (end < n && strcmp(uses[end].interface, uses[at].interface) == 0)
        end++;
    return end;
}

static const struct config_interface *find_interface(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_interfaces; i++)
        if (strcmp(c->interfaces[i].name, name) == 0)
            return &c->interfaces[i];
    return NULL;
}

static void check_role(const struct check *k, const struct config_interface *interface, const struct use *use)
{
    static const char *const roles[] = {[CONFIG_ROLE_IN] = "in", [CONFIG_ROLE_OUT] = "out"};
    char label[CONFIG_RULE_LABEL_MAX];

    if (interface->role != use->role)
        config_error(k->problems, use->line, label_of(k->c, use->rule, label),
                     "interface \"%s\" is used for an %sput, allowed by its role in line %d is \"%s\"", use->interface,
                     roles[use->role], interface->line, roles[interface->role]);
}

static void check_uses(const struct check *k)
{
    size_t n, n_interfaces = 0;
    struct use *uses = collect_uses(k->c, &n);

    if (!uses) {
        out_of_memory(k);
        return;
    }
    for (size_t at = 0, end; at < n; at = end) {
        const struct config_interface *interface = find_interface(k->c, uses[at].interface);
        end = end_of_run(uses, n, at);
        n_interfaces++;
        for (size_t i = at; interface && i < end; i++)
            check_role(k, interface, &uses[i]);
    }
    if (n_interfaces > CONFIG_INTERFACES_MAX)
        config_error(k->problems, 0, NULL, "the rules use %zu interfaces, allowed is up to %d in the file",
                     n_interfaces, CONFIG_INTERFACES_MAX);
    free(uses);
}

static void tell_missing(const struct check *k, const struct use *first, size_t n_rules)
{
    char label[CONFIG_RULE_LABEL_MAX], others[48] = "the rule waits";

    if (n_rules > 1)
        snprintf(others, sizeof(others), "the rule and %zu more wait", n_rules - 1);
    if (k->c->reject_missing)
        config_error(k->problems, first->line, label_of(k->c, first->rule, label),
                     "interface \"%s\" does not exist here, which missing_interface = \"reject\" refuses",
                     first->interface);
    else
        config_warning(k->problems, first->line, label_of(k->c, first->rule, label),
                       "interface \"%s\" does not exist here; %s for it", first->interface, others);
}

// The kernel finds an interface by its alternative names too, but the daemon goes by the one name that it lists. An
// error always: nothing that may still happen makes the rule match.
static void check_exists(const struct check *k, const struct use *first, size_t n_rules)
{
    char name[IF_NAMESIZE], label[CONFIG_RULE_LABEL_MAX];
    unsigned index = if_nametoindex(first->interface);

    if (index == 0 || !if_indextoname(index, name))
        tell_missing(k, first, n_rules);
    else if (strcmp(name, first->interface) != 0)
        config_error(k->problems, first->line, label_of(k->c, first->rule, label),
                     "interface \"%s\" is another name of \"%s\", allowed is \"%s\"", first->interface, name, name);
}

void check_interfaces_exist(const struct config *c, struct config_problems *problems)
{
    struct check k = {.c = c, .problems = problems};
    size_t n;
    struct use *uses = collect_uses(c, &n);

    if (!uses) {
        out_of_memory(&k);
        return;
    }
    for (size_t at = 0, end; at < n; at = end) {
        const struct use *first = NULL, *last = NULL;
        size_t n_rules = 0;
        end = end_of_run(uses, n, at);
        for (size_t i = at; i < end; i++) {
            if (!uses[i].rule->enabled)
                continue;
            first = first ? first : &uses[i];
            n_rules += !last || last->rule != uses[i].rule;
            last = &uses[i];
        }
        if (first)
            check_exists(&k, first, n_rules);
    }
    free(uses);
}

void check_config(const struct config *c, struct config_problems *problems)
{
    struct check k = {.c = c, .problems = problems};

    check_names(&k);
    check_interface_list(&k);
    check_uses(&k);
    // What is too large is not taken apart.
    if (!check_sizes(&k))
        return;
    check_outputs(&k);
    k.inputs = collect_inputs(&k, &k.n_inputs);
    if (k.inputs) {
        check_same_inputs(&k);
        check_circles(c, problems, k.inputs, k.n_inputs);
    } else {
        out_of_memory(&k);
    }
    free(k.inputs);
}
