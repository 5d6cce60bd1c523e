// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge.h"

#include <string.h>

#include "wire/merge_apart.h"
#include "wire/merge_line.h"

// The mask of legs as the new merge numbers them.
static uint8_t map_legs(const struct merge *m, uint8_t legs, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    uint8_t mapped = 0;

    for (uint32_t i = 0; i < m->s.n_legs; i++)
        if (leg_map[i] < MERGE_LEGS_MAX && legs >> leg_map[i] & 1)
            mapped |= (uint8_t) (1u << i);
    return mapped;
}

// A leg that is new has missed nothing.
static uint8_t new_legs(const struct merge *m, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    uint8_t legs = 0;

    for (uint32_t i = 0; i < m->s.n_legs; i++)
        legs |= (uint8_t) ((leg_map[i] >= MERGE_LEGS_MAX) << i);
    return legs;
}

// How many numbers, from the highest one down, both rings know.
static uint32_t known(const struct merge *m, const struct merge *from)
{
    return m->room < from->room ? m->room : from->room;
}

// Whether all that is held back fits the new store, and leaves room for the longest jump.
static bool fits(const struct merge *m, const struct merge *from)
{
    uint32_t n = 0;

    for (const struct line *l = from->lines; l < from->lines + MERGE_LINES; l++) {
        if (l->n_held > 0 && (l->head + 1 - l->next > known(m, from) || l->head + 1 - l->next > m->room / 2))
            return false;
        for (uint64_t number = l->next; l->n_held > 0 && number != l->head + 1; number++)
            if ((slot_at(from, l, number)->state & HELD) &&
                from->held[l->buffers[number & (from->room - 1)]].length > m->s.max_payload)
                return false;
        n += l->n_held;
    }
    return n < m->n_free;
}

// What is held back goes over with the turns.
static void carry_held(struct merge *m, struct line *l, struct merge *from, struct line *was)
{
    l->next = was->next;
    for (uint64_t number = was->next; was->n_held > 0 && number != was->head + 1; number++) {
        struct slot *s = slot_at(from, was, number);
        if (!(s->state & HELD))
            continue;
        uint32_t there = was->buffers[number & (from->room - 1)], here = m->free[--m->n_free];
        m->held[here] = from->held[there];
        m->held[here].line = (uint32_t) (l - m->lines);
        m->held[here].at = (uint32_t) (slot_at(m, l, number) - l->slots);
        memcpy(m->bytes + (size_t) here * m->stride, from->bytes + (size_t) there * from->stride,
               from->held[there].length);
        l->buffers[number & (m->room - 1)] = here;
        slot_at(m, l, number)->state |= HELD;
        l->n_held++;
        s->state &= (uint8_t) ~HELD;
        from->free[from->n_free++] = there;
        was->n_held--;
    }
}

// A block that the line before did not know has the time of the oldest one that it knew.
static void carry_times(struct merge *m, struct line *l, const struct merge *from, const struct line *was)
{
    uint64_t block = l->head >> MERGE_BLOCK, n = known(m, from) >> MERGE_BLOCK;
    uint32_t time = was->time;

    for (uint64_t i = 0; i < m->n_blocks; i++) {
        if (from->n_blocks > 0 && i <= n)
            time = was->times[(block - i) & (from->n_blocks - 1)];
        l->times[(block - i) & (m->n_blocks - 1)] = time;
    }
}

static void carry_line(struct merge *m, struct line *l, struct merge *from, struct line *was, bool held,
                       const uint8_t leg_map[MERGE_LEGS_MAX])
{
    struct slot *slots = l->slots;
    uint32_t *times = l->times, *buffers = l->buffers;
    uint8_t fresh = new_legs(m, leg_map);

    if (!was->used)
        return;
    *l = *was;
    l->slots = slots;
    l->times = times;
    l->buffers = buffers;
    l->n_held = 0;
    l->next = l->head + 1;
    for (uint32_t i = 0; i < known(m, from); i++) {
        const struct slot *s = slot_at(from, was, l->head - i);
        *slot_at(m, l, l->head - i) = (struct slot){.us = s->us,
                                                    .check = s->check,
                                                    .legs = (uint8_t) (map_legs(m, s->legs, leg_map) | fresh),
                                                    .state = (s->state & (SEEN | COVERED)) | FIRST_LEG};
    }
    carry_times(m, l, from, was);
    memset(l->legs, 0, sizeof(l->legs));
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        if (leg_map[i] < MERGE_LEGS_MAX)
            l->legs[i] = was->legs[leg_map[i]];
    if (held)
        carry_held(m, l, from, was);
}

static void carry_recent(struct merge *m, const struct recent *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    struct recent *r = &m->recent;
    uint32_t n = from->serial - from->tail, most = r->size < from->size ? r->size : from->size;
    // By payload a leg that is new has brought nothing: its copies are copies.
    uint8_t fresh = has_lines(&m->s) ? new_legs(m, leg_map) : 0;

    for (uint32_t serial = from->serial - (n < most ? n : most); serial != from->serial; serial++) {
        const struct recent_entry *e = recent_entry(from, serial);
        recent_put(r, (e->tag & ~UINT64_C(0xff)) | map_legs(m, (uint8_t) e->tag, leg_map) | fresh, e->us);
    }
}

static void carry_counters(struct merge *m, const struct merge *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    uint32_t active = from->counters.active_leg;

    m->counters = from->counters;
    memset(m->counters.legs, 0, sizeof(m->counters.legs));
    m->counters.active_leg = MERGE_NO_LEG;
    for (uint32_t i = 0; i < m->s.n_legs; i++) {
        if (leg_map[i] >= MERGE_LEGS_MAX)
            continue;
        m->counters.legs[i] = from->counters.legs[leg_map[i]];
        m->active.legs[i] = from->active.legs[leg_map[i]];
        if (leg_map[i] == active)
            m->counters.active_leg = i;
    }
}

void merge_carry(struct merge *m, struct merge *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    if (m->s.by != from->s.by || m->width != from->width ||
        memcmp(&m->s.field, &from->s.field, sizeof(m->s.field)) != 0)
        return;
    memcpy(m->s.key, from->s.key, sizeof(m->s.key)); // crowd and recent are in places that it has chosen
    bool held = m->store > 0 && from->store > 0 && fits(m, from);
    m->newest = from->newest;
    m->us = from->us;
    m->ns = from->ns;
    m->crowd_us = from->crowd_us;
    m->crowded = from->crowded;
    m->active.begun_ns = from->active.begun_ns;
    // What the new ring has no room for is judged now.
    for (struct line *l = from->lines; has_lines(&m->s) && l < from->lines + MERGE_LINES; l++)
        while (l->used && (int64_t) (l->head - l->tail) >= m->room)
            line_leave(from, l);
    carry_counters(m, from, leg_map);
    apart_carry(m, from, leg_map);
    if (m->s.by == MERGE_ACTIVE)
        return;
    carry_recent(m, &from->recent, leg_map);
    if (!has_lines(&m->s))
        return;
    memcpy(m->candidates, from->candidates, MERGE_CANDIDATES * sizeof(*m->candidates));
    for (int i = 0; i < MERGE_LINES; i++)
        carry_line(m, &m->lines[i], from, &from->lines[i], held, leg_map);
}

// --- the same, as it is ---------------------------------------------------------------------------------------------

static void copy_line(const struct merge *m, struct line *l, const struct merge *from, const struct line *was)
{
    struct line own = *l;

    *l = *was;
    l->slots = own.slots;
    l->times = own.times;
    l->buffers = own.buffers;
    if (!l->used)
        return;
    memcpy(l->slots, was->slots, m->room * sizeof(*l->slots));
    memcpy(l->times, was->times, m->n_blocks * sizeof(*l->times));
    for (uint64_t number = l->next; l->n_held > 0 && number != l->head + 1; number++) {
        uint32_t buffer = was->buffers[number & (m->room - 1)];
        if (!(slot_at(m, l, number)->state & HELD))
            continue;
        l->buffers[number & (m->room - 1)] = buffer;
        m->held[buffer] = from->held[buffer];
        memcpy(m->bytes + (size_t) buffer * m->stride, from->bytes + (size_t) buffer * m->stride,
               m->held[buffer].length);
    }
}

void merge_copy(struct merge *m, const struct merge *from)
{
    const struct merge own = *m;

    *m = *from;
    m->memory = own.memory;
    m->candidates = own.candidates;
    m->recent.heads = own.recent.heads;
    m->recent.entries = own.recent.entries;
    m->free = own.free;
    m->held = own.held;
    m->bytes = own.bytes;
    // What was never written is not read: its pages are not there yet.
    if (m->candidates)
        memcpy(m->candidates, from->candidates, MERGE_CANDIDATES * sizeof(*m->candidates));
    if (m->recent.heads && m->recent.serial != m->recent.size + 1) {
        memcpy(m->recent.heads, from->recent.heads, m->recent.size * sizeof(*m->recent.heads));
        memcpy(m->recent.entries, from->recent.entries, m->recent.size * sizeof(*m->recent.entries));
    }
    if (m->store > 0)
        memcpy(m->free, from->free, (m->store + 1) * sizeof(*m->free));
    for (int i = 0; i < MERGE_LINES; i++) {
        m->lines[i] = own.lines[i];
        copy_line(m, &m->lines[i], from, &from->lines[i]);
    }
}
