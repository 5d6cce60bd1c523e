// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compilation.h"
#include "config/endpoint.h"
#include "wire/merge.h"
#include "wire/monitor.h"

bool compile_refuse(struct compilation *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->why, COMPILE_WHY_MAX, format, args);
    va_end(args);
    return false;
}

// --- interfaces ------------------------------------------------------------------------------------------------------

static uint32_t interface_index(struct compilation *c, const char *name)
{
    for (uint32_t i = 0; i < c->n_interfaces; i++)
        if (strcmp(c->interfaces[i].name, name) == 0)
            return i;
    uint32_t i = c->n_interfaces++;
    snprintf(c->interfaces[i].name, IFNAMSIZ, "%s", name);
    snprintf(c->links[i].name, IFNAMSIZ, "%s", name);
    return i;
}

void compile_name_interfaces(struct compilation *c, bool enabled)
{
    for (size_t i = 0; i < c->config->n_rules; i++) {
        const struct config_rule *r = &c->config->rules[i];
        if (config_rule_runs(r) != enabled)
            continue;
        for (size_t j = 0; j < r->n_inputs; j++)
            interface_index(c, r->inputs[j].interface);
        for (size_t j = 0; j < r->n_outputs; j++)
            interface_index(c, r->outputs[j].interface);
    }
}

// --- what is carried over from the table before ----------------------------------------------------------------------

// Compares pointers to rules, for qsort() and bsearch().
static int by_name(const void *a, const void *b)
{
    const struct table_rule *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static bool same_output(const struct compilation *c, const struct table_output *a, const struct table_output *b)
{
    return a->port == b->port && a->vlan == b->vlan && addr_equal(&a->to, &b->to) &&
           strcmp(c->interfaces[a->interface].name, c->before->interfaces[b->interface].name) == 0;
}

// Compares outputs by the rules' first paths. An output that is a range is the same if it begins at the same address
// and port.
static void carry_outputs(struct compilation *c, const struct table_rule *now, const struct table_rule *then)
{
    struct table_output *outputs = &c->outputs[c->paths[now->first_path].first_output];
    const struct table_output *before = &c->before->outputs[c->before->paths[then->first_path].first_output];

    for (uint32_t i = 0; i < now->n_outputs; i++)
        for (uint32_t j = 0; j < then->n_outputs; j++) {
            if (!same_output(c, &outputs[i], &before[j]))
                continue;
            for (uint32_t p = 0; p < now->n_paths; p++)
                outputs[p * now->n_outputs + i].carried_from = then->first_counter + j;
            break;
        }
}

// Legs are known by their names.
static void carry_inputs(struct compilation *c, const struct table_rule *now, const struct table_rule *then)
{
    for (uint32_t i = now->first_input; i < now->first_input + now->n_inputs; i++)
        for (uint32_t j = then->first_input; j < then->first_input + then->n_inputs; j++)
            if (strcmp(c->inputs[i].leg, c->before->inputs[j].leg) == 0)
                c->inputs[i].carried_from = j;
}

static bool carry_over(struct compilation *c)
{
    if (!c->before || c->before->n_rules == 0)
        return true;

    uint32_t n = c->before->n_rules;
    const struct table_rule **before = calloc(n, sizeof(const struct table_rule *));
    if (!before)
        return compile_refuse(c, "%s", strerror(ENOMEM));
    for (uint32_t i = 0; i < n; i++)
        before[i] = &c->before->rules[i];
    qsort(before, n, sizeof(*before), by_name);
    for (uint32_t i = 0; i < c->n_rules; i++) {
        const struct table_rule *now = &c->rules[i];
        const struct table_rule **then = bsearch(&now, before, n, sizeof(*before), by_name);
        if (!then)
            continue;
        c->rules[i].carried_from = (uint32_t) (*then - c->before->rules);
        carry_inputs(c, now, *then);
        carry_outputs(c, now, *then);
    }
    free(before);
    return true;
}

// --- rules -----------------------------------------------------------------------------------------------------------

static void place_destination(struct compilation *c, uint32_t input, const struct endpoint *e,
                              const struct addr *address, uint32_t path)
{
    c->destinations[c->n_destinations++] =
        (struct table_destination){.address = *address,
                                   .port = e->port,
                                   .vlan = e->vlan,
                                   .flags = c->inputs[input].n_sources > 0 ? TABLE_DESTINATION_SOURCES : 0,
                                   .interface = c->inputs[input].interface,
                                   .path = path,
                                   .leg = (uint8_t) (input - c->rules[c->inputs[input].rule].first_input)};
}

// Those of all inputs that are counterparts of each other have one path.
static void place_destinations(struct compilation *c, uint32_t input, const struct config_input *given)
{
    struct table_input *in = &c->inputs[input];
    const struct table_rule *t = &c->rules[in->rule];
    const struct addr *subnet = &c->links[in->interface].broadcast;
    struct endpoint range = endpoint_of_input(given, 0);

    in->first_destination = c->n_destinations;
    for (uint32_t i = 0; (t->flags & TABLE_RULE_ENABLED) && i < endpoint_span(&range); i++) {
        struct endpoint e = endpoint_at(&range, i);
        uint32_t path = t->first_path + (t->n_paths > 1 ? i : 0);
        bool broadcast = e.kind == CONFIG_BROADCAST;
        place_destination(c, input, &e, broadcast ? &addr_limited_broadcast : &e.address, path);
        if (broadcast && subnet->family != ADDR_NONE && !addr_equal(subnet, &addr_limited_broadcast))
            place_destination(c, input, &e, subnet, path);
    }
    in->n_destinations = c->n_destinations - in->first_destination;
}

static void place_input(struct compilation *c, uint32_t rule, size_t i)
{
    const struct config_rule *r = &c->config->rules[rule];
    const struct config_input *given = &r->inputs[i];
    uint32_t input = c->n_inputs++;

    c->inputs[input] = (struct table_input){
        .rule = rule,
        .interface = interface_index(c, given->interface),
        .first_source = c->n_sources,
        .n_sources = (uint32_t) given->n_sources,
        .carried_from = TABLE_NONE,
        .to = given->kind == CONFIG_BROADCAST ? addr_limited_broadcast : given->address,
        .port = given->port,
        .n_addresses = given->n_addresses,
        .n_ports = given->n_ports,
        .vlan = given->vlan,
    };
    config_leg(r, i, c->inputs[input].leg);
    if (given->n_sources > 0)
        memcpy(c->sources + c->n_sources, given->sources, given->n_sources * sizeof(*c->sources));
    c->n_sources += (uint32_t) given->n_sources;
    place_destinations(c, input, given);
}

// Appends one output of the rule's i-th path.
static void place_output(struct compilation *c, const struct config_rule *r, size_t output, uint32_t i,
                         uint32_t counter)
{
    const struct config_output *o = &r->outputs[output];
    struct endpoint input = endpoint_of_input(&r->inputs[0], 0), to = endpoint_of_output(o, 0);
    struct endpoint one = endpoint_counterpart(&to, &input, i);

    c->outputs[c->n_outputs++] = (struct table_output){
        .to = o->kind == CONFIG_BROADCAST ? addr_limited_broadcast : one.address,
        .port = one.port,
        .flags = (uint16_t) ((o->keep_source ? TABLE_OUTPUT_KEEP_SOURCE : 0) |
                             (o->keep_source_port ? TABLE_OUTPUT_KEEP_PORT : 0)),
        .vlan = o->vlan,
        .ttl = o->ttl_decrement ? 0 : o->ttl,
        .dscp = o->dscp == CONFIG_DSCP_PRESERVE ? TABLE_DSCP_PRESERVE : (uint8_t) o->dscp,
        .interface = interface_index(c, o->interface),
        .egress = TABLE_NONE,
        .counter = counter,
        .carried_from = TABLE_NONE,
        .n_addresses = o->n_addresses,
        .n_ports = o->n_ports,
        .burst = o->burst,
    };
}

static void place_paths(struct compilation *c, uint32_t rule)
{
    const struct config_rule *r = &c->config->rules[rule];
    struct table_rule *t = &c->rules[rule];

    for (uint32_t i = 0; i < t->n_paths; i++) {
        c->paths[c->n_paths++] = (struct table_path){.rule = rule, .first_output = c->n_outputs};
        for (uint32_t j = 0; j < t->n_outputs; j++)
            place_output(c, r, j, i, t->first_counter + j);
    }
}

static uint32_t monitor_as(const struct config_rule *r)
{
    static const uint32_t kinds[] = {[CONFIG_MONITOR_RTP] = TABLE_MONITOR_RTP,
                                     [CONFIG_MONITOR_TS] = TABLE_MONITOR_TS,
                                     [CONFIG_MONITOR_FIELD] = TABLE_MONITOR_FIELD};

    if (!config_rule_runs(r))
        return TABLE_MONITOR_NONE;
    if (r->monitor.line != 0)
        return kinds[r->monitor.as];
    if (r->merge.line != 0 && r->merge.by == CONFIG_MERGE_RTP)
        return TABLE_MONITOR_RTP;
    // Where a datagram brings several numbers, the next one does not follow it by one.
    if (r->merge.line != 0 && r->merge.by == CONFIG_MERGE_FIELD && r->merge.field.count_bytes == 0)
        return TABLE_MONITOR_FIELD;
    return TABLE_MONITOR_NONE;
}

static uint32_t flags_of(const struct config_rule *r)
{
    uint32_t flags = (config_rule_runs(r) ? TABLE_RULE_ENABLED : 0u) | (r->shadow ? TABLE_RULE_SHADOW : 0u) |
                     (r->limit.per_source ? TABLE_RULE_PER_SOURCE : 0u) | TABLE_RULE_TTL_ALL;

    if (r->enabled && r->phase != SCHEDULE_OPEN)
        flags |= r->phase == SCHEDULE_AFTER ? TABLE_RULE_EXPIRED : TABLE_RULE_SCHEDULED;
    if (config_rule_runs(r) && r->merge.line != 0)
        flags |= TABLE_RULE_MERGES;
    if (monitor_as(r) != TABLE_MONITOR_NONE)
        flags |= TABLE_RULE_MONITORS;
    if (r->merge.line != 0 || r->deadline_us > 0 || r->limit.line != 0 || r->shadow || r->active.until != 0 ||
        monitor_as(r) != TABLE_MONITOR_NONE)
        flags |= TABLE_RULE_JUDGED;
    for (size_t i = 0; i < r->n_inputs; i++)
        if (r->inputs[i].kind == CONFIG_BROADCAST)
            flags |= TABLE_RULE_BROADCAST;
    for (size_t i = 0; i < r->n_outputs; i++) {
        const struct config_output *o = &r->outputs[i];
        if (o->keep_source || o->keep_source_port)
            flags |= TABLE_RULE_KEEPS;
        if (o->ttl_decrement)
            flags |= TABLE_RULE_TTL_ANY;
        else
            flags &= ~(uint32_t) TABLE_RULE_TTL_ALL;
    }
    return flags;
}

static uint64_t merge_rate(const struct config_rule *r)
{
    return r->limit.packets_per_second ? r->limit.packets_per_second : CONFIG_MERGE_RATE;
}

// Room for the numbers of two windows at the rate that the rule's limit allows.
static uint32_t merge_numbers(const struct config_rule *r)
{
    uint64_t wanted = (2 * merge_rate(r) * r->merge.window_ms + 999) / 1000, n = 64;

    while (n < wanted && n <= TABLE_MERGE_NUMBERS_MAX)
        n *= 2;
    return (uint32_t) n;
}

static struct table_merge merge_of(const struct config_rule *r)
{
    static const uint32_t ways[] = {[CONFIG_MERGE_RTP] = TABLE_MERGE_RTP,
                                    [CONFIG_MERGE_FIELD] = TABLE_MERGE_FIELD,
                                    [CONFIG_MERGE_PAYLOAD] = TABLE_MERGE_PAYLOAD,
                                    [CONFIG_MERGE_ACTIVE] = TABLE_MERGE_ACTIVE};
    const struct config_merge *m = &r->merge;

    if (m->line == 0 || !config_rule_runs(r))
        return (struct table_merge){.by = TABLE_MERGE_NONE};
    return (struct table_merge){.by = ways[m->by],
                                .window_ms = m->window_ms,
                                .reorder_ms = m->reorder_ms,
                                .switch_after_ms = m->switch_after_ms,
                                .return_after_ms = m->return_after_ms,
                                .numbers = merge_numbers(r),
                                .at = m->field.at,
                                .bytes = m->field.bytes,
                                .little = m->field.little,
                                .session_at = m->field.session_at,
                                .session_bytes = m->field.session_bytes,
                                .count_at = m->field.count_at,
                                .count_bytes = m->field.count_bytes};
}

// A merge by a number has each leg monitored by the same one, without a section.
static struct table_monitor monitor_of(const struct config_rule *r)
{
    const struct config_monitor *m = &r->monitor;
    const struct config_field *field = m->line != 0 ? &m->field : &r->merge.field;
    uint32_t as = monitor_as(r);

    if (as == TABLE_MONITOR_NONE)
        return (struct table_monitor){.as = as};
    return (struct table_monitor){.as = as,
                                  .clock_hz = m->line != 0 ? m->clock_hz : CONFIG_MONITOR_CLOCK_HZ,
                                  .at = field->at,
                                  .session_at = field->session_at,
                                  .bytes = field->bytes,
                                  .session_bytes = field->session_bytes,
                                  .little = field->little,
                                  .max_loss_ppm = m->max_loss_ppm,
                                  .max_jitter_us = m->max_jitter_us};
}

uint32_t compile_merge_least(const struct config_rule *r)
{
    static const uint64_t key[2];
    const struct table_rule t = {.merge = merge_of(r)};
    struct merge_settings s = merge_settings_of(&t, key);

    return t.merge.by == TABLE_MERGE_NONE ? 0 : merge_least(&s);
}

// Bytes of all paths of the rule, were there room for so many numbers.
static uint64_t merge_size(const struct config_rule *r, uint32_t numbers)
{
    static const uint64_t key[2];
    struct table_rule t = {.n_inputs = (uint32_t) r->n_inputs, .max_payload = r->max_payload, .merge = merge_of(r)};

    t.merge.numbers = numbers;
    struct merge_settings s = merge_settings_of(&t, key);
    return (uint64_t) merge_bytes(&s) * endpoint_paths(r);
}

// Writes what gives the rule's merge room for so many numbers at most: ": window_ms up to 40, or limit = ...".
static void advise_merge(const struct config_rule *r, uint32_t numbers, char text[COMPILE_WHY_MAX / 4])
{
    uint64_t window = numbers * UINT64_C(500) / merge_rate(r), rate = numbers * UINT64_C(500) / r->merge.window_ms;
    size_t used = (size_t) snprintf(text, COMPILE_WHY_MAX / 4, ": ");

    if (window > 0)
        used += (size_t) snprintf(text + used, COMPILE_WHY_MAX / 4 - used, "allowed is up to %" PRIu64 "%s", window,
                                  rate > 0 ? ", or " : "");
    if (rate > 0)
        snprintf(text + used, COMPILE_WHY_MAX / 4 - used,
                 r->limit.packets_per_second ? "lower packets_per_second to %" PRIu64
                                             : "write limit = { packets_per_second = %" PRIu64 "; }",
                 rate);
}

// Refuses a merge by which nothing can pass, or that cannot tell its numbers apart.
static bool check_merge(const struct config_rule *r, uint32_t numbers, int *line, char why[COMPILE_WHY_MAX])
{
    // Only a quarter of the numbers ahead of the last one, and a quarter behind, tell old from new.
    uint32_t bits = r->merge.by == CONFIG_MERGE_FIELD ? 8u * r->merge.field.bytes : 32, least = compile_merge_least(r);
    uint32_t most = bits < 32 ? 1u << (bits - 2) : TABLE_MERGE_NUMBERS_MAX;
    char advice[COMPILE_WHY_MAX / 4];

    most = most < TABLE_MERGE_NUMBERS_MAX ? most : TABLE_MERGE_NUMBERS_MAX;
    if (r->max_payload < least) {
        *line = r->max_payload_line ? r->max_payload_line : r->merge.line;
        snprintf(why, COMPILE_WHY_MAX,
                 "rule \"%s\": \"max_payload\" is %u, allowed is %u or more: a shorter datagram cannot be merged",
                 r->name, r->max_payload, least);
        return false;
    }
    if (numbers <= most)
        return true;
    *line = r->merge.line;
    advise_merge(r, most, advice);
    snprintf(why, COMPILE_WHY_MAX,
             "rule \"%s\": \"window_ms\" is %u, in which %" PRIu64
             " datagrams a second bring more numbers than a merge can tell apart%s",
             r->name, r->merge.window_ms, merge_rate(r), advice);
    return false;
}

// Adds what the monitors of a rule take, one for each leg of each path.
static void add_monitors(uint64_t *bytes, const struct config_rule *r)
{
    struct table_rule t = {.monitor = monitor_of(r)};

    if (t.monitor.as == TABLE_MONITOR_NONE)
        return;
    struct monitor_settings s = monitor_settings_of(&t);
    *bytes += (uint64_t) monitor_bytes(&s) * endpoint_paths(r) * r->n_inputs;
}

bool compile_memory(const struct config *config, struct compile_memory *memory, char why[COMPILE_WHY_MAX])
{
    const struct config_rule *greatest = NULL;
    char advice[COMPILE_WHY_MAX / 4] = "";
    uint64_t most = 0, all;

    *memory = (struct compile_memory){.merges = 0};
    for (size_t i = 0; i < config->n_rules; i++) {
        const struct config_rule *r = &config->rules[i];
        struct table_merge m = merge_of(r);
        add_monitors(&memory->monitors, r);
        if (m.by == TABLE_MERGE_NONE)
            continue;
        if (!check_merge(r, m.numbers, &memory->line, why))
            return false;
        uint64_t size = merge_size(r, m.numbers);
        memory->merges += size;
        if (size > most) {
            most = size;
            greatest = r;
        }
    }
    all = memory->merges + memory->monitors;
    if (all <= COMPILE_MEMORY_MAX)
        return true;
    // The rule that takes the most can give the most.
    for (uint32_t n = greatest ? merge_numbers(greatest) / 2 : 0; n >= 64 && !*advice; n /= 2)
        if (all - most + merge_size(greatest, n) <= COMPILE_MEMORY_MAX)
            advise_merge(greatest, n, advice);
    int used =
        snprintf(why, COMPILE_WHY_MAX,
                 "the merges and monitors of all rules would take %" PRIu64 " MiB of memory, allowed are %" PRIu64,
                 all >> 20, COMPILE_MEMORY_MAX >> 20);
    if (greatest) {
        memory->line = greatest->merge.line;
        used += snprintf(why + used, COMPILE_WHY_MAX - (size_t) used,
                         "; rule \"%s\" alone %" PRIu64 " by a window_ms of %u", greatest->name, most >> 20,
                         greatest->merge.window_ms);
    }
    snprintf(why + used, COMPILE_WHY_MAX - (size_t) used, "%s",
             *advice ? advice : ": give smaller windows, max_payload, or limits of packets_per_second");
    return false;
}

static void place_rule(struct compilation *c, uint32_t i)
{
    const struct config_rule *r = &c->config->rules[i];
    struct table_rule *t = &c->rules[i];

    *t = (struct table_rule){
        .first_input = c->n_inputs,
        .n_inputs = (uint32_t) r->n_inputs,
        .flags = flags_of(r),
        .max_payload = r->max_payload,
        .first_path = c->n_paths,
        .n_paths = endpoint_paths(r),
        .first_counter = c->n_counters,
        .n_outputs = (uint32_t) r->n_outputs,
        .packets_per_second = r->limit.packets_per_second,
        .bits_per_second = r->limit.bits_per_second,
        .burst_ms = r->limit.burst_ms,
        .silence_ms = r->silence_ms,
        .max_residence_us = r->max_residence_us,
        .deadline_us = r->deadline_us,
        .active_from = r->active.from,
        .active_until = r->active.until,
        .min_packets_per_second = r->min_packets_per_second,
        .merge = merge_of(r),
        .monitor = monitor_of(r),
        .carried_from = TABLE_NONE,
    };
    snprintf(t->name, sizeof(t->name), "%s", r->name);
    snprintf(t->note, sizeof(t->note), "%s", r->note);
    c->n_counters += t->n_outputs;
    place_paths(c, i);
    for (size_t j = 0; j < r->n_inputs; j++)
        place_input(c, i, j);
}

bool compile_fits(struct compilation *c)
{
    struct compile_memory memory;
    char why[COMPILE_WHY_MAX];

    if (compile_memory(c->config, &memory, why))
        return true;
    return memory.line ? compile_refuse(c, "line %d: %s", memory.line, why) : compile_refuse(c, "%s", why);
}

bool compile_plan(struct compilation *c)
{
    if (!compile_fits(c))
        return false;
    while (c->n_rules < c->config->n_rules)
        place_rule(c, c->n_rules++);
    return carry_over(c);
}
