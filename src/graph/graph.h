// SPDX-License-Identifier: Apache-2.0
// graph: the zones of configs and the conduits between them (IEC 62443-3-2), as text for Graphviz (dot). Pure.
#ifndef MCR_GRAPH_GRAPH_H
#define MCR_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/model.h"

#define GRAPH_FILES_MAX 16

// A file of a relay, and the version of it with which it is compared; NULL: it is not compared. Both have a path.
struct graph_file {
    const struct config *now, *before;
};

// Writes the picture of n checked files. detail: each rule by itself; else the rules of a file that lead from one zone
// to another are one conduit. The same configs give the same text, whatever the order of their rules. Returns false
// when out of memory, with a text that is not complete; whether all was written, ferror(3) tells.
bool graph_write(const struct graph_file *files, size_t n, bool detail, FILE *to);

#endif
