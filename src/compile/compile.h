// SPDX-License-Identifier: Apache-2.0
// compile: from a checked config and the machine's interfaces to a table and its open sockets.
#ifndef MCR_COMPILE_COMPILE_H
#define MCR_COMPILE_COMPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/sockets.h"
#include "config/model.h"
#include "table/image.h"
#include "table/view.h"

#define COMPILE_WHY_MAX 768

// Opens what the config needs (between sockets_begin() and sockets_settle(), both the caller's) and lays the table
// out. before: the table in force, for what is carried over by name, or NULL. A socket that cannot be opened because an
// interface, address or route is missing is logged; with missing_interface = "reject" it is an error, except where
// links have changed under rules that run already (running): they wait. False with why.
bool compile(const struct config *config, const struct table_view *before, uint64_t generation, bool running,
             struct sockets *sockets, struct table_image *out, char why[COMPILE_WHY_MAX]);

#endif
