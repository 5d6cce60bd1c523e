// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge.h"

#include <string.h>

#include "wire/merge_state.h"

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

static void carry_line(struct merge *m, struct line *l, const struct line *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    struct slot *slots = l->slots;
    uint32_t *times = l->times, *buffers = l->buffers;

    *l = *from;
    l->slots = slots;
    l->times = times;
    l->buffers = buffers;
    l->n_held = 0;
    l->next = l->head + 1;
    uint8_t fresh = new_legs(m, leg_map);
    for (uint32_t i = 0; l->used && i < m->room; i++) {
        slots[i] = from->slots[i];
        slots[i].legs = (uint8_t) (map_legs(m, slots[i].legs, leg_map) | fresh);
        slots[i].state = (slots[i].state & (SEEN | COVERED)) | FIRST_LEG;
    }
    if (l->used && m->n_blocks > 0)
        memcpy(times, from->times, m->n_blocks * sizeof(*times));
    memset(l->legs, 0, sizeof(l->legs));
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        if (leg_map[i] < MERGE_LEGS_MAX)
            l->legs[i] = from->legs[leg_map[i]];
}

static void carry_recent(struct merge *m, const struct recent *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    struct recent *r = &m->recent;

    memcpy(r->heads, from->heads, r->size * sizeof(*r->heads));
    memcpy(r->entries, from->entries, r->size * sizeof(*r->entries));
    // By payload a leg that is new has brought nothing: its copies are copies.
    uint8_t fresh = has_lines(&m->s) ? new_legs(m, leg_map) : 0;
    for (struct recent_entry *e = r->entries; e < r->entries + r->size; e++)
        e->tag = (e->tag & ~UINT64_C(0xff)) | map_legs(m, (uint8_t) e->tag, leg_map) | fresh;
    r->serial = from->serial;
    r->tail = from->tail;
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

void merge_carry(struct merge *m, const struct merge *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    if (m->s.by != from->s.by || m->room != from->room || m->width != from->width ||
        m->recent.size != from->recent.size || m->n_blocks != from->n_blocks)
        return;
    m->newest = from->newest;
    m->us = from->us;
    m->ns = from->ns;
    m->crowd_us = from->crowd_us;
    m->crowded = from->crowded;
    m->active.begun_ns = from->active.begun_ns;
    carry_counters(m, from, leg_map);
    if (m->s.by == MERGE_ACTIVE)
        return;
    carry_recent(m, &from->recent, leg_map);
    if (!has_lines(&m->s))
        return;
    memcpy(m->candidates, from->candidates, MERGE_CANDIDATES * sizeof(*m->candidates));
    for (int i = 0; i < MERGE_LINES; i++)
        carry_line(m, &m->lines[i], &from->lines[i], leg_map);
}
