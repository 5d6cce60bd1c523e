// SPDX-License-Identifier: Apache-2.0
// identity: what the start needs of a config file before it gives its rights up, found without libconfig.
#ifndef MCR_CONFIG_IDENTITY_H
#define MCR_CONFIG_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "config/model.h"
#include "config/problems.h"

// Checks text as lexical_check() does. Fills instance, user, group and stats_file of *c as parse_config() would; a
// value that is not allowed, which parse_config() will refuse, is replaced by its default. All else of *c is zero or a
// default.
bool identity_check(const char *text, size_t size, struct config *c, struct config_problems *problems);

#endif
