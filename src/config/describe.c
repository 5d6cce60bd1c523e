// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/describe.h"

#include <jansson.h>

#include "config/schema.h"

static json_t *object_of(enum schema_place where);

static json_t *integer_of(const struct schema_key *key)
{
    return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t) key->least, "maximum",
                     (json_int_t) key->most);
}

static json_t *text_of(const struct schema_key *key, const char *pattern)
{
    return json_pack("{s:s, s:I, s:I, s:s*}", "type", "string", "minLength", (json_int_t) key->least, "maxLength",
                     (json_int_t) key->most, "pattern", pattern);
}

static json_t *words_of(const struct schema_key *key)
{
    json_t *list = json_array();
    const char *word;
    size_t length;

    for (unsigned i = 0; (word = schema_word(key->words, i, &length)); i++)
        json_array_append_new(list, json_stringn(word, length));
    return json_pack("{s:o}", "enum", list);
}

static json_t *either(json_t *one, json_t *other)
{
    return json_pack("{s:[o, o]}", "anyOf", one, other);
}

static json_t *list_of(const struct schema_key *key, json_t *element)
{
    return json_pack("{s:s, s:I, s:I, s:o}", "type", "array", "minItems", (json_int_t) key->least, "maxItems",
                     (json_int_t) key->most, "items", element);
}

static json_t *type(const char *name)
{
    return json_pack("{s:s}", "type", name);
}

static json_t *value_of(const struct schema_key *key)
{
    switch (key->kind) {
    case SCHEMA_NUMBER:
    case SCHEMA_RATE:
        return integer_of(key);
    case SCHEMA_OR_WORD:
    case SCHEMA_DSCP:
        return either(integer_of(key), words_of(key));
    case SCHEMA_OR_BOOL:
        return either(integer_of(key), type("boolean"));
    case SCHEMA_BOOL:
        return type("boolean");
    case SCHEMA_CHOICE:
        return words_of(key);
    case SCHEMA_NAME:
        return text_of(key, "^[A-Za-z0-9_.-]+$");
    case SCHEMA_IFNAME:
        return text_of(key, "^[A-Za-z0-9_][A-Za-z0-9_.-]*$");
    case SCHEMA_NOTE:
        return text_of(key, NULL);
    case SCHEMA_PATH:
        return text_of(key, "^/");
    case SCHEMA_PORT:
        return either(integer_of(key), json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+-[0-9]+$"));
    case SCHEMA_GROUP:
    case SCHEMA_HOST:
    case SCHEMA_SOURCE:
        return type("string");
    case SCHEMA_BROADCAST:
        return json_pack("{s:b}", "const", 1);
    case SCHEMA_PREFIXES:
        return list_of(key, type("string"));
    case SCHEMA_SECTION:
        return object_of(key->inside);
    case SCHEMA_SECTIONS:
        return list_of(key, object_of(key->inside));
    case SCHEMA_KINDS:
        break;
    }
    return NULL;
}

// The default, of the type that the printed form has.
static json_t *fallback_of(const struct schema_key *key)
{
    json_t *value = key->fallback ? json_loads(key->fallback, JSON_DECODE_ANY, NULL) : NULL;

    return value || !key->fallback ? value : json_string(key->fallback);
}

// {"oneOf": [{"required": ["group"]}, ...]}: of the keys of this place of which so many are needed.
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

static json_t *object_of(enum schema_place where)
{
    json_t *properties = json_object(), *required = json_array();

    for (const struct schema_key *key = NULL; (key = schema_next(where, key));) {
        json_t *value = value_of(key), *fallback = fallback_of(key);
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

// What is printed beside the keys is marked as "readOnly".
bool config_describe(FILE *to)
{
    json_t *top = object_of(SCHEMA_TOP), *output = inside(inside(top, "rules"), "outputs");
    json_t *whole = json_pack("{s:s}", "$schema", "https://json-schema.org/draft/2020-12/schema");
    bool ok;

    json_object_set_new(json_object_get(top, "properties"), "file",
                        json_pack("{s:s, s:s, s:b}", "type", "string", "description", "the path", "readOnly", 1));
    json_object_set_new(json_object_get(top, "properties"), "sha256",
                        json_pack("{s:s, s:s, s:s, s:b}", "type", "string", "pattern", "^[0-9a-f]{64}$", "description",
                                  "the digest of the file", "readOnly", 1));
    json_object_set_new(
        json_object_get(output, "properties"), "leaves",
        json_pack("{s:s, s:s, s:b}", "type", "object", "description", "how its datagrams leave", "readOnly", 1));
    ok = json_object_update(whole, top) == 0 && json_dumpf(whole, to, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
         fputc('\n', to) != EOF;
    json_decref(top);
    json_decref(whole);
    return ok;
}
