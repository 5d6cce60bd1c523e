// SPDX-License-Identifier: Apache-2.0
// In which state a rule is, and why.
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/moment.h"
#include "relay/forward.h"

bool forward_sends(const struct table_rule *r)
{
    return (r->flags & TABLE_RULE_ENABLED) && !(r->flags & TABLE_RULE_SHADOW);
}

// A receiver that is gone answers at least so often while datagrams leave (Linux sends one ICMP error each second). A
// single answer may be forged, or be that of a receiver which starts again; it counts where hardly a datagram leaves.
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
    return r->sure || ((n >= 2 || s->single) && n * ANSWERS_NS >= s->sending_ns);
}

// Returns how many outputs of the rule are failing.
static uint32_t count_failing(const struct forward *f, const struct table_rule *r)
{
    uint32_t n = 0;

    for (uint32_t i = r->first_counter; forward_sends(r) && i < r->first_counter + r->n_outputs; i++)
        n += is_failing(f, i);
    return n;
}

// Returns the first state that applies. States in which the rule cannot relay come first, causes before their effects:
// an input whose link is down is silent, too.
enum stats_rule_state forward_state(const struct forward *f, uint32_t rule)
{
    const struct table_rule *r = &f->table->rules[rule];
    uint32_t alarms = f->flows[rule].health.alarms;

    return r->flags & TABLE_RULE_SCHEDULED      ? STATS_RULE_SCHEDULED
           : r->flags & TABLE_RULE_EXPIRED      ? STATS_RULE_EXPIRED
           : f->flows[rule].ended               ? STATS_RULE_EXPIRED
           : !(r->flags & TABLE_RULE_ENABLED)   ? STATS_RULE_DISABLED
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
            snprintf(reason + used, TABLE_REASON_MAX - used, "%s%.*s", used > 0 ? "; " : "", (int) room, sentence);
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
void forward_reason(const struct forward *f, uint32_t rule, enum stats_rule_state state, char reason[TABLE_REASON_MAX])
{
    const struct table_rule *r = &f->table->rules[rule];
    char time[MOMENT_TEXT_MAX];
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
    case STATS_RULE_EXPIRED:
        // Else the table says so already.
        if (f->flows[rule].ended)
            add(reason, "until %s", moment_format(r->active_until, time));
        break;
    default:
        break;
    }
}

uint32_t forward_end_rules(struct forward *f, uint64_t now_s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->table->n_rules; i++) {
        const struct table_rule *r = &f->table->rules[i];
        bool ended = r->active_until != 0 && now_s >= r->active_until && (r->flags & TABLE_RULE_ENABLED);
        n += ended && !f->flows[i].ended;
        // What is held back came before.
        for (uint32_t j = 0; ended && !f->flows[i].ended && (r->flags & TABLE_RULE_MERGES) && j < r->n_paths; j++)
            forward_release_path(f, r->first_path + j, UINT64_MAX);
        // A clock that is set back does not open it again: only another table does.
        f->flows[i].ended |= ended;
    }
    return n;
}
