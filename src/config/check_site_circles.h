// SPDX-License-Identifier: Apache-2.0
// check_site_circles: rules of several relays that feed each other.
#ifndef MCR_CONFIG_CHECK_SITE_CIRCLES_H
#define MCR_CONFIG_CHECK_SITE_CIRCLES_H

#include "config/site.h"

// Adds an error for each circle through several relays, or a warning where a relay's own address would have to be among
// the sources of an input. Each rule is told in one circle. Returns false when out of memory.
bool check_site_circles(const struct site *s);

#endif
