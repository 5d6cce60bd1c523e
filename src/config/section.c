// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/section.h"

#include <stdlib.h>
#include <string.h>

#include "common/moment.h"
#include "config/endpoint.h"
#include "config/hint.h"
#include "config/value.h"

// Whether the key may be judged together with others: it is left out, or its value was not refused by itself.
static bool is_sound(const config_setting_t *group, enum schema_place where, const char *name)
{
    const config_setting_t *s = config_setting_get_member(group, name);
    const struct schema_key *key = schema_find(where, name);

    if (!s)
        return key->need != SCHEMA_REQUIRED;
    struct value value = value_of(s);
    return key->kind == SCHEMA_SECTION ? config_setting_is_group(s) : value_is_allowed(key, &value);
}

// Whether exactly one key says where it goes, and its value was not refused.
static bool has_destination(const config_setting_t *group, enum schema_place where)
{
    size_t given = 0, sound = 0;

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if (key->need == SCHEMA_ONE_OF && config_setting_get_member(group, key->name)) {
            given++;
            sound += is_sound(group, where, key->name);
        }
    return given == 1 && sound == 1;
}

static int compare_prefixes(const void *a, const void *b)
{
    const struct addr_prefix *const *left = a, *const *right = b;
    int order = memcmp(*left, *right, sizeof(**left));

    return order != 0 ? order : (*left > *right) - (*left < *right); // then by their order in the list
}

static void check_repeated_sources(struct parser *p, const struct config_input *in, int line)
{
    const struct addr_prefix *sorted[CONFIG_SOURCES_MAX];
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < in->n_sources; i++)
        sorted[i] = &in->sources[i];
    qsort(sorted, in->n_sources, sizeof(sorted[0]), compare_prefixes);
    for (size_t i = 1; i < in->n_sources; i++)
        if (sorted[i]->addr.family != ADDR_NONE && memcmp(sorted[i], sorted[i - 1], sizeof(*sorted[i])) == 0)
            config_error(p->problems, line, p->rule, "\"sources\" element %zu is \"%s\", as is element %zu",
                         (size_t) (sorted[i] - in->sources) + 1, addr_prefix_format(sorted[i], text),
                         (size_t) (sorted[i - 1] - in->sources) + 1);
}

static const char *const as_destination[] = {
    [CONFIG_GROUP] = "as the group",
    [CONFIG_ADDRESS] = "as the address",
    [CONFIG_BROADCAST] = "as every broadcast",
};

static void finish_interface(struct parser *p, const config_setting_t *group, void *target)
{
    struct config_interface *listed = target;
    bool has_role = config_setting_get_member(group, "role") != NULL;
    char allowed[SCHEMA_ALLOWED_MAX];

    if (!has_role)
        listed->role = CONFIG_ROLE_ANY;
    if (!has_role && !config_setting_get_member(group, "zone"))
        config_error(p->problems, line_of(group), p->rule, "\"role\" is missing in interfaces, allowed is %s",
                     schema_allowed(schema_find(SCHEMA_INTERFACE, "role"), allowed));
    else
        listed->complete = is_sound(group, SCHEMA_INTERFACE, "name") && is_sound(group, SCHEMA_INTERFACE, "role");
}

static void finish_input(struct parser *p, const config_setting_t *group, void *target)
{
    struct config_input *in = target;
    const config_setting_t *sources = config_setting_get_member(group, "sources");
    struct endpoint input = endpoint_of_input(in, 0);
    int family = endpoint_family(&input);
    char text[ADDR_TEXT_MAX];

    if (endpoint_span(&input) > CONFIG_SPAN_MAX)
        config_error(p->problems, line_of(group), p->rule,
                     "input is %u destinations (%u groups, %u ports), allowed is up to %u", endpoint_span(&input),
                     in->n_addresses, in->n_ports, CONFIG_SPAN_MAX);
    if (!sources)
        return;
    for (size_t i = 0; i < in->n_sources && has_destination(group, SCHEMA_INPUT); i++)
        if (in->sources[i].addr.family != ADDR_NONE && in->sources[i].addr.family != family)
            config_error(p->problems, line_of(sources), p->rule,
                         "\"sources\" element %zu is \"%s\", allowed is IPv%d %s", i + 1,
                         addr_prefix_format(&in->sources[i], text), family, as_destination[in->kind]);
    check_repeated_sources(p, in, line_of(sources));
}

static void check_tag(struct parser *p, const struct config_output *out, int line)
{
    static const char why[] = "a socket writes no tag, but the VLAN's own interface does";

    if (out->kind == CONFIG_ADDRESS)
        config_error(p->problems, line, p->rule,
                     "\"vlan\" is %u for an \"address\", allowed is \"group\" or \"broadcast\": %s", out->vlan, why);
    else if (out->mode == CONFIG_MODE_SOCKET)
        config_error(p->problems, line, p->rule,
                     "\"vlan\" is %u with the \"mode\" \"socket\", allowed is \"frame\" or \"auto\": %s", out->vlan,
                     why);
}

static void finish_output(struct parser *p, const config_setting_t *group, void *target)
{
    struct config_output *out = target;
    struct endpoint output = endpoint_of_output(out, 0);
    int family = endpoint_family(&output);
    char text[ADDR_TEXT_MAX];

    // In a range of ports, each port is also its source port.
    if (out->source_port == 0 && out->n_ports == 1)
        out->source_port = out->port;
    if (!has_destination(group, SCHEMA_OUTPUT))
        return;
    if (out->kind == CONFIG_ADDRESS && out->mode == CONFIG_MODE_FRAME)
        config_error(p->problems, line_of(config_setting_get_member(group, "mode")), p->rule,
                     "\"mode\" is \"frame\" for an \"address\", allowed is \"socket\" or \"auto\": "
                     "only the kernel finds neighbours");
    if (out->vlan)
        check_tag(p, out, line_of(config_setting_get_member(group, "vlan")));
    if (out->source.family != ADDR_NONE && out->source.family != family)
        config_error(p->problems, line_of(config_setting_get_member(group, "source")), p->rule,
                     "\"source\" is \"%s\", allowed is IPv%d %s", addr_format(&out->source, text), family,
                     as_destination[out->kind]);
}

// Checks one dimension of an output: it has one element for all of the input, or a counterpart for each.
static void check_span(struct parser *p, const struct config_output *out, size_t i, const char *what, unsigned n,
                       unsigned n_input)
{
    char all[16] = "";

    if (n <= 1 || n_input == 0 || n == n_input) // 0: it was refused
        return;
    if (n_input > 1)
        snprintf(all, sizeof(all), " or %u", n_input);
    config_error(p->problems, out->line, p->rule, "output %zu has %u %s, allowed is one%s as in the input", i + 1, n,
                 what, all);
}

// Inputs are counterparts of each other: as many groups and ports each, and a leg has one name.
static void check_inputs(struct parser *p, const struct config_rule *rule)
{
    const struct config_input *first = &rule->inputs[0];
    char leg[CONFIG_LEG_MAX], other[CONFIG_LEG_MAX];

    for (size_t i = 1; i < rule->n_inputs; i++) {
        const struct config_input *in = &rule->inputs[i];
        bool known = in->n_addresses > 0 && in->n_ports > 0 && first->n_addresses > 0 && first->n_ports > 0;
        if (known && (in->n_addresses != first->n_addresses || in->n_ports != first->n_ports))
            config_error(p->problems, in->line, p->rule,
                         "input %zu has %u groups and %u ports, allowed are as many as in input 1: %u and %u", i + 1,
                         in->n_addresses, in->n_ports, first->n_addresses, first->n_ports);
        for (size_t j = 0; j < i; j++)
            if (strcmp(config_leg(rule, i, leg), config_leg(rule, j, other)) == 0)
                config_error(p->problems, in->line, p->rule, "\"leg\" of input %zu is \"%s\", as is that of input %zu",
                             i + 1, leg, j + 1);
    }
}

// What lies in a payload: its key of the size, without _bytes, and where.
struct area {
    const char *name;
    uint32_t at, bytes;
};

// A place without a size does nothing, and what overlaps is read as both.
static void doubt_areas(struct parser *p, const config_setting_t *group, const struct config_field *f)
{
    const struct area areas[] = {{"number", f->at, f->bytes},
                                 {"session", f->session_at, f->session_bytes},
                                 {"count", f->count_at, f->count_bytes}};
    char key[32], size[32];

    for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
        const struct area *a = &areas[i];
        snprintf(key, sizeof(key), "%s_at", a->name);
        const config_setting_t *at = config_setting_get_member(group, key);
        snprintf(size, sizeof(size), "%s_bytes", a->name);
        // --print writes both, with a size of 0.
        if (at && a->bytes == 0 && !config_setting_get_member(group, size))
            config_warning(p->problems, line_of(at), p->rule,
                           "\"%s\" does nothing without \"%s\", its size: write both", key, size);
        for (size_t j = 0; j < i; j++) {
            const struct area *b = &areas[j];
            if (a->bytes > 0 && a->at < b->at + b->bytes && b->at < a->at + a->bytes)
                config_warning(p->problems, line_of(group), p->rule,
                               "the %s (bytes %u to %u of the payload) and the %s (%u to %u) overlap%s", b->name, b->at,
                               b->at + b->bytes - 1, a->name, a->at, a->at + a->bytes - 1,
                               f->session_bytes == 10 ? ": MoldUDP64 has at = 10; count_at = 18;"
                                                      : ": one is not where it is meant");
        }
    }
}

static void finish_field(struct parser *p, const config_setting_t *group, void *target)
{
    const struct config_field *f = target;

    if (f->bytes != 0 && f->bytes != 1 && f->bytes != 2 && f->bytes != 4 && f->bytes != 8)
        config_error(p->problems, line_of(config_setting_get_member(group, "bytes")), p->rule,
                     "\"bytes\" is %u, allowed is 1, 2, 4 or 8", f->bytes);
    if (f->count_bytes == 3)
        config_error(p->problems, line_of(config_setting_get_member(group, "count_bytes")), p->rule,
                     "\"count_bytes\" is 3, allowed is 0, 1, 2 or 4");
}

// A key that only some kinds of its section ask for: bit 1 << KIND of each.
struct kind_key {
    const char *name;
    unsigned kinds;
};

// A key that this kind does not ask for would do nothing; the default, which is printed, is no mistake. chooser: the
// key that tells the kind.
static void refuse_idle_keys(struct parser *p, const config_setting_t *group, enum schema_place where,
                             const char *chooser, unsigned kind, const struct kind_key *keys, size_t n)
{
    for (size_t i = 0; i < n && is_sound(group, where, chooser); i++) {
        const struct schema_key *key = schema_find(where, keys[i].name);
        const config_setting_t *s = config_setting_get_member(group, keys[i].name);
        bool set = s && (!key->fallback || config_setting_get_int64(s) != atoll(key->fallback));
        if (set && is_sound(group, where, keys[i].name) && !(keys[i].kinds & 1u << kind))
            config_error(p->problems, line_of(s), p->rule, "\"%s\" means nothing where \"%s\" is \"%s\": leave it out",
                         keys[i].name, chooser, schema_find(where, chooser)->words[kind]);
    }
}

static void require_field(struct parser *p, const config_setting_t *group, enum schema_place where)
{
    if (!config_setting_get_member(group, "field"))
        config_error(
            p->problems, line_of(group), p->rule,
            "\"field\" is missing in %s: the offset and the size of the number, as field = { at = 4; bytes = 4; }%s",
            schema_places[where].name, where == SCHEMA_MERGE ? "; of MoldUDP64 " HINT_MOLD : "");
}

// The kinds of merge that may have a reorder_ms.
#define MERGES_IN_ORDER (1u << CONFIG_MERGE_RTP | 1u << CONFIG_MERGE_FIELD)

static void finish_merge(struct parser *p, const config_setting_t *group, void *target)
{
    static const struct kind_key keys[] = {{"reorder_ms", MERGES_IN_ORDER},
                                           {"field", 1u << CONFIG_MERGE_FIELD},
                                           {"switch_after_ms", 1u << CONFIG_MERGE_ACTIVE},
                                           {"return_after_ms", 1u << CONFIG_MERGE_ACTIVE}};
    const struct config_merge *m = target;

    refuse_idle_keys(p, group, SCHEMA_MERGE, "by", m->by, keys, sizeof(keys) / sizeof(keys[0]));
    if (m->by == CONFIG_MERGE_FIELD)
        require_field(p, group, SCHEMA_MERGE);
    if (is_sound(group, SCHEMA_MERGE, "window_ms") && m->reorder_ms > m->window_ms)
        config_error(p->problems, line_of(config_setting_get_member(group, "reorder_ms")), p->rule,
                     "\"reorder_ms\" is %u, allowed is up to window_ms, %u", m->reorder_ms, m->window_ms);
}

static void finish_monitor(struct parser *p, const config_setting_t *group, void *target)
{
    static const struct kind_key keys[] = {{"clock_hz", 1u << CONFIG_MONITOR_RTP | 1u << CONFIG_MONITOR_TS},
                                           {"max_jitter_us", 1u << CONFIG_MONITOR_RTP | 1u << CONFIG_MONITOR_TS},
                                           {"field", 1u << CONFIG_MONITOR_FIELD}};
    const struct config_monitor *m = target;

    refuse_idle_keys(p, group, SCHEMA_MONITOR, "as", m->as, keys, sizeof(keys) / sizeof(keys[0]));
    if (m->as == CONFIG_MONITOR_FIELD)
        require_field(p, group, SCHEMA_MONITOR);
}

// What is held back is copied, and leaves later without the packet that brought it.
static void check_reorder(struct parser *p, const config_setting_t *group, const struct config_rule *rule)
{
    bool keeps = rule->limit.per_source;

    for (size_t i = 0; i < rule->n_outputs; i++)
        keeps = keeps || rule->outputs[i].keep_source || rule->outputs[i].keep_source_port;
    if (keeps)
        config_error(
            p->problems, rule->merge.line, p->rule,
            "\"reorder_ms\" is %u, allowed is 0 with \"preserve\" at an output, or per_source: a datagram that "
            "is held back has no sender any more",
            rule->merge.reorder_ms);
    if (rule->max_payload > CONFIG_MERGE_HELD_MAX && is_sound(group, SCHEMA_RULE, "max_payload"))
        config_error(p->problems, rule->merge.line, p->rule,
                     "\"reorder_ms\" is %u, which needs max_payload, up to %d: what is held back is copied",
                     rule->merge.reorder_ms, CONFIG_MERGE_HELD_MAX);
}

// What reorder_ms holds back would be stale when its turn comes.
static void check_deadline(struct parser *p, const struct config_rule *rule)
{
    if (rule->deadline_us > 0 && rule->deadline_us <= rule->merge.reorder_ms * 1000)
        config_error(
            p->problems, rule->merge.line, p->rule,
            "\"deadline_us\" is %u, allowed with reorder_ms = %u is more than %u: what is held back for a missing "
            "number would be too late",
            rule->deadline_us, rule->merge.reorder_ms, rule->merge.reorder_ms * 1000);
}

static void check_merge(struct parser *p, const config_setting_t *group, const struct config_rule *rule)
{
    bool one = rule->n_inputs == 1 &&
               !(config_setting_get_member(group, "input") && config_setting_get_member(group, "inputs"));

    if (rule->merge.line == 0)
        return;
    if (one)
        config_error(p->problems, rule->merge.line, p->rule,
                     "merge needs two inputs or more: write inputs = ( { leg = \"A\"; ... }, { leg = \"B\"; ... } )");
    if (rule->merge.reorder_ms == 0 || !(MERGES_IN_ORDER & 1u << rule->merge.by))
        return;
    check_reorder(p, group, rule);
    check_deadline(p, rule);
}

// The line of a key that may be left out, or 0.
static int line_in(const config_setting_t *group, const char *key)
{
    const config_setting_t *s = config_setting_get_member(group, key);

    return s ? line_of(s) : 0;
}

static void top_lines(const config_setting_t *group, struct config *c)
{
    c->valid_from_line = line_in(group, "valid_from");
    c->valid_until_line = line_in(group, "valid_until");
    c->audit_mib_line = line_in(group, "audit_mib");
    c->audit_required_line = line_in(group, "audit_required");
}

void section_lines(enum schema_place where, const config_setting_t *group, void *target)
{
    struct config_rule *rule = target;

    if (where == SCHEMA_INPUT)
        ((struct config_input *) target)->sources_line = line_in(group, "sources");
    if (where == SCHEMA_TOP)
        top_lines(group, target);
    if (where != SCHEMA_RULE)
        return;
    rule->max_payload_line = line_in(group, "max_payload");
    rule->max_residence_line = line_in(group, "max_residence_us");
    rule->deadline_line = line_in(group, "deadline_us");
    rule->active_line = line_in(group, "active_until");
    if (rule->active_line == 0)
        rule->active_line = line_in(group, "active_from");
}

// name: of the two keys, before "_from" and "_until".
static void check_times(struct parser *p, struct schedule s, int line, const char *name)
{
    char from[MOMENT_TEXT_MAX], until[MOMENT_TEXT_MAX];

    if (s.from != 0 && s.until != 0 && s.from >= s.until)
        config_error(p->problems, line, p->rule, "\"%s_until\" is \"%s\", allowed is a time after %s_from, \"%s\"",
                     name, moment_format(s.until, until), name, moment_format(s.from, from));
}

static void finish_top(struct parser *p, const config_setting_t *group, void *target)
{
    check_times(p, ((struct config *) target)->valid, line_in(group, "valid_until"), "valid");
}

static void finish_rule(struct parser *p, const config_setting_t *group, void *target)
{
    struct config_rule *rule = target;

    check_inputs(p, rule);
    check_times(p, rule->active, rule->active_line, "active");
    check_merge(p, group, rule);
    for (size_t i = 0; i < rule->n_outputs && rule->n_inputs > 0; i++) {
        check_span(p, &rule->outputs[i], i, "groups", rule->outputs[i].n_addresses, rule->inputs[0].n_addresses);
        check_span(p, &rule->outputs[i], i, "ports", rule->outputs[i].n_ports, rule->inputs[0].n_ports);
    }
}

void section_finish(struct parser *p, enum schema_place where, const config_setting_t *group, void *target, bool clean)
{
    static void (*const finish[SCHEMA_PLACES])(struct parser *, const config_setting_t *, void *) = {
        [SCHEMA_TOP] = finish_top,     [SCHEMA_INTERFACE] = finish_interface, [SCHEMA_RULE] = finish_rule,
        [SCHEMA_INPUT] = finish_input, [SCHEMA_OUTPUT] = finish_output,       [SCHEMA_MERGE] = finish_merge,
        [SCHEMA_FIELD] = finish_field, [SCHEMA_MONITOR] = finish_monitor,     [SCHEMA_MONITOR_FIELD] = finish_field,
    };

    if (finish[where])
        finish[where](p, group, target);
    if (clean && (where == SCHEMA_FIELD || where == SCHEMA_MONITOR_FIELD))
        doubt_areas(p, group, target);
}
