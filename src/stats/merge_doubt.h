// SPDX-License-Identifier: Apache-2.0
// merge_doubt: what the counters of a merge say against its rule. Pure.
#ifndef MCR_STATS_MERGE_DOUBT_H
#define MCR_STATS_MERGE_DOUBT_H

#include <stdbool.h>

#include "stats/layout.h"

// Whether legs that are merged by number bring two streams lately, such as those of two encoders (wire/merge_apart.h).
// False where the merge knows no numbers.
bool merge_doubt_two_streams(const struct stats_rule *r);

// Returns the sentence on what is doubtful, or NULL.
const char *merge_doubt(const struct stats_segment *at, const struct stats_rule *r);

#endif
