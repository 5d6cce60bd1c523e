// SPDX-License-Identifier: Apache-2.0
// clock: reads clocks (clock_gettime(2)) in nanoseconds.
#ifndef MCR_COMMON_CLOCK_H
#define MCR_COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/timex.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

// CLOCK_MONOTONIC, for pacing and deadlines: it is never set.
static inline uint64_t clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

// CLOCK_REALTIME. mcrgen writes it into datagrams: the kernel's receive timestamps use this clock, and hosts can
// synchronise it.
static inline uint64_t clock_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

// Whether the kernel says that nothing synchronises CLOCK_REALTIME (adjtimex(2), STA_UNSYNC). false, too, where it may
// not be asked.
static inline bool clock_is_unsynchronised(void)
{
    struct timex t = {.modes = 0};

    return adjtimex(&t) >= 0 && (t.status & STA_UNSYNC);
}

#endif
