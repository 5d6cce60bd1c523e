// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/check.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/check_circles.h"
#include "config/doubt.h"
#include "config/endpoint.h"
#include "config/way.h"

#define MIXED_MAX 100 // that are told: errors must keep their room

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

// --- names -----------------------------------------------------------------------------------------------------------

static int compare_names(const void *a, const void *b)
{
    const struct config_rule *left = a, *right = b;

    return strcmp(left->name, right->name);
}

static void keep(void *rule)
{
    (void) rule;
}

static void check_names(const struct check *k)
{
    void *tree = NULL;

    for (size_t i = 0; i < k->c->n_rules; i++) {
        const struct config_rule *rule = &k->c->rules[i];
        if (!rule->name[0]) // the rule is no group, which was refused already
            continue;
        const struct config_rule **first = tsearch(rule, &tree, compare_names);
        if (!first) {
            out_of_memory(k);
            break;
        }
        if (*first != rule)
            config_error(k->problems, rule->line, rule->name,
                         "\"name\" is \"%s\", taken by the rule in line %d already", rule->name, (*first)->line);
    }
    tdestroy(tree, keep);
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

// Zones whose names differ in case only: most likely one is meant.
static void doubt_zones(const struct check *k)
{
    const struct config_interface *list = k->c->interfaces;

    for (size_t i = 0; i < k->c->n_interfaces; i++)
        for (size_t j = 0; j < i && list[i].zone[0]; j++)
            if (strcasecmp(list[i].zone, list[j].zone) == 0) {
                if (strcmp(list[i].zone, list[j].zone) != 0)
                    config_warning(k->problems, list[i].line, NULL,
                                   "zone \"%s\" is not zone \"%s\" of line %d: they are two", list[i].zone,
                                   list[j].zone, list[j].line);
                break;
            }
}

// --- inputs and outputs ----------------------------------------------------------------------------------------------

// Checks the numbers of destinations and outputs of all rules, with ranges split. Returns false after an error.
static bool check_sizes(const struct check *k)
{
    size_t destinations = 0, outputs = 0, sockets = 0;

    for (size_t i = 0; i < k->c->n_rules; i++) {
        const struct config_rule *rule = &k->c->rules[i];
        outputs += rule->n_outputs * endpoint_paths(rule);
        if (!rule->enabled)
            continue;
        for (size_t j = 0; j < rule->n_inputs; j++)
            destinations += endpoint_destinations(&rule->inputs[j]);
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

// Every destination of the enabled rules' complete inputs, sorted. False when out of memory.
static bool collect_inputs(struct check *k)
{
    k->inputs = calloc(CONFIG_DESTINATIONS_MAX, sizeof(*k->inputs));
    for (size_t i = 0; k->inputs && i < k->c->n_rules; i++) {
        const struct config_rule *rule = &k->c->rules[i];
        for (size_t j = 0; rule->enabled && j < rule->n_inputs; j++) {
            struct endpoint e = endpoint_of_input(&rule->inputs[j], ENDPOINT_INDEX(i, j));
            k->n_inputs += endpoint_take_apart(&e, k->inputs + k->n_inputs);
        }
    }
    if (k->inputs)
        endpoint_sort(k->inputs, k->n_inputs);
    return k->inputs != NULL;
}

// Whether only the senders make two inputs of it.
static bool is_of_other_senders(const struct config_input *a, const struct config_input *b)
{
    return a->n_sources > 0 && b->n_sources > 0 && addr_equal(&a->address, &b->address) && a->port == b->port;
}

// Refuses equal inputs, even with different sources: the relay looks up a datagram by its destination and finds one
// rule.
static void check_same_inputs(const struct check *k)
{
    char text[ENDPOINT_TEXT_MAX];
    size_t first = 0;
    uint32_t told = UINT32_MAX, told_of = UINT32_MAX; // the pair of inputs before: ranges share more than one

    for (size_t i = 1; i < k->n_inputs; i++) {
        if (endpoint_compare(&k->inputs[i], &k->inputs[first]) != 0) {
            first = i;
            continue;
        }
        if (k->inputs[i].index == told && k->inputs[first].index == told_of)
            continue;
        told = k->inputs[i].index;
        told_of = k->inputs[first].index;
        const struct config_rule *rule = &k->c->rules[ENDPOINT_RULE(told)],
                                 *same = &k->c->rules[ENDPOINT_RULE(told_of)];
        int line = rule->inputs[ENDPOINT_INPUT(told)].line;
        endpoint_format(&k->inputs[i], text);
        if (rule == same)
            config_error(
                k->problems, line, rule->name, "input %u repeats input %u (%s)%s%s", ENDPOINT_INPUT(told) + 1,
                ENDPOINT_INPUT(told_of) + 1, text,
                rule->merge.line != 0 ? ": is the interface of this leg another one?" : "",
                is_of_other_senders(&rule->inputs[ENDPOINT_INPUT(told)], &rule->inputs[ENDPOINT_INPUT(told_of)])
                    ? rule->merge.line != 0 ? " Else write one input, its \"sources\" are those of both"
                                            : ": write one input, its \"sources\" are those of both"
                    : "");
        else
            config_error(k->problems, line, rule->name,
                         "\"input\" is that of rule \"%s\" in line %d (%s), allowed is one enabled rule for it",
                         same->name, same->line, text);
    }
}

// Refuses an output that keeps the sender's address, but has another family than the input.
static void check_kept_sources(const struct check *k, const struct config_rule *rule)
{
    char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX];

    for (size_t i = 0; i < rule->n_outputs * rule->n_inputs; i++) {
        const struct config_output *out = &rule->outputs[i / rule->n_inputs];
        struct endpoint output = endpoint_of_output(out, 0);
        struct endpoint input = endpoint_of_input(&rule->inputs[i % rule->n_inputs], 0);
        if (!out->keep_source || !endpoint_is_complete(&input) || !endpoint_is_complete(&output) ||
            endpoint_family(&output) == endpoint_family(&input))
            continue;
        config_error(k->problems, out->line, rule->name,
                     "\"source\" of output %zu is \"preserve\" from IPv%d (%s) to IPv%d (%s), "
                     "allowed is within one family",
                     i / rule->n_inputs + 1, endpoint_family(&input), endpoint_format(&input, from),
                     endpoint_family(&output), endpoint_format(&output, to));
    }
}

// Refuses a loopback address as the source of what leaves by another interface: the kernel opens no socket with it, and
// no host takes in such a frame (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3).
static void check_loopback_sources(const struct check *k, const struct config_rule *rule)
{
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < rule->n_outputs; i++) {
        const struct config_output *out = &rule->outputs[i];
        if (out->interface[0] && strcmp(out->interface, CONFIG_LOOPBACK) != 0 && addr_is_loopback(&out->source))
            config_error(
                k->problems, out->line, rule->name,
                "\"source\" of output %zu is %s, which no host takes in from a link: name an address of \"%s\", "
                "or leave source out",
                i + 1, addr_format(&out->source, text), out->interface);
    }
}

// --- rules together --------------------------------------------------------------------------------------------------

// Whether what is sent there comes in by one of the rule's own inputs.
static bool feeds_itself(const struct config_rule *rule, const struct endpoint *output)
{
    for (size_t i = 0; i < rule->n_inputs; i++) {
        struct endpoint input = endpoint_of_input(&rule->inputs[i], 0);
        if (endpoint_is_complete(&input) && endpoint_contains(&input, output))
            return true;
    }
    return false;
}

static void check_outputs_of(const struct check *k, const struct config_rule *rule)
{
    char text[ENDPOINT_TEXT_MAX];
    bool feeds[CONFIG_OUTPUTS_MAX] = {false}, repeats[CONFIG_OUTPUTS_MAX] = {false};
    struct endpoint *outputs = calloc(endpoint_outputs(rule) + 1, sizeof(*outputs));
    size_t n = 0, first = 0;

    if (!outputs) {
        out_of_memory(k);
        return;
    }
    for (size_t i = 0; i < rule->n_outputs; i++) {
        struct endpoint e = endpoint_of_output(&rule->outputs[i], (uint32_t) i);
        n += endpoint_take_apart(&e, outputs + n);
    }
    endpoint_sort(outputs, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t o = outputs[i].index;
        int line = rule->outputs[o].line;
        if (!feeds[o] && feeds_itself(rule, &outputs[i])) {
            feeds[o] = true;
            config_error(k->problems, line, rule->name, "output %u feeds the rule's own input (%s)", o + 1,
                         endpoint_format(&outputs[i], text));
        }
        if (i == 0 || endpoint_compare(&outputs[i], &outputs[first]) != 0) {
            first = i;
        } else if (!repeats[o]) {
            repeats[o] = true;
            config_error(k->problems, line, rule->name, "output %u repeats output %u (%s)", o + 1,
                         outputs[first].index + 1, endpoint_format(&outputs[i], text));
        }
    }
    free(outputs);
}

#define LOOK_BACK 16 // rules that send to one destination, of which each is compared with so many before it

// Rules that take in by one interface and send to one destination: most likely a copy of which the output was
// forgotten. By two interfaces it is meant, streams that come together, unless both take in one group.
static bool doubt_pair(const struct check *k, const struct endpoint *before, const struct endpoint *at)
{
    const struct config_rule *of = &k->c->rules[before->index / CONFIG_OUTPUTS_MAX];
    const struct config_rule *rule = &k->c->rules[at->index / CONFIG_OUTPUTS_MAX];
    int line = rule->outputs[at->index % CONFIG_OUTPUTS_MAX].line;
    char text[ENDPOINT_TEXT_MAX];

    if (schedule_apart(of->active, rule->active))
        return false; // one takes over from the other
    if (strcmp(of->inputs[0].interface, rule->inputs[0].interface) == 0)
        config_warning(k->problems, line, rule->name,
                       "sends where rule \"%s\" in line %d sends (%s): their streams mix", of->name, of->line,
                       endpoint_format(at, text));
    else if (doubt_one_stream(rule, of))
        config_warning(k->problems, line, rule->name,
                       "sends where rule \"%s\" in line %d sends (%s), and takes in the same group: if it is one "
                       "stream, receivers get it twice: write one rule with inputs and merge",
                       of->name, of->line, endpoint_format(at, text));
    else
        return false;
    return true;
}

static void doubt_same_outputs(const struct check *k)
{
    const struct config_rule *rules = k->c->rules;
    size_t room = 1, n = 0;
    uint32_t told = UINT32_MAX, told_of = UINT32_MAX; // the pair of rules before: ranges share more than one

    for (size_t i = 0; i < k->c->n_rules; i++)
        room += endpoint_outputs(&rules[i]);
    struct endpoint *list = calloc(room, sizeof(*list));
    if (!list) {
        out_of_memory(k);
        return;
    }
    for (uint32_t i = 0; i < k->c->n_rules; i++)
        for (uint32_t o = 0; rules[i].enabled && !rules[i].shadow && o < rules[i].n_outputs; o++) {
            struct endpoint e = endpoint_of_output(&rules[i].outputs[o], i * CONFIG_OUTPUTS_MAX + o);
            n += endpoint_take_apart(&e, list + n);
        }
    endpoint_sort(list, n);
    for (size_t i = 1, mixed = 0; i < n && mixed < MIXED_MAX; i++) {
        uint32_t at = list[i].index / CONFIG_OUTPUTS_MAX;
        for (size_t j = i; j > 0 && i - j < LOOK_BACK && endpoint_compare(&list[j - 1], &list[i]) == 0; j--) {
            uint32_t of = list[j - 1].index / CONFIG_OUTPUTS_MAX;
            if (of == at || (told == at && told_of == of) || !doubt_pair(k, &list[j - 1], &list[i]))
                continue;
            told = at;
            told_of = of;
            mixed++;
            break;
        }
    }
    free(list);
}

static bool has_enabled(const struct config *c)
{
    for (size_t i = 0; i < c->n_rules; i++)
        if (c->rules[i].enabled)
            return true;
    return false;
}

void check_config(const struct config *c, struct config_problems *problems)
{
    struct check k = {.c = c, .problems = problems};
    size_t n_interfaces;

    check_names(&k);
    if (!has_enabled(c) && problems->n_errors == 0)
        config_warning(problems, 0, NULL, "%s: nothing is relayed",
                       c->n_rules == 0 ? "there is no rule" : "every rule has enabled = false");
    check_interface_list(&k);
    doubt_zones(&k);
    n_interfaces = check_roles_of(c, c, problems);
    if (n_interfaces > CONFIG_INTERFACES_MAX)
        config_error(problems, 0, NULL, "the rules use %zu interfaces, allowed is up to %d in the file", n_interfaces,
                     CONFIG_INTERFACES_MAX);
    // What is too large is not taken apart.
    if (!check_sizes(&k))
        return;
    doubt_trial(c, problems);
    doubt_waits(c, problems);
    for (size_t i = 0; i < c->n_rules; i++) {
        check_outputs_of(&k, &c->rules[i]);
        check_kept_sources(&k, &c->rules[i]);
        if (!c->rules[i].enabled)
            continue;
        check_loopback_sources(&k, &c->rules[i]);
        doubt_rule(&c->rules[i], problems);
    }
    if (collect_inputs(&k)) {
        check_same_inputs(&k);
        doubt_same_outputs(&k);
        check_circles(c, k.inputs, k.n_inputs, problems);
    } else {
        out_of_memory(&k);
    }
    free(k.inputs);
}
