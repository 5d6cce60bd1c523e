// SPDX-License-Identifier: Apache-2.0
// clock: the time of a clock in nanoseconds.
#ifndef MCR_COMMON_CLOCK_H
#define MCR_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

// For pacing and deadlines: never set back.
static inline uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

// Of mcrgen, for what crosses the network: the kernel's receive timestamps are of this clock, and hosts can share it.
static inline uint64_t clock_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

#endif
