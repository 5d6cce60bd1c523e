// SPDX-License-Identifier: Apache-2.0
// What the statistics show of what forward.c counts: counters, alarms, states (condition.c).
#include <config.h>

#include <errno.h>
#include <string.h>

#include "relay/forward.h"

// Writes alarms, state and reason, which change without packets. Returns whether one has changed.
static bool publish_state(struct forward *f, uint32_t rule)
{
    struct stats_rule *to = &f->stats.rules[rule];
    enum stats_rule_state state = forward_state(f, rule);
    char reason[TABLE_REASON_MAX] = "";

    forward_reason(f, rule, state, reason);
    uint32_t alarms = f->flows[rule].health.alarms | streams_alarms(f->streams, &f->table->rules[rule]);
    if (to->alarms == alarms && to->state == state && strcmp(to->reason, reason) == 0)
        return false;
    stats_write_begin(&to->sequence);
    to->alarms = alarms;
    to->state = state;
    memcpy(to->reason, reason, sizeof(reason));
    stats_write_end(&to->sequence);
    return true;
}

static void publish_rule(struct forward *f, uint32_t rule)
{
    const struct table_rule *r = &f->table->rules[rule];
    struct stats_rule *to = &f->stats.rules[rule];

    stats_write_begin(&to->sequence);
    to->counters = f->flows[rule].counters;
    stats_write_end(&to->sequence);
    for (uint32_t i = r->first_input; r->n_inputs > 1 && i < r->first_input + r->n_inputs; i++) {
        stats_write_begin(&f->stats.inputs[i].sequence);
        f->stats.inputs[i].counters = f->legs[i];
        stats_write_end(&f->stats.inputs[i].sequence);
    }
    for (uint32_t i = r->first_counter; i < r->first_counter + r->n_outputs; i++) {
        stats_write_begin(&f->stats.outputs[i].sequence);
        f->stats.outputs[i].counters = f->outputs[i];
        stats_write_end(&f->stats.outputs[i].sequence);
    }
}

// Adds up what the paths of a rule say of one of its legs.
static void add_leg(struct stats_input *to, const struct merge_leg_counters *leg)
{
    to->merged.first += leg->first;
    to->merged.missing += leg->missing;
    to->merged.reordered += leg->reordered;
    to->merged.repeated += leg->repeated;
    to->skew_us += leg->skew_us;
    to->skew_count += leg->skew_count;
    if (leg->skew_max_us > to->skew_max_us)
        to->skew_max_us = leg->skew_max_us;
}

static void publish_leg(struct forward *f, const struct table_rule *r, uint32_t leg)
{
    struct stats_input *to = &f->stats.inputs[r->first_input + leg], sum = {.skew_us = 0};

    for (uint32_t i = r->first_path; i < r->first_path + r->n_paths; i++)
        add_leg(&sum, &merge_counters(f->merges[i])->legs[leg]);
    stats_write_begin(&to->sequence);
    to->merged = sum.merged;
    to->skew_us = sum.skew_us;
    to->skew_count = sum.skew_count;
    to->skew_max_us = sum.skew_max_us;
    stats_write_end(&to->sequence);
}

static void publish_merge(struct forward *f, uint32_t rule, uint64_t now_ns)
{
    const struct table_rule *r = &f->table->rules[rule];
    struct stats_rule *to = &f->stats.rules[rule];
    struct stats_merge_counters sum = {0};
    uint32_t two_streams = 0;

    for (uint32_t i = r->first_path; i < r->first_path + r->n_paths; i++) {
        if (now_ns > 0)
            merge_look(f->merges[i], now_ns);
        const struct merge_counters *c = merge_counters(f->merges[i]);
        sum.recovered += c->recovered;
        sum.lost += c->lost;
        sum.lost_together += c->lost_together;
        sum.resets += c->resets;
        two_streams |= c->two_streams;
    }
    stats_write_begin(&to->sequence);
    to->merge = r->merge.by;
    to->two_streams = two_streams != 0;
    to->messages = r->merge.count_bytes > 0;
    to->reorder_ms = r->merge.reorder_ms;
    to->active_leg = merge_counters(f->merges[r->first_path])->active_leg;
    to->merged = sum;
    stats_write_end(&to->sequence);
    for (uint32_t i = 0; i < r->n_inputs; i++)
        publish_leg(f, r, i);
}

static void publish_residence(struct forward *f, uint32_t rule)
{
    const struct residence *now = &f->residence[rule];
    struct stats_rule *to = &f->stats.rules[rule];

    if (now->sum_ns == to->residence.sum_ns && now->clock_steps == to->residence.clock_steps)
        return;
    stats_write_begin(&to->sequence);
    to->residence = *now;
    stats_write_end(&to->sequence);
}

void forward_publish_merges(struct forward *f, uint64_t now_ns)
{
    for (uint32_t i = 0; f->has_merges && i < f->table->n_rules; i++)
        if (f->table->rules[i].flags & TABLE_RULE_MERGES)
            publish_merge(f, i, now_ns);
}

static void publish_stream(struct forward *f, const struct table_rule *r, uint32_t leg)
{
    struct stats_input *to = &f->stats.inputs[r->first_input + leg];
    struct monitor_counters c = streams_count(f->streams, r, leg);
    struct stats_stream_counters stream = {c.expected, c.lost,      c.reordered, c.repeated,
                                           c.resets,   c.jitter_us, c.unjudged};
    struct stats_ts_counters ts = {c.ts_packets, c.sync_errors, c.continuity_errors, c.transport_errors, c.pids};
    uint32_t alarms = f->streams->legs[r->first_input + leg].raised;

    if (memcmp(&stream, &to->stream, sizeof(stream)) == 0 && memcmp(&ts, &to->ts, sizeof(ts)) == 0 &&
        alarms == to->alarms)
        return;
    stats_write_begin(&to->sequence);
    to->stream = stream;
    to->ts = ts;
    to->alarms = alarms;
    stats_write_end(&to->sequence);
}

static void publish_streams(struct forward *f, uint32_t rule)
{
    for (uint32_t leg = 0; leg < f->table->rules[rule].n_inputs; leg++)
        publish_stream(f, &f->table->rules[rule], leg);
}

void forward_publish_streams(struct forward *f)
{
    for (uint32_t i = 0; f->streams->n_monitors > 0 && i < f->table->n_rules; i++)
        if (f->table->rules[i].flags & TABLE_RULE_MONITORS)
            publish_streams(f, i);
}

bool forward_tick(struct forward *f, uint64_t now_ns, forward_tell_blockage *tell)
{
    uint32_t n = f->n_came;
    bool any = false;

    f->n_came = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rule = f->came[i];
        struct rule_state *flow = &f->flows[rule];
        publish_residence(f, rule);
        if (blockage_look(&flow->blockage, &flow->counters, now_ns)) {
            tell(&f->table->rules[rule], &flow->blockage);
            publish_state(f, rule);
            any = true;
        }
        // It is looked at again until its present second has been judged.
        flow->came = !blockage_settled(&flow->blockage, &flow->counters);
        if (flow->came)
            f->came[f->n_came++] = rule;
    }
    return any;
}

void forward_look_at_switches(struct forward *f, forward_tell_switch *tell)
{
    for (uint32_t i = 0; f->by_active && i < f->table->n_rules; i++) {
        const struct table_rule *r = &f->table->rules[i];
        const struct table_input *legs = &f->table->inputs[r->first_input];
        uint32_t *told = &f->flows[i].told_leg, now;
        if (r->merge.by != TABLE_MERGE_ACTIVE)
            continue;
        now = merge_counters(f->merges[r->first_path])->active_leg;
        if (now == *told || now >= r->n_inputs)
            continue;
        tell(r, &legs[now], *told < r->n_inputs ? &legs[*told] : NULL);
        *told = now;
    }
}

bool forward_look_at_legs(struct forward *f, uint64_t now_ns, streams_tell *tell)
{
    bool any = false;

    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        const struct table_rule *r = &f->table->rules[i];
        if (!(r->flags & TABLE_RULE_ENABLED) || (!streams_wanted(r) && streams_alarms(f->streams, r) == 0))
            continue;
        if (!streams_look(f->streams, r, &f->legs[r->first_input], now_ns, tell))
            continue;
        publish_streams(f, i);
        publish_state(f, i);
        any = true;
    }
    return any;
}

uint32_t forward_take_touched(struct forward *f)
{
    if (f->n_touched == 0)
        return TABLE_NONE;
    uint32_t rule = f->touched[--f->n_touched];
    f->flows[rule].touched = false;
    return rule;
}

void forward_publish(struct forward *f)
{
    while (f->n_touched > 0) {
        uint32_t rule = forward_take_touched(f);
        publish_rule(f, rule);
        if (f->flows[rule].came)
            continue;
        f->flows[rule].came = true;
        f->came[f->n_came++] = rule;
    }
}

uint32_t forward_publish_part(struct forward *f, uint32_t first, uint32_t n)
{
    uint32_t end = n < f->table->n_rules - first ? first + n : f->table->n_rules;

    for (uint32_t i = first; i < end; i++) {
        publish_streams(f, i);
        publish_state(f, i);
        // All of a rule's counters are zero until something comes, as the segment is, but those of neighbours.
        if (f->flows[i].counters.packets == 0 && !f->unreachable_seen)
            continue;
        publish_rule(f, i);
        if (f->flows[i].counters.packets == 0)
            continue;
        publish_residence(f, i);
        if (!f->flows[i].came) {
            f->flows[i].came = true;
            f->came[f->n_came++] = i;
        }
    }
    return end;
}

// Judges the residence of each whole second.
static uint32_t look_at_residence(struct forward *f, uint32_t rule, uint64_t now_ns)
{
    struct rule_state *flow = &f->flows[rule];
    struct residence_summary last = {.count = 0};

    if (flow->second && now_ns - flow->second_ns < NS_PER_S)
        return 0;
    if (flow->second) {
        residence_difference(flow->second, &f->residence[rule], flow->second);
        residence_summarise(flow->second, &last);
        *flow->second = f->residence[rule];
        flow->second_ns = now_ns;
    }
    return health_residence(&flow->health, &f->table->rules[rule], last.p99_ns, now_ns);
}

bool forward_look(struct forward *f, uint64_t now_ns,
                  void (*tell)(const struct table_rule *rule, const struct health *health, uint32_t changed))
{
    bool any = false;

    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        const struct table_rule *r = &f->table->rules[i];
        struct rule_state *flow = &f->flows[i];
        if (!(r->flags & TABLE_RULE_ENABLED) || (!health_wanted(r) && !flow->health.alarms && !flow->health.limit.on))
            continue;
        uint32_t changed = health_look(&flow->health, r, forward_allowed(flow), flow->counters.drops.rate, now_ns);
        changed |= look_at_residence(f, i, now_ns);
        if (changed) {
            tell(r, &flow->health, changed);
            publish_rule(f, i);
            publish_state(f, i);
            any = true;
        }
    }
    return any;
}

void forward_unreachable(struct forward *f, uint32_t ifindex, const struct addr *to)
{
    for (uint32_t i = 0; i < f->table->n_outputs; i++) {
        const struct table_output *o = &f->table->outputs[i];
        if (f->table->interfaces[o->interface].ifindex != ifindex || !addr_equal(&o->to, to))
            continue;
        f->outputs[o->counter].unreachable++;
        f->unreachable_seen = true;
        refusals_note(&f->refusals, o, 1, EHOSTUNREACH, true);
    }
}

// A host answers a burst by a few ICMP errors, and then by one each second (Linux, net.ipv4.icmp_ratelimit). So what
// leaves sooner behind an error proves nothing: neither by itself, nor by being there when the pause is over.
#define ICMP_PAUSE_NS (2 * NS_PER_S)

#define SINGLE_MOST 3 // datagrams in a second

static void look_at_output(struct forward *f, const struct table_rule *rule, const struct table_output *o,
                           uint64_t now_ns, forward_tell_sends *tell)
{
    const struct refusal *r = &f->refusals.of[o->counter];
    struct sends *s = &f->output_sends[o->counter];
    uint64_t packets = f->outputs[o->counter].packets;
    bool refused = r->n != s->failing.count;

    if (refused && !s->failing.on) {
        s->before = packets;
        s->sent_ns = now_ns;
        s->sending_ns = 0;
        s->single = false;
    } else if (packets != s->seen) {
        s->sending_ns += now_ns - s->sent_ns < NS_PER_S ? now_ns - s->sent_ns : NS_PER_S;
        s->sent_ns = now_ns;
    }
    s->seen = packets;
    if (s->failing.on && now_ns - s->failing.began_ns >= NS_PER_S && s->failing.last_ns == s->failing.began_ns)
        s->single |= packets - s->before <= SINGLE_MOST;
    if (refused || now_ns - s->failing.last_ns < ICMP_PAUSE_NS) {
        s->packets = packets;
        s->left_ns = 0;
    } else if (packets != s->packets && !s->left_ns) {
        s->left_ns = now_ns;
    }
    // An ICMP error is read by the next send: a datagram that leaves without one shows that the one before has arrived,
    // however long ago that was. The kernel takes a datagram to a host that is not there, and says so when its
    // neighbour discovery has given up: by default after 3 seconds. So a spell ends so long after a datagram has left,
    // and never without traffic.
    bool proven = s->left_ns && now_ns - s->left_ns >= SPELL_QUIET_NS;
    if (spell_look(&s->failing, r->n, proven ? SPELL_QUIET_NS : UINT64_MAX, now_ns))
        tell(rule, &f->table->interfaces[o->interface], r, &s->failing);
    f->refusals.any |= s->failing.on;
}

bool forward_look_at_sends(struct forward *f, uint64_t now_ns, forward_tell_sends *tell)
{
    bool any = false;

    if (!f->refusals.any)
        return false;
    f->refusals.any = false;
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        const struct table_rule *r = &f->table->rules[i];
        // One path is enough: the outputs of a range share their counters.
        const struct table_output *outputs = &f->table->outputs[f->table->paths[r->first_path].first_output];
        if (!forward_sends(r))
            continue;
        for (uint32_t j = 0; j < r->n_outputs; j++)
            look_at_output(f, r, &outputs[j], now_ns, tell);
        any |= publish_state(f, i);
    }
    return any;
}
