// SPDX-License-Identifier: Apache-2.0
// Prints the changes that a reload would make.
#include <config.h>

#include "command/command.h"

#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "command/running.h"
#include "command/signed.h"
#include "common/digest.h"
#include "common/exit.h"
#include "config/compare.h"
#include "config/endpoint.h"
#include "config/load.h"
#include "config/print.h"
#include "config/schema.h"
#include "config/times.h"
#include "config/value.h"

// --- as text ---------------------------------------------------------------------------------------------------------

// Returns the new version of the rule, or the old one of a removed rule.
static const struct config_rule *rule_of(const struct diff_rule *r)
{
    return r->to ? r->to : r->from;
}

static void print_value(json_t *value)
{
    if (value)
        config_tree_print(value, stdout);
    else
        fputs("unset", stdout);
}

static void print_field(const struct diff_field *f)
{
    bool element = f->path[strlen(f->path) - 1] == ']';

    printf("%s: ", f->path);
    if (element && !(f->from && f->to)) {
        fputs(f->to ? "added " : "removed ", stdout);
        print_value(f->to ? f->to : f->from);
    } else {
        print_value(f->from);
        fputs(" -> ", stdout);
        print_value(f->to);
    }
    putchar('\n');
}

static void print_disturbs(bool disturbs)
{
    printf("    disturbs traffic: %s\n", disturbs ? "yes" : "no");
}

static void print_top(const struct diff_field *f)
{
    fputs("~ ", stdout);
    print_field(f);
    if (f->effect == DIFF_RESTART)
        puts("    needs a restart: a reload is refused");
    else
        print_disturbs(f->effect == DIFF_DISTURBS);
}

static void print_key(const char *name, json_t *value)
{
    printf("    %s: ", name);
    print_value(value);
    putchar('\n');
}

// Prints the keys of a rule that differ from their defaults, without name and note, which are printed separately.
static void print_rule(const struct config_rule *rule)
{
    struct config_rule blank = {.line = 0};
    char name[DIFF_PATH_MAX];

    value_store_defaults(SCHEMA_RULE, &blank);
    for (size_t i = 0; i < schema_n_keys; i++) {
        const struct schema_key *key = &schema_keys[i];
        if (key->where != SCHEMA_RULE || key->kind == SCHEMA_NAME || key->kind == SCHEMA_NOTE)
            continue;
        json_t *value = config_value_tree(key, rule), *usual = config_value_tree(key, &blank), *element;
        size_t n;
        json_array_foreach(value, n, element)
        {
            snprintf(name, sizeof(name), "%s[%zu]", key->name, n);
            print_key(name, element);
        }
        if (value && !json_is_array(value) && !json_equal(value, usual))
            print_key(key->name, value);
        json_decref(value);
        json_decref(usual);
    }
}

// Prints the note of a rule, unless it has changed: it is then among the fields.
static void print_note(const struct diff_rule *r)
{
    const char *text = rule_of(r)->note;
    bool changes = r->from && r->to && strcmp(r->from->note, r->to->note) != 0;
    json_t *note = text[0] && !changes ? json_string(text) : NULL;

    if (note)
        print_key("note", note);
    json_decref(note);
}

static void print_entry(const struct diff_rule *r)
{
    static const char signs[] = {[DIFF_ADDED] = '+', [DIFF_REMOVED] = '-', [DIFF_CHANGED] = '~'};

    printf("%c rule \"%s\"\n", signs[r->kind], rule_of(r)->name);
    print_note(r);
    if (r->kind != DIFF_CHANGED)
        print_rule(rule_of(r));
    for (size_t i = 0; i < r->n_fields; i++) {
        fputs("    ", stdout);
        print_field(&r->fields[i]);
    }
    print_disturbs(r->disturbs);
}

static void print_text(const struct diff *d, const struct config *running, const struct config *wanted,
                       const char *restart, const char *refusal, bool against)
{
    char ours[DIGEST_TEXT_MAX], theirs[DIGEST_TEXT_MAX];

    if (*refusal)
        printf("! a reload is refused: %s\n", refusal);
    if (diff_is_empty(d)) {
        puts("no difference");
        if (memcmp(running->file.sha256, wanted->file.sha256, sizeof(running->file.sha256)) != 0)
            printf("the files differ in comments, layout or order only: sha256 %s %s%s, %s is %s\n",
                   digest_text(running->file.sha256, theirs), against ? "is " : "runs", against ? running->path : "",
                   wanted->path, digest_text(wanted->file.sha256, ours));
        return;
    }
    if (*restart)
        printf("~ %s\n    needs a restart: a reload is refused\n", restart);
    for (size_t i = 0; i < d->n_top; i++)
        print_top(&d->top[i]);
    for (size_t i = 0; i < d->n_rules; i++)
        print_entry(&d->rules[i]);
    printf("%zu added, %zu removed, %zu changed", d->n_added, d->n_removed, d->n_changed);
    if (d->n_top)
        printf(", %zu outside the rules", d->n_top);
    printf("; disturbs traffic: %s%s\n", d->disturbs ? "yes" : "no",
           d->needs_restart ? "; needs a restart: a reload is refused" : "");
}

// --- as JSON ---------------------------------------------------------------------------------------------------------

// Returns the changed fields; a value that is not given is null.
static json_t *fields_tree(const struct diff_field *fields, size_t n, bool top)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++) {
        const struct diff_field *f = &fields[i];
        json_array_append_new(array, json_pack("{s:s, s:O?, s:O?, s:o*, s:o*}", "field", f->path, "from", f->from, "to",
                                               f->to, "disturbs", top ? json_boolean(f->effect == DIFF_DISTURBS) : NULL,
                                               "needs_restart", top ? json_boolean(f->effect == DIFF_RESTART) : NULL));
    }
    return array;
}

static json_t *rules_tree(const struct diff *d, enum diff_kind kind)
{
    json_t *array = json_array();

    for (size_t i = 0; i < d->n_rules; i++) {
        const struct diff_rule *r = &d->rules[i];
        if (r->kind == kind)
            json_array_append_new(array, json_pack("{s:s, s:s, s:o, s:b}", "name", rule_of(r)->name, "note",
                                                   rule_of(r)->note, kind == DIFF_CHANGED ? "fields" : "rule",
                                                   kind == DIFF_CHANGED ? fields_tree(r->fields, r->n_fields, false)
                                                                        : config_section_tree(SCHEMA_RULE, rule_of(r)),
                                                   "disturbs", r->disturbs));
    }
    return array;
}

static bool print_json(const struct diff *d, const struct config *running, const struct config *wanted,
                       const char *restart, const char *refusal, json_t *signatures)
{
    char theirs[DIGEST_TEXT_MAX], ours[DIGEST_TEXT_MAX];

    return command_print_tree(json_pack(
        "{s:{s:s, s:s}, s:{s:s, s:s}, s:o, s:o, s:o, s:o, s:b, s:b, s:s?, s:s?, s:o}", "running", "file", running->path,
        "sha256", digest_text(running->file.sha256, theirs), "file", "file", wanted->path, "sha256",
        digest_text(wanted->file.sha256, ours), "added", rules_tree(d, DIFF_ADDED), "removed",
        rules_tree(d, DIFF_REMOVED), "changed", rules_tree(d, DIFF_CHANGED), "top", fields_tree(d->top, d->n_top, true),
        "disturbs", d->disturbs, "needs_restart", d->needs_restart, "restart_reason", *restart ? restart : NULL,
        "refusal", *refusal ? refusal : NULL, "signatures", signatures));
}

// --- both ------------------------------------------------------------------------------------------------------------

// Why serial, validity or a trial do not let a reload pass now, or would not if what it is compared with ran; else
// empty.
static void find_refusal(const struct config *running, const struct config *wanted, const struct running_facts *facts,
                         bool against, char why[1024])
{
    bool same = memcmp(running->file.sha256, wanted->file.sha256, sizeof(wanted->file.sha256)) == 0;
    bool before = facts->on_trial && memcmp(facts->returns_to, wanted->file.sha256, sizeof(facts->returns_to)) == 0;
    static const char runs[] = "what runs";
    struct config_problems problems = {0};
    char reason[TIMES_WHY_MAX];

    why[0] = '\0';
    times_check(wanted, command_time(0), &problems);
    if (problems.n_errors > 0)
        config_problems_first(&problems, wanted->path, why, 1024);
    else if (facts->on_trial && !before && !same)
        snprintf(why, 1024, "%s: a file is on trial: confirm it (mcrd --confirm), or let it go back", wanted->path);
    else if (!before && !times_may_follow(running->serial, running->file.sha256, wanted, reason))
        snprintf(why, 1024, "%s: %s", wanted->path, reason);
    char *at = against ? strstr(why, runs) : NULL;
    if (at) {
        char rest[1024];
        snprintf(rest, sizeof(rest), "%s", at + strlen(runs));
        snprintf(at, (size_t) (why + 1024 - at), "%s%s", running->path, rest);
    }
    config_problems_free(&problems);
}

static int compare(const struct config *running, const struct config *wanted, const struct running_facts *facts,
                   bool against, const char *trust, const struct config_bytes *bytes, bool json)
{
    size_t n = config_input_interfaces(wanted);
    char restart[128] = ""; // a reason beside the keys that need one
    char refusal[1024];
    struct diff d;
    bool printed = true;
    int status;

    if (!diff_make(&d, running, wanted))
        return command_trouble("out of memory");
    if (facts->inputs_most > 0 && n > facts->inputs_most)
        snprintf(restart, sizeof(restart),
                 "%zu input interfaces, and sockets for %zu: mcrd opens them at its start only", n, facts->inputs_most);
    find_refusal(running, wanted, facts, against, refusal);
    d.needs_restart |= *restart != '\0';
    if (json) {
        printed = print_json(&d, running, wanted, restart, refusal, signed_tree(wanted, false, trust, bytes));
    } else {
        print_text(&d, running, wanted, restart, refusal, against);
        // Standard output is "no difference" alone where there is none.
        signed_print(wanted, false, trust, bytes, diff_is_empty(&d) ? stderr : stdout);
    }
    status = !command_flush(wanted->path, printed) ? EXIT_TROUBLE : diff_is_empty(&d) ? 0 : 1;
    diff_free(&d);
    return status;
}

int command_diff(const char *path, const char *against, const char *trust, bool json)
{
    // Compared with another file, it is perhaps of another machine.
    unsigned flags = against ? CONFIG_LOAD_OFFLINE_INTERFACES : 0;
    struct config_bytes bytes;
    struct config *wanted = command_load_text(path, flags, &bytes), *running = NULL;
    struct running_facts facts = {.inputs_most = 0};
    int status = EXIT_TROUBLE;

    if (wanted) {
        setlocale(LC_CTYPE, "");
        running = against ? command_load(against, flags) : running_load(wanted, &facts);
    }
    if (running) {
        times_apply(running, command_time(0), true);
        times_apply(wanted, command_time(0), true);
    }
    if (running)
        status = compare(running, wanted, &facts, against != NULL, trust, &bytes, json);
    file_free(&bytes);
    config_free(running);
    config_free(wanted);
    return status;
}
