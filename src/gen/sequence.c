// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/sequence.h"

#include <stdlib.h>
#include <string.h>

#define WORDS (SEQUENCE_WINDOW / 64)

static uint64_t *word_of(const struct sequence *s, uint64_t seq)
{
    return &s->window[seq / 64 % WORDS];
}

static uint64_t bit_of(uint64_t seq)
{
    return UINT64_C(1) << (seq % 64);
}

bool sequence_init(struct sequence *s, uint64_t first, uint64_t count)
{
    *s = (struct sequence){.window = calloc(WORDS, sizeof(*s->window)), .wanted_first = first, .wanted_count = count};
    return s->window != NULL;
}

void sequence_free(struct sequence *s)
{
    free(s->window);
}

// Moves the window's end to seq, and marks the numbers that enter the window as not received.
static void advance(struct sequence *s, uint64_t seq)
{
    if (seq - s->highest >= SEQUENCE_WINDOW)
        memset(s->window, 0, WORDS * sizeof(*s->window));
    else
        while (s->highest < seq) {
            s->highest++;
            *word_of(s, s->highest) &= ~bit_of(s->highest);
        }
    s->highest = seq;
}

void sequence_add(struct sequence *s, uint64_t seq)
{
    bool wanted =
        s->wanted_count == SEQUENCE_ANY || (seq >= s->wanted_first && seq - s->wanted_first < s->wanted_count);

    s->unexpected += !wanted;
    if (!s->any) {
        s->any = true;
        s->lowest = s->highest = seq;
    } else if (seq > s->highest) {
        advance(s, seq);
    } else if (s->highest - seq >= SEQUENCE_WINDOW) {
        s->too_old++;
        return;
    } else if (*word_of(s, seq) & bit_of(seq)) {
        s->duplicates++;
        return;
    } else {
        s->reordered++;
    }
    *word_of(s, seq) |= bit_of(seq);
    if (seq < s->lowest)
        s->lowest = seq;
    s->unique += wanted;
}

bool sequence_came(const struct sequence *s, uint64_t seq)
{
    return s->any && seq <= s->highest && s->highest - seq < SEQUENCE_WINDOW && (*word_of(s, seq) & bit_of(seq));
}

uint64_t sequence_widen(const struct sequence *s, uint8_t low, uint64_t start)
{
    uint64_t next = s->any ? s->highest + 1 : start;
    uint8_t ahead = (uint8_t) (low - (uint8_t) next);

    return ahead < 128 || next + ahead < 256 ? next + ahead : next + ahead - 256;
}

uint64_t sequence_lost(const struct sequence *s, uint64_t from)
{
    if (s->wanted_count != SEQUENCE_ANY)
        return s->wanted_count - s->unique;
    if (!s->any)
        return 0;
    return s->highest - (from < s->lowest ? from : s->lowest) + 1 - s->unique;
}
