// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/parse.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "config/hint.h"
#include "config/schema.h"
#include "config/value.h"

#define SHOWN_KEY 64 // bytes of an unknown key

struct parser {
    struct config_problems *problems;
    const char *rule; // name for messages; NULL outside of rules
};

static void read_section(struct parser *p, enum schema_place where, const config_setting_t *group, void *target);

static int line_of(const config_setting_t *s)
{
    return (int) config_setting_source_line(s);
}

static void refuse(struct parser *p, const struct schema_key *key, const config_setting_t *s,
                   enum value_verdict verdict)
{
    struct value value = value_of(s);
    const char *why = value_verdict_text(verdict);
    char shown[VALUE_TEXT_MAX], allowed[SCHEMA_ALLOWED_MAX], hint[HINT_MAX];

    value_format(&value, shown);
    if (why)
        config_error(p->problems, line_of(s), p->rule, "\"%s\" is %s, %s%s", key->name, shown, why,
                     verdict == VALUE_HOST_BITS ? hint_network(value.text, hint) : "");
    else
        config_error(p->problems, line_of(s), p->rule, "\"%s\" is %s, allowed is %s%s", key->name, shown,
                     schema_allowed(key, allowed), hint_value(key, &value, hint));
}

static const char *hint_prefix(const struct schema_key *key, const struct value *value, enum value_verdict form,
                               char hint[HINT_MAX])
{
    if (form == VALUE_OK && *hint_network(value->text, hint))
        return hint;
    return hint_value(key, value, hint);
}

// --- lists -----------------------------------------------------------------------------------------------------------

// Reads one prefix of a list. Errors get the line of the list, because libconfig gives a string the line of the token
// after it.
static void read_prefix(struct parser *p, const struct schema_key *key, const config_setting_t *list, unsigned i,
                        struct addr_prefix *prefix)
{
    struct value value = value_of(config_setting_get_elem(list, i));
    enum value_verdict form = value_judge_form(&value);
    char shown[VALUE_TEXT_MAX], hint[HINT_MAX];
    const char *why = "not an IPv4 or IPv6 address or prefix";

    if (form == VALUE_OK && addr_prefix_parse(value.text, prefix, &why)) {
        if (addr_is_unicast(&prefix->addr))
            return;
        why = "allowed is unicast";
    }
    memset(prefix, 0, sizeof(*prefix));
    config_error(p->problems, line_of(list), p->rule, "\"%s\" element %u is %s, %s%s", key->name, i + 1,
                 value_format(&value, shown), value_verdict_text(form) ? value_verdict_text(form) : why,
                 hint_prefix(key, &value, form, hint));
}

// Sets the name of the rule in messages: its name, or its position if the name is not valid.
static void name_rule(struct parser *p, const config_setting_t *group, unsigned i, struct config_rule *rule)
{
    const config_setting_t *s = config_setting_get_member(group, "name");

    snprintf(rule->name, sizeof(rule->name), "#%u", i + 1);
    p->rule = rule->name;
    if (s) {
        struct value value = value_of(s);
        value_store(schema_find(SCHEMA_RULE, "name"), &value, rule);
    }
}

// Gives a list of target n elements, zeroed. NULL where another key has given it, which require_choice() tells, or
// after telling that there is no memory.
static void *give_list(struct parser *p, const struct schema_key *key, const config_setting_t *s, void *target,
                       size_t n, size_t size)
{
    void *elements;

    if (value_load_list(key, target).elements)
        return NULL;
    elements = calloc(n > 0 ? n : 1, size);
    if (!elements) {
        config_error(p->problems, line_of(s), p->rule, "out of memory");
        return NULL;
    }
    memcpy((char *) target + key->offset, &elements, sizeof(elements));
    memcpy((char *) target + key->aside, &n, sizeof(n));
    return elements;
}

static void read_element(struct parser *p, const struct schema_key *key, const config_setting_t *list, unsigned i,
                         void *target)
{
    const config_setting_t *group = config_setting_get_elem(list, i);
    struct value value = value_of(group);
    char shown[VALUE_TEXT_MAX];

    if (!config_setting_is_group(group)) {
        config_error(p->problems, line_of(group), p->rule, "\"%s\" element %u is %s, allowed is a group { }", key->name,
                     i + 1, value_format(&value, shown));
        return;
    }
    if (key->inside == SCHEMA_RULE)
        name_rule(p, group, i, target);
    read_section(p, key->inside, group, target);
    if (key->inside != SCHEMA_RULE)
        return;
    // What was refused is an input that is not complete: no rule is without one.
    struct config_rule *rule = target;
    if (!rule->inputs && give_list(p, schema_find(SCHEMA_RULE, "input"), group, target, 1, sizeof(*rule->inputs)))
        rule->inputs->line = rule->line;
    p->rule = NULL;
}

static void read_list(struct parser *p, const struct schema_key *key, const config_setting_t *s, void *target)
{
    bool prefixes = key->kind == SCHEMA_PREFIXES;
    size_t size = prefixes ? sizeof(struct addr_prefix) : schema_places[key->inside].size;
    size_t n = (size_t) config_setting_length(s);
    char allowed[SCHEMA_ALLOWED_MAX], *elements;

    if (!config_setting_is_list(s) && !(prefixes && config_setting_is_array(s))) {
        refuse(p, key, s, VALUE_NOT_ALLOWED);
        return;
    }
    if ((int64_t) n < key->least || (int64_t) n > key->most) {
        config_error(p->problems, line_of(s), p->rule, "\"%s\" has %zu elements, allowed is %s%s", key->name, n,
                     schema_allowed(key, allowed), prefixes && n == 0 ? HINT_EVERY_SENDER : "");
        return;
    }
    elements = give_list(p, key, s, target, n, size);
    for (unsigned i = 0; elements && i < n; i++) {
        if (prefixes)
            read_prefix(p, key, s, i, (struct addr_prefix *) (void *) elements + i);
        else
            read_element(p, key, s, i, elements + i * size);
    }
}

// --- checks of several keys of one section ---------------------------------------------------------------------------

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
        if (memcmp(sorted[i], sorted[i - 1], sizeof(*sorted[i])) == 0)
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
    (void) p;
    (void) group;
    ((struct config_interface *) target)->complete = true;
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
    in->sources_line = line_of(sources);
    for (size_t i = 0; i < in->n_sources; i++)
        if (in->sources[i].addr.family != family)
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

    if (n == 1 || n == n_input)
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
        if (in->n_addresses != first->n_addresses || in->n_ports != first->n_ports)
            config_error(p->problems, in->line, p->rule,
                         "input %zu has %u groups and %u ports, allowed are as many as in input 1: %u and %u", i + 1,
                         in->n_addresses, in->n_ports, first->n_addresses, first->n_ports);
        for (size_t j = 0; j < i; j++)
            if (strcmp(config_leg(rule, i, leg), config_leg(rule, j, other)) == 0)
                config_error(p->problems, in->line, p->rule, "\"leg\" of input %zu is \"%s\", as is that of input %zu",
                             i + 1, leg, j + 1);
    }
}

static void finish_field(struct parser *p, const config_setting_t *group, void *target)
{
    const struct config_field *f = target;

    if (f->bytes != 1 && f->bytes != 2 && f->bytes != 4 && f->bytes != 8)
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
    for (size_t i = 0; i < n; i++) {
        const struct schema_key *key = schema_find(where, keys[i].name);
        const config_setting_t *s = config_setting_get_member(group, keys[i].name);
        bool set = s && (!key->fallback || config_setting_get_int64(s) != atoll(key->fallback));
        if (set && !(keys[i].kinds & 1u << kind))
            config_error(p->problems, line_of(s), p->rule, "\"%s\" means nothing where \"%s\" is \"%s\": leave it out",
                         keys[i].name, chooser, schema_find(where, chooser)->words[kind]);
    }
}

static void require_field(struct parser *p, const config_setting_t *group, enum schema_place where)
{
    if (!config_setting_get_member(group, "field"))
        config_error(p->problems, line_of(group), p->rule,
                     "\"field\" is missing in %s: write field = { at = 4; bytes = 4; }", schema_places[where].name);
}

static void finish_merge(struct parser *p, const config_setting_t *group, void *target)
{
    static const struct kind_key keys[] = {{"reorder_ms", 1u << CONFIG_MERGE_RTP | 1u << CONFIG_MERGE_FIELD},
                                           {"field", 1u << CONFIG_MERGE_FIELD},
                                           {"switch_after_ms", 1u << CONFIG_MERGE_ACTIVE},
                                           {"return_after_ms", 1u << CONFIG_MERGE_ACTIVE}};
    const struct config_merge *m = target;

    refuse_idle_keys(p, group, SCHEMA_MERGE, "by", m->by, keys, sizeof(keys) / sizeof(keys[0]));
    if (m->by == CONFIG_MERGE_FIELD)
        require_field(p, group, SCHEMA_MERGE);
    if (m->reorder_ms > m->window_ms)
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
static void check_reorder(struct parser *p, const struct config_rule *rule)
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
    if (rule->max_payload > CONFIG_MERGE_HELD_MAX)
        config_error(p->problems, rule->merge.line, p->rule,
                     "\"reorder_ms\" is %u, which needs max_payload, up to %d: what is held back is copied",
                     rule->merge.reorder_ms, CONFIG_MERGE_HELD_MAX);
}

// What reorder_ms holds back would be stale when its turn comes.
static void check_deadline(struct parser *p, const struct config_rule *rule)
{
    if (rule->deadline_us > 0 && rule->merge.reorder_ms > 0 && rule->deadline_us <= rule->merge.reorder_ms * 1000)
        config_error(
            p->problems, rule->merge.line, p->rule,
            "\"deadline_us\" is %u, allowed with reorder_ms = %u is more than %u: what is held back for a missing "
            "number would be too late",
            rule->deadline_us, rule->merge.reorder_ms, rule->merge.reorder_ms * 1000);
}

static void check_merge(struct parser *p, const struct config_rule *rule)
{
    if (rule->merge.line == 0)
        return;
    if (rule->n_inputs < 2)
        config_error(p->problems, rule->merge.line, p->rule,
                     "merge needs two inputs or more: write inputs = ( { leg = \"A\"; ... }, { leg = \"B\"; ... } )");
    if (rule->merge.reorder_ms > 0)
        check_reorder(p, rule);
    check_deadline(p, rule);
}

static void finish_rule(struct parser *p, const config_setting_t *group, void *target)
{
    struct config_rule *rule = target;

    if (config_setting_get_member(group, "max_payload"))
        rule->max_payload_line = line_of(config_setting_get_member(group, "max_payload"));
    check_inputs(p, rule);
    check_merge(p, rule);
    for (size_t i = 0; i < rule->n_outputs; i++) {
        check_span(p, &rule->outputs[i], i, "groups", rule->outputs[i].n_addresses, rule->inputs[0].n_addresses);
        check_span(p, &rule->outputs[i], i, "ports", rule->outputs[i].n_ports, rule->inputs[0].n_ports);
    }
}

// --- sections --------------------------------------------------------------------------------------------------------

static void refuse_unknown(struct parser *p, enum schema_place where, const config_setting_t *s)
{
    const char *name = config_setting_name(s);
    struct value value = value_of(s);
    char hint[HINT_KEY_MAX];

    config_error(p->problems, line_of(s), p->rule, "unknown key \"%.*s\" in %s%s", SHOWN_KEY, name,
                 schema_places[where].name, hint_key(where, name, &value, hint));
}

static void read_key(struct parser *p, const struct schema_key *key, const config_setting_t *s, void *target)
{
    struct value value = value_of(s);

    if (key->kind == SCHEMA_PREFIXES || key->kind == SCHEMA_SECTIONS) {
        read_list(p, key, s, target);
    } else if (key->kind == SCHEMA_SECTION && config_setting_is_group(s)) {
        void *section = key->aside ? give_list(p, key, s, target, 1, schema_places[key->inside].size)
                                   : (char *) target + key->offset;
        if (section)
            read_section(p, key->inside, s, section);
    } else {
        enum value_verdict verdict = value_store(key, &value, target);
        char shown[VALUE_TEXT_MAX];
        if (verdict != VALUE_OK)
            refuse(p, key, s, verdict);
        else if (value.type == VALUE_STRING && hint_is_template(value.text))
            config_warning(p->problems, line_of(s), p->rule, "\"%s\" is %s: a template that was not filled in?",
                           key->name, value_format(&value, shown));
    }
}

static void require(struct parser *p, enum schema_place where, const config_setting_t *group)
{
    char allowed[SCHEMA_ALLOWED_MAX];

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if (key->need == SCHEMA_REQUIRED && !config_setting_get_member(group, key->name))
            config_error(p->problems, line_of(group), p->rule, "\"%s\" is missing in %s, allowed is %s", key->name,
                         schema_places[where].name, schema_allowed(key, allowed));
}

// Checks keys of which exactly one, or at least one, must be given.
static void require_choice(struct parser *p, enum schema_place where, const config_setting_t *group,
                           enum schema_need need)
{
    char known[64] = "", found[64] = "";
    int given = 0;

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));) {
        if (key->need != need)
            continue;
        bool there = config_setting_get_member(group, key->name) != NULL;
        char *text = there ? found : known;
        size_t used = strlen(text);
        snprintf(text + used, sizeof(known) - used, "%s\"%s\"", used == 0 ? "" : there ? " and " : " or ", key->name);
        given += there;
    }
    if (given == 0 && known[0])
        config_error(p->problems, line_of(group), p->rule, "%s is missing in %s", known, schema_places[where].name);
    else if (given > 1 && need == SCHEMA_ONE_OF)
        config_error(p->problems, line_of(group), p->rule, "%s are given in %s, allowed is one of them", found,
                     schema_places[where].name);
}

static void read_section(struct parser *p, enum schema_place where, const config_setting_t *group, void *target)
{
    static void (*const finish[SCHEMA_PLACES])(struct parser *, const config_setting_t *, void *) = {
        [SCHEMA_INTERFACE] = finish_interface, [SCHEMA_RULE] = finish_rule,           [SCHEMA_INPUT] = finish_input,
        [SCHEMA_OUTPUT] = finish_output,       [SCHEMA_MERGE] = finish_merge,         [SCHEMA_FIELD] = finish_field,
        [SCHEMA_MONITOR] = finish_monitor,     [SCHEMA_MONITOR_FIELD] = finish_field,
    };
    size_t errors = p->problems->n_errors;

    if (schema_places[where].line)
        *(int *) (void *) ((char *) target + schema_places[where].line) = line_of(group);
    value_store_defaults(where, target);
    for (unsigned i = 0; i < (unsigned) config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, i);
        const struct schema_key *key = schema_find(where, config_setting_name(s));
        if (key)
            read_key(p, key, s, target);
        else
            refuse_unknown(p, where, s);
    }
    require(p, where, group);
    require_choice(p, where, group, SCHEMA_ONE_OF);
    require_choice(p, where, group, SCHEMA_ANY_OF);
    if (finish[where] && p->problems->n_errors == errors)
        finish[where](p, group, target);
}

// --- the file --------------------------------------------------------------------------------------------------------

static void refuse_syntax(const config_t *tree, struct config_problems *problems)
{
    static const char *const plain[][2] = {
        {"syntax error", "syntax error here or just before"},
        {"mismatched element type in array", "elements of an array [ ] differ in type"},
    };
    const char *text = config_error_text(tree);

    for (size_t i = 0; text && i < sizeof(plain) / sizeof(plain[0]); i++)
        if (strcmp(text, plain[i][0]) == 0)
            text = plain[i][1];
    config_error(problems, config_error_line(tree), NULL, "%s", text ? text : "cannot be parsed");
}

// Refuses a file of another version. Nothing else of it is checked, because each key may have another meaning.
static bool is_our_version(const config_setting_t *root, struct config_problems *problems)
{
    const config_setting_t *s = config_setting_get_member(root, "version");

    if (!s || config_setting_type(s) != CONFIG_TYPE_INT || config_setting_get_int(s) == 1)
        return true;
    config_error(problems, line_of(s), NULL, "\"version\" is %d, this program understands 1",
                 config_setting_get_int(s));
    return false;
}

// Checks that there is as much memory as libconfig may need, because libconfig 1.5 ends the process without it. A
// setting takes about 100 bytes, and two bytes of text can make one.
static bool memory_suffices(size_t size)
{
    void *probe = malloc(size * 64 + (1u << 20));

    free(probe);
    return probe != NULL;
}

// Appends a line end, because libconfig 1.5 does not see the end of a comment on a last line without one.
static bool read_tree(config_t *tree, const char *text, size_t size, struct config_problems *problems)
{
    char *ended = memory_suffices(size) ? malloc(size + 2) : NULL;

    if (!ended) {
        config_error(problems, 0, NULL, "out of memory");
        return false;
    }
    memcpy(ended, text, size);
    memcpy(ended + size, "\n", 2);
    bool ok = config_read_string(tree, ended) == CONFIG_TRUE;
    if (!ok)
        refuse_syntax(tree, problems);
    free(ended);
    return ok && is_our_version(config_root_setting(tree), problems);
}

struct config *parse_config(const char *text, size_t size, struct config_problems *problems)
{
    struct parser p = {.problems = problems};
    struct config *c = NULL;
    config_t tree;

    config_init(&tree);
    if (read_tree(&tree, text, size, problems)) {
        c = calloc(1, sizeof(*c));
        if (c)
            read_section(&p, SCHEMA_TOP, config_root_setting(&tree), c);
        else
            config_error(problems, 0, NULL, "out of memory");
    }
    config_destroy(&tree);
    return c;
}
