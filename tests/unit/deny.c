// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "deny.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *p);

#define MOST 20000 // allocations that are tried, each twice

static unsigned long calls, first; // allocations since deny_each() began; the one that fails, 0: none
static bool all;                   // those behind it fail, too

// What an action has taken and not given back: a table of addresses, whose empty places are NULL.
#define PLACES (1u << 14)

static bool watched;
static void **held;
static unsigned long n_held;

static size_t place_of(const void *p)
{
    size_t i = ((uintptr_t) p >> 4) * 0x9e3779b97f4a7c15u % PLACES;

    while (held[i] && held[i] != p)
        i = (i + 1) % PLACES;
    return i;
}

static void *take(void *p)
{
    if (watched && p) {
        cr_assert_lt(n_held, PLACES / 2);
        held[place_of(p)] = p;
        n_held++;
    }
    return p;
}

static void give_back(const void *p)
{
    size_t hole;

    if (!watched || !p || !held[hole = place_of(p)])
        return;
    n_held--;
    held[hole] = NULL;
    // Those behind it, up to the next empty place, may have been looked for there.
    for (size_t i = (hole + 1) % PLACES; held[i]; i = (i + 1) % PLACES) {
        void *moved = held[i];
        held[i] = NULL;
        held[place_of(moved)] = moved;
    }
}

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
    return denied() ? NULL : take(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return denied() ? NULL : take(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (denied())
        return NULL;
    give_back(old);
    return take(__real_realloc(old, size));
}

void __wrap_free(void *p)
{
    give_back(p);
    __real_free(p);
}

// With the n-th allocation failing. The C library's own memory, such as that of the stream, is not counted.
static char *text_of(deny_action *action, void *context, unsigned long n, bool *ok)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(to);
    calls = n_held = 0;
    memset(held, 0, PLACES * sizeof(*held));
    first = n;
    watched = true;
    *ok = action(context, to);
    watched = false;
    first = 0;
    cr_expect_eq(n_held, 0, "%lu allocations are not given back, where allocation %lu fails (0: none)", n_held, n);
    fclose(to);
    return text;
}

unsigned deny_each(deny_action *action, void *context, bool json)
{
    if (json)
        json_set_alloc_funcs(__wrap_malloc, free);

    bool ok;
    unsigned n_failed = 0;

    cr_assert_not_null(held = __real_calloc(PLACES, sizeof(*held)));
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
    __real_free(held);
    return n_failed;
}
