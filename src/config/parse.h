// SPDX-License-Identifier: Apache-2.0
// parse: from the text of a config file to a struct config with every default filled in.
#ifndef MCR_CONFIG_PARSE_H
#define MCR_CONFIG_PARSE_H

#include <stddef.h>

#include "config/model.h"
#include "config/problems.h"

// Reads text that lexical_check() passed. Adds an error for all that the schema does not allow and goes on, so that
// check_config() can look at the rest: what was refused is 0 or empty. Returns NULL, with an error, when there is
// nothing to look at. The caller frees the config with config_free().
struct config *parse_config(const char *text, size_t size, struct config_problems *problems);

#endif
