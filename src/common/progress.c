// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"

#define FIRST_NS (NS_PER_S / 2)
#define EACH_NS  (NS_PER_S / 5)
#define CELLS    40
#define COLUMNS  64 // width of the longest text with a plausible time

void progress_begin(struct progress *p, bool wanted, uint64_t now_ns)
{
    *p = (struct progress){.start_ns = now_ns, .next_ns = UINT64_MAX};
    if (wanted && isatty(STDERR_FILENO))
        p->next_ns = now_ns + FIRST_NS;
}

const char *progress_text(uint64_t done, uint64_t total, uint64_t elapsed_ns, char text[PROGRESS_TEXT_MAX])
{
    static const char full[CELLS + 1] = "########################################",
                                   empty[CELLS + 1] = "........................................";
    // done may exceed total, if that is an estimate. Both may be large, so this uses double.
    double part = total == 0 || done >= total ? 1 : (double) done / (double) total;
    int cells = (int) (part * CELLS);
    int used =
        snprintf(text, PROGRESS_TEXT_MAX, "[%.*s%.*s] %3d %%", cells, full, CELLS - cells, empty, (int) (part * 100));

    if (part > 0)
        snprintf(text + used, PROGRESS_TEXT_MAX - (size_t) used, ", %.0f s left",
                 (double) elapsed_ns / (double) NS_PER_S * (1 / part - 1));
    return text;
}

void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t now_ns)
{
    char text[PROGRESS_TEXT_MAX];

    if (now_ns < p->next_ns)
        return;
    fprintf(stderr, "\r%-*s", COLUMNS, progress_text(done, total, now_ns - p->start_ns, text));
    p->next_ns = now_ns + EACH_NS;
    p->shown = true;
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fprintf(stderr, "\r%*s\r", COLUMNS, "");
    p->next_ns = UINT64_MAX;
}
