// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/check_circles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/circle.h"

#define CIRCLES_MAX        100 // reported at most; the first one refuses the file already
#define CIRCLE_RULES_SHOWN 12
#define CHAINS_MAX         100 // that are told: errors must keep their room

struct check {
    const struct config *c;
    struct config_problems *problems;
    const struct endpoint *inputs; // of enabled rules, sorted
    size_t n_inputs;
};

// Adds an edge for each output of an enabled rule that is the input of another enabled rule.
static void add_edges(const struct check *k, uint32_t *first, uint32_t *to)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < k->c->n_rules; i++) {
        const struct config_rule *rule = &k->c->rules[i];
        first[i] = n;
        for (size_t o = 0; rule->enabled && o < rule->n_outputs; o++) {
            struct endpoint output = endpoint_of_output(&rule->outputs[o], 0);
            for (uint32_t j = 0; j < endpoint_span(&output); j++) {
                struct endpoint one = endpoint_at(&output, j);
                const struct endpoint *fed = endpoint_find(k->inputs, k->n_inputs, &one);
                // Its own input: check_outputs_of() has told. A range feeds a rule more than once.
                uint32_t rule_fed = fed ? ENDPOINT_RULE(fed->index) : i;
                if (rule_fed != i && (n == first[i] || to[n - 1] != rule_fed))
                    to[n++] = rule_fed;
            }
        }
    }
    first[k->c->n_rules] = n;
}

static void report_circle(const struct check *k, const uint32_t *path, uint32_t n)
{
    char text[(CIRCLE_RULES_SHOWN + 2) * (CONFIG_NAME_MAX + 8)] = "";
    const struct config_rule *rules = k->c->rules, *start = &rules[path[0]];
    uint32_t shown = n > CIRCLE_RULES_SHOWN ? CIRCLE_RULES_SHOWN : n;
    size_t used = 0;

    for (uint32_t i = 0; i < shown; i++)
        used += (size_t) snprintf(text + used, sizeof(text) - used, "\"%s\" -> ", rules[path[i]].name);
    if (shown < n)
        snprintf(text + used, sizeof(text) - used, "%u more -> ", n - shown);
    config_error(k->problems, start->line, start->name,
                 "outputs run in a circle: %s\"%s\"; allowed only when each of these rules says two_way = true, and "
                 "never by way of \"" CONFIG_LOOPBACK "\"",
                 text, start->name);
}

static bool takes_from_loopback(const struct config_rule *rule)
{
    for (size_t i = 0; i < rule->n_inputs; i++)
        if (strcmp(rule->inputs[i].interface, CONFIG_LOOPBACK) == 0)
            return true;
    return false;
}

// two_way on a rule that no circle leads through. One whose counterpart is disabled for now is passed over.
static void doubt_two_way(const struct check *k, const struct circle_graph *g, uint32_t *path, uint32_t *previous)
{
    const struct config_rule *rules = k->c->rules;

    for (uint32_t i = 0; i < g->n; i++)
        if (!rules[i].enabled && rules[i].two_way)
            return;
    for (uint32_t i = 0; i < g->n; i++)
        if (rules[i].two_way && circle_through(g, i, NULL, path, previous) == 0)
            config_warning(k->problems, rules[i].line, rules[i].name,
                           "two_way changes nothing, as no other rule leads back: it only allows a circle; what shall "
                           "come back needs a rule of its own");
}

// Whether rule `by` sends all that `to` would send of it.
static bool sends_as(const struct config_rule *by, const struct config_rule *to)
{
    size_t n = 0;

    for (size_t i = 0; i < to->n_outputs; i++) {
        struct endpoint wanted = endpoint_of_output(&to->outputs[i], 0);
        for (size_t j = 0; j < by->n_outputs; j++) {
            struct endpoint has = endpoint_of_output(&by->outputs[j], 0);
            if (endpoint_compare(&has, &wanted) == 0) {
                n++;
                break;
            }
        }
    }
    return n == to->n_outputs;
}

// An output that is the input of a rule which never gets what is sent there, for a relay does not take in what it sends
// itself. By the loopback interface it does, and rules that say two_way know.
static bool is_chain(const struct config_rule *rule, const struct config_output *out, const struct config_rule *to,
                     const struct config_input *in)
{
    return to != rule && out->kind != CONFIG_ADDRESS && strcmp(out->interface, CONFIG_LOOPBACK) != 0 &&
           !(rule->two_way && to->two_way) && (in->n_sources == 0 || out->keep_source) && !sends_as(rule, to);
}

static void doubt_chains(const struct check *k)
{
    char text[ENDPOINT_TEXT_MAX];
    size_t told = 0;

    for (size_t i = 0; i < k->c->n_rules && k->problems->n_errors == 0; i++) {
        const struct config_rule *rule = &k->c->rules[i];
        for (size_t o = 0; rule->enabled && !rule->shadow && o < rule->n_outputs && told < CHAINS_MAX; o++) {
            struct endpoint output = endpoint_of_output(&rule->outputs[o], 0);
            const struct endpoint *fed = NULL;
            for (uint32_t j = 0; !fed && j < endpoint_span(&output); j++) {
                struct endpoint one = endpoint_at(&output, j);
                fed = endpoint_find(k->inputs, k->n_inputs, &one);
            }
            const struct config_rule *to = fed ? &k->c->rules[ENDPOINT_RULE(fed->index)] : rule;
            if (!fed || !is_chain(rule, &rule->outputs[o], to, &to->inputs[ENDPOINT_INPUT(fed->index)]))
                continue;
            told++;
            config_warning(
                k->problems, rule->outputs[o].line, rule->name,
                "what is sent here does not come in by rule \"%s\" in line %d (%s), which takes in what other "
                "hosts send: to relay it there too, add the outputs of \"%s\" to this rule",
                to->name, to->line, endpoint_format(fed, text), to->name);
        }
    }
}

// Looks for circles with a rule that does not say two_way, or that run by the loopback interface: what is sent by it
// comes in by it, and two_way rests on own frames that do not. Each such rule is told in one circle.
void check_circles(const struct config *c, const struct endpoint *inputs, size_t n_inputs,
                   struct config_problems *problems)
{
    const struct check check = {.c = c, .problems = problems, .inputs = inputs, .n_inputs = n_inputs}, *k = &check;
    const struct config_rule *rules = k->c->rules;
    uint32_t n = (uint32_t) k->c->n_rules, circles = 0;
    size_t n_outputs = 0;

    for (uint32_t i = 0; i < n; i++)
        n_outputs += endpoint_outputs(&rules[i]);
    uint32_t *room = calloc(4 * ((size_t) n + 1) + n_outputs, sizeof(*room));
    bool *told = calloc(2 * ((size_t) n + 1), sizeof(*told)), *by_loopback;
    if (!room || !told) {
        config_error(k->problems, 0, NULL, "out of memory");
        goto done;
    }
    by_loopback = told + n;
    uint32_t *feeders = room, *path = feeders + n, *previous = path + n, *first = previous + n, *to = first + n + 1;
    add_edges(k, first, to);
    const struct circle_graph g = {.n = n, .first = first, .to = to};
    circle_count_feeders(&g, feeders, path);
    for (uint32_t i = 0; i < n; i++)
        by_loopback[i] = takes_from_loopback(&rules[i]);
    for (uint32_t i = 0; i < n && circles < CIRCLES_MAX; i++) {
        if (feeders[i] == 0 || told[i])
            continue;
        uint32_t length = circle_through(&g, i, rules[i].two_way ? by_loopback : NULL, path, previous);
        for (uint32_t j = 0; j < length; j++)
            told[path[j]] = true;
        if (length > 0) {
            report_circle(k, path, length);
            circles++;
        }
    }
    doubt_two_way(k, &g, path, previous);
    doubt_chains(k);
done:
    free(told);
    free(room);
}
