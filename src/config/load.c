// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/load.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/trail.h"
#include "config/check.h"
#include "config/file.h"
#include "config/lexical.h"
#include "config/parse.h"
#include "config/schema.h"
#include "config/value.h"

// --- without libconfig -----------------------------------------------------------------------------------------------

struct finder {
    struct config *c;
    const struct schema_key *key; // a key of the top level whose value is a text and comes next; else NULL
};

static void see(void *context, const struct lexical_token *t)
{
    struct finder *f = context;
    char name[32], text[sizeof(f->c->stats_file)]; // the longest
    struct value value = {.type = VALUE_STRING, .text = text};

    if (t->kind == LEXICAL_MARK && (*t->text == '=' || *t->text == ':'))
        return;
    if (t->kind == LEXICAL_STRING && f->key && lexical_string(t, text, sizeof(text)) < sizeof(text))
        value_store(f->key, &value, f->c);
    f->key = NULL;
    if (t->kind == LEXICAL_KEY && t->depth == 0 && lexical_string(t, name, sizeof(name)) < sizeof(name))
        f->key = schema_find(SCHEMA_TOP, name);
    if (f->key && f->key->kind != SCHEMA_NAME && f->key->kind != SCHEMA_PATH)
        f->key = NULL;
}

bool identity_check(const char *text, size_t size, struct config *c, struct config_problems *problems)
{
    struct finder f = {.c = c};

    memset(c, 0, sizeof(*c));
    value_store_defaults(SCHEMA_TOP, c);
    return lexical_check(text, size, see, &f, problems);
}

bool config_identify(const char *path, struct config *identity, struct config_problems *problems,
                     struct config_bytes *bytes)
{
    return file_read(path, true, bytes, problems) && identity_check(bytes->text, bytes->size, identity, problems) &&
           file_check_owner(path, &bytes->info, identity->user, problems);
}

// --- the whole file --------------------------------------------------------------------------------------------------

#define RUNNING_NAME "running.conf"
#define COMMON_NAME  "stats" // of a stats_file that has its directory for itself

#define BESIDE_MAX (sizeof(((struct config *) NULL)->stats_file) + sizeof(((struct config *) NULL)->audit_file))

_Static_assert(sizeof(((struct config *) NULL)->stats_file) + sizeof("." RUNNING_NAME) <= CONFIG_RUNNING_PATH_MAX,
               "room for the path of the copy");

const char *config_running_path(const char *stats_file, char out[CONFIG_RUNNING_PATH_MAX])
{
    const char *name = strrchr(stats_file, '/') + 1;

    if (strcmp(name, COMMON_NAME) == 0)
        snprintf(out, CONFIG_RUNNING_PATH_MAX, "%.*s" RUNNING_NAME, (int) (name - stats_file), stats_file);
    else
        snprintf(out, CONFIG_RUNNING_PATH_MAX, "%s." RUNNING_NAME, stats_file);
    return out;
}

// Refuses names for stats_file that the copy of a running file has, of this daemon or of another: it lies in the same
// directory, and both are replaced by rename.
static void check_stats_file(const struct config *c, struct config_problems *problems)
{
    static const char *const taken[] = {"/" RUNNING_NAME,
                                        "/" RUNNING_NAME ".new",
                                        "/" RUNNING_NAME ".back",
                                        "/" RUNNING_NAME ".back.new",
                                        "." RUNNING_NAME ".back.new",
                                        "." RUNNING_NAME,
                                        "." RUNNING_NAME ".new",
                                        "." RUNNING_NAME ".back"};
    size_t length = strlen(c->stats_file);
    bool is_taken = false;

    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        is_taken |= length >= strlen(taken[i]) && strcmp(c->stats_file + length - strlen(taken[i]), taken[i]) == 0;
    if (is_taken)
        config_error(problems, 0, NULL,
                     "stats_file is \"%s\", allowed is any other name: the copy of the running file has this one",
                     c->stats_file);
}

// Writes the path of audit_file as one in the directory of stats_file, if both are in the same one by whatever names or
// links; else as it is. Returns out.
static const char *audit_beside_stats(const struct config *c, char out[BESIDE_MAX])
{
    const char *name = strrchr(c->audit_file, '/') + 1, *stats = strrchr(c->stats_file, '/') + 1;
    int length = (int) (stats - c->stats_file);
    char directory[BESIDE_MAX];
    struct stat of_audit, of_stats;

    snprintf(out, BESIDE_MAX, "%.*s", (int) (name - c->audit_file), c->audit_file);
    snprintf(directory, sizeof(directory), "%.*s", length, c->stats_file);
    bool same = fstatat(AT_FDCWD, out, &of_audit, 0) == 0 && fstatat(AT_FDCWD, directory, &of_stats, 0) == 0 &&
                of_audit.st_dev == of_stats.st_dev && of_audit.st_ino == of_stats.st_ino;
    snprintf(out, BESIDE_MAX, "%.*s%s", same ? length : (int) (name - c->audit_file),
             same ? c->stats_file : c->audit_file, name);
    return out;
}

// Refuses names for audit_file that are those of the statistics, or of what lies beside them, and the other way round.
static void check_audit_file(const struct config *c, struct config_problems *problems)
{
    char running[CONFIG_RUNNING_PATH_MAX], audit[BESIDE_MAX];
    size_t stats = strlen(c->stats_file);

    config_running_path(c->stats_file, running);
    if (c->audit_required && !c->audit_file[0])
        config_error(problems, c->audit_required_line, NULL,
                     "audit_required is true without audit_file, allowed is both or none");
    // --print writes the default.
    if (c->audit_mib_line && !c->audit_file[0] && c->audit_mib != schema_default(SCHEMA_TOP, "audit_mib"))
        config_warning(problems, c->audit_mib_line, NULL,
                       "audit_mib means nothing without audit_file: records are in the log only");
    if (!c->audit_file[0])
        return;
    audit_beside_stats(c, audit);
    if ((strncmp(audit, c->stats_file, stats) == 0 && (audit[stats] == '\0' || audit[stats] == '.')) ||
        strncmp(audit, running, strlen(running)) == 0)
        config_error(problems, 0, NULL,
                     "audit_file is \"%s\", allowed is any other name: the statistics, or what lies beside them, have "
                     "this one",
                     c->audit_file);
    else if (trail_writes(audit, c->stats_file))
        config_error(problems, 0, NULL,
                     "stats_file is \"%s\", allowed is any other name: audit_file (\"%s\") has it for its lock "
                     "(.lock) and for older records (.1 to .%d)",
                     c->stats_file, c->audit_file, TRAIL_OLD);
}

// Refuses a stats_file by which the daemon would replace or remove the config file itself, by whatever name or link.
static void check_not_itself(const char *path, const struct config *c, struct config_problems *problems)
{
    struct stat audit;
    static const char *const written[] = {"", ".new"};
    char name[sizeof(c->stats_file) + sizeof(".new")];
    struct stat file, other;

    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        snprintf(name, sizeof(name), "%s%s", c->stats_file, written[i]);
        if (fstatat(AT_FDCWD, path, &file, 0) == 0 && fstatat(AT_FDCWD, name, &other, 0) == 0 &&
            file.st_dev == other.st_dev && file.st_ino == other.st_ino)
            config_error(problems, 0, NULL,
                         "stats_file is \"%s\", and the statistics would replace this file itself (\"%s\"): name "
                         "another one, as /run/mcr/stats",
                         c->stats_file, name);
    }
    if (c->audit_file[0] && fstatat(AT_FDCWD, path, &file, 0) == 0 &&
        fstatat(AT_FDCWD, c->audit_file, &audit, 0) == 0 && file.st_dev == audit.st_dev && file.st_ino == audit.st_ino)
        config_error(problems, 0, NULL, "audit_file is \"%s\", which is this file itself: name another one",
                     c->audit_file);
}

// Parses and checks text that has passed lexical_check().
static struct config *load_text(const char *text, size_t size, unsigned flags, struct config_problems *problems)
{
    size_t errors = problems->n_errors;
    bool whole;
    struct config *c = parse_config(text, size, problems, &whole);

    if (!whole) {
        config_free(c);
        return NULL;
    }
    check_stats_file(c, problems);
    check_audit_file(c, problems);
    check_config(c, problems);
    if (!(flags & CONFIG_LOAD_OFFLINE_INTERFACES))
        check_interfaces_exist(c, problems);
    if (problems->n_errors == errors)
        return c;
    config_free(c);
    return NULL;
}

struct config *config_load_text(const char *text, size_t size, unsigned flags, struct config_problems *problems)
{
    // Text that libconfig would misread must not reach it.
    return lexical_check(text, size, NULL, NULL, problems) ? load_text(text, size, flags, problems) : NULL;
}

struct config *config_load(const char *path, unsigned flags, struct config_problems *problems,
                           struct config_bytes *bytes)
{
    struct config identity, *c;

    // The owner of the file is checked before libconfig sees a byte of it.
    if (!config_identify(path, &identity, problems, bytes))
        return NULL;
    c = load_text(bytes->text, bytes->size, flags, problems);
    if (!c)
        return NULL;
    check_not_itself(path, c, problems);
    c->file = bytes->info;
    c->path = strdup(path);
    if (!c->path)
        config_error(problems, 0, NULL, "out of memory");
    if (problems->n_errors == 0)
        return c;
    config_free(c);
    return NULL;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_rules; i++) {
        for (size_t j = 0; j < c->rules[i].n_inputs; j++)
            free(c->rules[i].inputs[j].sources);
        free(c->rules[i].inputs);
        free(c->rules[i].outputs);
    }
    free(c->rules);
    free(c->interfaces);
    free(c->path);
    free(c);
}
