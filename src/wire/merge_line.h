// SPDX-License-Identifier: Apache-2.0
// merge_line: one session's numbers, which leg has brought which, and to which of the two lines a datagram belongs.
#ifndef MCR_WIRE_MERGE_LINE_H
#define MCR_WIRE_MERGE_LINE_H

#include "wire/merge_state.h"
#include "wire/merge_time.h"

#define MERGE_BLOCK 10 // a time stamp is kept of each 2^MERGE_BLOCK numbers

// Whether a datagram belongs to a line: SURE if what has come with its number looks the same, OPEN if nothing has come.
enum fit { FOREIGN, OPEN, SURE };

// Where the line knows more numbers than 16 bits can tell apart: the distance whose time stamp fits best.
int64_t line_wide_distance(const struct merge *m, const struct line *l, const struct datagram *d, int64_t nearest);

// Whether a leg can have lost so many numbers in the time since its last one: no more than the ring holds, and at the
// highest rate expected. So nobody can move a line far, or make it work much, by single datagrams.
bool line_is_plausible(const struct merge *m, const struct line *l, const struct datagram *d, uint64_t distance);

// Whether a number goes on from where its leg was: a leg that is far behind, not a new beginning.
bool line_follows(const struct merge *m, const struct line *l, const struct datagram *d, int64_t distance);

// The line of d if the newest one is not it for sure. NULL: none. After a jump both lines can be of one session: the
// one before has what surely is a copy, and all else is the newest one's.
struct line *line_elsewhere(struct merge *m, const struct datagram *d, enum fit of_newest, int64_t *distance);

// A number that no leg has brought leaves the window.
void line_count_lost(struct merge *m, struct line *l, const struct slot *s);

// The numbers that a datagram brings besides its own are not missing.
void line_cover(struct merge *m, struct line *l, uint64_t number, uint32_t count, uint32_t us);

// The numbers that have left the window at time `us` leave the line: the caller has taken all that came until then.
void line_age(struct merge *m, struct line *l, uint32_t us);

// Begins a line at one number; `first`: what is known of it. NULL: there are two that are alive.
struct line *line_begin(struct merge *m, const struct session *session, uint64_t number, const struct slot *first,
                        uint32_t time);

static inline struct slot *slot_at(const struct merge *m, const struct line *l, uint64_t number)
{
    return &l->slots[number & (m->room - 1)];
}

static inline uint32_t *time_at(const struct merge *m, const struct line *l, uint64_t number)
{
    return &l->times[number >> MERGE_BLOCK & (m->n_blocks - 1)];
}

// a - b, of numbers of so many bits.
static inline int64_t difference(uint32_t width, uint64_t a, uint64_t b)
{
    return (int64_t) ((a - b) << (64 - width)) >> (64 - width);
}

// The number's distance from head.
MERGE_INLINE int64_t distance_of(const struct merge *m, const struct line *l, const struct datagram *d)
{
    int64_t nearest = difference(m->width, d->number, l->head);

    return m->n_blocks == 0 ? nearest : line_wide_distance(m, l, d, nearest);
}

// Whether a sender may have started again with what it has sent before, byte for byte: nothing new has come for a
// while, and a leg goes back, or is one that the line does not know. A leg that is late goes on from its own last
// number.
static inline bool is_again(const struct merge *m, const struct line *l, const struct datagram *d, const struct slot *s,
                            uint64_t number)
{
    return is_over(d->us, s->us, m->window_us + MERGE_SLACK) &&
           is_over(d->us, l->head_us, m->window_us + MERGE_SLACK) &&
           (!l->legs[d->leg].known || (int64_t) (number - l->legs[d->leg].high) <= 0);
}

MERGE_INLINE enum fit line_fit(const struct merge *m, const struct line *l, const struct datagram *d, int64_t *distance)
{
    if (!l->used || !is_same(&l->session, &d->session))
        return FOREIGN;
    *distance = distance_of(m, l, d);
    if (*distance > 0)
        return *distance <= m->step || line_is_plausible(m, l, d, (uint64_t) *distance) ? OPEN : FOREIGN;
    if (*distance <= -(int64_t) m->room)
        return line_follows(m, l, d, *distance) ? SURE : FOREIGN;
    uint64_t number = l->head + (uint64_t) *distance;
    const struct slot *s = slot_at(m, l, number);
    // Below its first number a line has nothing, but for the slower leg's beginning.
    if (!(s->state & SEEN))
        return m->store > 0 && (int64_t) (number - l->base) < 0 && is_over(d->us, l->base_us, m->window_us) ? FOREIGN
                                                                                                            : OPEN;
    return s->check == d->check && !is_again(m, l, d, s, number) ? SURE : FOREIGN;
}

static inline bool line_is_silent(const struct merge *m, const struct line *l)
{
    return is_over(m->us, l->last_us, m->window_us);
}

// The line of d, and its number's distance from there. NULL: none.
MERGE_INLINE struct line *line_find(struct merge *m, const struct datagram *d, int64_t *distance)
{
    struct line *newest = &m->lines[m->newest], *other = &m->lines[1 - m->newest];
    enum fit of_newest = line_fit(m, newest, d, distance);

    if (of_newest == SURE || (of_newest == OPEN && (!other->used || line_is_silent(m, other))))
        return newest;
    return line_elsewhere(m, d, of_newest, distance);
}

MERGE_INLINE void line_leave(struct merge *m, struct line *l)
{
    const struct slot *s = slot_at(m, l, l->tail++);

    if (!(s->state & SEEN)) {
        line_count_lost(m, l, s);
        return;
    }
    l->run = 0;
    if (s->legs != m->all)
        count_left(m, s->legs);
}

MERGE_INLINE void line_open_slot(struct merge *m, struct line *l, uint32_t us)
{
    if (l->head + 1 - l->tail >= m->room)
        line_leave(m, l);
    *slot_at(m, l, l->head + 1) = (struct slot){.us = us};
    // A kill finds it made before it counts.
    __atomic_signal_fence(__ATOMIC_RELEASE);
    l->head++;
}

MERGE_INLINE void line_advance(struct merge *m, struct line *l, const struct datagram *d, uint64_t number)
{
    while (l->head != number) {
        line_open_slot(m, l, d->us);
        if (m->n_blocks > 0 && (l->head & ((1u << MERGE_BLOCK) - 1)) == 0)
            *time_at(m, l, l->head) = d->time;
    }
    l->head_us = d->us;
    l->time = d->time;
}

MERGE_INLINE void line_note_leg(struct merge *m, struct line *l, const struct datagram *d, uint64_t number, bool again)
{
    if (again)
        m->counters.legs[d->leg].repeated++;
    else if (!l->legs[d->leg].known || (int64_t) (number - l->legs[d->leg].high) > 0)
        l->legs[d->leg].high = number;
    else
        m->counters.legs[d->leg].reordered++;
    l->legs[d->leg].known = true;
    l->legs[d->leg].us = l->last_us = d->us;
}

#endif
