// SPDX-License-Identifier: Apache-2.0
// conduits: what the rules of files carry from zone to zone.
#ifndef MCR_GRAPH_CONDUITS_H
#define MCR_GRAPH_CONDUITS_H

#include "graph/zones.h"

// A rule from one zone to another.
struct flow {
    uint32_t file, from, to;        // indices
    const struct config_rule *rule; // the new version where there is one
    unsigned versions;
    bool changed; // both versions have it, and the rule is not the same
};

struct conduits {
    struct flow *flows; // those of one file and two zones lie side by side, by name
    size_t n, room;
};

// Finds all flows; conduits_free() frees them. Returns false when out of memory.
bool conduits_collect(struct conduits *c, const struct graph_file *files, size_t n, const struct zones *z);

// The index behind the last flow of the file and the two zones of flow i.
size_t conduits_end(const struct conduits *c, size_t i);

void conduits_free(struct conduits *c);

// Sets *changed to a flag for each rule of the new file, which the caller frees: whether it is there before as well,
// and not the same. Returns false when out of memory.
bool conduits_changed(const struct graph_file *file, bool **changed);

#endif
