// SPDX-License-Identifier: Apache-2.0
// compile: from a checked config and the machine's interfaces to a table and its open sockets.
#ifndef MCR_COMPILE_COMPILE_H
#define MCR_COMPILE_COMPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/sockets.h"
#include "config/model.h"
#include "table/view.h"

struct compiled {
    void *bytes; // the table; freed by the caller
    size_t size;
};

#define COMPILE_WHY_MAX 768

// Opens what the config needs (between sockets_begin() and sockets_settle(), both the caller's) and lays the table
// out. before: the table in force, for what is carried over by name, or NULL. What an interface, address or route
// that is missing now leaves closed is logged; with missing_interface = "reject" it is an error, except where links
// have changed under rules that run already (running): they wait. False with why.
bool compile(const struct config *config, const struct table_view *before, uint64_t generation, bool running,
             struct sockets *sockets, struct compiled *out, char why[COMPILE_WHY_MAX]);

// Whether both tables say the same but for what is carried over.
bool compiled_equal(const struct compiled *a, const struct compiled *b);

// The table as a sealed memory file. Returns its descriptor, the caller's, or -1 with errno set.
int compiled_seal(const struct compiled *table);

#endif
