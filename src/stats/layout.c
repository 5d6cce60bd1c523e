// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/layout.h"

size_t stats_segment_size(uint32_t n_interfaces, uint32_t n_rules, uint32_t n_inputs, uint32_t n_outputs)
{
    return sizeof(struct stats_header) + n_interfaces * sizeof(struct stats_interface) +
           n_rules * sizeof(struct stats_rule) + n_inputs * sizeof(struct stats_input) +
           n_outputs * sizeof(struct stats_output);
}

void stats_segment_place(struct stats_segment *s, void *memory, uint32_t n_interfaces, uint32_t n_rules,
                         uint32_t n_inputs)
{
    s->header = memory;
    s->interfaces = (void *) (s->header + 1);
    s->rules = (void *) (s->interfaces + n_interfaces);
    s->inputs = (void *) (s->rules + n_rules);
    s->outputs = (void *) (s->inputs + n_inputs);
}

void stats_write_begin(uint32_t *sequence)
{
    __atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

void stats_write_end(uint32_t *sequence)
{
    __atomic_store_n(sequence, *sequence + 1, __ATOMIC_RELEASE);
}
