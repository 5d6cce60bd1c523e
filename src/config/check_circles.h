// SPDX-License-Identifier: Apache-2.0
// check_circles: outputs that feed inputs of the same file, round and round.
#ifndef MCR_CONFIG_CHECK_CIRCLES_H
#define MCR_CONFIG_CHECK_CIRCLES_H

#include <stddef.h>

#include "config/endpoint.h"
#include "config/model.h"
#include "config/problems.h"

// Adds an error for each circle in which a rule does not say two_way. inputs: of enabled rules, sorted for
// endpoint_find().
void check_circles(const struct config *c, struct config_problems *problems, const struct endpoint *inputs,
                   size_t n_inputs);

#endif
