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
#include "config/section.h"
#include "config/value.h"

#define SHOWN_KEY 64 // bytes of an unknown key

static void read_section(struct parser *p, enum schema_place where, const config_setting_t *group, void *target);

static void refuse(struct parser *p, const struct schema_key *key, const config_setting_t *s,
                   enum value_verdict verdict)
{
    struct value value = value_of(s);
    const char *why = value_verdict_text(verdict);
    char shown[VALUE_TEXT_MAX], allowed[SCHEMA_ALLOWED_MAX], hint[HINT_MAX] = "";

    value_format(&value, shown);
    if (verdict == VALUE_HOST_BITS)
        hint_network(value.text, hint);
    else if (verdict == VALUE_LENGTH)
        hint_group(value.text, hint);
    if (why)
        config_error(p->problems, line_of(s), p->rule, "\"%s\" is %s, %s%s", key->name, shown, why, hint);
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
        p->no_memory = true;
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
    char shown[VALUE_TEXT_MAX], hint[HINT_MAX];

    if (!config_setting_is_group(group)) {
        config_error(p->problems, line_of(group), p->rule, "\"%s\" element %u is %s, allowed is a group { }%s",
                     key->name, i + 1, value_format(&value, shown), hint_element(key, &value, hint));
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
        const char *doubt = value.type == VALUE_STRING ? hint_doubt(key, value.text) : NULL;
        char shown[VALUE_TEXT_MAX];
        if (verdict != VALUE_OK)
            refuse(p, key, s, verdict);
        else if (doubt)
            config_warning(p->problems, line_of(s), p->rule, "\"%s\" is %s%s", key->name, value_format(&value, shown),
                           doubt);
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
    size_t errors = p->problems->n_errors;

    if (schema_places[where].line)
        *(int *) (void *) ((char *) target + schema_places[where].line) = line_of(group);
    section_lines(where, group, target);
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
    section_finish(p, where, group, target, p->problems->n_errors == errors);
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

// Refuses a file whose line ends were lost, so that the comment at its beginning is all of it.
static bool is_one_comment(const char *text, const config_setting_t *root, struct config_problems *problems)
{
    const char *behind = text + strcspn(text, "\n");

    if (config_setting_length(root) > 0 || (*text != '#' && strncmp(text, "//", 2) != 0) || !strchr(text, '=') ||
        behind[strspn(behind, " \t\r\n")] != '\0')
        return false;
    config_error(problems, 0, NULL, "the whole file is one comment, of one line: put a line end behind each setting");
    return true;
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
    ok = ok && !is_one_comment(ended, config_root_setting(tree), problems);
    free(ended);
    return ok && is_our_version(config_root_setting(tree), problems);
}

struct config *parse_config(const char *text, size_t size, struct config_problems *problems, bool *whole)
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
    *whole = c && !p.no_memory;
    return c;
}
