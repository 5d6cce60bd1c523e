// SPDX-License-Identifier: Apache-2.0
// circle: finds circles in a directed graph. Pure; knows nothing of rules.
#ifndef MCR_CONFIG_CIRCLE_H
#define MCR_CONFIG_CIRCLE_H

#include <stdbool.h>
#include <stdint.h>

// The successors of node i are to[first[i]] up to, not including, to[first[i + 1]].
struct circle_graph {
    uint32_t n;
    const uint32_t *first; // n + 1 of them
    const uint32_t *to;
};

// Counts for each node its predecessors, but for those that no circle leads to: a node with none is on no circle, and a
// graph without circles has no other nodes. queue is room for n.
void circle_count_feeders(const struct circle_graph *g, uint32_t *feeders, uint32_t *queue);

// Writes a shortest way from start back to start into path (room for n): start first, without the return to it. Returns
// its length or 0 when there is none. second, unless NULL, says which nodes may follow start. previous is room for n.
uint32_t circle_through(const struct circle_graph *g, uint32_t start, const bool *second, uint32_t *path,
                        uint32_t *previous);

#endif
