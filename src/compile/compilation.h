// SPDX-License-Identifier: Apache-2.0
// compilation: what the steps of compile() share: plan.c and open.c. Private to this room.
#ifndef MCR_COMPILE_COMPILATION_H
#define MCR_COMPILE_COMPILATION_H

#include <stdbool.h>
#include <stdint.h>

#include "compile/compile.h"
#include "machine/link.h"

// Of each array of the table its elements and how many there are so far: rules and n_rules, and so on.
#define COMPILED_ARRAY(name, type, most)                                                                               \
    type *name;                                                                                                        \
    uint32_t n_##name;

struct compilation {
    const struct config *config;
    const struct table_view *before;
    struct sockets *sockets;
    bool reject_missing;
    bool running;            // these rules run already: what cannot be opened waits
    struct link *links;      // of the interfaces
    struct filter_key *keys; // scratch: of one ring
    TABLE_ARRAYS(COMPILED_ARRAY)
    uint32_t n_counters, longest_probe;
    // Outputs that this load has opened as raw UDP sockets because bind(2) failed, with the first one's error.
    uint32_t n_unbound;
    uint16_t lowest_unbound; // of their source ports
    int unbound_error;
    char *why;
};

// plan.c: what follows from the file, and from the table before, alone.
// Writes why the file is refused, and returns false.
bool compile_refuse(struct compilation *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Gives each interface that an enabled rule (or a disabled one) names a place.
void compile_name_interfaces(struct compilation *c, bool enabled);
// Places rules, paths, outputs and destinations, and what is carried over. False after compile_refuse().
bool compile_plan(struct compilation *c);

// open.c: opens what the rules need, each from what is open already where it can be. False after compile_refuse().
bool compile_open_outputs(struct compilation *c);
bool compile_open_rings(struct compilation *c);
bool compile_join_groups(struct compilation *c);

// reason.c: whether an enabled rule waits or is down, and why.
// After its inputs' interfaces are known.
void compile_tell_inputs(struct compilation *c, uint32_t rule);
// An output of it was not opened. error: of the step that failed; 0: the interface is missing or has no address.
void compile_tell_output(struct compilation *c, uint32_t rule, const struct config_output *o, const char *step,
                         int error);
// After all its outputs were tried.
void compile_tell_outputs(struct compilation *c, uint32_t rule);

#endif
