// SPDX-License-Identifier: Apache-2.0
// doubt_site: what several relays may do together, but hardly mean.
#ifndef MCR_CONFIG_DOUBT_SITE_H
#define MCR_CONFIG_DOUBT_SITE_H

#include "config/site.h"

// Adds a warning for each output that sends to a group or broadcast to which another relay sends.
void doubt_site_feeding(const struct site *s);

// Adds a warning for an output to a group or broadcast that no other relay takes in, where another one takes in
// anything in that zone: for each that another one nearly takes, and once for the rest of each zone.
void doubt_site_untaken(const struct site *s);

#endif
