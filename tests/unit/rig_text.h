// SPDX-License-Identifier: Apache-2.0
// rig_text: the transcript's lines, in which only what is the same each time stays.
#ifndef MCR_TESTS_UNIT_RIG_TEXT_H
#define MCR_TESTS_UNIT_RIG_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Writes the line and its end, with names in place of digests (#1, in the order in which they come), of the directory,
// of this process and its user.
void rig_text_write(FILE *to, const char *directory, const char *line);

// Writes what the statistics in this file say.
void rig_text_statistics(FILE *to, const char *directory, const char *path, uint64_t now_ns);

// Compares a text with tests/unit/transcripts/NAME.txt, which UPDATE=1 rewrites.
void rig_text_compare(const char *text, size_t size, const char *name);

#endif
