// SPDX-License-Identifier: Apache-2.0
// compilation: the state that the steps of compile() share (plan.c, open.c, reason.c). Private to compile/.
#ifndef MCR_COMPILE_COMPILATION_H
#define MCR_COMPILE_COMPILATION_H

#include <stdbool.h>
#include <stdint.h>

#include "compile/compile.h"
#include "machine/link.h"

// Each array of the table as a pointer to its elements and their number so far: rules and n_rules, and so on.
#define COMPILED_ARRAY(name, type, most)                                                                               \
    type *name;                                                                                                        \
    uint32_t n_##name;

struct compilation {
    const struct config *config;
    const struct table_view *before;
    struct sockets *sockets;
    bool reject_missing;
    bool running;            // these rules run already: an output that cannot be opened waits
    bool judging;            // nothing is opened or logged
    struct link *links;      // one for each element of interfaces
    struct filter_key *keys; // scratch space for the filter of one ring
    TABLE_ARRAYS(COMPILED_ARRAY)
    uint32_t n_counters, longest_probe;
    // Outputs that this load has opened as raw UDP sockets because bind(2) failed.
    uint32_t n_unbound;
    uint16_t lowest_unbound; // the lowest of their source ports, host order
    int unbound_error;       // errno of the first one
    char *why;
};

// plan.c: the steps that need only the config and the previous table.
// Writes the reason of a failure to c->why (printf format). Always returns false.
bool compile_refuse(struct compilation *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Adds each interface that a rule names to c->interfaces, once: of the enabled rules (enabled) or of the disabled ones.
void compile_name_interfaces(struct compilation *c, bool enabled);
// Refuses what takes more memory than is allowed, or a merge that cannot be. Returns false after compile_refuse().
bool compile_fits(struct compilation *c);

// Fills in rules, paths, outputs, sources and destinations, and which counters are carried over from the previous
// table. Returns false after compile_refuse().
bool compile_plan(struct compilation *c);

// open.c: opens the sockets that the rules need, and reuses those that are open already. All belong to c->sockets.
// Each function returns false after compile_refuse().
bool compile_open_outputs(struct compilation *c);
bool compile_open_rings(struct compilation *c);
bool compile_join_groups(struct compilation *c);

// reason.c: whether an enabled rule waits or is down, and why.
// After its inputs' interfaces are known.
void compile_tell_inputs(struct compilation *c, uint32_t rule);
// An output of it was not opened. error: of the step that failed; 0: the interface is missing or has no address.
void compile_tell_output(struct compilation *c, uint32_t rule, const struct config_output *o, const char *step,
                         int error);
// Call this last, after all outputs of the rule have been tried.
void compile_tell_outputs(struct compilation *c, uint32_t rule);

#endif
