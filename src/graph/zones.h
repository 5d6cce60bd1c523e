// SPDX-License-Identifier: Apache-2.0
// zones: where the interfaces of files lead to. Files share a zone by its name; an interface without one, and each VLAN
// of it, is a zone of its own.
#ifndef MCR_GRAPH_ZONES_H
#define MCR_GRAPH_ZONES_H

#include <stdint.h>

#include "graph/graph.h"

// Which version of a file has something; a file that is not compared is both.
enum { GRAPH_BEFORE = 1, GRAPH_NOW = 2, GRAPH_BOTH = 3 };

struct zone_member {
    const char *zone;      // its name; "": of its own
    const char *interface; // of the config, as all names here
    uint32_t file;         // index
    uint16_t vlan;         // 0: no tag
    unsigned versions;
};

struct zone {
    const struct zone_member *members; // by file, then by name
    size_t n;
    unsigned versions;
    bool changed; // which interfaces lead there
};

struct zones {
    struct zone_member *members;
    struct zone *list; // by name, then those without one
    size_t n_members, n;
};

// Finds all zones of the files; zones_free() frees them. Returns false when out of memory.
bool zones_collect(struct zones *z, const struct graph_file *files, size_t n);

// The index of the zone that an interface of a file leads to, in this version of the file. It is there.
uint32_t zones_find(const struct zones *z, uint32_t file, const struct config *c, const char *interface, uint16_t vlan);

void zones_free(struct zones *z);

#endif
