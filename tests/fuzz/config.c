// SPDX-License-Identifier: Apache-2.0
// config: the file's way from text to table, for any text. What is accepted is printed and read again, and must say the
// same; compiled (on the machine of machine.c), its table must be valid and lead each destination to its rule. With a
// NUL in the input, what lies behind it is another file, which the first is compared with and reloaded to.
#include <config.h>

#include "fuzz.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compile.h"
#include "config/check_site.h"
#include "config/compare.h"
#include "config/load.h"
#include "config/print.h"
#include "firewall/ruleset.h"
#include "graph/graph.h"
#include "machine.h"
#include "table/view.h"

// --- text ------------------------------------------------------------------------------------------------------------

// The config that the text says, or NULL; then at least one error, each with a line of the text.
static struct config *load(const char *text, size_t size)
{
    struct config_problems problems = {0};
    char *copy = malloc(size + 1), first[1024];
    struct config *c;
    int lines = 1;

    memcpy(copy, text, size);
    copy[size] = '\0';
    for (size_t i = 0; i < size; i++)
        lines += copy[i] == '\n';
    c = config_load_text(copy, size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    FUZZ_ASSERT((c != NULL) == (problems.n_errors == 0));
    FUZZ_ASSERT(problems.n + problems.left_out >= problems.n_errors);
    for (size_t i = 0; i < problems.n; i++) {
        // libconfig tells of the token behind, which may be in the line that parse.c adds.
        FUZZ_ASSERT(problems.list[i].line >= 0 && problems.list[i].line <= lines + 1 && problems.list[i].text[0]);
        FUZZ_ASSERT(i == 0 || problems.list[i - 1].line <= problems.list[i].line);
    }
    config_problems_first(&problems, "mcr.conf", first, sizeof(first));
    config_problems_free(&problems);
    free(copy);
    return c;
}

static char *print(const struct config *c, size_t *size)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size);

    FUZZ_ASSERT(to && config_print(c, to));
    fclose(to);
    return text;
}

static bool say_the_same(const struct config *a, const struct config *b)
{
    struct diff d;

    FUZZ_ASSERT(diff_make(&d, a, b));
    bool same = diff_is_empty(&d);
    FUZZ_ASSERT(!same || (!d.disturbs && !d.needs_restart));
    diff_free(&d);
    return same;
}

static void check_print(const struct config *c)
{
    size_t size, size_again;
    char *text = print(c, &size);
    struct config *back = load(text, size);

    FUZZ_ASSERT(back);
    FUZZ_ASSERT(say_the_same(c, back) && say_the_same(back, c));
    char *again = print(back, &size_again);
    FUZZ_ASSERT(size == size_again && memcmp(text, again, size) == 0);
    free(text);
    free(again);
    config_free(back);
}

static void check_print_json(struct config *c)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    c->path = c->path ? c->path : strdup("/etc/mcr/mcr.conf");
    FUZZ_ASSERT(to && config_print_json(c, to));
    fclose(to);
    json_t *tree = json_loadb(text, size, 0, NULL);
    FUZZ_ASSERT(json_array_size(json_object_get(tree, "rules")) == c->n_rules);
    json_decref(tree);
    free(text);
}

// The rules for nft(8), or NULL.
static char *firewall(const struct config *c, enum firewall_role role)
{
    char *text = NULL, why[FIREWALL_WHY_MAX] = "";
    size_t size;
    FILE *to = open_memstream(&text, &size);

    FUZZ_ASSERT(to);
    bool ok = firewall_write(&c, 1, role, to, why);
    fclose(to);
    FUZZ_ASSERT(ok ? size > 0 && text[size - 1] == '\n' : size == 0 && why[0]);
    if (ok)
        return text;
    free(text);
    return NULL;
}

// The same each time; nothing of the file ends a line or a string of it, or opens what is not closed.
static void check_firewall(const struct config *c)
{
    for (enum firewall_role role = FIREWALL_HOST; role <= FIREWALL_DOWNSTREAM; role++) {
        char *text = firewall(c, role), *again = firewall(c, role);
        int depth = 0;
        FUZZ_ASSERT(!text == !again && (!text || strcmp(text, again) == 0));
        for (const char *at = text; at && *at; at++) {
            FUZZ_ASSERT(*at == '\n' || *at == '\t' || (*at >= ' ' && *at <= '~'));
            if (*at == '#')
                at += strcspn(at, "\n");
            if (*at != '"') {
                depth += (*at == '{') - (*at == '}');
                continue;
            }
            size_t length = strcspn(at + 1, "\"\n");
            FUZZ_ASSERT(at[1 + length] == '"' && length <= 128); // NFTNL_UDATA_COMMENT_MAXLEN
            at += 1 + length;
        }
        FUZZ_ASSERT(depth == 0);
        free(text);
        free(again);
    }
}

static void check_diff(const struct config *a, const struct config *b)
{
    struct diff there, back;

    FUZZ_ASSERT(diff_make(&there, a, b) && diff_make(&back, b, a));
    FUZZ_ASSERT(diff_is_empty(&there) == diff_is_empty(&back));
    FUZZ_ASSERT(there.n_added == back.n_removed && there.n_removed == back.n_added);
    FUZZ_ASSERT(there.n_changed == back.n_changed && there.needs_restart == back.needs_restart);
    FUZZ_ASSERT(b->n_rules + there.n_removed == a->n_rules + there.n_added);
    FUZZ_ASSERT(there.n_added + there.n_removed + there.n_changed == there.n_rules);
    for (size_t i = 0; i < there.n_rules; i++) {
        const struct diff_rule *r = &there.rules[i];
        FUZZ_ASSERT((r->kind == DIFF_ADDED) == !r->from && (r->kind == DIFF_REMOVED) == !r->to);
        FUZZ_ASSERT(r->kind != DIFF_CHANGED || r->n_fields > 0);
        FUZZ_ASSERT(!r->disturbs || there.disturbs);
    }
    diff_free(&there);
    diff_free(&back);
}

// Writes the picture of two files, of which the first is compared with the second.
static char *graph(const struct config *a, const struct config *b, bool detail)
{
    const struct graph_file files[] = {{a, b}, {b, NULL}};
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    FUZZ_ASSERT(to && graph_write(files, 2, detail, to));
    fclose(to);
    return text;
}

// The same each time; nothing of the file ends a line or a string of it, or opens what is not closed.
static void check_graph(struct config *a, struct config *b)
{
    a->path = a->path ? a->path : strdup("/etc/mcr/mcr.conf");
    b->path = b->path ? b->path : strdup("/etc/mcr/mcr.conf");
    for (int detail = 0; detail < 2; detail++) {
        char *text = graph(a, b, detail), *again = graph(a, b, detail);
        int depth = 0;
        FUZZ_ASSERT(strcmp(text, again) == 0);
        for (const char *at = text; *at; at++) {
            if (at[0] == '/' && at[1] == '/')
                at += strcspn(at, "\n");
            if (*at != '"') {
                depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
                FUZZ_ASSERT(*at == '\n' || *at == '\t' || (*at >= ' ' && *at <= '~'));
                continue;
            }
            while (*++at != '"') {
                FUZZ_ASSERT((unsigned char) *at >= ' ' && *at != 0x7f);
                at += *at == '\\' && at[1] != '\0';
            }
        }
        FUZZ_ASSERT(depth == 0);
        free(text);
        free(again);
    }
}

static void check_together(struct config *a, struct config *b)
{
    const struct config *files[] = {a, b};
    struct config_problems problems[2] = {{NULL, 0, 0, 0}, {NULL, 0, 0, 0}};

    a->file.sha256[0] = (uint8_t) (b->file.sha256[0] + 1); // not one file twice
    check_site(files, 2, problems);
    for (int i = 0; i < 2; i++) {
        FUZZ_ASSERT(problems[i].n + problems[i].left_out >= problems[i].n_errors);
        config_problems_free(&problems[i]);
    }
}

// --- table -----------------------------------------------------------------------------------------------------------

static void check_table(const struct table_image *t, const struct config *c, const struct table_view *before)
{
    struct table_view v;
    const char *why;

    FUZZ_ASSERT(table_attach(&v, t->bytes, t->size, &why));
    FUZZ_ASSERT(v.n_rules == c->n_rules);
    for (uint32_t i = 0; i < v.n_rules; i++) {
        const struct table_rule *r = &v.rules[i];
        FUZZ_ASSERT(strcmp(r->name, c->rules[i].name) == 0);
        FUZZ_ASSERT(r->n_inputs == c->rules[i].n_inputs);
        for (uint32_t j = r->first_input; j < r->first_input + r->n_inputs; j++) {
            FUZZ_ASSERT(v.inputs[j].rule == i);
            FUZZ_ASSERT((v.inputs[j].n_destinations > 0) == c->rules[i].enabled);
        }
        FUZZ_ASSERT(r->carried_from == TABLE_NONE ||
                    (before && strcmp(before->rules[r->carried_from].name, r->name) == 0));
    }
    for (uint32_t i = 0; i < v.n_destinations; i++) {
        const struct table_destination *d = &v.destinations[i];
        struct table_key key = {.destination = d->address, .port = d->port, .vlan = d->vlan, .interface = d->interface};
        FUZZ_ASSERT(table_lookup(&v, &key) == d);
    }
}

// The only reasons to refuse a valid file on this machine.
static bool may_fail(const char *why)
{
    return strstr(why, "has no Ethernet headers") || strstr(why, "missing_interface is \"reject\"") ||
           strstr(why, "which missing_interface = \"reject\" refuses") || strstr(why, "the interface does not exist") ||
           strstr(why, "has no address to send from") || strstr(why, "Too many open files") ||
           strstr(why, "Cannot allocate memory") || strstr(why, "than a merge can tell apart") ||
           strstr(why, "a shorter datagram cannot be merged") ||
           strstr(why, "the merges and monitors of all rules would take");
}

static bool compile_one(const struct config *c, struct sockets *sockets, const struct table_view *before,
                        struct table_image *t)
{
    char why[COMPILE_WHY_MAX] = "";

    sockets_begin(sockets);
    bool ok = compile(c, before, 1, false, sockets, t, why);
    sockets_settle(sockets, ok);
    FUZZ_ASSERT(ok || may_fail(why));
    if (ok)
        check_table(t, c, before);
    return ok;
}

static void check_compile(const struct config *a, const struct config *b)
{
    struct sockets *sockets = sockets_new(&machine_any, 0);
    struct table_image first = {.bytes = NULL}, again = {.bytes = NULL}, next = {.bytes = NULL};
    struct table_view v;
    const char *why;

    // For more inputs than most of these files have.
    FUZZ_ASSERT(sockets_open_pool(sockets, 16, &why));
    if (compile_one(a, sockets, NULL, &first)) {
        // Of the same, the same comes, and nothing is opened twice.
        FUZZ_ASSERT(table_attach(&v, first.bytes, first.size, &why));
        FUZZ_ASSERT(compile_one(a, sockets, &v, &again) && table_image_equal(&first, &again));
        if (b)
            compile_one(b, sockets, &v, &next);
    }
    free(first.bytes);
    free(again.bytes);
    free(next.bytes);
    sockets_free(sockets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    size_t half = size ? strnlen(text, size) : 0;
    struct config *a = load(text, half), *b = half < size ? load(text + half + 1, size - half - 1) : NULL;
    struct config *both[] = {a, b};

    for (int i = 0; i < 2; i++)
        if (both[i]) {
            check_print(both[i]);
            check_print_json(both[i]);
            check_firewall(both[i]);
        }
    if (a && b) {
        check_diff(a, b);
        check_graph(a, b);
        check_together(a, b);
    }
    if (a)
        check_compile(a, b);
    config_free(a);
    config_free(b);
    return 0;
}
