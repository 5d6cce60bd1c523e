// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "graph/graph.h"

#include "graph/conduits.h"
#include "graph/detail.h"
#include "graph/dot.h"

#define NAMES_SHOWN  3  // rules of a conduit that are named in the picture
#define NAMES_HINTED 50 // and in what a browser shows of it

// What the flows of a conduit have in common, and how many are what. The rules are those of now, unless none is left.
struct summary {
    size_t rules;
    size_t changes[DOT_CHANGES], states[DOT_STATES];
    enum dot_change change;
    enum dot_state state;
};

static struct summary sum_up(const struct flow *flows, size_t n)
{
    struct summary s = {.change = DOT_CHANGED};

    for (size_t i = 0; i < n; i++)
        s.changes[dot_change(flows[i].versions, flows[i].changed)]++;
    for (size_t i = 0; i < n; i++)
        if (flows[i].versions != GRAPH_BEFORE || s.changes[DOT_REMOVED] == n) {
            s.states[dot_state(flows[i].rule)]++;
            s.rules++;
        }
    for (unsigned i = 0; i < DOT_CHANGES; i++)
        if (s.changes[i] == n)
            s.change = i;
    for (unsigned i = 0; i < DOT_STATES; i++)
        if (s.states[i] == s.rules)
            s.state = i;
    return s;
}

// Writes what differs from a conduit of unchanged rules that relay, in a line each.
static void write_counts(const struct summary *s, FILE *to)
{
    const char *between = "\\n";

    for (unsigned i = DOT_SHADOW; i < DOT_STATES; i++)
        if (s->states[i] > 0) {
            fprintf(to, "%s%zu %s", between, s->states[i], dot_state_word(i));
            between = ", ";
        }
    between = "\\n";
    for (unsigned i = DOT_ADDED; i < DOT_CHANGES; i++)
        if (s->changes[i] > 0) {
            fprintf(to, "%s%s%zu", between, dot_sign(i), s->changes[i]);
            between = " ";
        }
}

static void write_names(const struct flow *flows, size_t n, size_t most, const char *head, FILE *to)
{
    for (size_t i = 0; i < n && i < most; i++) {
        const char *sign = dot_sign(dot_change(flows[i].versions, flows[i].changed));
        fprintf(to, "%s%s%s%s", i == 0 ? head : "\\n", sign, *sign ? " " : "", flows[i].rule->name);
    }
    if (n > most)
        fprintf(to, "\\nand %zu more", n - most);
}

static void write_conduit(const struct flow *flows, size_t n, FILE *to)
{
    struct summary s = sum_up(flows, n);

    fprintf(to, "\t\tc%u_%u_%u [label=\"", flows->file + 1, flows->from + 1, flows->to + 1);
    if (n == 1) {
        write_names(flows, n, 1, "", to);
        fprintf(to, "%s%s", *dot_state_word(s.state) ? "\\n" : "", dot_state_word(s.state));
    } else {
        fprintf(to, "%zu rule%s", s.rules, s.rules == 1 ? "" : "s");
        write_counts(&s, to);
        if (n <= NAMES_SHOWN)
            write_names(flows, n, n, "\\n", to);
    }
    fputs("\", tooltip=\"", to);
    write_names(flows, n, NAMES_HINTED, "", to);
    fputs("\"", to);
    dot_node_look(s.change, s.state, to);
    fputs("];\n", to);
}

// Writes the two ends of a conduit, thicker for more rules: 1 for one, 2 for 10, 3 for 100, 4 for 1000.
static void write_ends(const struct flow *flows, size_t n, FILE *to)
{
    struct summary s = sum_up(flows, n);
    unsigned width = 1;

    for (size_t rest = n; rest >= 10; rest /= 10)
        width++;
    fprintf(to, "\tz%u -> c%u_%u_%u [arrowhead=none, penwidth=%u", flows->from + 1, flows->file + 1, flows->from + 1,
            flows->to + 1, width);
    dot_edge_look(s.change, s.state, to);
    fprintf(to, "];\n\tc%u_%u_%u -> z%u [penwidth=%u", flows->file + 1, flows->from + 1, flows->to + 1, flows->to + 1,
            width);
    dot_edge_look(s.change, s.state, to);
    fputs("];\n", to);
}

static void write_relay(const struct graph_file *file, uint32_t index, const struct conduits *c, size_t *at, FILE *to)
{
    size_t first = *at, end;

    dot_begin_relay(file, index, to);
    for (; *at < c->n && c->flows[*at].file == index; *at = end) {
        end = conduits_end(c, *at);
        write_conduit(&c->flows[*at], end - *at, to);
    }
    fputs("\t}\n", to);
    for (size_t i = first; i < *at; i = end) {
        end = conduits_end(c, i);
        write_ends(&c->flows[i], end - i, to);
    }
}

bool graph_write(const struct graph_file *files, size_t n, bool detail, FILE *to)
{
    struct conduits c = {.n = 0};
    struct zones z;
    size_t at = 0;
    bool ok = zones_collect(&z, files, n) && (detail || conduits_collect(&c, files, n, &z));

    if (ok) {
        dot_begin(files, n, detail, to);
        dot_zones(&z, files, n, to);
        for (uint32_t i = 0; ok && i < n; i++)
            if (detail)
                ok = detail_write(&files[i], i, &z, to);
            else
                write_relay(&files[i], i, &c, &at, to);
        fputs("}\n", to);
    }
    conduits_free(&c);
    zones_free(&z);
    return ok;
}
