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

// --- what a change means ---------------------------------------------------------------------------------------------

// How much a limit lets through. A number that was not given is 0, which the schema does not allow then: no limit.
static uint64_t allowance(const struct schema_key *key, const void *target)
{
    uint64_t number = value_load_number((const char *) target + key->offset, key->size);

    return number < (uint64_t) key->least ? UINT64_MAX : number;
}

// --- sources ---------------------------------------------------------------------------------------------------------

struct range {
    struct addr first, last;
};

static int compare_addresses(const struct addr *a, const struct addr *b)
{
    int order = (int) a->family - (int) b->family;

    return order != 0 ? order : memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare_ranges(const void *a, const void *b)
{
    const struct range *left = a, *right = b;
    int order = compare_addresses(&left->first, &right->first);

    return order != 0 ? order : -compare_addresses(&left->last, &right->last); // what contains others comes first
}

static struct range range_of(const struct addr_prefix *p)
{
    struct range r = {p->addr, p->addr};

    for (size_t bit = p->bits; bit < 8 * addr_length(&p->addr); bit++)
        r.last.bytes[bit / 8] |= (uint8_t) (0x80u >> bit % 8);
    return r;
}

// Whether b is the address after a.
static bool follows(const struct addr *a, const struct addr *b)
{
    struct addr next = *a;
    size_t i = addr_length(a);

    while (i > 0 && ++next.bytes[i - 1] == 0)
        i--;
    return i > 0 && compare_addresses(&next, b) == 0;
}

// The senders that in allows, as ranges in their order; none overlaps or touches another. Returns their number. Without
// sources, all of this family.
static size_t sender_ranges(const struct config_input *in, uint8_t family, struct range ranges[CONFIG_SOURCES_MAX])
{
    const struct addr_prefix all = {.addr.family = family};
    size_t n = in->n_sources ? in->n_sources : 1, last = 0;

    ranges[0] = range_of(&all);
    for (size_t i = 0; i < in->n_sources; i++)
        ranges[i] = range_of(&in->sources[i]);
    qsort(ranges, n, sizeof(ranges[0]), compare_ranges);
    for (size_t i = 1; i < n; i++) {
        if (follows(&ranges[last].last, &ranges[i].first))
            ranges[last].last = ranges[i].last;
        else if (compare_addresses(&ranges[last].last, &ranges[i].first) < 0)
            ranges[++last] = ranges[i];
        // Else it lies within: prefixes never overlap in part.
    }
    return last + 1;
}

// Whether some sender that from allows is shut out by to.
static bool shuts_out(const struct config_input *from, const struct config_input *to)
{
    struct range before[CONFIG_SOURCES_MAX], after[CONFIG_SOURCES_MAX];
    struct endpoint input = endpoint_of_input(to, 0);
    size_t n_before = sender_ranges(from, endpoint_family(&input), before), j = 0;
    size_t n_after = sender_ranges(to, endpoint_family(&input), after);

    for (size_t i = 0; i < n_before; i++) {
        while (j < n_after && compare_addresses(&after[j].last, &before[i].first) < 0)
            j++;
        if (j == n_after || compare_addresses(&after[j].first, &before[i].first) > 0 ||
            compare_addresses(&after[j].last, &before[i].last) < 0)
            return true;
    }
    return false;
}

static int compare_prefixes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct addr_prefix));
}

// As sets: as they are written, so that what the file says stays comparable with what was reviewed.
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

// Takes over from and to.
static void add_field(struct fields *f, const char *path, json_t *from, json_t *to, enum diff_effect effect)
{
    struct diff_field *list = f->list;

    if ((f->n & (f->n - 1)) == 0) // room for 1, 2, 4, ...
        list = realloc(f->list, (f->n ? 2 * f->n : 1) * sizeof(*list));
    if (!list) {
        f->failed = true;
        json_decref(from);
        json_decref(to);
        return;
    }
    f->list = list;
    list[f->n] = (struct diff_field){.from = from, .to = to, .effect = effect};
    snprintf(list[f->n].path, sizeof(list[f->n].path), "%s", path);
    f->n++;
}

static enum diff_effect effect_of(const struct schema_key *key, const void *from, const void *to, bool was_given,
                                  bool is_given)
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
    case SCHEMA_APPEARS:
        disturbs = !was_given;
        break;
    case SCHEMA_DISAPPEARS:
        disturbs = !is_given;
        break;
    case SCHEMA_NARROWER:
        disturbs = shuts_out(from, to);
        break;
    }
    return disturbs ? DIFF_DISTURBS : DIFF_HARMLESS;
}

static void compare_section(struct fields *f, enum schema_place where, const void *from, const void *to,
                            const char *prefix);

// Two values are the same when they are printed the same: this holds for every kind of key that there will be.
static void compare_value(struct fields *f, const struct schema_key *key, const void *from, const void *to,
                          const char *path)
{
    json_t *before = config_value_tree(key, from), *after = config_value_tree(key, to);

    if (before == after || json_equal(before, after)) {
        json_decref(before);
        json_decref(after);
        return;
    }
    add_field(f, path, before, after, effect_of(key, from, to, before != NULL, after != NULL));
}

static bool section_is_given(const struct schema_key *key, const void *section)
{
    return key->need == SCHEMA_REQUIRED ||
           *(const int *) (const void *) ((const char *) section + schema_places[key->inside].line) != 0;
}

static void compare_inside(struct fields *f, const struct schema_key *key, const void *from, const void *to,
                           const char *path)
{
    const char *before = (const char *) from + key->offset, *after = (const char *) to + key->offset;
    char prefix[DIFF_PATH_MAX];

    if (!section_is_given(key, before) || !section_is_given(key, after)) {
        compare_value(f, key, from, to, path);
        return;
    }
    snprintf(prefix, sizeof(prefix), "%.62s.", path);
    compare_section(f, key->inside, before, after, prefix);
}

#define ELEMENTS_MAX CONFIG_OUTPUTS_MAX
_Static_assert((int) CONFIG_OUTPUTS_MAX >= (int) CONFIG_INTERFACES_MAX, "the longest list of sections but the rules");

// What makes an element the same as one of another list: where an output goes to, an interface's name.
static struct endpoint identity_of(enum schema_place where, const void *element, size_t index)
{
    if (where == SCHEMA_OUTPUT)
        return endpoint_of_output(element, (uint32_t) index);
    return (struct endpoint){.interface = ((const struct config_interface *) element)->name, .index = (uint32_t) index};
}

struct elements {
    const char *list;
    size_t n, size;
};

static struct elements elements_of(const struct schema_key *key, const void *target)
{
    struct elements e = {.size = schema_places[key->inside].size};

    memcpy(&e.list, (const char *) target + key->offset, sizeof(e.list));
    memcpy(&e.n, (const char *) target + key->aside, sizeof(e.n));
    return e;
}

static const void *element_at(const struct elements *e, size_t index)
{
    return e->list + index * e->size;
}

static void compare_lists(struct fields *f, const struct schema_key *key, const void *from, const void *to,
                          const char *path)
{
    struct elements before = elements_of(key, from), after = elements_of(key, to);
    struct endpoint sorted[ELEMENTS_MAX];
    bool kept[ELEMENTS_MAX] = {false};
    char place[DIFF_PATH_MAX];

    for (size_t i = 0; i < before.n; i++)
        sorted[i] = identity_of(key->inside, element_at(&before, i), i);
    endpoint_sort(sorted, before.n);
    for (size_t i = 0; i < after.n; i++) {
        const void *element = element_at(&after, i);
        struct endpoint wanted = identity_of(key->inside, element, i);
        const struct endpoint *found = endpoint_find(sorted, before.n, &wanted);
        snprintf(place, sizeof(place), "%.40s[%zu]%s", path, i, found ? "." : "");
        if (found) {
            kept[found->index] = true;
            compare_section(f, key->inside, element_at(&before, found->index), element, place);
        } else {
            add_field(f, place, NULL, config_section_tree(key->inside, element), effect_of(key, from, to, false, true));
        }
    }
    for (size_t i = 0; i < before.n; i++) {
        if (kept[i])
            continue;
        snprintf(place, sizeof(place), "%.40s[%zu]", path, i);
        add_field(f, place, config_section_tree(key->inside, element_at(&before, i)), NULL,
                  effect_of(key, from, to, true, false));
    }
}

static void compare_section(struct fields *f, enum schema_place where, const void *from, const void *to,
                            const char *prefix)
{
    char path[DIFF_PATH_MAX];

    for (size_t i = 0; i < schema_n_keys; i++) {
        const struct schema_key *key = &schema_keys[i];
        if (key->where != where || key->size == 0 || key->inside == SCHEMA_RULE)
            continue;
        snprintf(path, sizeof(path), "%.32s%.30s", prefix, key->name);
        if (key->kind == SCHEMA_SECTION)
            compare_inside(f, key, from, to, path);
        else if (key->kind == SCHEMA_SECTIONS)
            compare_lists(f, key, from, to, path);
        else if (key->kind != SCHEMA_PREFIXES || !same_sources(from, to))
            compare_value(f, key, from, to, path);
    }
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

// Tells of each rule which one of the other config has its name, or NULL. False when out of memory.
static bool pair_rules(const struct config *from, const struct config *to, const struct config_rule **of_from,
                       const struct config_rule **of_to)
{
    const struct config_rule **before = sort_rules(from), **after = sort_rules(to);
    bool ok = before && after;

    for (size_t i = 0, j = 0; ok && i < from->n_rules && j < to->n_rules;) {
        int order = compare_names(&before[i], &after[j]);
        if (order == 0) {
            of_from[before[i] - from->rules] = after[j];
            of_to[after[j] - to->rules] = before[i];
        }
        i += order <= 0;
        j += order >= 0;
    }
    free(before);
    free(after);
    return ok;
}

// Whether it sends what it takes in: there is traffic that a change could disturb.
static bool sends(const struct config_rule *rule)
{
    return rule->enabled && !rule->shadow;
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
    const struct config_rule **of_from = calloc(from->n_rules + 1, sizeof(const struct config_rule *));
    const struct config_rule **of_to = calloc(to->n_rules + 1, sizeof(const struct config_rule *));
    bool ok;

    d->rules = calloc(from->n_rules + to->n_rules + 1, sizeof(*d->rules));
    ok = d->rules && of_from && of_to && pair_rules(from, to, of_from, of_to);
    for (size_t i = 0; ok && i < to->n_rules; i++)
        if (!of_to[i])
            add_rule(d, DIFF_ADDED, NULL, &to->rules[i], &d->n_added);
    for (size_t i = 0; ok && i < from->n_rules; i++)
        if (!of_from[i])
            add_rule(d, DIFF_REMOVED, &from->rules[i], NULL, &d->n_removed);
    for (size_t i = 0; ok && i < to->n_rules; i++)
        ok = !of_to[i] || compare_rules(d, of_to[i], &to->rules[i]);
    free(of_from);
    free(of_to);
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
