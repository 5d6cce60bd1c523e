// SPDX-License-Identifier: Apache-2.0
// dot: words and looks of the picture, in the language of Graphviz.
#ifndef MCR_GRAPH_DOT_H
#define MCR_GRAPH_DOT_H

#include <stdio.h>

#include "graph/zones.h"

enum dot_change { DOT_SAME, DOT_ADDED, DOT_REMOVED, DOT_CHANGED, DOT_CHANGES };

// What a rule does now, in the words of mcrstat(1), "" for one that relays.
enum dot_state { DOT_RELAYS, DOT_SHADOW, DOT_DISABLED, DOT_SCHEDULED, DOT_EXPIRED, DOT_STATES };

// What became of something that these versions have. changed: both do, and not the same.
enum dot_change dot_change(unsigned versions, bool changed);

// The sign of a change as mcrd --diff has it; "" for none.
const char *dot_sign(enum dot_change change);

enum dot_state dot_state(const struct config_rule *rule);
const char *dot_state_word(enum dot_state state);

// Writes text within a string in double quotes: nothing in it ends the string, is taken for an escape or an entity, or
// is a control character.
void dot_text(const char *text, FILE *to);

// Writes the name of a file's relay: its instance, or the last part of its path.
void dot_relay(const struct config *c, FILE *to);

// Writes attributes, each with ", " in front, that show a change and a state.
void dot_node_look(enum dot_change change, enum dot_state state, FILE *to);
void dot_edge_look(enum dot_change change, enum dot_state state, FILE *to);

// Writes the beginning of the picture, with more room between what is tall: a column of rules, if there is detail. Then
// its zones, each as the node z1, z2, ... of its index.
void dot_begin(const struct graph_file *files, size_t n, bool detail, FILE *to);
void dot_zones(const struct zones *z, const struct graph_file *files, size_t n, FILE *to);

// Writes the beginning of the frame of a file's relay, within which its conduits lie.
void dot_begin_relay(const struct graph_file *file, uint32_t index, FILE *to);

#endif
