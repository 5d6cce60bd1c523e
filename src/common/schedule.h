// SPDX-License-Identifier: Apache-2.0
// schedule: whether the time is within the bounds that a file or a rule sets. Every time is an argument, in seconds
// since the epoch (CLOCK_REALTIME); 0 is a bound that was not given. Pure.
#ifndef MCR_COMMON_SCHEDULE_H
#define MCR_COMMON_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

// [from, until): it begins with the second `from`, and has ended with the second `until`.
struct schedule {
    uint64_t from, until;
};

// SCHEDULE_UNKNOWN: the clock is not set, so that nothing can be said.
enum schedule_phase { SCHEDULE_OPEN, SCHEDULE_BEFORE, SCHEDULE_AFTER, SCHEDULE_UNKNOWN };

enum schedule_phase schedule_phase(struct schedule s, uint64_t now);

// Returns the next bound after now, or 0.
uint64_t schedule_next(struct schedule s, uint64_t now);

// Returns the earlier of two times of which 0 is none.
uint64_t schedule_sooner(uint64_t a, uint64_t b);

static inline bool schedule_given(struct schedule s)
{
    return s.from != 0 || s.until != 0;
}

// Whether one of them has always ended before the other begins.
static inline bool schedule_apart(struct schedule a, struct schedule b)
{
    return (a.until != 0 && a.until <= b.from) || (b.until != 0 && b.until <= a.from);
}

// Returns the earliest time that a clock may show which is set: no program of this kind ran before 2025, and nobody
// loads a file before it was written (file_s: its mtime). A day is allowed for a clock that was set back a little.
uint64_t schedule_clock_least(uint64_t file_s);

#endif
