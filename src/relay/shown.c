// SPDX-License-Identifier: Apache-2.0
// What the statistics show of what forward.c counts: states with their reasons, counters, alarms.
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "relay/forward.h"

static bool sends(const struct table_rule *r)
{
    return (r->flags & TABLE_RULE_ENABLED) && !(r->flags & TABLE_RULE_SHADOW);
}

// A receiver that is gone answers at least so often (Linux sends one ICMP error each second). A single answer may be
// forged, or be that of a receiver which starts again.
#define ANSWERS_NS (4 * NS_PER_S)

#define REFUSED_ALL 10 // datagrams, of which none has left: a burst that was dropped as a whole

// Whether an output does not get through. Where a queue is full some of it does; a firewall of this host that drops
// frames answers the same (ENOBUFS), and nothing leaves.
static bool is_failing(const struct forward *f, uint32_t counter)
{
    const struct sends *s = &f->output_sends[counter];
    const struct refusal *r = &f->refusals.of[counter];
    uint64_t n = r->n - s->failing.before, lasted_ns = s->failing.last_ns - s->failing.began_ns;

    if (!s->failing.on || r->n <= s->excused)
        return false;
    if (r->error == ENOBUFS || r->error == EAGAIN)
        return f->outputs[counter].packets == s->before && (lasted_ns >= NS_PER_S || n >= REFUSED_ALL);
    return r->sure || (n >= 2 && n * ANSWERS_NS >= lasted_ns);
}

// Returns how many outputs of the rule are failing.
static uint32_t count_failing(const struct forward *f, const struct table_rule *r)
{
    uint32_t n = 0;

    for (uint32_t i = r->first_counter; sends(r) && i < r->first_counter + r->n_outputs; i++)
        n += is_failing(f, i);
    return n;
}

// Returns the first state that applies. States in which the rule cannot relay come first, causes before their effects:
// an input whose link is down is silent, too.
enum stats_rule_state forward_state(const struct forward *f, uint32_t rule)
{
    const struct table_rule *r = &f->table->rules[rule];
    uint32_t alarms = f->flows[rule].health.alarms;

    return !(r->flags & TABLE_RULE_ENABLED)     ? STATS_RULE_DISABLED
           : r->flags & TABLE_RULE_DOWN         ? STATS_RULE_DOWN
           : r->flags & TABLE_RULE_WAITING      ? STATS_RULE_WAITING
           : count_failing(f, r) > 0            ? STATS_RULE_DOWN
           : f->flows[rule].blockage.on         ? STATS_RULE_DOWN
           : alarms & 1u << STATS_ALARM_SILENCE ? STATS_RULE_SILENT
           : alarms & 1u << STATS_ALARM_RATE    ? STATS_RULE_SLOW
           : r->flags & TABLE_RULE_SHADOW       ? STATS_RULE_SHADOW
                                                : STATS_RULE_ACTIVE;
}

// "to 198.18.2.2: No route to host; to 198.18.2.3: Connection refused (2 of 3 outputs)": as many as there is room for,
// without a count if all of them fail. Several ports of a host that say the same are one sentence.
static void write_failing(char reason[TABLE_REASON_MAX], const struct forward *f, const struct table_rule *r)
{
    const size_t room = TABLE_REASON_MAX - sizeof(" (65535 of 65535 outputs)");
    uint32_t n = count_failing(f, r);
    char to[ADDR_TEXT_MAX], sentence[TABLE_REASON_MAX];

    reason[0] = '\0';
    for (uint32_t i = r->first_counter; i < r->first_counter + r->n_outputs; i++) {
        const struct refusal *refusal = &f->refusals.of[i];
        size_t used = strlen(reason);
        if (!is_failing(f, i))
            continue;
        snprintf(sentence, room - strlen("; "), "to %s: %s%s", addr_format(&refusal->to, to), strerror(refusal->error),
                 refusal_hint(refusal->error));
        if (!strstr(reason, sentence) && used + strlen("; ") + strlen(sentence) < room)
            snprintf(reason + used, TABLE_REASON_MAX - used, "%s%s", used > 0 ? "; " : "", sentence);
    }
    size_t used = strlen(reason);
    if (n < r->n_outputs)
        snprintf(reason + used, TABLE_REASON_MAX - used, " (%u of %u outputs)", n, r->n_outputs);
}

// Whether a silent rule hears senders that are not in its sources.
static bool others_send(const struct forward *f, const struct table_rule *r)
{
    const struct rule_state *flow = &f->flows[r - f->table->rules];

    return flow->counters.last_packet_ns > flow->health.changed_ns;
}

// Adds a sentence. What is before it gives way where there is no room for both.
static void __attribute__((format(printf, 2, 3))) add(char reason[TABLE_REASON_MAX], const char *format, ...)
{
    char sentence[TABLE_REASON_MAX];
    const size_t room = sizeof(sentence) - strlen("...; ");
    size_t used = strlen(reason), length;
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, room, format, args);
    va_end(args);
    length = strlen(sentence);
    if (used > 0 && used + strlen("; ") + length >= TABLE_REASON_MAX) {
        used = room - 1 - length;
        memcpy(reason + used, "...", strlen("..."));
        used += strlen("...");
    }
    snprintf(reason + used, TABLE_REASON_MAX - used, "%s%s", used > 0 ? "; " : "", sentence);
}

static void add_silence(char reason[TABLE_REASON_MAX], const struct forward *f, const struct table_rule *r)
{
    if (others_send(f, r))
        add(reason, "no allowed sender for %u ms or longer: others send (sources)", r->silence_ms);
    else
        add(reason, "nothing has come for %u ms or longer", r->silence_ms);
}

// Begins with what the table says that the rule lacks. A merge goes on without a leg, so that is in any state.
static void write_reason(char reason[TABLE_REASON_MAX], const struct forward *f, const struct table_rule *r,
                         enum stats_rule_state state)
{
    char why[BLOCKAGE_TEXT_MAX];
    bool lacks = r->flags & (TABLE_RULE_DOWN | TABLE_RULE_WAITING);

    memcpy(reason, r->reason, TABLE_REASON_MAX);
    switch (state) {
    case STATS_RULE_WAITING:
    case STATS_RULE_DOWN:
        if (!lacks && count_failing(f, r) > 0)
            write_failing(reason, f, r);
        else if (!lacks)
            add(reason, "nearly all that comes is dropped: %s",
                blockage_why(&f->flows[r - f->table->rules].blockage, why));
        // What lacks one of several inputs or outputs goes on with the others, unless it is silent, too.
        if ((r->n_inputs > 1 || r->n_outputs > 1) &&
            f->flows[r - f->table->rules].health.alarms >> STATS_ALARM_SILENCE & 1)
            add_silence(reason, f, r);
        break;
    case STATS_RULE_SILENT:
        add_silence(reason, f, r);
        break;
    case STATS_RULE_SLOW:
        add(reason, "fewer than %llu packets have come in a second", (unsigned long long) r->min_packets_per_second);
        break;
    case STATS_RULE_SHADOW:
        add(reason, "on trial (shadow = true): nothing is sent");
        break;
    case STATS_RULE_DISABLED:
        add(reason, "enabled = false");
        break;
    default:
        break;
    }
}

// Writes alarms, state and reason, which change without packets. Returns whether one has changed.
static bool publish_state(struct forward *f, uint32_t rule)
{
    struct stats_rule *to = &f->stats.rules[rule];
    enum stats_rule_state state = forward_state(f, rule);
    char reason[TABLE_REASON_MAX] = "";

    write_reason(reason, f, &f->table->rules[rule], state);
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
    for (uint32_t i = 0; i < f->table->n_rules; i++)
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
    for (uint32_t i = 0; i < f->table->n_rules; i++)
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
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
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

void forward_publish_all(struct forward *f)
{
    forward_publish_merges(f, 0);
    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        publish_rule(f, i);
        publish_streams(f, i);
        publish_state(f, i);
        if (f->flows[i].counters.packets == 0)
            continue;
        publish_residence(f, i);
        if (!f->flows[i].came) {
            f->flows[i].came = true;
            f->came[f->n_came++] = i;
        }
    }
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
        refusals_note(&f->refusals, o, 1, EHOSTUNREACH, true);
    }
}

// A host answers a burst by a few ICMP errors, and then by one each second (Linux, net.ipv4.icmp_ratelimit): what
// leaves sooner behind an error proves nothing.
#define ICMP_PAUSE_NS (2 * NS_PER_S)

static void look_at_output(struct forward *f, const struct table_rule *rule, const struct table_output *o,
                           uint64_t now_ns, forward_tell_sends *tell)
{
    const struct refusal *r = &f->refusals.of[o->counter];
    struct sends *s = &f->output_sends[o->counter];
    uint64_t packets = f->outputs[o->counter].packets;

    if (r->n != s->failing.count) {
        s->packets = packets;
        s->left_ns = 0;
        if (!s->failing.on)
            s->before = packets;
    } else if (packets != s->packets && !s->left_ns && now_ns - s->failing.last_ns >= ICMP_PAUSE_NS) {
        s->left_ns = now_ns;
    }
    // The kernel takes a datagram to a host that is not there, and says so when its neighbour discovery has given up:
    // by default after 3 seconds. So a spell ends so long after a datagram has left, and never without traffic.
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
        if (!sends(r))
            continue;
        for (uint32_t j = 0; j < r->n_outputs; j++)
            look_at_output(f, r, &outputs[j], now_ns, tell);
        any |= publish_state(f, i);
    }
    return any;
}
