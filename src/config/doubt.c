// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/doubt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/endpoint.h"
#include "config/hint.h"

static bool has_port(const struct endpoint *e, unsigned port)
{
    return port >= e->port && port - e->port < e->n_ports;
}

// Warns about the ports of PTP: a clock assumes that the path takes a constant time, equal in both directions (IEEE
// 1588).
static void doubt_ptp(const struct config_rule *rule, struct config_problems *problems, const struct endpoint *e,
                      int line)
{
    unsigned port = has_port(e, 319) ? 319 : has_port(e, 320) ? 320 : 0;

    if (port != 0)
        config_warning(problems, line, rule->name,
                       "port %u is that of PTP, whose time a relay's delay falsifies: use a boundary clock", port);
}

// ff01::/16 and the like, whatever the flags, and ff00::/16, whose scope is reserved (RFC 4291, section 2.7). Returns
// what it has instead of a scope that leaves the host, or NULL.
static const char *hostly_scope(const struct addr *a)
{
    if (a->family != ADDR_IPV6 || a->bytes[0] != 0xff || (a->bytes[1] & 0x0f) > 1)
        return NULL;
    return a->bytes[1] & 0x0f ? "interface-local" : "the reserved";
}

static bool carries_ptp(const struct config_rule *rule)
{
    bool any = false;

    for (size_t i = 0; i < rule->n_inputs; i++) {
        struct endpoint input = endpoint_of_input(&rule->inputs[i], 0);
        any = any || has_port(&input, 319) || has_port(&input, 320);
    }
    return any;
}

// What a host has for itself, at an input by which other hosts send.
static void doubt_loopback(const struct config_rule *rule, struct config_problems *problems,
                           const struct config_input *in)
{
    char text[ADDR_TEXT_MAX];

    if (!in->interface[0] || strcmp(in->interface, CONFIG_LOOPBACK) == 0)
        return;
    if (addr_is_loopback(&in->address))
        config_warning(problems, in->line, rule->name,
                       "address %s is this host itself, which nothing comes to by \"%s\": write interface = "
                       "\"" CONFIG_LOOPBACK "\"",
                       addr_format(&in->address, text), in->interface);
    for (size_t i = 0; i < in->n_sources; i++)
        if (addr_is_loopback(&in->sources[i].addr) && in->sources[i].bits >= 8) {
            config_warning(problems, in->sources_line, rule->name,
                           "source %s is this host itself: what comes from it by \"%s\" is dropped (martian)",
                           addr_format(&in->sources[i].addr, text), in->interface);
            return;
        }
}

// A source-specific group that no sender's address is joined for.
static void doubt_specific(const struct config_rule *rule, struct config_problems *problems,
                           const struct config_input *in)
{
    const struct addr_prefix *prefix = config_source_prefix(in);
    char text[ADDR_TEXT_MAX], shown[ADDR_TEXT_MAX];

    if (!config_joins_nobody(in))
        return;
    if (!prefix)
        config_warning(problems, in->line, rule->name,
                       "group %s is source-specific (RFC 4607): without \"sources\" no router brings it here",
                       addr_format(&in->address, text));
    else
        config_warning(problems, in->sources_line, rule->name,
                       "group %s is source-specific (RFC 4607), and only single addresses can be joined: with the "
                       "prefix %s in \"sources\" no router brings it here: name each sender",
                       addr_format(&in->address, text), addr_prefix_format(prefix, shown));
}

static void doubt_input(const struct config_rule *rule, struct config_problems *problems, const struct config_input *in)
{
    struct endpoint input = endpoint_of_input(in, 0);

    doubt_ptp(rule, problems, &input, in->line);
    doubt_loopback(rule, problems, in);
    doubt_specific(rule, problems, in);
}

// Comparisons of senders, of two inputs. More are not worth a doubt: thousands of rules may have hundreds of sources.
#define SOURCES_COMPARED 256

// Whether no sender may send to both; of long lists it is taken for granted.
static bool sources_differ(const struct config_input *a, const struct config_input *b)
{
    if (a->n_sources == 0 || b->n_sources == 0)
        return false;
    if (a->n_sources * b->n_sources > SOURCES_COMPARED)
        return true;
    for (size_t i = 0; i < a->n_sources; i++)
        for (size_t j = 0; j < b->n_sources; j++)
            if (addr_prefix_contains(&a->sources[i], &b->sources[j].addr) ||
                addr_prefix_contains(&b->sources[j], &a->sources[i].addr))
                return false;
    return true;
}

// 224.0.0.0/24 and ffx2::/16: each link has its own.
static bool is_link_local_group(const struct addr *a)
{
    if (a->family == ADDR_IPV4)
        return a->bytes[0] == 224 && a->bytes[1] == 0 && a->bytes[2] == 0;
    return (a->bytes[1] & 0x0f) == 2;
}

// Whether two legs are named as the two paths of one stream are.
static bool are_paths(const struct config_input *a, const struct config_input *b)
{
    static const char *const pairs[][2] = {{"a", "b"}, {"red", "blue"}, {"primary", "secondary"}, {"main", "backup"}};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if ((strcasecmp(a->leg, pairs[i][0]) == 0 && strcasecmp(b->leg, pairs[i][1]) == 0) ||
            (strcasecmp(a->leg, pairs[i][1]) == 0 && strcasecmp(b->leg, pairs[i][0]) == 0))
            return true;
    return false;
}

// Whether both take in the same groups and ports, which may be one stream by two paths. Hosts and discovery, by
// broadcast or link-local groups, are others on each link.
static bool may_be_one_stream(const struct config_input *a, const struct config_input *b)
{
    return a->kind == CONFIG_GROUP && b->kind == CONFIG_GROUP && addr_equal(&a->address, &b->address) &&
           a->address.family != ADDR_NONE && a->port == b->port && !is_link_local_group(&a->address) &&
           !sources_differ(a, b);
}

bool doubt_one_stream(const struct config_rule *a, const struct config_rule *b)
{
    for (size_t i = 0; i < a->n_inputs; i++)
        for (size_t j = 0; j < b->n_inputs; j++)
            if (may_be_one_stream(&a->inputs[i], &b->inputs[j]))
                return true;
    return false;
}

// Legs that no merge joins.
static void doubt_legs(const struct config_rule *rule, struct config_problems *problems)
{
    // A merge that was refused is none.
    for (size_t i = 1; problems->n_errors == 0 && rule->merge.line == 0 && i < rule->n_inputs; i++)
        for (size_t j = 0; j < i; j++)
            if (may_be_one_stream(&rule->inputs[i], &rule->inputs[j])) {
                config_warning(problems, rule->inputs[i].line, rule->name,
                               "input %zu takes in what input %zu does, and nothing merges them: if it is one stream, "
                               "receivers get it twice: write " HINT_MERGE ", or the \"sources\" of each",
                               i + 1, j + 1);
                return;
            } else if (are_paths(&rule->inputs[i], &rule->inputs[j])) {
                config_warning(problems, rule->inputs[i].line, rule->name,
                               "legs \"%s\" and \"%s\" are named as two paths of one stream are, and nothing merges "
                               "them: if they are, receivers get it twice: write " HINT_MERGE,
                               rule->inputs[j].leg, rule->inputs[i].leg);
                return;
            }
}

// The slowest clock of RTP (text, RFC 4103).
#define CLOCK_HZ_LEAST 1000

// Bytes of the shortest datagram that the monitor can judge.
static uint32_t monitored_least(const struct config_monitor *m)
{
    static const uint32_t least[] = {[CONFIG_MONITOR_RTP] = 12, [CONFIG_MONITOR_TS] = 188}; // a header, a packet
    uint32_t number = m->field.at + m->field.bytes, session = m->field.session_at + m->field.session_bytes;

    if (m->as != CONFIG_MONITOR_FIELD)
        return least[m->as];
    return m->field.session_bytes > 0 && session > number ? session : number;
}

// A session of ten bytes, and a number of eight behind it.
static bool is_mold(const struct config_field *f)
{
    return f->session_at == 0 && f->session_bytes == 10 && f->at == 10 && f->bytes == 8;
}

static void doubt_monitor(const struct config_rule *rule, struct config_problems *problems)
{
    const struct config_monitor *m = &rule->monitor;

    if (m->line == 0)
        return;
    if (rule->max_payload > 0 && rule->max_payload < monitored_least(m))
        config_warning(problems, m->line, rule->name,
                       "max_payload is %u, and what monitor looks at takes %u bytes or more: nothing could be judged",
                       rule->max_payload, monitored_least(m));
    if (m->as == CONFIG_MONITOR_TS && m->clock_hz != CONFIG_MONITOR_CLOCK_HZ)
        config_warning(problems, m->line, rule->name,
                       "clock_hz is %u, and RTP that carries a transport stream ticks at %u (RFC 2250), not as PCR: "
                       "the jitter would be wrong: leave clock_hz out",
                       m->clock_hz, CONFIG_MONITOR_CLOCK_HZ);
    if (m->as == CONFIG_MONITOR_RTP && m->clock_hz < CLOCK_HZ_LEAST)
        config_warning(problems, m->line, rule->name,
                       "clock_hz is %u, and no clock of RTP is so slow: in hertz, as 48000 or 90000?", m->clock_hz);
    if (m->as == CONFIG_MONITOR_TS && m->max_jitter_us > 0 &&
        !(rule->merge.line != 0 && rule->merge.by == CONFIG_MERGE_RTP))
        config_warning(problems, m->line, rule->name,
                       "max_jitter_us is judged where the transport stream comes in RTP: plain UDP has no time stamps");
    if (m->as == CONFIG_MONITOR_FIELD && rule->merge.line == 0 && is_mold(&m->field))
        config_warning(problems, m->line, rule->name,
                       "the number is where MoldUDP64 has that of its messages, which goes on by more than one from "
                       "datagram to datagram: monitor would tell of loss that is none; a merge of the A and B feed by "
                       "\"field\" with count_at counts what is missing");
    if (m->as == CONFIG_MONITOR_FIELD && rule->merge.line != 0 && rule->merge.by == CONFIG_MERGE_FIELD &&
        rule->merge.field.count_bytes > 0 && rule->merge.field.at == m->field.at)
        config_warning(problems, m->line, rule->name,
                       "monitor's number is one of messages, as the merge's count_bytes says, and goes on by more than "
                       "one from datagram to datagram: nothing could be judged: leave monitor out, the merge counts "
                       "what each leg misses (missing)");
}

// Copies that share a path are lost together.
static void doubt_merge(const struct config_rule *rule, struct config_problems *problems)
{
    if (rule->merge.line != 0 && rule->merge.by == CONFIG_MERGE_RTP && rule->inputs[0].n_ports > 1)
        config_warning(problems, rule->merge.line, rule->name,
                       "merges %u ports by \"rtp\": RTCP, the odd ports of most senders, is not merged but dropped "
                       "(no_sequence): write a rule for each port of RTP",
                       rule->inputs[0].n_ports);
    if (rule->merge.line != 0 && rule->merge.by == CONFIG_MERGE_ACTIVE &&
        rule->merge.window_ms != schema_default(SCHEMA_MERGE, "window_ms"))
        config_warning(problems, rule->merge.line, rule->name,
                       "window_ms means nothing where \"by\" is \"active\": leave it out");
    if (problems->n_errors == 0 && rule->merge.line != 0 && rule->silence_ms == 0)
        config_warning(
            problems, rule->merge.line, rule->name,
            "there is no silence_ms: nobody is told when a leg falls silent, and the other then has no copy");
    for (size_t i = 1; problems->n_errors == 0 && rule->merge.line != 0 && i < rule->n_inputs; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(rule->inputs[i].interface, rule->inputs[j].interface) == 0) {
                config_warning(
                    problems, rule->inputs[i].line, rule->name,
                    "input %zu comes by interface \"%s\", as does input %zu: legs that share a path are lost "
                    "together",
                    i + 1, rule->inputs[i].interface, j + 1);
                return;
            }
}

// What is below it drops by the relay's own time (docs/performance.md): the wake-up takes tens of microseconds,
// coalesce_usecs 150 under load.
#define DEADLINE_US_LEAST 200

// Times that contradict each other, or what a relay takes.
static void doubt_times(const struct config_rule *rule, struct config_problems *problems)
{
    const struct config_merge *m = &rule->merge;
    uint32_t held_us = m->line != 0 ? m->reorder_ms * 1000 : 0;

    if (rule->max_residence_us > 0 && rule->max_residence_us <= held_us)
        config_warning(problems, rule->max_residence_line, rule->name,
                       "max_residence_us is %u, and reorder_ms = %u alone holds datagrams for so long: the alarm would "
                       "tell of lost numbers: write more than %u",
                       rule->max_residence_us, m->reorder_ms, held_us);
    if (rule->deadline_us > 0 && rule->max_residence_us >= rule->deadline_us)
        config_warning(problems, rule->max_residence_line, rule->name,
                       "max_residence_us is %u, and nothing stays for longer than deadline_us = %u: no alarm can come",
                       rule->max_residence_us, rule->deadline_us);
    if (rule->deadline_us > 0 && rule->deadline_us < DEADLINE_US_LEAST)
        config_warning(problems, rule->deadline_line, rule->name,
                       "deadline_us is %u, and a datagram stays here for 20 to 200 us as a rule, longer under load: "
                       "nearly all may be dropped: in microseconds, as %u for %u ms?",
                       rule->deadline_us, rule->deadline_us * 1000, rule->deadline_us);
    if (held_us > 0 && rule->limit.line != 0 && rule->limit.burst_ms < m->reorder_ms)
        config_warning(
            problems, rule->limit.line, rule->name,
            "burst_ms is %u, and what reorder_ms = %u holds back leaves at once: write burst_ms = %u or more",
            rule->limit.burst_ms, m->reorder_ms, m->reorder_ms);
}

#define USUAL_PAYLOAD 1500u // bytes: an Ethernet frame's

// Sizes and rates by which hardly anything passes.
static void doubt_sizes(const struct config_rule *rule, struct config_problems *problems)
{
    uint32_t largest = rule->max_payload < USUAL_PAYLOAD ? rule->max_payload : USUAL_PAYLOAD;
    uint64_t bits = rule->limit.bits_per_second;

    if (rule->max_payload == 0)
        config_warning(problems, rule->max_payload_line, rule->name,
                       "max_payload is 0, which lets only empty datagrams pass: leave it out where any size may");
    else if (rule->limit.line != 0 && bits > 0 && bits < 8 * largest)
        config_warning(problems, rule->limit.line, rule->name,
                       "bits_per_second is %llu, less than one datagram of %u bytes a second: bits, not Mbit: write "
                       "\"40M\" for 40 Mbit/s",
                       (unsigned long long) bits, largest);
}

// A burst by bits_per_second alone that is less than the datagram which always passes (limiter_init()). One of packets
// is as small as can be then.
static void doubt_burst(const struct config_rule *rule, struct config_problems *problems)
{
    const struct config_limit *l = &rule->limit;
    uint64_t bytes = l->bits_per_second / 1000 * l->burst_ms / 8 + l->bits_per_second % 1000 * l->burst_ms / 8000;
    bool written = l->burst_ms != schema_default(SCHEMA_LIMIT, "burst_ms"); // which --print writes

    if (l->line != 0 && written && l->bits_per_second > 0 && l->packets_per_second == 0 && bytes < rule->max_payload)
        config_warning(problems, l->line, rule->name,
                       "burst_ms is %u, %llu bytes at this rate, and has no effect: one datagram of %u bytes, the "
                       "largest that max_payload lets pass, may always come at once: a smaller max_payload makes that "
                       "less",
                       l->burst_ms, (unsigned long long) bytes, rule->max_payload);
}

// A least rate that the limit does not let through. The limit counts one copy of what is merged, the least those of all
// legs.
static void doubt_rates(const struct config_rule *rule, struct config_problems *problems)
{
    const struct config_limit *l = &rule->limit;
    bool merges = rule->merge.line != 0 && rule->n_inputs > 1;
    uint64_t most = l->packets_per_second * (uint64_t) (merges ? rule->n_inputs : 1);
    char legs[64] = "";

    if (l->line == 0 || l->per_source || l->packets_per_second == 0 || rule->min_packets_per_second <= most)
        return;
    if (merges)
        snprintf(legs, sizeof(legs), ", %llu copies by %zu legs", (unsigned long long) most, rule->n_inputs);
    config_warning(
        problems, l->line, rule->name,
        "min_packets_per_second is %llu, and the limit lets %llu a second pass%s: whatever the rate is, there "
        "is an alarm or datagrams are dropped",
        (unsigned long long) rule->min_packets_per_second, (unsigned long long) l->packets_per_second, legs);
}

void doubt_waits(const struct config *c, struct config_problems *problems)
{
    bool written = c->coalesce_usecs > schema_default(SCHEMA_TOP, "coalesce_usecs"); // and longer than by default

    if (written && c->busy_poll_usecs != 0)
        config_warning(problems, 0, NULL, "coalesce_usecs is %u, and is not used with busy_poll: leave one of them out",
                       c->coalesce_usecs);
    for (size_t i = 0; written && c->busy_poll_usecs == 0 && i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        if (r->enabled && r->deadline_us > 0 && c->coalesce_usecs >= r->deadline_us)
            config_warning(problems, r->deadline_line, r->name,
                           "deadline_us is %u, and under load coalesce_usecs = %u alone lets datagrams wait for so "
                           "long: they would be dropped: make coalesce_usecs less",
                           r->deadline_us, c->coalesce_usecs);
        else if (r->enabled && r->max_residence_us > 0 && c->coalesce_usecs >= r->max_residence_us)
            config_warning(problems, r->max_residence_line, r->name,
                           "max_residence_us is %u, and under load coalesce_usecs = %u alone lets datagrams wait for "
                           "so long: the alarm would tell of that: make coalesce_usecs less",
                           r->max_residence_us, c->coalesce_usecs);
    }
}

void doubt_trial(const struct config *c, struct config_problems *problems)
{
    uint32_t least_ms = UINT32_MAX;

    if (c->trial.line == 0 || !c->trial.return_on_silence)
        return;
    for (size_t i = 0; i < c->n_rules; i++)
        if (c->rules[i].enabled && c->rules[i].silence_ms > 0 && c->rules[i].silence_ms < least_ms)
            least_ms = c->rules[i].silence_ms;
    if (least_ms == UINT32_MAX)
        config_warning(problems, c->trial.line, NULL,
                       "return_on_silence notices no silence, because no rule has silence_ms: write it to the rules "
                       "that must go on");
    else if (least_ms / 1000 >= c->trial.seconds)
        config_warning(problems, c->trial.line, NULL,
                       "the trial of %u s ends before a silence is noticed: the shortest silence_ms is %u",
                       c->trial.seconds, least_ms);
}

void doubt_rule(const struct config_rule *rule, struct config_problems *problems)
{
    char text[ADDR_TEXT_MAX];

    doubt_times(rule, problems);
    doubt_sizes(rule, problems);
    doubt_burst(rule, problems);
    doubt_rates(rule, problems);
    doubt_merge(rule, problems);
    doubt_monitor(rule, problems);
    doubt_legs(rule, problems);
    for (size_t i = 0; i < rule->n_inputs; i++)
        doubt_input(rule, problems, &rule->inputs[i]);
    for (size_t i = 0; i < rule->n_outputs; i++) {
        const struct config_output *out = &rule->outputs[i];
        struct endpoint output = endpoint_of_output(out, 0);
        if (!carries_ptp(rule)) // else told already
            doubt_ptp(rule, problems, &output, out->line);
        if (endpoint_is_complete(&output) && addr_is_loopback(&out->address) &&
            strcmp(out->interface, CONFIG_LOOPBACK) != 0)
            config_warning(problems, out->line, rule->name,
                           "address %s is this host itself, which \"%s\" does not lead to: write interface = \"%s\"",
                           addr_format(&out->address, text), out->interface, CONFIG_LOOPBACK);
        if (hostly_scope(&out->address) && strcmp(out->interface, CONFIG_LOOPBACK) != 0)
            config_warning(problems, out->line, rule->name,
                           "group %s has %s scope (RFC 4291): no host may take it in from a link",
                           addr_format(&out->address, text), hostly_scope(&out->address));
    }
}
