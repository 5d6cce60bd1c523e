// SPDX-License-Identifier: Apache-2.0
// prefetch: fetches memory that another processor has written, before it is needed. The kernel fills the rings on the
// processor that handles the interrupt. Each cache line of a frame comes from there, which takes longer than all work
// with it.
#ifndef MCR_RELAY_PREFETCH_H
#define MCR_RELAY_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

#define PREFETCH_LINE 64 // bytes of a cache line; if a processor's differ, some are fetched twice or not at all

// always_inline, because the compiler removes calls of a function that has no effect it knows of.
#define PREFETCH_INLINE static inline __attribute__((always_inline))

// Fetches memory that is read next into the nearest cache.
PREFETCH_INLINE void prefetch_soon(const void *at)
{
    __builtin_prefetch(at, 0, 3);
}

// Fetches n bytes that are read at the end of the pass. The nearest cache would not keep them so long.
PREFETCH_INLINE void prefetch_later(const uint8_t *at, size_t n)
{
    const uint8_t *line = at - (uintptr_t) at % PREFETCH_LINE;

#pragma GCC unroll 4
    for (; line < at + n; line += PREFETCH_LINE)
        __builtin_prefetch(line, 0, 2);
}

#endif
