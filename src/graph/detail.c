// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "graph/detail.h"

#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "config/times.h"
#include "graph/conduits.h"
#include "graph/dot.h"

#define WHERE_MAX (IFNAMSIZ + ADDR_TEXT_MAX + 48)

// An input or an output of a rule.
struct link {
    uint32_t zone;
    bool output;
    unsigned versions;
    char where[WHERE_MAX]; // ot0 239.1.1.1:5000
};

// A rule in both versions of a file.
struct pair {
    const struct config_rule *now, *before;
    bool changed;
};

struct detail {
    const struct graph_file *file;
    uint32_t index;
    const struct zones *z;
    FILE *to;
    struct link links[2 * (CONFIG_INPUTS_MAX + CONFIG_OUTPUTS_MAX)]; // of the rule that is written
    size_t n;
};

// --- a rule's links --------------------------------------------------------------------------------------------------

// "239.1.0.0/28:5000-5015", "[ff15::1]:5004", "broadcast:47808", behind the interface and its tag.
static void write_where(const struct endpoint *e, char where[WHERE_MAX])
{
    struct addr_prefix prefix = addr_prefix_of(&e->address, e->n_addresses);
    char address[ADDR_TEXT_MAX] = "broadcast", vlan[16] = "", last[8] = "";
    bool six = endpoint_family(e) == ADDR_IPV6;

    if (e->kind != CONFIG_BROADCAST)
        addr_prefix_format(&prefix, address);
    if (e->vlan)
        snprintf(vlan, sizeof(vlan), " vlan %u", e->vlan);
    if (e->n_ports > 1)
        snprintf(last, sizeof(last), "-%u", e->port + e->n_ports - 1u);
    snprintf(where, WHERE_MAX, "%s%s %s%s%s:%u%s", e->interface, vlan, six ? "[" : "", address, six ? "]" : "", e->port,
             last);
}

static void add_link(struct detail *d, const struct config *c, const struct endpoint *e, bool output, unsigned versions)
{
    struct link *l = &d->links[d->n++];

    *l = (struct link){
        .zone = zones_find(d->z, d->index, c, e->interface, e->vlan), .output = output, .versions = versions};
    write_where(e, l->where);
}

static void add_links(struct detail *d, const struct config *c, const struct config_rule *r, unsigned versions)
{
    for (size_t i = 0; r && i < r->n_inputs; i++) {
        struct endpoint e = endpoint_of_input(&r->inputs[i], 0);
        add_link(d, c, &e, false, versions);
    }
    for (size_t i = 0; r && i < r->n_outputs; i++) {
        struct endpoint e = endpoint_of_output(&r->outputs[i], 0);
        add_link(d, c, &e, true, versions);
    }
}

static int compare_ends(const struct link *a, const struct link *b)
{
    return a->output != b->output ? (int) a->output - (int) b->output : (a->zone > b->zone) - (a->zone < b->zone);
}

static int compare_links(const void *a, const void *b)
{
    const struct link *left = a, *right = b;
    int order = compare_ends(left, right);

    return order != 0 ? order : strcmp(left->where, right->where);
}

// What stayed comes before what came, and that before what went.
static int compare_cells(const void *a, const void *b)
{
    const struct link *left = a, *right = b;
    int order = compare_ends(left, right);

    if (order == 0)
        order = (left->versions < right->versions) - (left->versions > right->versions);
    return order != 0 ? order : strcmp(left->where, right->where);
}

static void find_links(struct detail *d, const struct pair *p)
{
    size_t kept = 0;

    d->n = 0;
    add_links(d, d->file->now, p->now, d->file->before ? GRAPH_NOW : GRAPH_BOTH);
    add_links(d, d->file->before, p->before, GRAPH_BEFORE);
    qsort(d->links, d->n, sizeof(d->links[0]), compare_links);
    for (size_t i = 0; i < d->n; i++)
        if (kept > 0 && compare_links(&d->links[kept - 1], &d->links[i]) == 0)
            d->links[kept - 1].versions |= d->links[i].versions;
        else
            d->links[kept++] = d->links[i];
    d->n = kept;
    qsort(d->links, d->n, sizeof(d->links[0]), compare_cells);
}

// The index behind the last link that shares a cell and an edge with link i: the same end, and the same fate.
static size_t cell_end(const struct detail *d, size_t i)
{
    size_t end = i;

    while (end < d->n && compare_ends(&d->links[i], &d->links[end]) == 0 &&
           d->links[i].versions == d->links[end].versions)
        end++;
    return end;
}

// --- rules -----------------------------------------------------------------------------------------------------------

static const struct config_rule *rule_of(const struct pair *p)
{
    return p->now ? p->now : p->before;
}

// Writes the cells of all inputs or outputs; each is named after its first link.
static void write_cells(const struct detail *d, bool output)
{
    const char *between = "";

    fputs("{", d->to);
    for (size_t i = 0, end; i < d->n; i = end) {
        end = cell_end(d, i);
        if (d->links[i].output != output)
            continue;
        const char *sign = dot_sign(dot_change(d->links[i].versions, false));
        fprintf(d->to, "%s<p%zu> %s%s%s", between, i, sign, *sign ? " " : "", d->links[i].where);
        if (end - i > 1)
            fprintf(d->to, "\\nand %zu more", end - i - 1);
        between = "|";
    }
    fputs("}", d->to);
}

// A rule's node: its inputs, its name, its outputs, beside each other.
static void write_node(const struct detail *d, const struct pair *p)
{
    const struct config_rule *r = rule_of(p);
    unsigned versions = (p->now ? GRAPH_NOW : 0u) | (p->before ? GRAPH_BEFORE : 0u);
    enum dot_change change = d->file->before ? dot_change(versions, p->changed) : DOT_SAME;
    enum dot_state state = dot_state(r);
    char time[TIMES_TEXT_MAX];

    fprintf(d->to, "\t\t\"r%u %s\" [shape=record, label=\"{", d->index + 1, r->name);
    write_cells(d, false);
    fprintf(d->to, "|%s%s%s%s%s%s%s|", dot_sign(change), *dot_sign(change) ? " " : "", r->name,
            *dot_state_word(state) ? "\\n" : "", dot_state_word(state), schedule_given(r->active) ? "\\n" : "",
            times_text(r->active, time));
    write_cells(d, true);
    fputs("}\"", d->to);
    if (r->note[0]) {
        fputs(", tooltip=\"", d->to);
        dot_text(r->note, d->to);
        fputs("\"", d->to);
    }
    dot_node_look(change, state, d->to);
    fputs("];\n", d->to);
}

static void write_edges(const struct detail *d, const struct pair *p)
{
    const struct config_rule *r = rule_of(p);

    for (size_t i = 0; i < d->n; i = cell_end(d, i)) {
        const struct link *l = &d->links[i];
        if (l->output)
            fprintf(d->to, "\t\"r%u %s\":p%zu:e -> z%u [arrowhead=normal", d->index + 1, r->name, i, l->zone + 1);
        else
            fprintf(d->to, "\tz%u -> \"r%u %s\":p%zu:w [arrowhead=none", l->zone + 1, d->index + 1, r->name, i);
        dot_edge_look(dot_change(l->versions, false), dot_state(r), d->to);
        fputs("];\n", d->to);
    }
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *left = a, *right = b;

    return strcmp(rule_of(left)->name, rule_of(right)->name);
}

// The rules of both versions, by name; *n: their number. The caller frees them. NULL when out of memory.
static struct pair *pair_rules(const struct graph_file *file, size_t *n)
{
    size_t n_before = file->before ? file->before->n_rules : 0, kept = 0, all = 0;
    struct pair *pairs = calloc(file->now->n_rules + n_before + 1, sizeof(*pairs));
    bool *changed = NULL;

    if (pairs && conduits_changed(file, &changed)) {
        for (size_t i = 0; i < file->now->n_rules; i++)
            pairs[all++] = (struct pair){.now = &file->now->rules[i], .changed = changed[i]};
        for (size_t i = 0; i < n_before; i++)
            pairs[all++] = (struct pair){.before = &file->before->rules[i]};
        qsort(pairs, all, sizeof(*pairs), compare_pairs);
        for (size_t i = 0; i < all; i++)
            if (kept > 0 && compare_pairs(&pairs[kept - 1], &pairs[i]) == 0) {
                pairs[kept - 1].now = pairs[kept - 1].now ? pairs[kept - 1].now : pairs[i].now;
                pairs[kept - 1].before = pairs[kept - 1].before ? pairs[kept - 1].before : pairs[i].before;
                pairs[kept - 1].changed |= pairs[i].changed;
            } else {
                pairs[kept++] = pairs[i];
            }
        *n = kept;
    } else {
        free(pairs);
        pairs = NULL;
    }
    free(changed);
    return pairs;
}

bool detail_write(const struct graph_file *file, uint32_t index, const struct zones *z, FILE *to)
{
    size_t n = 0;
    struct pair *pairs = pair_rules(file, &n);
    struct detail *d = malloc(sizeof(*d));
    bool ok = pairs && d;

    if (ok) {
        d->file = file;
        d->index = index;
        d->z = z;
        d->to = to;
        dot_begin_relay(file, index, to);
        for (size_t i = 0; i < n; i++) {
            find_links(d, &pairs[i]);
            write_node(d, &pairs[i]);
        }
        fputs("\t}\n", to);
        for (size_t i = 0; i < n; i++) {
            find_links(d, &pairs[i]);
            write_edges(d, &pairs[i]);
        }
    }
    free(d);
    free(pairs);
    return ok;
}
