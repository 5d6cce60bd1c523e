// SPDX-License-Identifier: Apache-2.0
// sequence: which sequence numbers came, how often and in which order. Pure, but for its memory.
//
// A window of SEQUENCE_WINDOW numbers, which ends at the highest one seen, remembers what came: 8 MiB at most. The
// kernel gives pages only for the part that is used.
#ifndef MCR_GEN_SEQUENCE_H
#define MCR_GEN_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

#define SEQUENCE_WINDOW (UINT64_C(1) << 26)
#define SEQUENCE_ANY    UINT64_MAX

struct sequence {
    uint64_t *window; // a bit for each number of (highest - SEQUENCE_WINDOW, highest], at number modulo its size
    bool any;
    uint64_t lowest, highest; // seen so far, when any
    uint64_t unique;
    uint64_t duplicates;
    uint64_t reordered; // lower than one that came before it (RFC 4737), and not a duplicate
    uint64_t too_old;   // so far below the highest that nobody can tell whether it is a duplicate

    uint64_t wanted_first, wanted_count; // exactly so many numbers from wanted_first on should come; or SEQUENCE_ANY
    uint64_t unexpected;                 // outside of them
};

// Expects exactly count numbers from first on, or SEQUENCE_ANY. False when out of memory.
bool sequence_init(struct sequence *s, uint64_t first, uint64_t count);
void sequence_free(struct sequence *s);

// Notes that seq came.
void sequence_add(struct sequence *s, uint64_t seq);

// Whether seq came; false for one that is no longer in the window.
bool sequence_came(const struct sequence *s, uint64_t seq);

// The number with these lowest 8 bits that is nearest to the next one in order (before the first number: to start).
// Right as long as no more than 127 in a row are missing.
uint64_t sequence_widen(const struct sequence *s, uint8_t low, uint64_t start);

// The numbers that did not come: of those expected, or else of those between the lowest (or from, when lower still) and
// the highest.
uint64_t sequence_lost(const struct sequence *s, uint64_t from);

#endif
