// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/print.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "common/digest.h"
#include "common/moment.h"
#include "config/value.h"
#include "config/way.h"

// Both forms are written from one tree, which is built from the rows of the schema, with their keys in their order.

// A member beside an output's keys, which follows from them. In the syntax of the file it is a comment.
#define WAY "leaves"

// --- the tree --------------------------------------------------------------------------------------------------------

static json_t *prefix_tree(struct addr_prefix prefix)
{
    char text[ADDR_TEXT_MAX];

    return json_string(addr_prefix_format(&prefix, text));
}

static json_t *port_tree(uint64_t first, uint16_t n)
{
    if (n == 1)
        return json_integer((json_int_t) first);
    return json_sprintf("%d-%d", (int) first, (int) first + n - 1);
}

// Returns the value of a number, or NULL if it is 0, which means not given. version is not kept in the model.
static json_t *number_tree(const struct schema_key *key, uint64_t kept)
{
    int64_t number = key->size == 0 ? key->least : (int64_t) kept;

    return number >= key->least ? json_integer(number) : NULL;
}

static json_t *list_tree(const struct schema_key *key, const void *target)
{
    struct value_list list = value_load_list(key, target);
    // One of two keys for the same list: a single element is printed by the other one.
    bool other = key->need == SCHEMA_ONE_OF && list.n == 1;
    json_t *array = (list.n > 0 && !other) || key->need == SCHEMA_REQUIRED ? json_array() : NULL;

    if (!array)
        return NULL;

    for (size_t i = 0; i < list.n; i++) {
        if (key->kind == SCHEMA_PREFIXES)
            json_array_append_new(array, prefix_tree(((const struct addr_prefix *) (const void *) list.elements)[i]));
        else
            json_array_append_new(
                array, config_section_tree(key->inside, list.elements + i * schema_places[key->inside].size));
    }
    return array;
}

json_t *config_value_tree(const struct schema_key *key, const void *target)
{
    const void *field = (const char *) target + key->offset, *aside = (const char *) target + key->aside;
    const uint16_t *span = (const void *) ((const char *) target + key->span);
    uint64_t number = value_load_number(field, key->size);
    char time[MOMENT_TEXT_MAX];

    switch (key->kind) {
    case SCHEMA_NUMBER:
    case SCHEMA_RATE:
        return number_tree(key, number);
    case SCHEMA_OR_BOOL:
        return number == 0 || number == CONFIG_ALWAYS ? json_boolean(number != 0) : number_tree(key, number);
    case SCHEMA_BOOL:
        return json_boolean(number != 0);
    case SCHEMA_CHOICE:
        return key->words[number] ? json_string(key->words[number]) : NULL; // NULL: not given
    case SCHEMA_NAME:
    case SCHEMA_IFNAME:
    case SCHEMA_NOTE:
    case SCHEMA_PATH:
        return *(const char *) field ? json_string(field) : NULL;
    case SCHEMA_OR_WORD:
        return *(const bool *) aside ? json_string(key->words[0]) : number_tree(key, number);
    case SCHEMA_TIME:
        return number ? json_string(moment_format(number, time)) : NULL;
    case SCHEMA_DSCP:
        return (int) number == CONFIG_DSCP_PRESERVE ? json_string(key->words[0]) : number_tree(key, number);
    case SCHEMA_PORT:
        return port_tree(number, *span);
    case SCHEMA_GROUP:
    case SCHEMA_HOST:
    case SCHEMA_BROADCAST:
        if (*(const enum config_destination *) aside != value_destination(key->kind))
            return NULL;
        return key->kind == SCHEMA_BROADCAST ? json_true() : prefix_tree(addr_prefix_of(field, *span));
    case SCHEMA_SOURCE:
        if (*(const bool *) aside || ((const struct addr *) field)->family == ADDR_NONE)
            return json_string(key->words[*(const bool *) aside]);
        return prefix_tree(addr_prefix_of(field, 1));
    case SCHEMA_PREFIXES:
    case SCHEMA_SECTIONS:
        return list_tree(key, target);
    case SCHEMA_SECTION:
        field = value_section(key, target);
        return field ? config_section_tree(key->inside, field) : NULL;
    case SCHEMA_KINDS:
        break;
    }
    return NULL;
}

json_t *config_section_tree(enum schema_place where, const void *target)
{
    json_t *object = json_object(), *value;

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if ((value = config_value_tree(key, target)))
            json_object_set_new(object, key->name, value);
    return object;
}

static json_t *config_tree(const struct config *c)
{
    json_t *tree = config_section_tree(SCHEMA_TOP, c), *rule, *output;
    size_t i, j;

    json_array_foreach(json_object_get(tree, "rules"), i, rule)
        json_array_foreach(json_object_get(rule, "outputs"), j, output)
            json_object_set_new(output, WAY, config_way_tree(&c->rules[i].outputs[j]));
    return tree;
}

// --- the syntax of the file ------------------------------------------------------------------------------------------

static void print_value(json_t *value, int indent, FILE *to);

// Returns whether a group has no other group in it, and so is printed in one line.
static bool is_flat(json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (strcmp(name, WAY) != 0 && (json_is_object(value) || json_is_object(json_array_get(value, 0))))
            return false;
    }
    return true;
}

static void print_members(json_t *object, int indent, const char *between, FILE *to)
{
    const char *name, *before = "";
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (strcmp(name, WAY) == 0)
            continue;
        fprintf(to, "%s%*s%s = ", before, indent, "", name);
        print_value(value, indent, to);
        fputc(';', to);
        before = between;
    }
}

static void print_array(json_t *array, int indent, FILE *to)
{
    bool groups = json_is_object(json_array_get(array, 0));
    size_t n = json_array_size(array), i;
    json_t *value;

    fputs(groups || n == 0 ? "(" : "[", to);
    json_array_foreach(array, i, value)
    {
        const char *way = json_string_value(json_object_get(json_object_get(value, WAY), "text"));
        if (groups)
            fprintf(to, "\n%*s", indent + 2, "");
        else
            fputc(' ', to);
        print_value(value, indent + 2, to);
        if (i + 1 < n)
            fputc(',', to);
        if (way)
            fprintf(to, " # %s", way);
    }
    if (groups)
        fprintf(to, "\n%*s)", indent, "");
    else
        fputs(n == 0 ? " )" : " ]", to);
}

static void print_value(json_t *value, int indent, FILE *to)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        if (is_flat(value)) {
            fputs("{ ", to);
            print_members(value, 0, " ", to);
            fputs(" }", to);
        } else {
            fputs("{\n", to);
            print_members(value, indent + 2, "\n", to);
            fprintf(to, "\n%*s}", indent, "");
        }
        break;
    case JSON_ARRAY:
        print_array(value, indent, to);
        break;
    case JSON_STRING:
        fputc('"', to);
        for (const char *text = json_string_value(value); *text; text++) // has no control characters
            fprintf(to, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
        fputc('"', to);
        break;
    case JSON_INTEGER:
        fprintf(to, "%" JSON_INTEGER_FORMAT "%s", json_integer_value(value),
                json_integer_value(value) > INT32_MAX ? "L" : "");
        break;
    default:
        fputs(json_is_true(value) ? "true" : "false", to);
        break;
    }
}

void config_tree_print(json_t *tree, FILE *to)
{
    print_value(tree, 0, to);
}

bool config_print(const struct config *c, FILE *to)
{
    json_t *tree = config_tree(c);

    if (!tree)
        return false;
    print_members(tree, 0, "\n", to);
    fputc('\n', to);
    json_decref(tree);
    return !ferror(to);
}

bool config_print_json(const struct config *c, FILE *to)
{
    json_t *tree = json_object(), *keys = config_tree(c);
    char hex[DIGEST_TEXT_MAX];
    bool ok;

    ok = json_object_set_new(tree, "file", json_string(c->path)) == 0 &&
         json_object_set_new(tree, "sha256", json_string(digest_text(c->file.sha256, hex))) == 0 &&
         json_object_update(tree, keys) == 0 && json_dumpf(tree, to, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;
    fputc('\n', to);
    json_decref(keys);
    json_decref(tree);
    return ok && !ferror(to);
}

// --- the JSON Schema of the tree -------------------------------------------------------------------------------------

static json_t *type(const char *name)
{
    return json_pack("{s:s}", "type", name);
}

static json_t *text_of(const char *pattern)
{
    return json_pack("{s:s, s:s}", "type", "string", "pattern", pattern);
}

static json_t *bounded(const struct schema_key *key, const char *name, const char *least, const char *most)
{
    return json_pack("{s:s, s:I, s:I}", "type", name, least, (json_int_t) key->least, most, (json_int_t) key->most);
}

static json_t *integer_form(const struct schema_key *key)
{
    return bounded(key, "integer", "minimum", "maximum");
}

static json_t *list_form(const struct schema_key *key, json_t *element)
{
    json_t *form = bounded(key, "array", "minItems", "maxItems");

    json_object_set_new(form, "items", element);
    return form;
}

static json_t *text_form(const struct schema_key *key, const char *pattern)
{
    json_t *form = bounded(key, "string", "minLength", "maxLength");

    json_object_set_new(form, "pattern", json_string(pattern));
    return form;
}

static json_t *words_form(const struct schema_key *key)
{
    json_t *list = json_array();

    for (size_t i = 0; key->words[i]; i++)
        json_array_append_new(list, json_string(key->words[i]));
    return json_pack("{s:o}", "enum", list);
}

static json_t *either(json_t *one, json_t *other)
{
    return json_pack("{s:[o, o]}", "anyOf", one, other);
}

static json_t *section_form(enum schema_place where);

static json_t *value_form(const struct schema_key *key)
{
    switch (key->kind) {
    case SCHEMA_NUMBER:
    case SCHEMA_RATE:
        return integer_form(key);
    case SCHEMA_OR_WORD:
    case SCHEMA_DSCP:
        return either(integer_form(key), words_form(key));
    case SCHEMA_OR_BOOL:
        return either(integer_form(key), type("boolean"));
    case SCHEMA_BOOL:
        return type("boolean");
    case SCHEMA_CHOICE:
        return words_form(key);
    case SCHEMA_NAME:
        return text_form(key, "^[A-Za-z0-9_.-]+$");
    case SCHEMA_IFNAME:
        return text_form(key, "^[A-Za-z0-9_][A-Za-z0-9_.-]*$");
    case SCHEMA_NOTE:
        return bounded(key, "string", "minLength", "maxLength");
    case SCHEMA_PATH:
        return text_form(key, "^/");
    case SCHEMA_TIME:
        return text_of("^[2-9][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$");
    case SCHEMA_PORT:
        return either(integer_form(key), text_of("^[0-9]+-[0-9]+$"));
    case SCHEMA_GROUP:
    case SCHEMA_HOST:
    case SCHEMA_SOURCE:
        return type("string");
    case SCHEMA_BROADCAST:
        return json_pack("{s:b}", "const", 1);
    case SCHEMA_PREFIXES:
        return list_form(key, type("string"));
    case SCHEMA_SECTION:
        return section_form(key->inside);
    case SCHEMA_SECTIONS:
        return list_form(key, section_form(key->inside));
    case SCHEMA_KINDS:
        break;
    }
    return NULL;
}

// Returns the default with the type of the printed form, or NULL.
static json_t *fallback_of(const struct schema_key *key)
{
    json_t *value = key->fallback ? json_loads(key->fallback, JSON_DECODE_ANY, NULL) : NULL;

    return value ? value : json_string(key->fallback); // NULL without one
}

// Adds {"oneOf": [{"required": ["group"]}, ...]} for the keys of this place with this need. keyword: "oneOf" or
// "anyOf".
static void add_alternatives(json_t *object, enum schema_place where, enum schema_need need, const char *keyword)
{
    json_t *list = json_array();

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));)
        if (key->need == need)
            json_array_append_new(list, json_pack("{s:[s]}", "required", key->name));
    if (json_array_size(list) > 0)
        json_object_set(object, keyword, list);
    json_decref(list);
}

static json_t *section_form(enum schema_place where)
{
    json_t *properties = json_object(), *required = json_array();

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));) {
        json_t *value = value_form(key), *fallback = fallback_of(key);
        json_object_set_new(value, "description", json_string(key->help));
        if (fallback)
            json_object_set_new(value, "default", fallback);
        json_object_set_new(properties, key->name, value);
        if (key->need == SCHEMA_REQUIRED || key->fallback)
            json_array_append_new(required, json_string(key->name));
    }
    json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:b}", "title", schema_places[where].name, "type", "object",
                               "properties", properties, "required", required, "additionalProperties", 0);
    add_alternatives(object, where, SCHEMA_ONE_OF, "oneOf");
    add_alternatives(object, where, SCHEMA_ANY_OF, "anyOf");
    return object;
}

static json_t *inside(json_t *object, const char *key)
{
    json_t *value = json_object_get(json_object_get(object, "properties"), key),
           *items = json_object_get(value, "items");

    return items ? items : value;
}

// Adds a member that is printed beside the keys.
static void add_read_only(json_t *section, const char *name, json_t *form, const char *description)
{
    json_object_set_new(form, "description", json_string(description));
    json_object_set_new(form, "readOnly", json_true());
    json_object_set_new(json_object_get(section, "properties"), name, form);
}

bool config_describe(FILE *to)
{
    json_t *top = section_form(SCHEMA_TOP), *output = inside(inside(top, "rules"), "outputs");
    json_t *whole = json_pack("{s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema");
    bool ok;

    add_read_only(top, "file", type("string"), "the path");
    add_read_only(top, "sha256", text_of("^[0-9a-f]{64}$"), "the digest of the file");
    add_read_only(output, WAY, type("object"), "how its datagrams leave");
    ok = json_object_update(whole, top) == 0 && json_dumpf(whole, to, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
         fputc('\n', to) != EOF;
    json_decref(top);
    json_decref(whole);
    return ok;
}
