// SPDX-License-Identifier: Apache-2.0
// Makes and frees the state of a table, in memory that another process can take up.
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "common/arena.h"
#include "relay/forward.h"
#include "relay/martian.h"
#include "relay/station.h"

#define FORWARD_LAYOUT 1 // to be counted up when the meaning of a piece changes

// Random bytes from the kernel, new in each process, and the same through all tables of it.
static void take_key(uint64_t key[2])
{
    memcpy(key, (const void *) getauxval(AT_RANDOM), 2 * sizeof(key[0]));
}

// What is used as a bool or a mask.
static void mend_flow(struct rule_state *flow)
{
    arena_mend_bool(&flow->blockage.on);
    arena_mend_bool(&flow->health.limit.on);
    flow->health.alarms &= (1u << STATS_ALARMS) - 1;
}

static void init_flow(struct forward *f, uint32_t rule, struct arena *a, bool resumed)
{
    const struct table_rule *r = &f->table->rules[rule];
    struct residence *second = r->max_residence_us > 0 ? arena_place(a, 1, sizeof(*second)) : NULL;
    void *senders = r->flags & TABLE_RULE_PER_SOURCE ? arena_place(a, 1, senders_bytes()) : NULL;
    struct rule_state *flow = f->flows ? &f->flows[rule] : NULL;
    uint64_t key[2];

    if (!flow)
        return;
    take_key(key);
    flow->second = second;
    flow->senders = senders;
    if (resumed) {
        mend_flow(flow);
        return;
    }
    limiter_init(&flow->limiter, r, f->now_ns);
    health_init(&flow->health, f->now_ns);
    flow->second_ns = f->now_ns;
    flow->told_leg = MERGE_NO_LEG;
    if (senders)
        senders_place(r, key[0], f->now_ns, senders);
}

static void init_merges(struct forward *f, struct arena *a, bool resumed)
{
    uint64_t key[2];

    take_key(key);
    f->due_ns = f->others_ns = UINT64_MAX;
    for (uint32_t i = 0; i < f->table->n_inputs; i++)
        if (f->table->rules[f->table->inputs[i].rule].flags & TABLE_RULE_MERGES)
            f->merging[f->table->inputs[i].interface] = true;
    for (uint32_t i = 0; i < f->table->n_paths; i++) {
        const struct table_rule *r = &f->table->rules[f->table->paths[i].rule];
        struct merge_settings s = merge_settings_of(r, key);
        f->has_merges |= (r->flags & TABLE_RULE_MERGES) != 0;
        f->by_active |= (r->flags & TABLE_RULE_MERGES) && s.by == MERGE_ACTIVE;
        void *memory = r->flags & TABLE_RULE_MERGES ? arena_place(a, 1, merge_bytes(&s)) : NULL;
        if (memory && resumed)
            f->anew += merge_resume(&s, memory) == NULL;
        else if (memory)
            merge_place(&s, memory);
        f->merges[i] = memory;
    }
}

// Lays out all that lies in memory, and makes it. Returns the bytes of it, or 0 without memory. base NULL: only that;
// f is then only good to be freed.
static size_t lay_out(struct forward *f, uint8_t *base, bool resumed)
{
    const struct table_view *t = f->table;
    struct arena a = {.base = base};

    f->memory = arena_place(&a, 1, sizeof(*f->memory));
    f->interfaces = arena_place(&a, t->n_interfaces, sizeof(*f->interfaces));
    f->flows = arena_place(&a, t->n_rules, sizeof(*f->flows));
    f->legs = arena_place(&a, t->n_inputs, sizeof(*f->legs));
    f->outputs = arena_place(&a, t->n_counters, sizeof(*f->outputs));
    f->residence = arena_place(&a, t->n_rules, sizeof(*f->residence));
    for (uint32_t i = 0; i < t->n_rules; i++)
        init_flow(f, i, &a, resumed);
    f->merges = calloc(t->n_paths + 1, sizeof(struct merge *));
    if (!f->merges)
        return 0;
    init_merges(f, &a, resumed);
    f->streams = streams_new(t, &a, resumed, f->now_ns);
    return f->streams ? a.at : 0;
}

// Changes with whatever is laid out.
static uint64_t layout(void)
{
    const uint64_t sizes[] = {sizeof(struct handover_state),
                              sizeof(struct rule_state),
                              sizeof(struct stats_interface_counters),
                              sizeof(struct stats_input_counters),
                              sizeof(struct stats_output_counters),
                              sizeof(struct residence),
                              sizeof(struct stream),
                              merge_layout(),
                              monitor_bytes(&(struct monitor_settings){.as = MONITOR_RTP, .clock_hz = 1}),
                              senders_bytes()};
    uint64_t all = FORWARD_LAYOUT;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        all = all * 1000003 + sizes[i];
    return all;
}

size_t forward_bytes(const struct table_view *table)
{
    struct forward *f = calloc(1, sizeof(*f));
    size_t size = 0;

    if (f) {
        f->table = table;
        size = lay_out(f, NULL, false);
    }
    forward_free(f);
    return size;
}

static struct forward *make(const struct table_view *table, const struct stats_segment *stats, void *memory,
                            bool resumed, uint64_t now_ns)
{
    struct forward *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->table = table;
    if (stats)
        f->stats = *stats;
    f->now_ns = now_ns;
    f->refusals.of = calloc(table->n_counters + 1, sizeof(*f->refusals.of));
    f->output_sends = calloc(table->n_counters + 1, sizeof(*f->output_sends));
    f->egress = calloc(table->n_egress + 1, sizeof(struct egress *));
    f->touched = calloc(table->n_rules + 1, sizeof(*f->touched));
    f->came = calloc(table->n_rules + 1, sizeof(*f->came));
    f->batch = calloc(table->n_paths + 1, sizeof(struct batch *));
    f->waiting = calloc(table->n_egress + 1, sizeof(struct egress *));
    f->holding = calloc(table->n_paths + 1, sizeof(*f->holding));
    f->holds = calloc(table->n_paths + 1, sizeof(*f->holds));
    bool ok = f->refusals.of && f->output_sends && f->egress && f->touched && f->came && f->batch && f->waiting &&
              f->holding && f->holds;
    for (uint32_t i = 0; i < table->n_interfaces; i++)
        f->own[i] = martian_bits(&table->own[table->interfaces[i].first_own], table->interfaces[i].n_own);
    f->stations = station_bits(table);
    for (uint32_t i = 0; ok && i < table->n_outputs; i++)
        if (table->outputs[i].egress != TABLE_NONE)
            f->output_sends[table->outputs[i].counter].id = table->egress[table->outputs[i].egress].id;
    size_t size = ok ? lay_out(f, memory, resumed) : 0;
    if (size > 0) {
        if (!resumed)
            *f->memory = (struct handover_state){.magic = HANDOVER_STATE_MAGIC, .layout = layout(), .size = size};
        return f;
    }
    forward_free(f);
    return NULL;
}

struct forward *forward_new(const struct table_view *table, const struct stats_segment *stats, void *memory,
                            uint64_t now_ns)
{
    void *block = NULL;

    if (!memory) {
        // Pages are taken from the kernel when they are first written to.
        size_t size = forward_bytes(table);
        block = size > 0 ? calloc(1, size + ARENA_ALIGN) : NULL;
        if (!block)
            return NULL;
        memory = (uint8_t *) block + (ARENA_ALIGN - (uintptr_t) block % ARENA_ALIGN);
    }
    struct forward *f = make(table, stats, memory, false, now_ns);
    if (f)
        f->block = block;
    else
        free(block);
    return f;
}

struct forward *forward_resume(const struct table_view *table, void *memory, size_t size, uint64_t now_ns,
                               const char **why)
{
    const struct handover_state *m = memory;
    size_t needed = forward_bytes(table);

    if (size < sizeof(*m) || m->magic != HANDOVER_STATE_MAGIC || m->layout != layout() || m->size != needed ||
        needed == 0 || size < needed) {
        *why = "of another version of mcrd, or of another table";
        return NULL;
    }
    struct forward *f = make(table, NULL, memory, true, now_ns);
    if (!f)
        *why = "no memory";
    return f;
}

void forward_free(struct forward *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; f->merges && i < f->table->n_paths; i++)
        merge_free(f->merges[i]);
    free(f->merges);
    free(f->holding);
    free(f->holds);
    streams_free(f->streams);
    free(f->refusals.of);
    free(f->output_sends);
    free(f->egress);
    free(f->touched);
    free(f->came);
    free(f->batch);
    free(f->waiting);
    free(f->block);
    free(f);
}
