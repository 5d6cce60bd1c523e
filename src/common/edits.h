// SPDX-License-Identifier: Apache-2.0
// edits: how far two names are apart, to find the one that a misspelling means.
#ifndef MCR_COMMON_EDITS_H
#define MCR_COMMON_EDITS_H

// Returns the number of edits of one character between a and b; a swap of two neighbours is one edit (optimal string
// alignment). UINT_MAX if one of them is longer than any name.
unsigned edits_between(const char *a, const char *b);

// Returns how many edits may be a misspelling of this name.
unsigned edits_most(const char *name);

#endif
