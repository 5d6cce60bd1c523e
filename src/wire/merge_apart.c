// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge_apart.h"

#include "wire/merge_state.h"

// The legs that bring this line lately. A stamp is compared with the one of the last look only, since it comes round.
static uint32_t legs_of(struct merge *m, uint32_t line, uint64_t now_ns)
{
    const struct line *l = &m->lines[line];
    uint32_t legs = 0;

    for (uint32_t i = 0; l->used && i < m->s.n_legs; i++) {
        struct apart_leg *at = &m->apart.lines[line][i];
        if (!l->legs[i].known)
            continue;
        if (at->us != l->legs[i].us || at->when_ns == 0) {
            at->us = l->legs[i].us;
            at->when_ns = now_ns;
        }
        legs |= (uint32_t) (now_ns - at->when_ns <= MERGE_APART_NS) << i;
    }
    return legs;
}

// Whether one of these legs has brought much since the lines are apart.
static bool brings(const struct merge *m, uint32_t legs)
{
    for (; legs != 0; legs &= legs - 1) {
        uint32_t i = (uint32_t) __builtin_ctz(legs);
        if (m->counters.legs[i].first - m->apart.first[i] >= MERGE_APART_FIRST)
            return true;
    }
    return false;
}

static uint64_t sum_of(const struct merge *m)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m->s.n_legs; i++)
        sum += m->counters.legs[i].first;
    return sum;
}

void apart_look(struct merge *m, uint64_t now_ns)
{
    uint32_t a = legs_of(m, 0, now_ns), b = legs_of(m, 1, now_ns);
    bool apart = a != 0 && b != 0 && (a & b) == 0, came = sum_of(m) != m->apart.sum;

    m->apart.sum = sum_of(m);
    if (apart && brings(m, a) && brings(m, b))
        m->counters.two_streams = 1;
    if (apart)
        return;
    // Where nothing comes at all, nothing speaks against what was found.
    if (came)
        m->counters.two_streams = 0;
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        m->apart.first[i] = m->counters.legs[i].first;
}

void apart_carry(struct merge *m, const struct merge *from, const uint8_t *leg_map)
{
    m->apart.sum = sum_of(m);
    for (uint32_t i = 0; i < m->s.n_legs; i++) {
        if (leg_map[i] >= MERGE_LEGS_MAX)
            continue;
        m->apart.first[i] = from->apart.first[leg_map[i]];
        for (uint32_t line = 0; line < MERGE_LINES; line++)
            m->apart.lines[line][i] = from->apart.lines[line][leg_map[i]];
    }
}
