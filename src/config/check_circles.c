// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/check_circles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/circle.h"

#define CIRCLES_MAX        100 // that are looked for: the file is refused by the first already
#define CIRCLE_RULES_SHOWN 12

struct scene {
    const struct config *c;
    struct config_problems *problems;
    const struct endpoint *inputs;
    size_t n_inputs;
};

// One edge for each output of an enabled rule that is the input of another one.
static void add_edges(const struct scene *k, uint32_t *first, uint32_t *to)
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
                if (fed && fed->index != i && (n == first[i] || to[n - 1] != fed->index))
                    to[n++] = fed->index;
            }
        }
    }
    first[k->c->n_rules] = n;
}

static void report_circle(const struct scene *k, const uint32_t *path, uint32_t n)
{
    char text[(CIRCLE_RULES_SHOWN + 2) * (CONFIG_NAME_MAX + 8)] = "", label[CONFIG_RULE_LABEL_MAX];
    const struct config_rule *start = &k->c->rules[path[0]];
    uint32_t shown = n > CIRCLE_RULES_SHOWN ? CIRCLE_RULES_SHOWN : n;
    size_t used = 0;

    for (uint32_t i = 0; i < shown; i++)
        used += (size_t) snprintf(text + used, sizeof(text) - used, "\"%s\" -> ",
                                  config_rule_label(k->c->rules[path[i]].name, path[i], label));
    if (shown < n)
        used += (size_t) snprintf(text + used, sizeof(text) - used, "%u more -> ", n - shown);
    snprintf(text + used, sizeof(text) - used, "\"%s\"", config_rule_label(start->name, path[0], label));
    config_error(k->problems, start->line, config_rule_label(start->name, path[0], label),
                 "outputs run in a circle: %s; allowed only when each of these rules says two_way = true, and never by "
                 "way of \"" CONFIG_LOOPBACK "\"",
                 text);
}

// What is sent by the loopback interface comes in by it: two_way rests on own frames that do not.
static bool runs_by_loopback(const struct scene *k, const uint32_t *component, uint32_t i)
{
    for (size_t o = 0; o < k->c->rules[i].n_outputs; o++) {
        struct endpoint output = endpoint_of_output(&k->c->rules[i].outputs[o], 0);
        for (uint32_t j = 0; strcmp(output.interface, CONFIG_LOOPBACK) == 0 && j < endpoint_span(&output); j++) {
            struct endpoint one = endpoint_at(&output, j);
            const struct endpoint *fed = endpoint_find(k->inputs, k->n_inputs, &one);
            if (fed && component[fed->index] == component[i])
                return true;
        }
    }
    return false;
}

// A circle is an error when a rule in it does not say two_way. Each such rule is told in one circle.
static void report_circles(const struct scene *k, const struct circle_graph *g, const uint32_t *component,
                           uint32_t *path, uint32_t *previous, bool *told)
{
    unsigned circles = 0;

    for (uint32_t i = 0; i < g->n && circles < CIRCLES_MAX; i++) {
        bool inner = false; // an edge within its component: a circle passes here
        for (uint32_t e = g->first[i]; e < g->first[i + 1]; e++)
            inner = inner || component[g->to[e]] == component[i];
        if (!inner || told[i] || (k->c->rules[i].two_way && !runs_by_loopback(k, component, i)))
            continue;
        uint32_t n = circle_through(g, component, i, path, previous);
        for (uint32_t j = 0; j < n; j++)
            told[path[j]] = true;
        report_circle(k, path, n);
        circles++;
    }
}

void check_circles(const struct config *c, struct config_problems *problems, const struct endpoint *inputs,
                   size_t n_inputs)
{
    const struct scene s = {.c = c, .problems = problems, .inputs = inputs, .n_inputs = n_inputs}, *k = &s;
    size_t n = c->n_rules, n_outputs = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < k->c->rules[i].n_outputs; o++)
            n_outputs += (size_t) k->c->rules[i].outputs[o].n_addresses * k->c->rules[i].outputs[o].n_ports;
    uint32_t *room = calloc(4 * (n + 1) + n_outputs, sizeof(*room));
    bool *told = calloc(n + 1, sizeof(*told));
    if (room && told) {
        uint32_t *first = room, *component = first + n + 1, *path = component + n, *previous = path + n;
        uint32_t *to = previous + n;
        struct circle_graph g = {.n = (uint32_t) n, .first = first, .to = to};
        add_edges(k, first, to);
        if (circle_components(&g, component))
            report_circles(k, &g, component, path, previous, told);
        else
            config_error(problems, 0, NULL, "out of memory");
    } else {
        config_error(problems, 0, NULL, "out of memory");
    }
    free(told);
    free(room);
}
