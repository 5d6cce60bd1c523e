// SPDX-License-Identifier: Apache-2.0
// What a reload carries over from the state of the table before: counters, limits, health, merges with what they hold.
#include <config.h>

#include <string.h>

#include "common/clock.h"
#include "relay/forward.h"

// Carries the health of a rule over. For a rule that had no silence_ms and no min_packets_per_second before, the
// measurement starts now: the time before does not count as silence.
static void carry_health(struct rule_state *to, const struct table_rule *rule, const struct rule_state *from,
                         const struct table_rule *before)
{
    bool looked_after = before->silence_ms > 0 || before->min_packets_per_second > 0 || before->max_residence_us > 0 ||
                        from->health.alarms;

    if ((rule->flags & TABLE_RULE_ENABLED) && (before->flags & TABLE_RULE_ENABLED) && looked_after)
        to->health = from->health;
    else
        to->health.count = to->health.window_count = forward_allowed(to);
    to->health.limit = from->health.limit;
}

// Whether the paths of both rules merge alike, by the same legs.
static bool merges_alike(const struct forward *f, const struct table_rule *r, const struct table_rule *was)
{
    bool alike = (r->flags & was->flags & TABLE_RULE_MERGES) && r->n_paths == was->n_paths &&
                 r->n_inputs == was->n_inputs && r->max_payload == was->max_payload &&
                 memcmp(&r->merge, &was->merge, sizeof(r->merge)) == 0;

    for (uint32_t i = 0; i < r->n_inputs; i++)
        alike = alike && f->table->inputs[r->first_input + i].carried_from == was->first_input + i;
    return alike;
}

static void copy_merges(struct forward *f, const struct table_rule *r, const struct forward *before,
                        const struct table_rule *was)
{
    for (uint32_t i = 0; i < r->n_paths; i++) {
        merge_copy(f->merges[r->first_path + i], before->merges[was->first_path + i]);
        forward_note_held(f, r->first_path + i);
    }
}

// What these merges of `before` hold is held by their copies: it does not leave there.
static void forget_held(struct forward *before, const struct table_rule *was)
{
    for (uint32_t i = 0; i < before->n_holding;) {
        uint32_t path = before->holding[i];
        if (path >= was->first_path && path < was->first_path + was->n_paths) {
            before->holds[path] = false;
            before->holding[i] = before->holding[--before->n_holding];
        } else {
            i++;
        }
    }
}

// Each path goes on with what its counterpart knew; a rule with another range, or another merge, begins anew.
static void carry_merge(struct forward *f, const struct table_rule *r, struct forward *before,
                        const struct table_rule *was)
{
    uint8_t legs[MERGE_LEGS_MAX];

    if (!(r->flags & was->flags & TABLE_RULE_MERGES) || r->n_paths != was->n_paths)
        return;
    for (uint32_t i = 0; i < MERGE_LEGS_MAX; i++) {
        uint32_t from = i < r->n_inputs ? f->table->inputs[r->first_input + i].carried_from : TABLE_NONE;
        legs[i] = from == TABLE_NONE ? MERGE_LEGS_MAX : (uint8_t) (from - was->first_input);
    }
    for (uint32_t i = 0; i < r->n_paths; i++) {
        merge_carry(f->merges[r->first_path + i], before->merges[was->first_path + i], legs);
        forward_note_held(f, r->first_path + i);
    }
}

// Whether all legs that both rules have take in the same.
static bool takes_alike(const struct forward *f, const struct table_rule *r, const struct forward *before)
{
    for (uint32_t i = r->first_input; i < r->first_input + r->n_inputs; i++) {
        const struct table_input *now = &f->table->inputs[i], *was;
        if (now->carried_from >= before->table->n_inputs)
            continue;
        was = &before->table->inputs[now->carried_from];
        if (!addr_equal(&now->to, &was->to) || now->port != was->port || now->vlan != was->vlan ||
            now->n_addresses != was->n_addresses || now->n_ports != was->n_ports ||
            strcmp(f->table->interfaces[now->interface].name, before->table->interfaces[was->interface].name) != 0)
            return false;
    }
    return true;
}

// What is held back of another input leaves by the outputs that the file had for it.
static void release_all(struct forward *f, const struct table_rule *r)
{
    for (uint32_t i = 0; (r->flags & TABLE_RULE_MERGES) && i < r->n_paths; i++)
        forward_release_path(f, r->first_path + i, UINT64_MAX);
}

// The merges of rules that merge as before go over as they are, others with what they know. What is held back and does
// not fit leaves now.
static void carry_merges(struct forward *f, struct forward *before)
{
    before->now_ns = f->now_ns;
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        const struct table_rule *r = &f->table->rules[i], *was;
        if (r->carried_from >= before->table->n_rules)
            continue;
        was = &before->table->rules[r->carried_from];
        if (!takes_alike(f, r, before))
            release_all(before, was);
        if (merges_alike(f, r, was)) {
            copy_merges(f, r, before, was);
            forget_held(before, was);
        } else {
            carry_merge(f, r, before, was);
        }
    }
    forward_release(before, UINT64_MAX);
}

// What the leg has counted: where it was the only one, the rule's.
static struct stats_input_counters leg_counters(const struct forward *f, uint32_t input)
{
    const struct table_rule *r = &f->table->rules[f->table->inputs[input].rule];
    const struct stats_rule_counters *c = &f->flows[f->table->inputs[input].rule].counters;

    if (r->n_inputs > 1)
        return f->legs[input];
    return (struct stats_input_counters){.packets = c->packets, .bytes = c->bytes};
}

static void carry_told_leg(struct forward *f, uint32_t rule, const struct table_rule *was, const struct rule_state *old)
{
    const struct table_rule *r = &f->table->rules[rule];

    for (uint32_t i = 0; i < r->n_inputs; i++)
        if (old->told_leg < was->n_inputs &&
            f->table->inputs[r->first_input + i].carried_from == was->first_input + old->told_leg)
            f->flows[rule].told_leg = i;
}

void forward_carry(struct forward *f, struct forward *before)
{
    if (!before)
        return;
    memcpy(f->memory->returned, before->memory->returned, sizeof(f->memory->returned));
    memcpy(f->memory->why_returned, before->memory->why_returned, sizeof(f->memory->why_returned));
    f->unreachable_seen |= before->unreachable_seen;
    carry_merges(f, before);
    streams_carry(f->streams, before->streams);
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        uint32_t from = f->table->rules[i].carried_from;
        if (from >= before->table->n_rules)
            continue;
        const struct rule_state *old = &before->flows[from];
        f->flows[i].counters = old->counters;
        f->flows[i].blockage = old->blockage;
        carry_told_leg(f, i, &before->table->rules[from], old);
        // Most of many rules have none, and their memory is not touched: a page of it that is only read is taken as
        // well.
        if (old->counters.packets > 0)
            f->residence[i] = before->residence[from];
        if (f->flows[i].second)
            *f->flows[i].second = old->second ? *old->second : f->residence[i];
        carry_health(&f->flows[i], &f->table->rules[i], old, &before->table->rules[from]);
        limiter_carry(&f->flows[i].limiter, &old->limiter);
        if (f->flows[i].senders && old->senders)
            senders_carry(f->flows[i].senders, old->senders);
    }
    for (uint32_t i = 0; i < f->table->n_inputs; i++)
        if (f->table->inputs[i].carried_from < before->table->n_inputs)
            f->legs[i] = leg_counters(before, f->table->inputs[i].carried_from);
    for (uint32_t i = 0; i < f->table->n_outputs; i++) {
        uint32_t from = f->table->outputs[i].carried_from, to = f->table->outputs[i].counter;
        if (from >= before->table->n_counters)
            continue;
        f->outputs[to] = before->outputs[from];
        f->refusals.of[to] = before->refusals.of[from];
        uint64_t id = f->output_sends[to].id;
        f->output_sends[to] = before->output_sends[from];
        f->output_sends[to].id = id;
        if (id != before->output_sends[from].id)
            f->output_sends[to].excused = f->refusals.of[to].n;
    }
    f->refusals.any = before->refusals.any;
}

// --- a trial -------------------------------------------------------------------------------------------------------

void forward_keep(struct forward *f, const struct forward *same)
{
    const struct table_view *t = f->table, *was = same->table;

    if (memcmp(t->header->sha256, was->header->sha256, sizeof(t->header->sha256)) != 0 || t->n_rules != was->n_rules ||
        t->n_inputs != was->n_inputs || t->n_counters != was->n_counters)
        return;
    f->unreachable_seen |= same->unreachable_seen;
    for (uint32_t i = 0; i < t->n_rules; i++) {
        f->flows[i].counters = same->flows[i].counters;
        if (same->flows[i].counters.packets > 0)
            f->residence[i] = same->residence[i];
        if (f->flows[i].second)
            *f->flows[i].second = f->residence[i];
    }
    memcpy(f->legs, same->legs, t->n_inputs * sizeof(f->legs[0]));
    memcpy(f->outputs, same->outputs, t->n_counters * sizeof(f->outputs[0]));
}

void forward_wake(struct forward *f, uint64_t now_ns)
{
    f->now_ns = now_ns;
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        struct rule_state *flow = &f->flows[i];
        if (f->table->rules[i].carried_from != TABLE_NONE)
            continue;
        health_init(&flow->health, now_ns);
        flow->health.count = flow->health.window_count = forward_allowed(flow);
        flow->health.limit.count = flow->counters.drops.rate;
        flow->blockage =
            (struct blockage){.window_ns = now_ns, .packets = flow->counters.packets, .seen = flow->counters.drops};
        flow->second_ns = now_ns;
    }
}

// --- a restart -------------------------------------------------------------------------------------------------------

void forward_bridge(struct forward *f, uint64_t gap_ns, uint64_t now_ns)
{
    gap_ns = gap_ns < FORWARD_GAP_MOST_NS ? gap_ns : FORWARD_GAP_MOST_NS;
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        limiter_bridge(&f->flows[i].limiter, gap_ns, now_ns);
        if (f->flows[i].senders)
            senders_bridge(f->flows[i].senders, gap_ns, now_ns);
    }
    f->bridged_ns = clock_realtime_ns();
    f->bridge_ends_ns = now_ns + FORWARD_GAP_MOST_NS;
}

void forward_settle(struct forward *f)
{
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        limiter_settle(&f->flows[i].limiter);
        if (f->flows[i].senders)
            senders_settle(f->flows[i].senders);
        if (f->flows[i].second)
            *f->flows[i].second = f->residence[i];
    }
    f->bridged_ns = 0;
}
