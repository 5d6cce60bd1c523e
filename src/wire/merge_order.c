// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge_order.h"

#include "wire/merge_line.h"

#define STILL_MOST 60000000u // us

// Holds d back. False: it cannot be held, and leaves out of order.
static bool hold(struct merge *m, struct line *l, struct slot *s, const struct datagram *d, uint64_t number)
{
    merge_sent(m);
    if (m->n_free == 0 || d->length > m->s.max_payload)
        return false;
    uint32_t buffer = m->free[--m->n_free];
    m->held[buffer] = (struct held){.tag = d->tag,
                                    .length = (uint32_t) d->length,
                                    .leg = d->leg,
                                    .line = (uint32_t) (l - m->lines),
                                    .at = (uint32_t) (s - l->slots)};
    if (d->length > 0)
        memcpy(m->bytes + (size_t) buffer * m->stride, d->payload, d->length);
    l->buffers[number & (m->room - 1)] = buffer;
    // A kill finds it whole, or not held.
    __atomic_signal_fence(__ATOMIC_RELEASE);
    s->state |= HELD;
    l->n_held++;
    return true;
}

void order_pass_by(struct line *l, uint64_t number, uint32_t count)
{
    if (l->n_held == 0 && (int64_t) (number - l->next) >= 0)
        l->next = number + count;
}

// Behind a number whose turn it was: what the same datagram has covered has had its turn, too, but not what is held.
static void take_turn(const struct merge *m, struct line *l)
{
    l->next++;
    while ((int64_t) (l->head - l->next) >= 0 && (slot_at(m, l, l->next)->state & (COVERED | HELD)) == COVERED)
        l->next++;
}

enum merge_verdict order_take(struct merge *m, struct line *l, struct slot *s, const struct datagram *d,
                              uint64_t number)
{
    if (number == l->next)
        take_turn(m, l);
    else if (hold(m, l, s, d, number))
        return MERGE_HELD;
    order_pass_by(l, number, d->count);
    return MERGE_PASSES;
}

// Whether the oldest that waits must go: the store is full, or the ring could not take the longest jump.
static bool is_full(const struct merge *m, const struct line *l)
{
    return m->n_free + m->n_leaving == 0 || l->head + 1 - l->next > m->room / 2;
}

static void release(struct merge *m, struct line *l, struct slot *s, uint64_t number, struct merge_held *out)
{
    uint32_t buffer = l->buffers[number & (m->room - 1)];
    const struct held *h = &m->held[buffer];

    s->state ^= HELD | LEAVING;
    l->n_held--;
    m->free[m->store - m->n_leaving++] = buffer;
    *out = (struct merge_held){
        .payload = m->bytes + (size_t) buffer * m->stride, .length = h->length, .leg = h->leg, .tag = h->tag};
}

void merge_sent(struct merge *m)
{
    while (m->n_leaving > 0) {
        uint32_t buffer = m->free[m->store - --m->n_leaving];
        const struct held *h = &m->held[buffer];
        m->lines[h->line].slots[h->at].state &= (uint8_t) ~LEAVING;
        m->free[m->n_free++] = buffer;
    }
}

// Whether a number that has not come is missing. now_ns as of merge_next().
static bool is_missing(const struct merge *m, const struct line *l, const struct slot *s, uint64_t now_ns)
{
    uint32_t us = (uint32_t) (now_ns / 1000), behind = m->us - us;

    if (now_ns == UINT64_MAX || is_full(m, l))
        return true;
    // A caller whose time is so far behind the stamps stood still: its clock was not set.
    if (behind > MERGE_TURN && behind <= STILL_MOST)
        us = m->us - MERGE_TURN;
    return now_ns > 0 && is_turn_over(us, s->us, m->reorder_us);
}

static bool next_of(struct merge *m, struct line *l, uint64_t now_ns, struct merge_held *out)
{
    while (l->n_held > 0 && (int64_t) (l->head - l->next) >= 0) {
        uint64_t number = l->next;
        struct slot *s = slot_at(m, l, number);
        if (!(s->state & (SEEN | COVERED)) && !is_missing(m, l, s, now_ns))
            return false;
        if (!(s->state & HELD)) {
            l->next++;
            continue;
        }
        take_turn(m, l);
        release(m, l, s, number, out);
        return true;
    }
    return false;
}

bool merge_next(struct merge *m, uint64_t now_ns, struct merge_held *out)
{
    return next_of(m, &m->lines[1 - m->newest], now_ns, out) || next_of(m, &m->lines[m->newest], now_ns, out);
}

uint64_t merge_due_ns(const struct merge *m)
{
    uint64_t due = UINT64_MAX;

    for (const struct line *l = m->lines; l < m->lines + MERGE_LINES; l++) {
        if (l->n_held == 0)
            continue;
        const struct slot *s = slot_at(m, l, l->next);
        int64_t in_us = s->state & (SEEN | COVERED) ? 0 : (int32_t) (s->us + m->reorder_us - m->us);
        uint64_t at = m->ns / 1000 * 1000 + (uint64_t) (in_us * 1000);
        due = at < due ? at : due;
    }
    return due;
}
