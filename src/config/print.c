// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/print.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "common/digest.h"
#include "config/schema.h"
#include "config/value.h"
#include "config/way.h"

// Both forms are written from one tree, which the schema's rows build: what is printed has the keys, and their order,
// of the schema.

// Beside an output's keys: what follows of them. In the file's grammar it is a comment.
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

static json_t *word_tree(const struct schema_key *key, uint64_t index)
{
    size_t length;
    const char *word = schema_word(key->words, (unsigned) index, &length);

    return word ? json_stringn(word, length) : NULL;
}

// A number that was not given is 0, which the schema does not allow then; version alone is not kept.
static json_t *number_tree(const struct schema_key *key, uint64_t kept)
{
    int64_t number = key->size == 0 ? key->least : (int64_t) kept;

    return number >= key->least ? json_integer(number) : NULL;
}

static json_t *list_tree(const struct schema_key *key, const void *target)
{
    struct value_list list = value_load_list(key, target);
    json_t *array = list.n > 0 || key->need == SCHEMA_REQUIRED ? json_array() : NULL;

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

    switch (key->kind) {
    case SCHEMA_NUMBER:
    case SCHEMA_RATE:
        return number_tree(key, number);
    case SCHEMA_OR_BOOL:
        return number == 0 || number == CONFIG_ALWAYS ? json_boolean(number != 0) : number_tree(key, number);
    case SCHEMA_BOOL:
        return json_boolean(number != 0);
    case SCHEMA_CHOICE:
        return word_tree(key, number);
    case SCHEMA_NAME:
    case SCHEMA_IFNAME:
    case SCHEMA_NOTE:
    case SCHEMA_PATH:
        return *(const char *) field ? json_string(field) : NULL;
    case SCHEMA_OR_WORD:
        return *(const bool *) aside ? word_tree(key, 0) : number_tree(key, number);
    case SCHEMA_DSCP:
        return (int) number == CONFIG_DSCP_PRESERVE ? word_tree(key, 0) : number_tree(key, number);
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
            return word_tree(key, *(const bool *) aside);
        return prefix_tree(addr_prefix_of(field, 1));
    case SCHEMA_PREFIXES:
    case SCHEMA_SECTIONS:
        return list_tree(key, target);
    case SCHEMA_SECTION:
        return value_has_section(key, target) ? config_section_tree(key->inside, field) : NULL;
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

// --- the file's own grammar ------------------------------------------------------------------------------------------

static void print_value(json_t *value, int indent, FILE *to);

static void print_string(const char *text, FILE *to)
{
    fputc('"', to);
    for (; *text; text++) { // control characters were refused
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

static void print_integer(json_int_t number, FILE *to)
{
    fprintf(to, "%" JSON_INTEGER_FORMAT "%s", number, number > INT32_MAX ? "L" : "");
}

// A group that holds no other group is one line.
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

static void print_group(json_t *object, int indent, FILE *to)
{
    if (is_flat(object)) {
        fputs("{ ", to);
        print_members(object, 0, " ", to);
        fputs(" }", to);
        return;
    }
    fputs("{\n", to);
    print_members(object, indent + 2, "\n", to);
    fprintf(to, "\n%*s}", indent, "");
}

static void print_array(json_t *array, int indent, FILE *to)
{
    bool groups = json_array_size(array) == 0 || json_is_object(json_array_get(array, 0));
    size_t i;
    json_t *value;

    fputs(groups ? "(" : "[", to);
    json_array_foreach(array, i, value)
    {
        const char *way = json_string_value(json_object_get(json_object_get(value, WAY), "text"));
        if (groups)
            fprintf(to, "\n%*s", indent + 2, "");
        else
            fputs(i ? ", " : " ", to);
        print_value(value, indent + 2, to);
        if (groups && i + 1 < json_array_size(array))
            fputc(',', to);
        if (way)
            fprintf(to, " # %s", way);
    }
    if (!groups)
        fputs(" ]", to);
    else if (json_array_size(array) == 0)
        fputs(" )", to);
    else
        fprintf(to, "\n%*s)", indent, "");
}

static void print_value(json_t *value, int indent, FILE *to)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        print_group(value, indent, to);
        break;
    case JSON_ARRAY:
        print_array(value, indent, to);
        break;
    case JSON_STRING:
        print_string(json_string_value(value), to);
        break;
    case JSON_INTEGER:
        print_integer(json_integer_value(value), to);
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
