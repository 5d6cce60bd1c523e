// SPDX-License-Identifier: Apache-2.0
// detail: each rule of a file as a conduit by itself.
#ifndef MCR_GRAPH_DETAIL_H
#define MCR_GRAPH_DETAIL_H

#include "graph/zones.h"

// Writes the rules of a file: first its frame, then the edges. Returns false when out of memory.
bool detail_write(const struct graph_file *file, uint32_t index, const struct zones *z, FILE *to);

#endif
