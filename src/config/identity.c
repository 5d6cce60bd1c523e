// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/identity.h"

#include <string.h>

#include "config/lexical.h"
#include "config/schema.h"
#include "config/value.h"

struct finder {
    struct config *c;
    const struct schema_key *key; // whose value is next; NULL: none that matters
};

// The key of the top level with this name, if its value is a text.
static const struct schema_key *find(const struct lexical_token *t)
{
    char name[32];
    const struct schema_key *key;

    if (t->length >= sizeof(name))
        return NULL;
    memcpy(name, t->text, t->length);
    name[t->length] = '\0';
    key = schema_find(SCHEMA_TOP, name);
    return key && (key->kind == SCHEMA_NAME || key->kind == SCHEMA_PATH) ? key : NULL;
}

static void store(struct finder *f, const struct lexical_token *t)
{
    char text[sizeof(f->c->stats_file)]; // the longest
    struct value value = {.type = VALUE_STRING, .text = text};

    if (lexical_string(t, text, sizeof(text)) < sizeof(text))
        value_store(f->key, &value, f->c);
}

static void see(void *context, const struct lexical_token *t)
{
    struct finder *f = context;

    if (t->kind == LEXICAL_MARK && (*t->text == '=' || *t->text == ':'))
        return;
    if (t->kind == LEXICAL_STRING && f->key)
        store(f, t);
    f->key = t->kind == LEXICAL_KEY && t->depth == 0 ? find(t) : NULL;
}

bool identity_check(const char *text, size_t size, struct config *c, struct config_problems *problems)
{
    struct finder f = {.c = c};

    memset(c, 0, sizeof(*c));
    value_store_defaults(SCHEMA_TOP, c);
    return lexical_check(text, size, see, &f, problems);
}
