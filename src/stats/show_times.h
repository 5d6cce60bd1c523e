// SPDX-License-Identifier: Apache-2.0
// show_times: serial, validity and the times of rules in mcrstat's table.
#ifndef MCR_STATS_SHOW_TIMES_H
#define MCR_STATS_SHOW_TIMES_H

#include "stats/layout.h"
#include "stats/page.h"

// Lines below the file's, where it has a serial or times, or its clock cannot be believed.
void show_config_times(const struct page *p, const struct stats_header *h);

// When a rule that runs or is to begin ends. The reason of others says it.
void show_rule_times(const struct page *p, const struct stats_rule *r);

#endif
