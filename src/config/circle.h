// SPDX-License-Identifier: Apache-2.0
// circle: finds cycles in a directed graph ("circles" in messages). Pure.
#ifndef MCR_CONFIG_CIRCLE_H
#define MCR_CONFIG_CIRCLE_H

#include <stdbool.h>
#include <stdint.h>

// The successors of node i are to[first[i]] to to[first[i + 1] - 1].
struct circle_graph {
    uint32_t n;
    const uint32_t *first; // n + 1 elements
    const uint32_t *to;
};

// Counts the predecessors of each node, without those that no circle leads to. A node with 0 is on no circle; in a
// graph without circles every node has 0. feeders and queue have room for n.
void circle_count_feeders(const struct circle_graph *g, uint32_t *feeders, uint32_t *queue);

// Writes a shortest path from start back to start: start comes first, and is not repeated at the end. Returns its
// length, or 0 if there is none. second: the nodes that may follow start; NULL: all. path and previous have room for n.
uint32_t circle_through(const struct circle_graph *g, uint32_t start, const bool *second, uint32_t *path,
                        uint32_t *previous);

#endif
