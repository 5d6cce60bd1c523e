// SPDX-License-Identifier: Apache-2.0
// circle: finds circles in a directed graph. Pure; knows nothing of rules.
#ifndef MCR_CONFIG_CIRCLE_H
#define MCR_CONFIG_CIRCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The successors of node i are to[first[i]] up to, not including, to[first[i + 1]].
struct circle_graph {
    uint32_t n;
    const uint32_t *first; // n + 1 of them
    const uint32_t *to;
};

// Numbers the strong components: component[i] == component[j] when and only when i = j or each reaches the other. False
// when out of memory.
bool circle_components(const struct circle_graph *g, uint32_t *component);

// Writes a shortest way from start back to start into path (room for n): start first, without the return to it. Returns
// its length or 0 when there is none. Edges that leave start's component are not looked at. previous is room for n.
uint32_t circle_through(const struct circle_graph *g, const uint32_t *component, uint32_t start, uint32_t *path,
                        uint32_t *previous);

#endif
