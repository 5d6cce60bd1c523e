// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge_line.h"

// The time stamp that a number at this distance from head should have, as far as the line knows: what lies ahead will
// take as long as what lies as far behind, or as the oldest that is known.
static uint32_t expected_time(const struct merge *m, const struct line *l, int64_t distance)
{
    uint64_t back = distance > 0 ? (uint64_t) distance : 0 - (uint64_t) distance;
    uint64_t most = l->head - l->base < m->room ? l->head - l->base : m->room - 1;
    uint32_t then = *time_at(m, l, l->head - (back < most ? back : most));

    return distance > 0 ? 2 * l->time - then : then;
}

int64_t line_wide_distance(const struct merge *m, const struct line *l, const struct datagram *d, int64_t nearest)
{
    int64_t best = nearest;
    uint32_t least = UINT32_MAX;

    for (int64_t at = nearest > 0 ? nearest : nearest + 65536; at > -(int64_t) m->room; at -= 65536) {
        // Of what lies before its first number a line has no time to compare with.
        if (at != nearest && (int64_t) (l->head - (uint64_t) (at < 0 ? -at : at) - l->base) < 0)
            continue;
        int32_t apart = (int32_t) (d->time - expected_time(m, l, at));
        uint32_t off = apart < 0 ? 0 - (uint32_t) apart : (uint32_t) apart;
        if (off < least || (off == least && at == nearest)) {
            least = off;
            best = at;
        }
    }
    return best;
}

bool line_is_plausible(const struct merge *m, const struct line *l, const struct datagram *d, uint64_t distance)
{
    uint32_t elapsed = d->us - l->legs[d->leg].us;

    if (distance + d->count > m->most)
        return false;
    if (!l->legs[d->leg].known)
        return true;
    return elapsed < UINT32_MAX - MERGE_SLACK && distance * 2 * m->window_us <= (uint64_t) elapsed * m->s.numbers;
}

bool line_follows(const struct merge *m, const struct line *l, const struct datagram *d, int64_t distance)
{
    int64_t ahead = (int64_t) (l->head + (uint64_t) distance - l->legs[d->leg].high);

    return l->legs[d->leg].known && ahead > 0 && ahead <= (int64_t) m->room;
}

struct line *line_elsewhere(struct merge *m, const struct datagram *d, enum fit of_newest, int64_t *distance)
{
    struct line *newest = &m->lines[m->newest], *other = &m->lines[1 - m->newest];
    int64_t elsewhere;
    enum fit of_other = line_fit(m, other, d, &elsewhere);

    if (of_other == FOREIGN || (of_other == OPEN && of_newest == OPEN))
        return of_newest == FOREIGN ? NULL : newest;
    if (of_other == OPEN && line_is_silent(m, newest)) {
        // The stream goes on as before the newest line.
        m->newest = 1 - m->newest;
        m->counters.resets++;
    }
    *distance = elsewhere;
    return other;
}

void line_count_lost(struct merge *m, struct line *l, const struct slot *s)
{
    if (s->state & COVERED)
        return;
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        m->counters.legs[i].missing += !(s->legs >> i & 1);
    if (s->legs != 0) { // it came, behind its turn
        l->run = 0;
        return;
    }
    m->counters.lost++;
    m->counters.lost_together += ++l->run == MERGE_TOGETHER && m->s.n_legs > 1;
}

void line_cover(struct merge *m, struct line *l, uint64_t number, uint32_t count, uint32_t us)
{
    for (uint32_t i = 1; i < count; i++) {
        if (l->head == number + i - 1)
            line_open_slot(m, l, us);
        struct slot *s = slot_at(m, l, number + i);
        if (!(s->state & SEEN))
            s->state = COVERED;
    }
}

void line_age(struct merge *m, struct line *l, uint32_t us)
{
    while ((int64_t) (l->head - l->tail) >= 0 && is_over(us, slot_at(m, l, l->tail)->us, m->window_us + 1))
        line_leave(m, l);
}

static bool is_free(const struct merge *m, const struct line *l)
{
    return !l->used || (l->n_held == 0 && line_is_silent(m, l));
}

struct line *line_begin(struct merge *m, const struct session *session, uint64_t number, const struct slot *first,
                        uint32_t time)
{
    struct line *l = &m->lines[1 - m->newest];
    bool is_first = !m->lines[m->newest].used;

    if (is_first || !is_free(m, l))
        l = &m->lines[m->newest];
    if (!is_free(m, l))
        return NULL;
    while (l->used && (int64_t) (l->head - l->tail) >= 0)
        line_leave(m, l);
    *l = (struct line){.used = true,
                       .session = *session,
                       .head = number,
                       .tail = number,
                       .base = number,
                       .base_us = first->us,
                       .next = number,
                       .last_us = first->us,
                       .head_us = first->us,
                       .time = time,
                       .slots = l->slots,
                       .times = l->times,
                       .buffers = l->buffers};
    memset(l->slots, 0, m->room * sizeof(*l->slots));
    *slot_at(m, l, number) = *first;
    if (m->n_blocks > 0)
        *time_at(m, l, number) = time;
    m->newest = (uint32_t) (l - m->lines);
    m->counters.resets += !is_first;
    return l;
}
