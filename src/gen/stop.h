// SPDX-License-Identifier: Apache-2.0
// stop: SIGINT and SIGTERM end a run early, and the report is printed all the same.
#ifndef MCR_GEN_STOP_H
#define MCR_GEN_STOP_H

#include <stdbool.h>

// A signal may arrive between stop_requested() and a wait: no wait may be longer than this.
#define STOP_TICK_NS 100000000

void stop_install(void);
bool stop_requested(void);

#endif
