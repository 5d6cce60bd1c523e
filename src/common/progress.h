// SPDX-License-Identifier: Apache-2.0
// progress: a bar on the standard error for work whose end is known. Where that is no terminal, nothing is written.
#ifndef MCR_COMMON_PROGRESS_H
#define MCR_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint64_t start_ns;
    uint64_t next_ns; // when progress_show() is due; UINT64_MAX: never
    bool shown;
};

// Asks whether there is a terminal. The first bar is due after half a second: short work shows none.
void progress_begin(struct progress *p, bool wanted, uint64_t now_ns);

// Draws the bar anew, of done parts of total.
void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t now_ns);

// Takes the bar off the terminal.
void progress_end(struct progress *p);

#define PROGRESS_TEXT_MAX 80

// "[##########..............................]  25 %, 12 s left"; returns text. Pure.
const char *progress_text(uint64_t done, uint64_t total, uint64_t elapsed_ns, char text[PROGRESS_TEXT_MAX]);

#endif
