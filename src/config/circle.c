// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/circle.h"

#include <string.h>

#define NONE UINT32_MAX

void circle_count_feeders(const struct circle_graph *g, uint32_t *feeders, uint32_t *queue)
{
    uint32_t n = 0;

    memset(feeders, 0, g->n * sizeof(*feeders));
    for (uint32_t e = 0; e < g->first[g->n]; e++)
        feeders[g->to[e]]++;
    for (uint32_t i = 0; i < g->n; i++)
        if (feeders[i] == 0)
            queue[n++] = i;
    for (uint32_t head = 0; head < n; head++)
        for (uint32_t e = g->first[queue[head]]; e < g->first[queue[head] + 1]; e++)
            if (--feeders[g->to[e]] == 0)
                queue[n++] = g->to[e];
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

// A breadth-first search. path serves as its queue until the result is known.
uint32_t circle_through(const struct circle_graph *g, uint32_t start, const bool *second, uint32_t *path,
                        uint32_t *previous)
{
    uint32_t head = 0, tail = 0;

    for (uint32_t i = 0; i < g->n; i++)
        previous[i] = NONE;
    path[tail++] = start;
    while (head < tail) {
        uint32_t node = path[head++];
        for (uint32_t e = g->first[node]; e < g->first[node + 1]; e++) {
            uint32_t next = g->to[e];
            if (node == start && second && !second[next])
                continue;
            if (next == start)
                return unwind(previous, start, node, path);
            if (previous[next] != NONE)
                continue;
            previous[next] = node;
            path[tail++] = next;
        }
    }
    return 0;
}
