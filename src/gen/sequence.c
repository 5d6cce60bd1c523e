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

bool sequence_init(struct sequence *s)
{
    memset(s, 0, sizeof(*s));
    s->window = calloc(WORDS, sizeof(*s->window));
    return s->window != NULL;
}

void sequence_free(struct sequence *s)
{
    free(s->window);
    s->window = NULL;
}

void sequence_expect(struct sequence *s, uint64_t first, uint64_t count)
{
    s->bounded = true;
    s->wanted_first = first;
    s->wanted_count = count;
}

static bool is_wanted(const struct sequence *s, uint64_t seq)
{
    return !s->bounded || (seq >= s->wanted_first && seq - s->wanted_first < s->wanted_count);
}

// Moves the window's end to seq: the numbers that it takes in have not come yet.
static void advance(struct sequence *s, uint64_t seq)
{
    if (seq - s->highest >= SEQUENCE_WINDOW) {
        memset(s->window, 0, WORDS * sizeof(*s->window));
    } else {
        uint64_t n = s->highest + 1;
        while (n <= seq) {
            if (n % 64 == 0 && seq - n >= 63) {
                *word_of(s, n) = 0;
                n += 64;
            } else {
                *word_of(s, n) &= ~bit_of(n);
                n++;
            }
        }
    }
    s->highest = seq;
}

void sequence_add(struct sequence *s, uint64_t seq)
{
    if (!is_wanted(s, seq))
        s->unexpected++;
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
    s->unique += is_wanted(s, seq);
}

uint64_t sequence_widen(const struct sequence *s, uint8_t low, uint64_t start)
{
    uint64_t next = s->any ? s->highest + 1 : start;
    uint8_t ahead = (uint8_t) (low - (uint8_t) next);

    return ahead < 128 || next + ahead < 256 ? next + ahead : next + ahead - 256;
}

uint64_t sequence_lost(const struct sequence *s, const uint64_t *from)
{
    if (s->bounded)
        return s->wanted_count - s->unique;
    if (!s->any)
        return 0;
    uint64_t first = from && *from < s->lowest ? *from : s->lowest;
    return s->highest - first + 1 - s->unique;
}
