// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/circle.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

// Tarjan's algorithm, with stacks of its own: a chain of 10,000 rules must not need as many frames of ours.
struct search {
    const struct circle_graph *g;
    uint32_t *component;
    uint32_t *order; // in which a node was found, from 1; 0: not yet
    uint32_t *low;   // least order that it reaches within the open nodes
    uint32_t *edge;  // the next edge to follow
    uint32_t *way;   // from the root of the search to the present node
    uint32_t *open;  // nodes found whose component is not known yet
    uint32_t n_found, n_way, n_open, n_components;
};

static void enter(struct search *s, uint32_t node)
{
    s->order[node] = s->low[node] = ++s->n_found;
    s->edge[node] = s->g->first[node];
    s->way[s->n_way++] = node;
    s->open[s->n_open++] = node;
}

static void leave(struct search *s, uint32_t node)
{
    uint32_t member;

    s->n_way--;
    if (s->n_way > 0) {
        uint32_t parent = s->way[s->n_way - 1];
        if (s->low[node] < s->low[parent])
            s->low[parent] = s->low[node];
    }
    if (s->low[node] != s->order[node])
        return;
    do {
        member = s->open[--s->n_open];
        s->component[member] = s->n_components;
    } while (member != node);
    s->n_components++;
}

static void search_from(struct search *s, uint32_t root)
{
    enter(s, root);
    while (s->n_way > 0) {
        uint32_t node = s->way[s->n_way - 1];
        if (s->edge[node] == s->g->first[node + 1]) {
            leave(s, node);
            continue;
        }
        uint32_t next = s->g->to[s->edge[node]++];
        if (s->order[next] == 0)
            enter(s, next);
        else if (s->component[next] == NONE && s->order[next] < s->low[node])
            s->low[node] = s->order[next];
    }
}

bool circle_components(const struct circle_graph *g, uint32_t *component)
{
    uint32_t *room = calloc(5 * ((size_t) g->n + 1), sizeof(*room));
    struct search s = {.g = g, .component = component};

    if (!room)
        return false;
    s.order = room;
    s.low = s.order + g->n;
    s.edge = s.low + g->n;
    s.way = s.edge + g->n;
    s.open = s.way + g->n;
    for (uint32_t i = 0; i < g->n; i++)
        component[i] = NONE;
    for (uint32_t i = 0; i < g->n; i++)
        if (s.order[i] == 0)
            search_from(&s, i);
    free(room);
    return true;
}

static uint32_t unwind(const uint32_t *previous, uint32_t start, uint32_t last, uint32_t *path)
{
    uint32_t length = 1;

    for (uint32_t node = last; node != start; node = previous[node])
        length++;
    for (uint32_t at = length - 1, node = last; node != start; node = previous[node])
        path[at--] = node;
    path[0] = start;
    return length;
}

// Breadth first; path is the queue until the way is known.
uint32_t circle_through(const struct circle_graph *g, const uint32_t *component, uint32_t start, uint32_t *path,
                        uint32_t *previous)
{
    uint32_t head = 0, tail = 0;

    for (uint32_t i = 0; i < g->n; i++)
        previous[i] = NONE;
    path[tail++] = start;
    previous[start] = start;
    while (head < tail) {
        uint32_t node = path[head++];
        for (uint32_t e = g->first[node]; e < g->first[node + 1]; e++) {
            uint32_t next = g->to[e];
            if (next == start)
                return unwind(previous, start, node, path);
            if (component[next] != component[start] || previous[next] != NONE)
                continue;
            previous[next] = node;
            path[tail++] = next;
        }
    }
    return 0;
}
