// SPDX-License-Identifier: Apache-2.0
// arena: lays pieces one behind the other in one block of memory, each at a cache line of its own. Pure.
#ifndef MCR_COMMON_ARENA_H
#define MCR_COMMON_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARENA_ALIGN 64 // bytes, as the block must be aligned

// More than this is as much: neither malloc nor mmap gives it, also with ARENA_ALIGN added. On 32-bit machines what a
// file asks for can be more than an address space.
#define ARENA_TOO_MUCH (SIZE_MAX - 0xffff)

struct arena {
    uint8_t *base; // NULL: only the size is wanted
    size_t at;     // bytes so far, at most ARENA_TOO_MUCH
};

// Returns the place of n elements of this size, or NULL if only the size is wanted.
static inline void *arena_place(struct arena *a, size_t n, size_t size)
{
    size_t here = a->at, bytes;

    if (__builtin_mul_overflow(n, size, &bytes) || bytes > ARENA_TOO_MUCH - here)
        a->at = ARENA_TOO_MUCH;
    else
        a->at += (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    return a->base ? a->base + here : NULL;
}

// Makes a bool of a byte of unknown origin, which may have any value.
static inline void arena_mend_bool(bool *b)
{
    uint8_t byte;

    memcpy(&byte, b, sizeof(byte));
    *b = byte != 0;
}

#endif
