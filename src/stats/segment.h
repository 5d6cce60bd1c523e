// SPDX-License-Identifier: Apache-2.0
// segment: where the records of a statistics segment lie, and their sequence numbers. Pure.
#ifndef MCR_STATS_SEGMENT_H
#define MCR_STATS_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "stats/layout.h"

struct stats_segment {
    struct stats_header *header;
    struct stats_interface *interfaces;
    struct stats_rule *rules;
    struct stats_output *outputs;
};

// Bytes of a segment with so many records.
size_t stats_segment_size(uint32_t n_interfaces, uint32_t n_rules, uint32_t n_outputs);

// Points s into memory laid out for these counts, which are the caller's and not read from memory.
void stats_segment_place(struct stats_segment *s, void *memory, uint32_t n_interfaces, uint32_t n_rules);

// Around every change of a record's fields by its one writer. Readers never write.
void stats_write_begin(uint32_t *sequence);
void stats_write_end(uint32_t *sequence);

// Copies size bytes at from, a record whose sequence number is *sequence, to `to` until nothing was written
// meanwhile. False when no consistent copy could be had in a bounded number of tries.
bool stats_read_record(void *to, const void *from, size_t size, const uint32_t *sequence);

#endif
