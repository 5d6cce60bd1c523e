// SPDX-License-Identifier: Apache-2.0
// audit_place: what lies already where audit_file names a place.
#ifndef MCR_COMMAND_AUDIT_PLACE_H
#define MCR_COMMAND_AUDIT_PLACE_H

#include "config/model.h"
#include "config/problems.h"

// Adds a warning if that is a symbolic link, which mcrd does not follow, or a file of something else than records.
void audit_place_doubt(const struct config *c, struct config_problems *problems);

#endif
