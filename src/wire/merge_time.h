// SPDX-License-Identifier: Apache-2.0
// merge_time: times as merge keeps them, the kernel's stamps in microseconds, of 32 bits that come round. Pure.
#ifndef MCR_WIRE_MERGE_TIME_H
#define MCR_WIRE_MERGE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define MERGE_SLACK 1000000u // us; how far the stamps of two legs may be out of order. More is a step of the clock
#define MERGE_TURN  1000000u // us; how far stamps may be ahead of the caller's time, which is that of its loop

// Whether `span` has passed from `since` to `now`, by stamps in us that come round. A time that lies more than
// MERGE_SLACK ahead is one from before a step of the clock, and over.
static inline bool is_over(uint32_t now, uint32_t since, uint32_t span)
{
    return now - since + MERGE_SLACK >= span + MERGE_SLACK;
}

// The same for a number that others wait for, so that no step of the clock makes them wait for long.
static inline bool is_turn_over(uint32_t now, uint32_t since, uint32_t span)
{
    return now - since + MERGE_TURN >= span + MERGE_TURN;
}

#endif
