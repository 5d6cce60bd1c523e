// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "deny.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

#define MOST 20000 // allocations that are tried, each twice

static unsigned long calls, first; // allocations since deny_each() began; the one that fails, 0: none
static bool all;                   // those behind it fail, too

static bool denied(void)
{
    calls++;
    if (first == 0 || calls < first || (calls > first && !all))
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return denied() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return denied() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return denied() ? NULL : __real_realloc(old, size);
}

// With the n-th allocation failing. The C library's own memory, such as that of the stream, is not counted.
static char *text_of(deny_action *action, void *context, unsigned long n, bool *ok)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(to);
    calls = 0;
    first = n;
    *ok = action(context, to);
    first = 0;
    fclose(to);
    return text;
}

unsigned deny_each(deny_action *action, void *context, bool json)
{
    if (json)
        json_set_alloc_funcs(__wrap_malloc, free);

    bool ok;
    unsigned n_failed = 0;

    char *wanted = text_of(action, context, 0, &ok);
    cr_assert(ok, "with memory it fails: %s", wanted);
    unsigned long n = calls;
    cr_assert_lt(n, MOST);
    for (int from_there = 0; from_there <= 1; from_there++)
        for (unsigned long i = 1; i <= n; i++) {
            all = from_there;
            char *found = text_of(action, context, i, &ok);
            n_failed += !ok;
            cr_expect(!ok || strcmp(found, wanted) == 0,
                      "allocation %lu of %lu%s: no failure is told, but %.200s in place of %.200s", i, n,
                      from_there ? " and all behind it" : "", found, wanted);
            free(found);
        }
    free(wanted);
    return n_failed;
}
