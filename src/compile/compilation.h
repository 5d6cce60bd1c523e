// SPDX-License-Identifier: Apache-2.0
// compilation: what the steps of compile() share: plan.c, open.c and lay_out.c. Private to this room.
#ifndef MCR_COMPILE_COMPILATION_H
#define MCR_COMPILE_COMPILATION_H

#include <stdbool.h>
#include <stdint.h>

#include "compile/compile.h"
#include "machine/link.h"

struct compilation {
    const struct config *config;
    const struct table_view *before;
    struct sockets *sockets;
    bool reject_missing;
    bool running; // these rules run already: what cannot be opened waits
    struct link *links;
    struct table_interface *interfaces;
    uint32_t n_interfaces;
    struct table_rule *rules;
    struct table_path *paths;
    uint32_t n_paths;
    struct table_output *outputs;
    uint32_t n_outputs, n_counters;
    struct table_egress *egress;
    uint32_t n_egress;
    // Outputs that this load has opened as raw UDP sockets because bind(2) failed, with the first one's error.
    uint32_t n_unbound;
    uint16_t lowest_unbound; // of their source ports
    int unbound_error;
    struct addr_prefix *sources;
    uint32_t n_sources;
    struct addr *own;
    uint32_t n_own;
    struct table_destination *destinations;
    uint32_t n_destinations;
    struct table_slot *slots;
    uint32_t n_slots, longest_probe;
    char *why;
};

// Writes why and returns false.
bool compile_refuse(struct compilation *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

// How many paths the table has for a rule; a disabled one is there for the statistics only.
uint32_t compile_paths(const struct config_rule *r);

// plan.c: what follows from the file, and from the table before, alone.
// Gives each interface that an enabled rule (or a disabled one) names a place.
void compile_name_interfaces(struct compilation *c, bool enabled);
// Places rules, paths, outputs and destinations, and what is carried over. False after compile_refuse().
bool compile_plan(struct compilation *c);

// open.c: opens what the rules need, each from what is open already where it can be. False after compile_refuse().
bool compile_open_outputs(struct compilation *c);
bool compile_open_rings(struct compilation *c);
bool compile_join_groups(struct compilation *c);

// lay_out.c: indexes the destinations and writes everything into one table. False after compile_refuse().
bool compile_lay_out(struct compilation *c, uint64_t generation, struct table_image *out);

#endif
