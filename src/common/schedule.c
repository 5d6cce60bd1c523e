// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/schedule.h"

#define FIRST_S UINT64_C(1735689600) // 2025-01-01T00:00:00Z
#define SLACK_S 86400

enum schedule_phase schedule_phase(struct schedule s, uint64_t now)
{
    // What has ended is over, even if it should begin later.
    return s.until != 0 && now >= s.until ? SCHEDULE_AFTER : now < s.from ? SCHEDULE_BEFORE : SCHEDULE_OPEN;
}

uint64_t schedule_next(struct schedule s, uint64_t now)
{
    return s.until != 0 && now >= s.until ? 0 : now < s.from ? s.from : s.until;
}

uint64_t schedule_sooner(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

uint64_t schedule_clock_least(uint64_t file_s)
{
    return file_s > FIRST_S + SLACK_S ? file_s - SLACK_S : FIRST_S;
}
