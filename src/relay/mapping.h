// SPDX-License-Identifier: Apache-2.0
// mapping: verifies and maps what an offer of the broker brings: a table, its statistics, the memory of its state, and
// what the mcrd before has left of its own.
#ifndef MCR_RELAY_MAPPING_H
#define MCR_RELAY_MAPPING_H

#include <stdint.h>

#include "handover/handover.h"
#include "relay/forward.h"

#define MAPPING_WHY_MAX 256

// Makes the forwarding state of the offered table. Returns NULL with why, unless why has a reason already. The caller
// calls mapping_drop(); the descriptors stay the caller's.
struct forward *mapping_new(const int offered[HANDOVER_PLAIN], uint64_t now_ns, char why[MAPPING_WHY_MAX]);

// The same for the state of the mcrd before (forward_resume()).
struct forward *mapping_resume(const int offered[HANDOVER_OFFER_FDS], uint64_t now_ns, char why[MAPPING_WHY_MAX]);

// Frees a state, and unmaps all that it was made of. NULL: does nothing.
void mapping_drop(struct forward *f);

#endif
