// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "trust/trustconf.h"

#include <stdio.h>
#include <string.h>

#include "config/lexical.h"

#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

// Secret keys of minisign are longer than public ones, and begin with their algorithms: Ed, Sc or none, and B2.
static bool is_secret(const char *text, size_t length)
{
    return length > MINISIGN_KEY_TEXT && (strncmp(text, "RWRTY0Iy", 8) == 0 || strncmp(text, "RWQAAEIy", 8) == 0);
}

// What a value may be of: a key at its place.
enum setting { UNKNOWN, REQUIRED, KEYS, NAME, KEY };

static const struct {
    const char *name;
    unsigned depth; // brackets around it
    const char *kind;
} settings[] = {
    [REQUIRED] = {"required", 0, "an integer"},
    [KEYS] = {"keys", 0, "a list of groups: ( { name = \"...\"; key = \"RW...\"; }, ... )"},
    [NAME] = {"name", 2, "a string"},
    [KEY] = {"key", 2, "a string"},
};

struct reader {
    struct trustconf *t;
    struct config_problems *problems;
    unsigned depth;  // open brackets
    enum setting of; // the last key
    bool in_keys;
    bool other;                      // it is a config file, which was told: the rest is not looked at
    bool has_required, has[KEY + 1]; // of the file, and of the present group
    long long required;
    int required_line;
    struct trustconf_key spare; // of the keys that are too many
    size_t n;                   // groups
};

static struct trustconf_key *present(struct reader *r)
{
    return r->n <= TRUSTCONF_KEYS_MAX && r->n > 0 ? &r->t->keys[r->n - 1] : &r->spare;
}

static bool is_key(const struct lexical_token *t, const char *name)
{
    return strlen(name) == t->length && memcmp(name, t->text, t->length) == 0;
}

static void see_key(struct reader *r, const struct lexical_token *t)
{
    bool in_group = r->depth == 2 && r->in_keys;

    r->of = UNKNOWN;
    for (enum setting s = REQUIRED; s <= KEY; s++)
        if ((settings[s].depth == 2 ? in_group : r->depth == 0) && is_key(t, settings[s].name))
            r->of = s;
    r->other = r->of == UNKNOWN && r->depth == 0 && (is_key(t, "version") || is_key(t, "rules"));
    if (r->other)
        config_error(r->problems, t->line, NULL,
                     "\"%.*s\" is a key of a config file, which is no trust.conf: allowed are required and keys",
                     (int) t->length, t->text);
    else if (r->of == UNKNOWN)
        config_error(r->problems, t->line, NULL, "\"%.*s\" is not known here, allowed are %s",
                     (int) (t->length < 40 ? t->length : 40), t->text, in_group ? "name and key" : "required and keys");
}

static void see_name(struct reader *r, const struct lexical_token *t)
{
    struct trustconf_key *k = present(r);
    size_t length = lexical_string(t, k->name, sizeof(k->name));

    r->has[NAME] = true;
    // It is a part of a file's name.
    if (length > 0 && length < sizeof(k->name) && strspn(k->name, NAME_CHARACTERS) < length &&
        strspn(k->name, NAME_CHARACTERS " ") == length)
        config_error(r->problems, t->line, NULL, "\"name\" is \"%s\", allowed are characters of A-Z a-z 0-9 _ . - only",
                     k->name);
    else if (length == 0 || length >= sizeof(k->name) || strspn(k->name, NAME_CHARACTERS) != length)
        config_error(r->problems, t->line, NULL,
                     "\"name\" has %zu characters, allowed are 1 to %d of A-Z a-z 0-9 _ . -", length,
                     TRUSTCONF_NAME_MAX - 1);
}

static void see_public_key(struct reader *r, const struct lexical_token *t)
{
    char text[MINISIGN_KEY_TEXT + 1], why[MINISIGN_WHY_MAX];

    r->has[KEY] = true;
    if (is_secret(text, lexical_string(t, text, sizeof(text))))
        config_error(
            r->problems, t->line, NULL,
            "\"key\" is a secret key, which has been shown now: make another pair by minisign -G, and write the "
            "second line of its .pub here");
    else if (!minisign_key(text, lexical_string(t, text, sizeof(text)), &present(r)->key, why))
        config_error(r->problems, t->line, NULL, "\"key\" is %s; allowed is one as minisign -G prints it: RW...", why);
}

static void see_value(struct reader *r, const struct lexical_token *t)
{
    enum setting of = r->of;

    r->of = UNKNOWN;
    if (of == UNKNOWN && r->depth == 1 && r->in_keys)
        of = KEYS;
    if (of == REQUIRED && t->kind == LEXICAL_INTEGER) {
        r->has_required = true;
        r->required = t->number;
        r->required_line = t->line;
    } else if (of == NAME && t->kind == LEXICAL_STRING) {
        see_name(r, t);
    } else if (of == KEY && t->kind == LEXICAL_STRING) {
        see_public_key(r, t);
    } else if (of != UNKNOWN) { // an unknown key has been told
        config_error(r->problems, t->line, NULL, "\"%s\" is %s, allowed is %s", settings[of].name,
                     t->kind == LEXICAL_MARK ? "a list or a group" : "another kind of value", settings[of].kind);
    }
}

static void begin_group(struct reader *r, int line)
{
    r->n++;
    memset(r->has, 0, sizeof(r->has));
    *present(r) = (struct trustconf_key){.line = line};
    if (r->n == TRUSTCONF_KEYS_MAX + 1)
        config_error(r->problems, line, NULL, "more than %d keys", TRUSTCONF_KEYS_MAX);
}

static void end_group(struct reader *r, int line)
{
    for (enum setting s = NAME; s <= KEY; s++)
        if (!r->has[s])
            config_error(r->problems, line, NULL, "\"%s\" is missing in this group", settings[s].name);
}

static void see_mark(struct reader *r, const struct lexical_token *t)
{
    switch (*t->text) {
    case '(':
        if (r->depth == 0 && r->of == KEYS)
            r->in_keys = true;
        else
            see_value(r, t);
        r->of = UNKNOWN;
        r->depth++;
        break;
    case '{':
        if (r->depth == 1 && r->in_keys)
            begin_group(r, t->line);
        else
            see_value(r, t);
        r->of = UNKNOWN;
        r->depth++;
        break;
    case '[':
        see_value(r, t);
        r->depth++;
        break;
    case '}':
        if (r->depth == 2 && r->in_keys)
            end_group(r, t->line);
        r->depth -= r->depth > 0;
        break;
    case ')':
    case ']':
        r->depth -= r->depth > 0;
        r->in_keys = r->in_keys && r->depth > 0;
        break;
    default: // = : ; ,
        break;
    }
}

static void see(void *context, const struct lexical_token *t)
{
    struct reader *r = context;

    if (r->other)
        return;
    if (t->kind == LEXICAL_MARK)
        see_mark(r, t);
    else if (t->kind == LEXICAL_KEY)
        see_key(r, t);
    else
        see_value(r, t);
}

// Two names of one key would make one signature two.
static void check_different(const struct trustconf *t, struct config_problems *problems)
{
    for (size_t i = 1; i < t->n_keys; i++)
        for (size_t j = 0; j < i; j++) {
            const struct trustconf_key *a = &t->keys[i], *b = &t->keys[j];
            if (strcmp(a->name, b->name) == 0)
                config_error(problems, a->line, NULL, "the name \"%s\" stands twice, first in line %d", a->name,
                             b->line);
            if (memcmp(a->key.point, b->key.point, sizeof(a->key.point)) == 0)
                config_error(problems, a->line, NULL,
                             "\"%s\" has the key of \"%s\" of line %d: a key counts once, so it stands once", a->name,
                             b->name, b->line);
        }
}

static void check_required(const struct reader *r)
{
    if (!r->has_required)
        config_error(r->problems, 0, NULL, "\"required\" is missing: how many of the keys must have signed");
    else if (r->required < 1 || r->required > (long long) r->n)
        config_error(r->problems, r->required_line, NULL,
                     "\"required\" is %lld, allowed is 1 to %zu, the number of keys", r->required, r->n);
}

bool trustconf_parse(const char *text, size_t size, struct trustconf *out, struct config_problems *problems)
{
    size_t errors = problems->n_errors;
    struct reader r = {.t = out, .problems = problems};

    memset(out, 0, sizeof(*out));
    bool ok = lexical_check(text, size, see, &r, problems);
    // What is missing beside other errors may be misspelt.
    if (ok && problems->n_errors == errors) {
        if (r.n == 0)
            config_error(problems, 0, NULL, "\"keys\" is missing or empty: who may sign");
        else
            check_required(&r);
        out->n_keys = r.n;
        out->required = (unsigned) r.required;
        check_different(out, problems);
    }
    if (problems->n_errors == errors)
        return true;
    memset(out, 0, sizeof(*out));
    return false;
}
