// SPDX-License-Identifier: Apache-2.0
// show_merge: the lines of a table that tell what a rule's merge and its legs have counted.
#ifndef MCR_STATS_SHOW_MERGE_H
#define MCR_STATS_SHOW_MERGE_H

#include "stats/page.h"

// Below a leg of a rule that merges: how many of its datagrams were the first, how many numbers it missed, and how far
// it lies behind; with rates, of the time since the snapshot before. Nothing, as long as it has brought and missed
// nothing.
void show_merge_leg(const struct page *p, uint32_t rule, uint32_t input);

// Below the legs: which one is active, and what they have recovered and lost together. Nothing, as long as there is
// none of that.
void show_merge(const struct page *p, uint32_t rule);

#endif
