// SPDX-License-Identifier: Apache-2.0
// asker: who asks the broker, and how often it may.
#ifndef MCR_BROKER_ASKER_H
#define MCR_BROKER_ASKER_H

#include <stdint.h>

#include "handover/handover.h"

// The login of who asked for a reload: what the kernel says as long as the process lives and /proc shows it, else what
// mcrd --reload has said of itself. UINT32_MAX: not known, or none.
uint32_t asker_login(const struct handover_asker *asker);

// Waits until one more request is due: ASKER_BURST at once, ASKER_PER_SECOND for long. More than the relay ever asks
// for; a relay that was taken over costs no more than that. *due_ns is zero before the first call.
#define ASKER_PER_SECOND 50
#define ASKER_BURST      100
void asker_pace(uint64_t *due_ns);

#endif
