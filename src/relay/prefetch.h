// SPDX-License-Identifier: Apache-2.0
// prefetch: fetches memory that another processor has written before it is needed. The kernel fills the rings on the
// processor of the interrupt: each line of a frame comes from there, which takes longer than all that is done with it.
#ifndef MCR_RELAY_PREFETCH_H
#define MCR_RELAY_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#define PREFETCH_LINE 64 // bytes of a cache line; with other sizes some bytes are fetched twice, or not at all

// A macro, because the compiler removes a call that has no effect it knows of.
#define PREFETCH_INLINE static inline __attribute__((always_inline))

// What is read next: into the nearest cache.
PREFETCH_INLINE void prefetch_soon(const void *at)
{
    __builtin_prefetch(at, 0, 3);
}

// What is read at the end of the pass: the nearest cache would not hold it.
PREFETCH_INLINE void prefetch_later(const uint8_t *at, size_t n)
{
    const uint8_t *line = at - (uintptr_t) at % PREFETCH_LINE;

    for (; line < at + n; line += PREFETCH_LINE)
        __builtin_prefetch(line, 0, 2);
}

#endif
