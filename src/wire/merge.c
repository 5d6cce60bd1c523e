// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge.h"

#include <stdlib.h>

#include "common/arena.h"
#include "wire/merge_apart.h"
#include "wire/merge_crowd.h"
#include "wire/merge_line.h"
#include "wire/merge_order.h"

#define STEP    64 // what may be missing at once, whatever time has passed: so many numbers, or room / STEP_OF
#define STEP_OF 256

// Numbers that a line knows at least: a low limit of the rule must not make a leg that is far behind a new stream.
#define ROOM_LEAST 4096

// What few datagrams go through is no part of the function that each goes through.
#define COLD static __attribute__((noinline))

uint32_t merge_least(const struct merge_settings *s)
{
    return s->by == MERGE_RTP ? RTP_HEADER : s->by == MERGE_FIELD ? header_of(s) : 0;
}

// A quarter of the numbers ahead and a quarter behind belong to a line; the rest is a jump. RTP's time stamp tells
// apart what lies further behind.
static uint32_t room_of(const struct merge_settings *s)
{
    uint32_t bits = s->by == MERGE_RTP ? 32 : s->field.bytes * 8u;

    uint32_t room = s->numbers > ROOM_LEAST ? s->numbers : ROOM_LEAST;

    if (!has_lines(s))
        return 0;
    return bits < 32 && room > 1u << (bits - 2) ? 1u << (bits - 2) : room;
}

static bool is_wide(const struct merge_settings *s)
{
    return s->by == MERGE_RTP && s->numbers > 1u << 14;
}

// As many as come in reorder_ms; with a jump of as many more, the ring still holds all that waits.
static uint32_t store_of(const struct merge_settings *s)
{
    uint32_t n = room_of(s) / 2;

    if (!has_lines(s) || s->reorder_ms == 0)
        return 0;
    while (n > STEP && (uint64_t) n / 2 * s->window_ms * 2 >= (uint64_t) s->numbers * s->reorder_ms)
        n /= 2;
    return n;
}

// Lays out what a merge takes, in one piece of memory. Returns its size. base NULL: only that.
static size_t lay_out(struct merge *m, const struct merge_settings *s, uint8_t *base)
{
    struct arena a = {.base = base};
    uint32_t room = room_of(s);

    m->stride = (s->max_payload + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    m->store = store_of(s);
    m->recent.size = has_lines(s) ? MERGE_CROWD : s->numbers;
    m->n_blocks = is_wide(s) ? 2 * room >> MERGE_BLOCK : 0;
    m->recent.heads = m->free = NULL;
    m->recent.entries = NULL;
    m->candidates = NULL;
    m->held = NULL;
    m->bytes = NULL;
    for (struct line *l = m->lines; l < m->lines + MERGE_LINES; l++) {
        l->slots = NULL;
        l->times = l->buffers = NULL;
    }
    arena_place(&a, 1, sizeof(*m));
    if (s->by == MERGE_ACTIVE)
        return a.at;
    m->recent.heads = arena_place(&a, m->recent.size, sizeof(*m->recent.heads));
    m->recent.entries = arena_place(&a, m->recent.size, sizeof(*m->recent.entries));
    if (!has_lines(s))
        return a.at;
    m->candidates = arena_place(&a, MERGE_CANDIDATES, sizeof(*m->candidates));
    for (struct line *l = m->lines; l < m->lines + MERGE_LINES; l++) {
        l->slots = arena_place(&a, room, sizeof(*l->slots));
        l->times = arena_place(&a, m->n_blocks, sizeof(*l->times));
        l->buffers = arena_place(&a, m->store > 0 ? room : 0, sizeof(*l->buffers));
    }
    if (m->store == 0)
        return a.at;
    // One more, so that a datagram can come before the oldest one leaves.
    m->free = arena_place(&a, m->store + 1, sizeof(*m->free));
    m->held = arena_place(&a, m->store + 1, sizeof(*m->held));
    m->bytes = arena_place(&a, m->store + 1, m->stride);
    return a.at;
}

_Static_assert(TABLE_MERGE_RTP + MERGE_FIELD == TABLE_MERGE_FIELD &&
                   TABLE_MERGE_RTP + MERGE_PAYLOAD == TABLE_MERGE_PAYLOAD &&
                   TABLE_MERGE_RTP + MERGE_ACTIVE == TABLE_MERGE_ACTIVE,
               "the table's words for a merge, behind that for none");

struct merge_settings merge_settings_of(const struct table_rule *rule, const uint64_t key[2])
{
    const struct table_merge *m = &rule->merge;

    return (struct merge_settings){
        .by = (enum merge_by)(m->by - TABLE_MERGE_RTP),
        .n_legs = rule->n_inputs,
        .window_ms = m->window_ms,
        .reorder_ms = m->reorder_ms,
        .field = {m->at, m->bytes, m->little == 1, m->session_at, m->session_bytes, m->count_at, m->count_bytes},
        .switch_after_ms = m->switch_after_ms,
        .return_after_ms = m->return_after_ms,
        .numbers = m->numbers,
        .max_payload = rule->max_payload,
        .key = {key[0], key[1]},
    };
}

size_t merge_bytes(const struct merge_settings *settings)
{
    struct merge m;

    return lay_out(&m, settings, NULL);
}

uint64_t merge_layout(void)
{
    const size_t sizes[] = {sizeof(struct merge),     sizeof(struct line), sizeof(struct slot),
                            sizeof(struct candidate), sizeof(struct held), sizeof(struct recent_entry)};
    uint64_t all = 0;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        all = all * 1009 + sizes[i];
    return all;
}

void merge_settle(struct merge *m, const struct merge_settings *settings)
{
    lay_out(m, settings, (uint8_t *) m);
    m->memory = NULL;
    m->s = *settings;
    m->room = room_of(settings);
    m->width = settings->by == MERGE_RTP ? 16 : settings->field.bytes * 8u;
    m->most = m->store > 0 ? m->room / 2 : m->room;
    m->step = m->room / STEP_OF > STEP ? m->room / STEP_OF : STEP;
    m->step = m->step < m->most / 2 ? m->step : m->most / 2;
    m->header = header_of(settings);
    m->window_us = settings->window_ms * 1000;
    m->reorder_us = settings->reorder_ms * 1000;
    m->all = (uint8_t) ((1u << settings->n_legs) - 1);
    m->recent.window_us = m->window_us;
    active_begin(&m->active, settings);
}

struct merge *merge_place(const struct merge_settings *settings, void *memory)
{
    struct merge *m = memory;

    merge_settle(m, settings);
    recent_begin(&m->recent);
    if (m->store > 0)
        for (m->n_free = 0; m->n_free <= m->store; m->n_free++)
            m->free[m->n_free] = m->n_free;
    m->counters.active_leg = MERGE_NO_LEG;
    return m;
}

struct merge *merge_new(const struct merge_settings *settings)
{
    // Pages are taken from the kernel when they are first written to.
    uint8_t *memory = calloc(1, merge_bytes(settings) + ARENA_ALIGN);

    if (!memory)
        return NULL;
    struct merge *m = merge_place(settings, memory + (ARENA_ALIGN - (uintptr_t) memory % ARENA_ALIGN) % ARENA_ALIGN);
    m->memory = memory;
    return m;
}

void merge_free(struct merge *m)
{
    if (m)
        free(m->memory);
}

const struct merge_counters *merge_counters(const struct merge *m)
{
    return &m->counters;
}

static uint32_t tick(struct merge *m, uint64_t stamp_ns)
{
    uint32_t us = (uint32_t) (stamp_ns / 1000), ahead = us - m->us;

    if (ahead < UINT32_MAX - MERGE_SLACK) {
        m->us = us;
        m->ns = stamp_ns;
    }
    return us;
}

// Each time that a leg brings a payload is matched with one time of the others.
COLD enum merge_verdict take_payload(struct merge *m, uint32_t leg, uint32_t us, const uint8_t *payload, size_t length)
{
    uint64_t tag = digest(m->s.key, payload, length);
    struct recent_entry *e = recent_find(&m->recent, tag, leg, us);

    if (e) {
        if (__builtin_popcount((uint8_t) e->tag) == 1)
            count_copy(m, leg, us, recent_leg(e), e->us);
        else
            count_copy(m, leg, us, MERGE_NO_LEG, e->us);
        e->tag |= UINT64_C(1) << leg;
        return MERGE_COPY;
    }
    m->counters.legs[leg].repeated += recent_find(&m->recent, tag, MERGE_NO_LEG, us) != NULL;
    m->counters.legs[leg].first++;
    if (m->s.by == MERGE_PAYLOAD && recent_is_full(&m->recent))
        count_left(m, recent_leave(&m->recent));
    recent_add(&m->recent, tag, leg, us);
    return MERGE_PASSES;
}

MERGE_INLINE enum merge_verdict take_copy(struct merge *m, struct slot *s, const struct datagram *d, bool again)
{
    bool late = is_over(d->us, s->us, m->window_us + 1);

    if (!again || late)
        count_copy(m, d->leg, d->us, s->legs & (s->legs - 1) ? MERGE_NO_LEG : s->state & FIRST_LEG, s->us);
    if (late)
        return MERGE_LATE;
    s->legs |= (uint8_t) (1u << d->leg);
    return MERGE_COPY;
}

MERGE_INLINE enum merge_verdict take_number(struct merge *m, struct line *l, const struct datagram *d, int64_t distance)
{
    uint64_t number = l->head + (uint64_t) distance;

    if (distance <= -(int64_t) m->room) {
        line_note_leg(m, l, d, number, false);
        return MERGE_LATE;
    }
    if (distance > 0)
        line_advance(m, l, d, number);
    struct slot *s = slot_at(m, l, number);
    bool again = s->legs >> d->leg & 1;
    line_note_leg(m, l, d, number, again);
    if (s->state & SEEN)
        return take_copy(m, s, d, again);
    if (m->store > 0 && (int64_t) (number - l->next) < 0) {
        s->legs |= (uint8_t) (1u << d->leg);
        return MERGE_LATE;
    }
    const struct recent_entry *e = m->crowded ? crowd_find(m, d) : NULL;
    *s = (struct slot){.us = d->us, .check = d->check, .legs = (uint8_t) (1u << d->leg)};
    // A kill finds when and by which leg it came, or that it has not come.
    __atomic_signal_fence(__ATOMIC_RELEASE);
    s->state = (uint8_t) (SEEN | (e ? FIRST_LEG : d->leg));
    if (d->count > 1)
        line_cover(m, l, number, d->count, d->us);
    if (e) {
        // It has passed before the line was there.
        s->us = e->us;
        s->legs |= (uint8_t) e->tag;
        order_pass_by(l, number, d->count);
        return MERGE_COPY;
    }
    m->counters.legs[d->leg].first++;
    return m->store > 0 ? order_take(m, l, s, d, number) : MERGE_PASSES;
}

COLD enum merge_verdict take_unknown(struct merge *m, const struct datagram *d)
{
    struct line *l = crowd_line(m, d);

    return l ? take_number(m, l, d, difference(m->width, d->number, l->head)) : crowd_take(m, d);
}

static enum merge_verdict take_active(struct merge *m, uint32_t leg, uint64_t ns)
{
    m->counters.active_leg = active_take(&m->active, m->counters.active_leg, leg, ns, m->ns);
    if (leg != m->counters.active_leg)
        return MERGE_STANDBY;
    m->counters.legs[leg].first++;
    return MERGE_PASSES;
}

void merge_settled(struct merge *m, uint64_t stamp_ns)
{
    m->active.settled_ns = stamp_ns;
}

COLD enum merge_verdict take_other(struct merge *m, uint32_t leg, uint64_t stamp_ns, uint32_t us,
                                   const uint8_t *payload, size_t length)
{
    if (m->s.by == MERGE_ACTIVE)
        return take_active(m, leg, stamp_ns);
    return take_payload(m, leg, us, payload, length);
}

enum merge_verdict merge_take(struct merge *m, uint32_t leg, uint64_t stamp_ns, const uint8_t *payload, size_t length,
                              uint64_t tag)
{
    uint32_t us = tick(m, stamp_ns);
    struct datagram d = {.count = 1, .leg = leg, .us = us, .payload = payload, .length = length, .tag = tag};

    if (m->s.by >= MERGE_PAYLOAD)
        return take_other(m, leg, stamp_ns, us, payload, length);
    if (m->s.by == MERGE_RTP ? !read_rtp(&d) : !read_field(&m->s, m->header, m->most / 2, &d))
        return MERGE_NO_SEQUENCE;
    if (is_bare(&m->s, m->header, &d))
        return take_payload(m, leg, us, payload, length);
    int64_t distance = 0; // with LTO gcc does not see that line_find() sets it for each line that it finds
    struct line *l = line_find(m, &d, &distance);
    return l ? take_number(m, l, &d, distance) : take_unknown(m, &d);
}

void merge_look(struct merge *m, uint64_t now_ns)
{
    // Not by m->us: one leg's ring may be read further than another's.
    uint32_t us = tick(m, now_ns);

    while (m->s.by == MERGE_PAYLOAD && recent_is_old(&m->recent, us))
        count_left(m, recent_leave(&m->recent));
    for (struct line *l = m->lines; l < m->lines + MERGE_LINES; l++)
        if (l->used)
            line_age(m, l, us);
    if (has_lines(&m->s))
        apart_look(m, now_ns);
}
