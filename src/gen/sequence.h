// SPDX-License-Identifier: Apache-2.0
// sequence: counts lost, duplicate and reordered sequence numbers. Pure, except that it allocates memory.
//
// A window of SEQUENCE_WINDOW numbers, which ends at the highest one received, records which came. It has 8 MiB, of
// which the kernel provides only the pages that are used.
#ifndef MCR_GEN_SEQUENCE_H
#define MCR_GEN_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#define SEQUENCE_WINDOW (UINT64_C(1) << 26)
#define SEQUENCE_ANY    UINT64_MAX

struct sequence {
    uint64_t *window; // a bit for each number in (highest - SEQUENCE_WINDOW, highest], at the number modulo its size
    bool any;
    uint64_t lowest, highest; // received so far, if any is set
    uint64_t unique;
    uint64_t duplicates;
    uint64_t reordered; // lower than one that came before it (RFC 4737), and not a duplicate
    uint64_t too_old;   // below the window, so that a duplicate is not detected

    uint64_t wanted_first, wanted_count; // expected: wanted_count numbers (or SEQUENCE_ANY) from wanted_first on
    uint64_t unexpected;                 // numbers outside of this range
};

// Expects exactly count numbers from first on, or SEQUENCE_ANY. Returns false without memory; sequence_free() frees it.
bool sequence_init(struct sequence *s, uint64_t first, uint64_t count);
void sequence_free(struct sequence *s);

// Counts a received number.
void sequence_add(struct sequence *s, uint64_t seq);

// Whether seq came; false for one that is no longer in the window.
bool sequence_came(const struct sequence *s, uint64_t seq);

// The number with these lowest 8 bits that is nearest to the next one in order (before the first number: to start).
// Right as long as no more than 127 in a row are missing.
uint64_t sequence_widen(const struct sequence *s, uint8_t low, uint64_t start);

// Returns how many numbers did not come: of those expected, or, with SEQUENCE_ANY, of those from the lowest (or `from`,
// if that is lower) to the highest.
uint64_t sequence_lost(const struct sequence *s, uint64_t from);

#endif
