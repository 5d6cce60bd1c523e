// SPDX-License-Identifier: Apache-2.0
// show_running: the head of mcrstat's table: the daemon, its file and who has signed it, the record, the sandbox.
#ifndef MCR_STATS_SHOW_RUNNING_H
#define MCR_STATS_SHOW_RUNNING_H

#include "stats/page.h"

void show_running(const struct page *p);

#endif
