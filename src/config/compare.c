// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/compare.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/endpoint.h"
#include "config/print.h"
#include "config/schema.h"
#include "config/value.h"

// --- sources ---------------------------------------------------------------------------------------------------------

// Returns whether every sender in prefix is allowed: by one of the sources, or each half of the prefix by narrower
// ones.
static bool allows(const struct config_input *in, struct addr_prefix prefix)
{
    bool narrower = false;

    for (size_t i = 0; i < in->n_sources; i++) {
        const struct addr_prefix *source = &in->sources[i];
        if (source->bits <= prefix.bits && addr_prefix_contains(source, &prefix.addr))
            return true;
        narrower = narrower || addr_prefix_contains(&prefix, &source->addr);
    }
    if (!narrower)
        return in->n_sources == 0;
    struct addr_prefix low = prefix, high;
    low.bits++;
    high = low;
    high.addr.bytes[prefix.bits / 8] |= (uint8_t) (0x80u >> prefix.bits % 8);
    return allows(in, low) && allows(in, high);
}

// Returns whether `to` excludes a sender that `from` allows, or joins its group in a way that no router obeys.
static bool shuts_out(const struct config_input *from, const struct config_input *to)
{
    struct endpoint input = endpoint_of_input(to, 0);

    for (size_t i = 0; i < from->n_sources; i++)
        if (!allows(to, from->sources[i]))
            return true;
    if (config_joins_nobody(to) && !config_joins_nobody(from))
        return true;
    return from->n_sources == 0 && !allows(to, (struct addr_prefix){.addr.family = endpoint_family(&input)});
}

static int compare_prefixes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct addr_prefix));
}

// Compares the sources as sets of what is written, not of the senders that are meant, so that each change of the file
// is shown to its reviewer.
static bool same_sources(const struct config_input *from, const struct config_input *to)
{
    struct addr_prefix before[CONFIG_SOURCES_MAX], after[CONFIG_SOURCES_MAX];
    size_t n = from->n_sources;

    if (n != to->n_sources)
        return false;
    if (n == 0)
        return true;
    memcpy(before, from->sources, n * sizeof(before[0]));
    memcpy(after, to->sources, n * sizeof(after[0]));
    qsort(before, n, sizeof(before[0]), compare_prefixes);
    qsort(after, n, sizeof(after[0]), compare_prefixes);
    return memcmp(before, after, n * sizeof(before[0])) == 0;
}

// --- the fields that differ ------------------------------------------------------------------------------------------

struct fields {
    struct diff_field *list;
    size_t n;
    bool failed; // out of memory
};

static void compare_section(struct fields *f, enum schema_place where, const void *from, const void *to,
                            const char *prefix);

static uint64_t number_of(const struct schema_key *key, const void *target)
{
    return value_load_number((const char *) target + key->offset, key->size);
}

// Returns the permissiveness of a limit; 0 (not given) means unlimited.
static uint64_t allowance(const struct schema_key *key, const void *target)
{
    uint64_t number = number_of(key, target);

    return number < (uint64_t) key->least ? UINT64_MAX : number;
}

// Returns the effect of a changed key. before, after: whether the key was and is given.
static enum diff_effect effect_of(const struct schema_key *key, const void *from, const void *to, bool before,
                                  bool after)
{
    bool disturbs = true;

    switch (key->change) {
    case SCHEMA_RESTART:
        return DIFF_RESTART;
    case SCHEMA_ALWAYS:
        break;
    case SCHEMA_NEVER:
        disturbs = false;
        break;
    case SCHEMA_LESS:
        disturbs = allowance(key, to) < allowance(key, from);
        break;
    case SCHEMA_SOONER:
        disturbs = number_of(key, to) - 1 < number_of(key, from) - 1;
        break;
    case SCHEMA_APPEARS:
        disturbs = !before;
        break;
    case SCHEMA_DISAPPEARS:
        disturbs = !after;
        break;
    case SCHEMA_NARROWER:
        disturbs = shuts_out(from, to);
        break;
    case SCHEMA_CLOSES:
        disturbs = !config_rule_runs(to);
        break;
    }
    return disturbs ? DIFF_DISTURBS : DIFF_HARMLESS;
}

// Adds a value if it has changed. before and after: owned by this function; NULL: not given. Values are equal if they
// are printed the same, which works for every kind of key.
static void add_if_changed(struct fields *f, const char *path, enum diff_effect effect, json_t *before, json_t *after)
{
    bool same = before == after || json_equal(before, after);
    struct diff_field *list = f->list;

    if (!same && (f->n & (f->n - 1)) == 0) { // room for 1, 2, 4, ...
        list = realloc(f->list, (f->n ? 2 * f->n : 1) * sizeof(*list));
        f->failed |= !list;
    }
    if (same || !list) {
        json_decref(before);
        json_decref(after);
        return;
    }
    f->list = list;
    list += f->n++;
    *list = (struct diff_field){.from = before, .to = after, .effect = effect};
    snprintf(list->path, sizeof(list->path), "%s", path);
}

// Adds a key, or an element of its list, if its value has changed.
static void compare_trees(struct fields *f, const char *path, const struct schema_key *key, const void *from,
                          const void *to, json_t *before, json_t *after)
{
    add_if_changed(f, path, effect_of(key, from, to, before != NULL, after != NULL), before, after);
}

_Static_assert((int) CONFIG_OUTPUTS_MAX >= (int) CONFIG_INTERFACES_MAX, "the longest list of sections but the rules");

// What makes an element the same as one of another list: where an output goes to, the name of an input's leg, an
// interface's name.
static struct endpoint identity_of(enum schema_place where, const void *target, const void *element, size_t index,
                                   char leg[CONFIG_LEG_MAX])
{
    if (where == SCHEMA_OUTPUT)
        return endpoint_of_output(element, (uint32_t) index);
    if (where == SCHEMA_INPUT)
        return (struct endpoint){.interface = config_leg(target, index, leg), .index = (uint32_t) index};
    return (struct endpoint){.interface = ((const struct config_interface *) element)->name, .index = (uint32_t) index};
}

static void compare_lists(struct fields *f, const struct schema_key *key, const void *from, const void *to,
                          const char *path)
{
    struct value_list before = value_load_list(key, from), after = value_load_list(key, to);

    if (key->need == SCHEMA_ONE_OF && before.n == 1 && after.n == 1)
        return; // by the key of the only element
    size_t size = schema_places[key->inside].size;
    struct endpoint sorted[CONFIG_OUTPUTS_MAX];
    bool kept[CONFIG_OUTPUTS_MAX] = {false};
    char place[DIFF_PATH_MAX], legs[CONFIG_INPUTS_MAX][CONFIG_LEG_MAX], leg[CONFIG_LEG_MAX];

    for (size_t i = 0; i < before.n; i++)
        sorted[i] = identity_of(key->inside, from, before.elements + i * size, i, legs[i < CONFIG_INPUTS_MAX ? i : 0]);
    endpoint_sort(sorted, before.n);
    for (size_t i = 0; i < after.n; i++) {
        const void *element = after.elements + i * size;
        struct endpoint wanted = identity_of(key->inside, to, element, i, leg);
        const struct endpoint *found = endpoint_find(sorted, before.n, &wanted);
        snprintf(place, sizeof(place), "%.40s[%zu]%s", path, i, found ? "." : "");
        if (found) {
            kept[found->index] = true;
            compare_section(f, key->inside, before.elements + found->index * size, element, place);
        } else {
            compare_trees(f, place, key, from, to, NULL, config_section_tree(key->inside, element));
        }
    }
    for (size_t i = 0; i < before.n; i++) {
        if (kept[i])
            continue;
        snprintf(place, sizeof(place), "%.40s[%zu]", path, i);
        compare_trees(f, place, key, from, to, config_section_tree(key->inside, before.elements + i * size), NULL);
    }
}

static void compare_section(struct fields *f, enum schema_place where, const void *from, const void *to,
                            const char *prefix)
{
    char path[DIFF_PATH_MAX], inside[DIFF_PATH_MAX];

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));) {
        if (key->size == 0 || key->inside == SCHEMA_RULE)
            continue;
        snprintf(path, sizeof(path), "%.32s%.30s", prefix, key->name);
        if (key->kind == SCHEMA_SECTION && value_section(key, from) && value_section(key, to)) {
            snprintf(inside, sizeof(inside), "%.62s.", path);
            compare_section(f, key->inside, value_section(key, from), value_section(key, to), inside);
        } else if (key->kind == SCHEMA_SECTION && key->aside) {
            // More than one, before or now: by the key of the list.
        } else if (key->kind == SCHEMA_SECTIONS) {
            compare_lists(f, key, from, to, path);
        } else if (key->kind != SCHEMA_PREFIXES || !same_sources(from, to)) {
            compare_trees(f, path, key, from, to, config_value_tree(key, from), config_value_tree(key, to));
        }
    }
}

// --- the order of legs -----------------------------------------------------------------------------------------------

static bool has_leg(const struct config_rule *rule, const char *leg)
{
    char other[CONFIG_LEG_MAX];

    for (size_t i = 0; i < rule->n_inputs; i++)
        if (strcmp(config_leg(rule, i, other), leg) == 0)
            return true;
    return false;
}

static json_t *leg_names(const struct config_rule *rule)
{
    json_t *names = json_array();
    char leg[CONFIG_LEG_MAX];

    for (size_t i = 0; i < rule->n_inputs; i++)
        json_array_append_new(names, json_string(config_leg(rule, i, leg)));
    return names;
}

// Whether another leg may be preferred now: what both rules have stands in another order, or behind a new one.
static bool prefers_another(const struct config_rule *from, const struct config_rule *to)
{
    char leg[CONFIG_LEG_MAX], other[CONFIG_LEG_MAX];
    size_t next = 0;

    for (size_t i = 0; i < from->n_inputs; i++) {
        if (!has_leg(to, config_leg(from, i, leg)))
            continue;
        if (strcmp(config_leg(to, next++, other), leg) != 0)
            return true;
    }
    return false;
}

// One leg is active at a time: the first of the list that is alive, at once or, if it never returns, at the next start.
static void compare_order(struct fields *f, const struct config_rule *from, const struct config_rule *to)
{
    if (from->merge.by == CONFIG_MERGE_ACTIVE && to->merge.by == CONFIG_MERGE_ACTIVE && prefers_another(from, to))
        add_if_changed(f, "inputs", to->merge.return_after_ms > 0 ? DIFF_DISTURBS : DIFF_HARMLESS, leg_names(from),
                       leg_names(to));
}

// --- rules -----------------------------------------------------------------------------------------------------------

static int compare_names(const void *a, const void *b)
{
    const struct config_rule *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static const struct config_rule **sort_rules(const struct config *c)
{
    const struct config_rule **sorted = calloc(c->n_rules + 1, sizeof(const struct config_rule *));

    for (size_t i = 0; sorted && i < c->n_rules; i++)
        sorted[i] = &c->rules[i];
    if (sorted)
        qsort(sorted, c->n_rules, sizeof(sorted[0]), compare_names);
    return sorted;
}

// Returns the rule with the same name in a sorted list, or NULL.
static const struct config_rule *namesake(const struct config_rule **sorted, size_t n, const struct config_rule *rule)
{
    const struct config_rule **found = bsearch(&rule, sorted, n, sizeof(sorted[0]), compare_names);

    return found ? *found : NULL;
}

// Returns whether the rule sends datagrams, so that a change can disturb traffic.
static bool sends(const struct config_rule *rule)
{
    return config_rule_runs(rule) && !rule->shadow;
}

static void add_rule(struct diff *d, enum diff_kind kind, const struct config_rule *from, const struct config_rule *to,
                     size_t *count)
{
    d->rules[d->n_rules++] =
        (struct diff_rule){.kind = kind, .from = from, .to = to, .disturbs = kind == DIFF_REMOVED && sends(from)};
    (*count)++;
}

static bool compare_rules(struct diff *d, const struct config_rule *from, const struct config_rule *to)
{
    struct fields f = {.list = NULL};

    compare_section(&f, SCHEMA_RULE, from, to, "");
    compare_order(&f, from, to);
    if (f.n == 0)
        return !f.failed;
    add_rule(d, DIFF_CHANGED, from, to, &d->n_changed);
    struct diff_rule *rule = &d->rules[d->n_rules - 1];
    rule->fields = f.list;
    rule->n_fields = f.n;
    for (size_t i = 0; i < f.n; i++)
        rule->disturbs |= sends(from) && f.list[i].effect == DIFF_DISTURBS;
    return !f.failed;
}

static bool compare_all_rules(struct diff *d, const struct config *from, const struct config *to)
{
    const struct config_rule **before = sort_rules(from), **after = sort_rules(to), *old;
    bool ok;

    d->rules = calloc(from->n_rules + to->n_rules + 1, sizeof(*d->rules));
    ok = d->rules && before && after;
    for (size_t i = 0; ok && i < to->n_rules; i++)
        if (!namesake(before, from->n_rules, &to->rules[i]))
            add_rule(d, DIFF_ADDED, NULL, &to->rules[i], &d->n_added);
    for (size_t i = 0; ok && i < from->n_rules; i++)
        if (!namesake(after, to->n_rules, &from->rules[i]))
            add_rule(d, DIFF_REMOVED, &from->rules[i], NULL, &d->n_removed);
    for (size_t i = 0; ok && i < to->n_rules; i++)
        if ((old = namesake(before, from->n_rules, &to->rules[i])))
            ok = compare_rules(d, old, &to->rules[i]);
    free(before);
    free(after);
    return ok;
}

// --- both ------------------------------------------------------------------------------------------------------------

bool diff_make(struct diff *d, const struct config *from, const struct config *to)
{
    struct fields top = {.list = NULL};

    *d = (struct diff){.n_rules = 0};
    compare_section(&top, SCHEMA_TOP, from, to, "");
    d->top = top.list;
    d->n_top = top.n;
    if (top.failed || !compare_all_rules(d, from, to)) {
        diff_free(d);
        return false;
    }
    for (size_t i = 0; i < d->n_top; i++) {
        d->disturbs |= d->top[i].effect == DIFF_DISTURBS;
        d->needs_restart |= d->top[i].effect == DIFF_RESTART;
    }
    for (size_t i = 0; i < d->n_rules; i++)
        d->disturbs |= d->rules[i].disturbs;
    return true;
}

static void free_fields(struct diff_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_decref(fields[i].from);
        json_decref(fields[i].to);
    }
    free(fields);
}

void diff_free(struct diff *d)
{
    free_fields(d->top, d->n_top);
    for (size_t i = 0; i < d->n_rules; i++)
        free_fields(d->rules[i].fields, d->rules[i].n_fields);
    free(d->rules);
    *d = (struct diff){.n_rules = 0};
}

bool diff_is_empty(const struct diff *d)
{
    return d->n_top == 0 && d->n_rules == 0;
}
