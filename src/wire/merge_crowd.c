// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge_crowd.h"

#include "wire/merge_line.h"

static uint64_t crowd_tag(const struct merge *m, const struct session *session, uint64_t number, uint16_t check)
{
    uint64_t words[4] = {session->a, session->b, number, check};

    return digest(m->s.key, (const uint8_t *) words, sizeof(words));
}

struct recent_entry *crowd_find(const struct merge *m, const struct datagram *d)
{
    if (is_over(d->us, m->crowd_us, m->window_us + 1))
        return NULL;
    return recent_find(&m->recent, crowd_tag(m, &d->session, d->number, d->check), MERGE_NO_LEG, d->us);
}

// The place where a session without a line stands. Sessions that share one put each other out.
static struct candidate *candidate_of(struct merge *m, const struct session *s)
{
    return &m->candidates[digest(m->s.key, (const uint8_t *) s, sizeof(*s)) % MERGE_CANDIDATES];
}

static bool is_behind(const struct merge *m, const struct datagram *d, const struct candidate *c)
{
    int64_t ahead = difference(m->width, d->number, c->number);

    return c->used && is_same(&c->session, &d->session) && ahead <= 0 && ahead > -(int64_t) m->room;
}

// Begins the line of a session that has shown two numbers in order, with the first of them. NULL: not yet.
static struct line *prove(struct merge *m, const struct datagram *d, const struct candidate *c)
{
    int64_t ahead = difference(m->width, d->number, c->number);

    if (!c->used || !is_same(&c->session, &d->session) || ahead <= 0 || ahead >= (int64_t) (m->step + c->count) ||
        ahead > (int64_t) m->room / 2)
        return NULL;
    uint64_t tag = crowd_tag(m, &c->session, c->number, c->check);
    const struct recent_entry *e = recent_find(&m->recent, tag, MERGE_NO_LEG, c->us);
    struct slot first = {.us = c->us, .check = c->check, .state = SEEN | FIRST_LEG};
    if (e)
        first.legs = (uint8_t) e->tag;
    struct line *l = line_begin(m, &d->session, c->number, &first, d->time);
    if (l) {
        line_cover(m, l, c->number, c->count, c->us);
        l->next = c->number + c->count;
    }
    return l;
}

enum merge_verdict crowd_take(struct merge *m, const struct datagram *d)
{
    struct recent_entry *e = m->crowded ? crowd_find(m, d) : NULL;
    uint64_t bit = UINT64_C(1) << d->leg;

    if (e) {
        m->counters.legs[d->leg].repeated += (e->tag & bit) != 0;
        e->tag |= bit;
        return MERGE_COPY;
    }
    m->counters.legs[d->leg].first++;
    recent_add(&m->recent, crowd_tag(m, &d->session, d->number, d->check), d->leg, d->us);
    m->crowded = true;
    m->crowd_us = d->us;
    return MERGE_PASSES;
}

struct line *crowd_line(struct merge *m, const struct datagram *d)
{
    struct candidate *c = candidate_of(m, &d->session);

    if (!m->lines[m->newest].used)
        return line_begin(m, &d->session, d->number, &(struct slot){.us = d->us}, d->time);
    struct line *l = prove(m, d, c);
    // A slower leg does not take it back.
    if (!l && !is_behind(m, d, c))
        *c = (struct candidate){.session = d->session,
                                .number = d->number,
                                .count = d->count,
                                .us = d->us,
                                .check = d->check,
                                .used = true};
    return l;
}
