// SPDX-License-Identifier: Apache-2.0
// check_circles: rules that feed each other.
#ifndef MCR_CONFIG_CHECK_CIRCLES_H
#define MCR_CONFIG_CHECK_CIRCLES_H

#include "config/endpoint.h"
#include "config/model.h"
#include "config/problems.h"

// Adds an error for each rule in a circle that is not allowed, and a warning for an output that is the input of another
// rule, and for two_way where there is no circle. inputs: those of the enabled rules, taken apart and sorted.
void check_circles(const struct config *c, const struct endpoint *inputs, size_t n_inputs,
                   struct config_problems *problems);

#endif
