// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge_recent.h"

#include "wire/merge.h"
#include "wire/merge_time.h"

#define CHAIN 256 // datagrams with one hash that are looked at

void recent_begin(struct recent *r)
{
    r->serial = r->tail = r->size + 1; // heads of 0 are out of the ring
}

struct recent_entry *recent_entry(const struct recent *r, uint32_t serial)
{
    return &r->entries[serial & (r->size - 1)];
}

static uint32_t *chain_of(const struct recent *r, uint64_t tag)
{
    return &r->heads[tag >> 40 & (r->size - 1)];
}

struct recent_entry *recent_find(const struct recent *r, uint64_t tag, uint32_t leg, uint32_t us)
{
    uint64_t bit = leg == MERGE_NO_LEG ? 0 : UINT64_C(1) << leg;
    struct recent_entry *found = NULL;
    uint32_t serial = *chain_of(r, tag);

    for (int i = 0; i < CHAIN && r->serial - serial - 1 < r->size; i++) {
        struct recent_entry *e = recent_entry(r, serial);
        if ((e->tag ^ tag) >> 8 == 0 && !(e->tag & bit) && !is_over(us, e->us, r->window_us + 1))
            found = e;
        serial = e->before;
    }
    return found;
}

void recent_put(struct recent *r, uint64_t tag, uint32_t us)
{
    uint32_t *chain = chain_of(r, tag);

    *recent_entry(r, r->serial) = (struct recent_entry){.tag = tag, .us = us, .before = *chain};
    *chain = r->serial++;
}

void recent_add(struct recent *r, uint64_t tag, uint32_t leg, uint32_t us)
{
    recent_put(r, (tag & ~UINT64_C(0xff)) | UINT64_C(1) << leg, us);
}

uint32_t recent_leg(const struct recent_entry *e)
{
    return (uint32_t) __builtin_ctzll(e->tag | 1u << MERGE_LEGS_MAX);
}

bool recent_is_old(const struct recent *r, uint32_t us)
{
    return r->tail != r->serial && is_over(us, recent_entry(r, r->tail)->us, r->window_us + 1);
}

bool recent_is_full(const struct recent *r)
{
    return r->serial - r->tail == r->size;
}

uint8_t recent_leave(struct recent *r)
{
    return (uint8_t) recent_entry(r, r->tail++)->tag;
}
