// SPDX-License-Identifier: Apache-2.0
// Functions that the commands share: they load a file, print problems, and check that all output was written.
#include <config.h>

#include "command/command.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/exit.h"
#include "compile/compile.h"
#include "config/load.h"

struct config *command_read(const char *path, unsigned flags, struct config_problems *problems,
                            struct config_bytes *bytes)
{
    struct config *c = config_load(path, flags, problems, bytes);
    struct compile_memory memory;
    char why[COMPILE_WHY_MAX];

    if (!c || compile_memory(c, &memory, why))
        return c;
    config_error(problems, memory.line, NULL, "%s", why);
    config_free(c);
    return NULL;
}

struct config *command_load_text(const char *path, unsigned flags, struct config_bytes *bytes)
{
    struct config_problems problems = {0};
    struct config *c = command_read(path, flags, &problems, bytes);

    config_problems_print(&problems, path, stderr);
    config_problems_free(&problems);
    return c;
}

uint64_t command_time(uint64_t at)
{
    return at ? at : clock_realtime_ns() / NS_PER_S;
}

struct config *command_load(const char *path, unsigned flags)
{
    struct config_bytes bytes;
    struct config *c = command_load_text(path, flags, &bytes);

    file_free(&bytes);
    return c;
}

int command_trouble(const char *format, ...)
{
    va_list args;

    fputs("mcrd: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_TROUBLE;
}

bool command_print_tree(json_t *tree)
{
    bool ok = json_dumpf(tree, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;

    putchar('\n');
    json_decref(tree);
    return ok;
}

bool command_flush(const char *path, bool printed)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        printed = false;
    if (!printed)
        fprintf(stderr, "%s: cannot write to the standard output\n", path);
    return printed;
}
