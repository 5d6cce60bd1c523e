// SPDX-License-Identifier: Apache-2.0
// lexical: whatever the lexer lets pass, libconfig must read as the lexer did, token by token, with its lines; and the
// daemon's user, group and statistics, which the start takes from the lexer, are those of the parsed file. What the
// grammar refuses libconfig refuses, and libconfig finds no other syntax error.
#include <config.h>

#include "fuzz.h"

#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

#include "config/grammar.h"
#include "config/lexical.h"
#include "config/load.h"

struct reading {
    struct lexical_token *tokens;
    size_t n, room;
    size_t at; // what the walk over libconfig's settings has come to
    struct grammar grammar;
    struct grammar_fault fault;
    bool refused; // by the grammar
};

static void keep(void *context, const struct lexical_token *t)
{
    struct reading *r = context;

    if (r->n == r->room) {
        r->room = r->room ? 2 * r->room : 256;
        r->tokens = reallocarray(r->tokens, r->room, sizeof(*r->tokens));
        FUZZ_ASSERT(r->tokens);
    }
    r->tokens[r->n++] = *t;
    r->refused = r->refused || !grammar_next(&r->grammar, t, &r->fault);
}

static const struct lexical_token *next(struct reading *r, enum lexical_kind kind)
{
    FUZZ_ASSERT(r->at < r->n && r->tokens[r->at].kind == kind);
    return &r->tokens[r->at++];
}

static bool is_next(const struct reading *r, const char *marks)
{
    return r->at < r->n && r->tokens[r->at].kind == LEXICAL_MARK && strchr(marks, *r->tokens[r->at].text);
}

static void mark(struct reading *r, const char *marks)
{
    FUZZ_ASSERT(is_next(r, marks));
    r->at++;
}

// --- the walk --------------------------------------------------------------------------------------------------------

static void walk_group(struct reading *r, const config_setting_t *group);

static void compare_string(const struct lexical_token *t, const char *found)
{
    char *text = malloc(t->length + 1);

    size_t length = lexical_string(t, text, t->length + 1);
    FUZZ_ASSERT(found && strlen(found) == length && memcmp(found, text, length + 1) == 0);
    free(text);
}

// Elements lie between these brackets, each with a line of its own.
static void walk_elements(struct reading *r, const config_setting_t *list, const char *open, const char *shut);

static void walk_value(struct reading *r, const config_setting_t *s)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        FUZZ_ASSERT(next(r, LEXICAL_INTEGER)->number == config_setting_get_int64(s));
        break;
    case CONFIG_TYPE_FLOAT:
        FUZZ_ASSERT(strtod(next(r, LEXICAL_FLOAT)->text, NULL) == config_setting_get_float(s));
        break;
    case CONFIG_TYPE_BOOL:
        FUZZ_ASSERT(next(r, LEXICAL_BOOL)->number == config_setting_get_bool(s));
        break;
    case CONFIG_TYPE_STRING:
        compare_string(next(r, LEXICAL_STRING), config_setting_get_string(s));
        break;
    case CONFIG_TYPE_GROUP:
        mark(r, "{");
        walk_group(r, s);
        mark(r, "}");
        break;
    case CONFIG_TYPE_ARRAY:
        walk_elements(r, s, "[", "]");
        break;
    case CONFIG_TYPE_LIST:
        walk_elements(r, s, "(", ")");
        break;
    default:
        FUZZ_ASSERT(false && "a setting has a type");
    }
}

static void walk_elements(struct reading *r, const config_setting_t *list, const char *open, const char *shut)
{
    mark(r, open);
    for (int i = 0; i < config_setting_length(list); i++) {
        const config_setting_t *s = config_setting_get_elem(list, (unsigned) i);
        if (i > 0)
            mark(r, ",");
        FUZZ_ASSERT(r->at + 1 < r->n);
        // libconfig gives a string the line of the token behind it.
        const struct lexical_token *t = &r->tokens[r->at + (r->tokens[r->at].kind == LEXICAL_STRING)];
        FUZZ_ASSERT((int) config_setting_source_line(s) == t->line && !config_setting_name(s));
        walk_value(r, s);
    }
    mark(r, shut);
}

static void walk_group(struct reading *r, const config_setting_t *group)
{
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned) i);
        const struct lexical_token *key = next(r, LEXICAL_KEY);
        const char *name = config_setting_name(s);
        FUZZ_ASSERT(strlen(name) == key->length && memcmp(name, key->text, key->length) == 0);
        FUZZ_ASSERT((int) config_setting_source_line(s) == key->line);
        mark(r, "=:");
        walk_value(r, s);
        if (is_next(r, ";,"))
            r->at++;
    }
}

// --- the whole text --------------------------------------------------------------------------------------------------

static void compare(struct reading *r, const char *text)
{
    config_t tree;

    config_init(&tree);
    if (config_read_string(&tree, text)) {
        walk_group(r, config_root_setting(&tree));
        FUZZ_ASSERT(r->at == r->n);
    } else {
        FUZZ_ASSERT(strcmp(config_error_text(&tree), "syntax error") != 0);
    }
    config_destroy(&tree);
}

// The one error is the grammar's.
static void compare_refusal(struct reading *r, const struct config_problems *problems, const char *text)
{
    config_t tree;

    r->refused = r->refused || !grammar_end(&r->grammar, &r->fault);
    if (problems->n_errors != 1 || !r->refused || !strstr(problems->list[0].text, r->fault.why))
        return;
    config_init(&tree);
    FUZZ_ASSERT(!config_read_string(&tree, text));
    config_destroy(&tree);
}

static void compare_identity(const char *text, size_t size)
{
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems), found;

    FUZZ_ASSERT(identity_check(text, size, &found, &problems));
    if (c) {
        FUZZ_ASSERT(strcmp(c->user, found.user) == 0 && strcmp(c->group, found.group) == 0);
        FUZZ_ASSERT(strcmp(c->stats_file, found.stats_file) == 0 && strcmp(c->instance, found.instance) == 0);
    }
    config_problems_free(&problems);
    config_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_problems problems = {0};
    struct reading r = {.n = 0};
    char *text = malloc(size + 2);

    memcpy(text, data, size);
    text[size] = '\0';
    if (lexical_check(text, size, keep, &r, &problems)) {
        compare_identity(text, size);
        memcpy(text + size, "\n", 2); // as parse.c does
        compare(&r, text);
    } else {
        compare_refusal(&r, &problems, text);
    }
    config_problems_free(&problems);
    free(r.tokens);
    free(text);
    return 0;
}
