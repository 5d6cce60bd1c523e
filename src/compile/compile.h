// SPDX-License-Identifier: Apache-2.0
// compile: makes a rule table and its open sockets from a checked config and the machine's interfaces.
#ifndef MCR_COMPILE_COMPILE_H
#define MCR_COMPILE_COMPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/sockets.h"
#include "config/model.h"
#include "table/image.h"
#include "table/view.h"

#define COMPILE_WHY_MAX 768 // bytes

// Opens the sockets that the config needs and writes the table to out. The caller calls sockets_begin() before and
// sockets_settle() after it, and frees out->bytes. before: the table in force, whose counters are carried over by rule
// name, or NULL. running: links have changed under rules that run already.
//
// If a socket cannot be opened because an interface, address or route is missing, its output waits, and this is logged.
// With missing_interface = "reject" it is an error instead, unless running is set. Returns false on an error, with its
// text in why.
bool compile(const struct config *config, const struct table_view *before, uint64_t generation, bool running,
             struct sockets *sockets, struct table_image *out, char why[COMPILE_WHY_MAX]);

// Returns whether a load of config would not be refused for an interface: one that is missing where it may not, or an
// alternative name. Opens and logs nothing. The reason is in why.
bool compile_judge(const struct config *config, struct sockets *sockets, char why[COMPILE_WHY_MAX]);

// What the relay takes for the enabled rules, in bytes.
struct compile_memory {
    uint64_t merges, monitors;
    int line; // of the file: what is refused; 0: it is the file as a whole
};

// False, with why, where a merge cannot be, or all merges and monitors take more than COMPILE_MEMORY_MAX.
#define COMPILE_MEMORY_MAX (UINT64_C(1) << 30)
bool compile_memory(const struct config *config, struct compile_memory *memory, char why[COMPILE_WHY_MAX]);

// The bytes that a datagram must have to be merged; 0: any, as where the rule has no merge.
uint32_t compile_merge_least(const struct config_rule *rule);

#endif
