// SPDX-License-Identifier: Apache-2.0
// What a merge of another process has left: mended, and read again from where that process was ended.
#include <config.h>

#include "wire/merge.h"

#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "wire/merge_line.h"

// Gives back what nothing holds, and drops what cannot be held. taken: of each buffer, zero.
static void mend_held(struct merge *m, struct line *l, bool *taken)
{
    for (uint32_t i = 0; l->used && i < m->room; i++) {
        uint64_t number = l->head - i;
        struct slot *s = slot_at(m, l, number);
        uint32_t buffer = l->buffers[number & (m->room - 1)];
        uint8_t state = s->state & (uint8_t) ~(HELD | LEAVING);
        if (state == s->state)
            continue;
        // A number is held once it has come, and no further behind than a jump leaves room for.
        if (!(state & SEEN) || i >= m->room / 2 || buffer > m->store || taken[buffer] ||
            m->held[buffer].length > m->s.max_payload || m->held[buffer].leg >= m->s.n_legs) {
            s->state = state;
            continue;
        }
        taken[buffer] = true;
        m->held[buffer].line = (uint32_t) (l - m->lines);
        m->held[buffer].at = (uint32_t) (s - l->slots);
        s->state = state | HELD; // at once: this process may be killed, too
        l->n_held++;
        // It had its turn, but has not been sent.
        if ((int64_t) (number - l->next) < 0)
            l->next = number;
    }
}

static bool mend_store(struct merge *m)
{
    bool *taken = calloc(m->store + 1, sizeof(*taken));

    if (!taken)
        return false;
    for (struct line *l = m->lines; l < m->lines + MERGE_LINES; l++)
        mend_held(m, l, taken);
    m->n_free = m->n_leaving = 0;
    for (uint32_t i = 0; i <= m->store; i++)
        if (!taken[i])
            m->free[m->n_free++] = i;
    free(taken);
    return m->n_free > 0;
}

// Without turns nobody asks whose turn it is, so that `next` stays where the line began.
static void mend_line(const struct merge *m, struct line *l)
{
    arena_mend_bool(&l->used);
    l->used &= has_lines(&m->s);
    l->n_held = 0;
    if (m->store == 0)
        l->next = l->head + 1;
    for (int i = 0; i < MERGE_LEGS_MAX; i++)
        arena_mend_bool(&l->legs[i].known);
}

// By number, nothing leaves the ring of recent ones: it is overwritten.
static void mend_recent(const struct merge *m, struct recent *r)
{
    if (has_lines(&m->s) && r->serial - r->tail > r->size)
        r->tail = r->serial - r->size;
}

// Whether the line is one that merge_take() can have left, as far as its walks through the numbers go.
static bool is_sound(const struct merge *m, const struct line *l)
{
    // tail is behind head where all has left the window, next where all has had its turn.
    int64_t waits = (int64_t) (l->head + 1 - l->next);

    return !l->used || (l->head + 1 - l->tail <= m->room && waits <= (int64_t) m->room && waits >= -(int64_t) m->room);
}

struct merge *merge_resume(const struct merge_settings *settings, void *memory)
{
    struct merge *m = memory;
    struct merge_settings kept = *settings;
    struct active active = m->active;
    bool ok;

    memcpy(kept.key, m->s.key, sizeof(kept.key));
    merge_settle(m, &kept);
    m->active.begun_ns = active.begun_ns;
    memcpy(m->active.legs, active.legs, sizeof(active.legs));
    for (int i = 0; i < MERGE_LEGS_MAX; i++)
        arena_mend_bool(&m->active.legs[i].known);
    arena_mend_bool(&m->crowded);
    for (struct line *l = m->lines; l < m->lines + MERGE_LINES; l++)
        mend_line(m, l);
    mend_recent(m, &m->recent);
    for (uint32_t i = 0; m->candidates && i < MERGE_CANDIDATES; i++) {
        arena_mend_bool(&m->candidates[i].used);
        m->candidates[i].used &= m->candidates[i].count <= m->most / 2;
    }
    ok = m->newest < MERGE_LINES && m->recent.serial - m->recent.tail <= m->recent.size &&
         (m->counters.active_leg < m->s.n_legs || m->counters.active_leg == MERGE_NO_LEG);
    for (struct line *l = m->lines; has_lines(&kept) && l < m->lines + MERGE_LINES; l++)
        ok = ok && is_sound(m, l);
    if (ok && (m->store == 0 || mend_store(m)))
        return m;
    memset(memory, 0, merge_bytes(settings));
    merge_place(settings, memory);
    return NULL;
}

// Whether what came first came by this leg from `us` on.
static bool is_from(const struct merge *m, uint32_t us, uint32_t from_us)
{
    return (int32_t) (us - from_us) >= 0 && (int32_t) (us - m->us) <= (int32_t) MERGE_SLACK;
}

void merge_forget(struct merge *m, uint32_t leg, uint64_t from_ns)
{
    uint32_t from_us = (uint32_t) (from_ns / 1000);
    struct recent *r = &m->recent;

    for (struct line *l = m->lines; has_lines(&m->s) && l < m->lines + MERGE_LINES; l++) {
        for (uint32_t i = 0; l->used && i < m->room; i++) {
            uint64_t number = l->head - i;
            struct slot *s = slot_at(m, l, number);
            if (!(s->state & SEEN) || (s->state & (HELD | FIRST_LEG)) != leg || !is_from(m, s->us, from_us))
                continue;
            // The turn first, and the state last: another start may have to do it again.
            if ((int64_t) (number - l->next) < 0)
                l->next = number;
            *s = (struct slot){.us = s->us, .state = s->state};
            __atomic_signal_fence(__ATOMIC_RELEASE);
            s->state = 0;
        }
    }
    // No leg can bring its copy any more.
    for (uint32_t serial = r->tail; m->s.by != MERGE_ACTIVE && serial != r->serial; serial++) {
        struct recent_entry *e = recent_entry(r, serial);
        if ((e->tag & 0xff) == UINT64_C(1) << leg && is_from(m, e->us, from_us))
            e->tag = ~UINT64_C(0);
    }
}
