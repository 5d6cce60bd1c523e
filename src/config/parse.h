// SPDX-License-Identifier: Apache-2.0
// parse: makes a struct config, with every default, from the text of a config file.
#ifndef MCR_CONFIG_PARSE_H
#define MCR_CONFIG_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/model.h"
#include "config/problems.h"

// Parses text that has passed lexical_check(). Adds an error for everything that the schema does not allow, and
// continues, so that check_config() can check the rest; refused values are 0 or empty. Returns NULL with an error if
// nothing could be parsed. The caller frees the config with config_free(). *whole: it can be checked; without memory for
// one of its lists, it cannot.
struct config *parse_config(const char *text, size_t size, struct config_problems *problems, bool *whole);

#endif
