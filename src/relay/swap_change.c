// SPDX-License-Identifier: Apache-2.0
// The change of tables: from the one in force to the next, from that of the mcrd before, and back from a trial.
#include <config.h>

#include "relay/swap_state.h"

#include <stdio.h>
#include <string.h>

#include "log/log.h"

static struct stats_interface_counters *saved_counters(struct swap *s, const char *name)
{
    size_t i = 0;

    while (i < s->n_saved && strcmp(s->saved[i].name, name) != 0)
        i++;
    if (i == s->n_saved) {
        // If there are more names than places, the newest name takes the last place.
        if (s->n_saved < sizeof(s->saved) / sizeof(s->saved[0]))
            s->n_saved++;
        i = s->n_saved - 1;
        memset(&s->saved[i], 0, sizeof(s->saved[i]));
        snprintf(s->saved[i].name, sizeof(s->saved[i].name), "%s", name);
    }
    return &s->saved[i].counters;
}

// Drains the rings that the next table does not name. Their frames leave by the old table, and their counters are
// saved.
static void drain_unnamed(struct swap *s, const struct forward *next, uint64_t now_ns, struct ingress_spill *spill)
{
    for (size_t i = 0; s->now && i < s->n_rings; i++) {
        struct ingress *in = s->rings[i];
        if (!swap_names_ring(s->now, in->id) || swap_names_ring(next, in->id))
            continue;
        ingress_drain(in, s->now, spill);
        ingress_count_drops(in, now_ns);
        *saved_counters(s, s->now->table->interfaces[in->interface].name) = in->counters;
    }
}

static void configure_egress(struct forward *f)
{
    for (uint32_t i = 0; i < f->table->n_egress; i++) {
        const struct table_egress *from = &f->table->egress[i];
        f->egress[i]->refusals = &f->refusals;
        egress_configure(f->egress[i], from, from->tx_ring == TABLE_NONE ? NULL : f->egress[from->tx_ring]->ring);
    }
}

// Returns whether the table has a ring on the interface with this index.
static bool has_ring_of(const struct forward *f, uint32_t ifindex)
{
    for (uint32_t i = 0; f && i < f->table->n_interfaces; i++)
        if (f->table->interfaces[i].ring_id != 0 && f->table->interfaces[i].ifindex == ifindex)
            return true;
    return false;
}

// What a ring of the mcrd before still holds was judged by its merges, if it was ended in a pass, and is judged again.
// Of super-frames that exceed a slot, some were read from the socket's queue, and no one tells which.
static void forget_pass(struct swap *s, const struct forward *f, struct forward *before, struct ingress_spill *spill)
{
    if (!before->memory->in_pass)
        return;
    for (size_t i = 0; i < s->n_rings; i++)
        ingress_drop_queue(s->rings[i], spill);
    for (uint32_t i = 0; i < before->table->n_inputs; i++) {
        const struct table_input *leg = &before->table->inputs[i];
        const struct table_rule *r = &before->table->rules[leg->rule];
        const char *name = before->table->interfaces[leg->interface].name;
        const struct ingress *in = NULL;
        for (uint32_t j = 0; (r->flags & TABLE_RULE_MERGES) && j < f->table->n_interfaces; j++)
            if (strcmp(f->table->interfaces[j].name, name) == 0 && f->table->interfaces[j].ring_id)
                in = swap_find_ring(s, f->table->interfaces[j].ring_id);
        for (uint32_t j = 0; in && ingress_ready(in) && j < r->n_paths; j++)
            merge_forget(before->merges[r->first_path + j], i - r->first_input, ingress_next_stamp(in));
    }
}

// Goes on with the counters of interfaces of the mcrd before.
static void continue_counters(struct swap *s, const struct forward *before)
{
    for (uint32_t i = 0; i < before->table->n_interfaces; i++)
        *saved_counters(s, before->table->interfaces[i].name) = before->interfaces[i];
}

// Returns the state that the mcrd before has left, to be carried over; NULL if there is none that can be used, for
// which the reason is logged. The caller calls mapping_drop().
static struct forward *take_up(struct swap *s, const struct forward *f, uint64_t now_ns, struct ingress_spill *spill)
{
    char why[sizeof(s->why)] = "", quoted[4 * sizeof(why)];
    struct forward *before = mapping_resume(s->offered, now_ns, why);

    if (before) {
        // A start is never on trial: it has gone back.
        if (before->table->header->trial_seconds > 0) {
            memcpy(before->memory->returned, before->table->header->sha256, sizeof(before->memory->returned));
            snprintf(before->memory->why_returned, sizeof(before->memory->why_returned), HANDOVER_LEFT_TRIAL);
        }
        forget_pass(s, f, before, spill);
        continue_counters(s, before);
        if (before->anew > 0)
            log_warn(EVENT_CONTINUED, "reason=\"a state that cannot be: merges=%u\" effect=\"these begin anew\"",
                     before->anew);
    } else {
        log_warn(EVENT_CONTINUED, "reason=%s effect=\"counters, limits and merges begin anew\"",
                 log_quote(why, quoted, sizeof(quoted)));
    }
    return before;
}

// Goes on with the rings that were taken over of the mcrd before, and counts what is found in them.
static void resume(struct swap *s, struct stats_continued *c, uint64_t now_ns)
{
    for (size_t i = 0; i < s->n_rings; i++) {
        struct ingress *in = s->rings[i];
        c->waiting += ingress_resume(in);
        ingress_count_drops(in, now_ns);
        c->dropped += in->counters.ring_drops;
    }
    c->gap_ns = c->ended_ns != 0 && c->ended_ns < now_ns ? now_ns - c->ended_ns : 0;
}

// Rings that only the table to go back to uses rest: what they take in is thrown away when they are used again.
static void rest(struct swap *s)
{
    for (size_t i = s->n_rings; i-- > 0;) {
        struct ingress *in = s->rings[i];
        if (swap_names_ring(s->now, in->id) || !swap_names_ring(s->back, in->id))
            continue;
        ev_io_stop(s->loop, &in->watcher);
        s->resting[s->n_resting++] = in;
        s->rings[i] = s->rings[--s->n_rings];
    }
}

static bool is_resting(const struct swap *s, const struct ingress *in)
{
    for (size_t i = 0; i < s->n_resting; i++)
        if (s->resting[i] == in)
            return true;
    return false;
}

// Those of the resting rings that the table in force names are used again.
static void wake(struct swap *s)
{
    for (size_t i = s->n_resting; i-- > 0;) {
        struct ingress *in = s->resting[i];
        if (!swap_names_ring(s->now, in->id))
            continue;
        s->rings[s->n_rings++] = in;
        s->resting[i] = s->resting[--s->n_resting];
    }
}

// Puts f in force. left: the state of the mcrd before, or NULL. Nothing can fail here.
static void change(struct swap *s, struct forward *f, struct forward *left, uint64_t now_ns,
                   struct ingress_spill *spill)
{
    struct forward *before = s->now;

    forward_carry(f, left ? left : before);
    if (left)
        forward_bridge(f, f->stats.header->continued.gap_ns, now_ns);
    s->now = f;
    configure_egress(f);
    for (uint32_t i = 0; i < f->table->n_interfaces; i++) {
        const struct table_interface *interface = &f->table->interfaces[i];
        struct ingress *in = interface->ring_id ? swap_find_ring(s, interface->ring_id) : NULL;
        if (!in) {
            f->stats.interfaces[i].counters = *saved_counters(s, interface->name);
            continue;
        }
        in->interface = i;
        if (swap_names_ring(before, in->id))
            continue;
        bool rested = is_resting(s, in);
        uint64_t dropped = rested ? 0 : in->counters.ring_drops; // as resume() has counted
        // A ring that replaces another one of the interface (ring_mib) has the frames that were just drained from that;
        // one that has rested, those of that time.
        if (rested || has_ring_of(before, interface->ifindex)) {
            ingress_skip(in, spill);
            ingress_count_drops(in, now_ns); // clears drops that are none of this table's
        }
        in->counters = *saved_counters(s, interface->name);
        in->counters.ring_drops += dropped;
        ev_io_init(&in->watcher, s->on_readable, in->fd, EV_READ);
        in->watcher.data = in;
        ev_io_start(s->loop, &in->watcher);
    }
    wake(s);
    rest(s);
    swap_close_unnamed(s);
    if (before) {
        before->stats.header->state = STATS_SUPERSEDED;
        mapping_drop(before);
    }
}

// The table to go back to, where the offered one is on trial. Returns false if it is not as it must be.
static bool prepare_back(struct swap *s, const struct forward *f, struct forward **back, uint64_t now_ns)
{
    bool on_trial = s->now && s->n_offered == HANDOVER_TRIAL;

    *back = NULL;
    if (on_trial != (f->table->header->trial_seconds > 0))
        return swap_refuse(s, "a trial without a table to go back to");
    return !on_trial || (*back = swap_prepare(s, s->offered + HANDOVER_BACK, now_ns));
}

bool swap_commit(struct swap *s, uint64_t now_ns, struct ingress_spill *spill)
{
    if (s->offered[HANDOVER_TABLE] < 0)
        return swap_refuse(s, "a commit without an offer");
    struct forward *before = s->now, *f = swap_prepare(s, s->offered, now_ns), *back;
    if (!f)
        return false;
    if (!prepare_back(s, f, &back, now_ns)) {
        mapping_drop(f);
        return false;
    }

    // From here on nothing can fail. Counters are copied only after the last datagram under the old table.
    drain_unnamed(s, f, now_ns, spill);
    if (!before && f->stats.header->continued.rings > 0)
        resume(s, &f->stats.header->continued, now_ns);
    bool continued = !before && s->n_offered == HANDOVER_CONTINUED;
    struct forward *left = continued ? take_up(s, f, now_ns, spill) : NULL;
    if (back) // what only that has goes on there when it is in force again
        forward_keep(back, s->back ? s->back : before);
    if (s->back && !back) { // the same where a reload of the file before ends the trial
        forward_keep(f, s->back);
        forward_wake(f, now_ns);
    }
    mapping_drop(s->back);
    s->back = back;
    change(s, f, left, now_ns, spill);
    mapping_drop(left);
    swap_close_offer(s);
    return true;
}

void swap_return(struct swap *s, uint64_t now_ns, struct ingress_spill *spill)
{
    struct forward *f = s->back;

    swap_fail(s, "the trial has ended meanwhile");
    drain_unnamed(s, f, now_ns, spill);
    s->back = NULL;
    forward_wake(f, now_ns);
    change(s, f, NULL, now_ns, spill);
}
