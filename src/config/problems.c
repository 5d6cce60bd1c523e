// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/problems.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX 1000

// Inserts a problem, so that the list stays sorted by line; problems of one line stay in the order in which they were
// found.
static bool insert(struct config_problems *p, const struct config_problem *problem)
{
    size_t at = p->n;

    if (p->n >= PROBLEMS_MAX)
        return false;
    if (!p->list)
        p->list = calloc(PROBLEMS_MAX, sizeof(*p->list));
    if (!p->list)
        return false;
    while (at > 0 && p->list[at - 1].line > problem->line)
        at--;
    memmove(&p->list[at + 1], &p->list[at], (p->n - at) * sizeof(*p->list));
    p->list[at] = *problem;
    p->n++;
    return true;
}

static __attribute__((format(printf, 5, 0))) void add(struct config_problems *p, int line, bool warning,
                                                      const char *rule, const char *format, va_list ap)
{
    struct config_problem problem = {.line = line, .warning = warning};
    size_t size;
    FILE *to = open_memstream(&problem.text, &size);
    bool kept = to != NULL;

    // An error is counted even if it cannot be stored: a file with an error must never count as valid.
    if (!warning)
        p->n_errors++;
    if (to) {
        if (line > 0)
            fprintf(to, ":%d", line);
        fputs(warning ? ": warning: " : ": ", to);
        if (rule)
            fprintf(to, rule[0] == '#' ? "rule %s: " : "rule \"%s\": ", rule);
        vfprintf(to, format, ap);
        kept = !ferror(to);
        kept = fclose(to) == 0 && kept && insert(p, &problem);
    }
    if (!kept) {
        free(problem.text);
        p->left_out++;
    }
}

void config_error(struct config_problems *p, int line, const char *rule, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add(p, line, false, rule, format, ap);
    va_end(ap);
}

void config_warning(struct config_problems *p, int line, const char *rule, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add(p, line, true, rule, format, ap);
    va_end(ap);
}

void config_problems_print(const struct config_problems *p, const char *path, FILE *to)
{
    for (size_t i = 0; i < p->n; i++)
        fprintf(to, "%s%s\n", path, p->list[i].text);
    if (p->left_out)
        fprintf(to, "%s: %zu more left out\n", path, p->left_out);
}

void config_problems_first(const struct config_problems *p, const char *path, char *text, size_t size)
{
    const char *first = p->n_errors ? ": errors that could not be kept" : ": no error";

    for (size_t i = p->n; i-- > 0;)
        if (!p->list[i].warning)
            first = p->list[i].text;
    snprintf(text, size, "%s%s", path, first);
}

void config_problems_free(struct config_problems *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->list[i].text);
    free(p->list);
    memset(p, 0, sizeof(*p));
}
