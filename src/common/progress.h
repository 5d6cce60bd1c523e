// SPDX-License-Identifier: Apache-2.0
// progress: a progress bar on standard error, for work of known length. Nothing is written if that is no terminal.
#ifndef MCR_COMMON_PROGRESS_H
#define MCR_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint64_t start_ns;
    uint64_t next_ns; // when to call progress_show() next; UINT64_MAX: never
    bool shown;
};

// Checks whether standard error is a terminal. wanted: false disables the bar. now_ns: CLOCK_MONOTONIC. The first bar
// is due after half a second, so short work shows none.
void progress_begin(struct progress *p, bool wanted, uint64_t now_ns);

// Redraws the bar: done parts of total.
void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t now_ns);

// Erases the bar.
void progress_end(struct progress *p);

#define PROGRESS_TEXT_MAX 80

// Writes "[##########..............................]  25 %, 12 s left". Returns text. Pure.
const char *progress_text(uint64_t done, uint64_t total, uint64_t elapsed_ns, char text[PROGRESS_TEXT_MAX]);

#endif
