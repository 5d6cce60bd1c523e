// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/command.h"

#include <stdio.h>

#include "config/load.h"
#include "config/print.h"

// Loads the file and tells all that is wrong with it.
static struct config *load(const char *path)
{
    struct config_problems problems = {0};
    struct config *c = config_load(path, 0, &problems);

    config_problems_print(&problems, path, stderr);
    config_problems_free(&problems);
    return c;
}

// Output that is cut (a full disk, a closed pipe) must not look like success.
static int finish(struct config *c, bool printed)
{
    if (fflush(stdout) != 0)
        printed = false;
    if (!printed)
        fprintf(stderr, "%s: cannot write to the standard output\n", c->path);
    config_free(c);
    return printed ? 0 : 1;
}

int config_command_check(const char *path)
{
    struct config *c = load(path);
    char hex[CONFIG_SHA256_TEXT_MAX];

    if (!c)
        return 1;
    return finish(c, printf("%s: valid, %zu rule%s, sha256 %s\n", path, c->n_rules,
                            c->n_rules == 1 ? "" : "s", config_sha256_format(&c->file, hex)) > 0);
}

int config_command_print(const char *path, bool json)
{
    struct config *c = load(path);

    if (!c)
        return 1;
    return finish(c, json ? config_print_json(c, stdout) : config_print(c, stdout));
}
