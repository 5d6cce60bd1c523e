// SPDX-License-Identifier: Apache-2.0
// A reload of many rules to which nothing comes takes no pages for them: each page that is taken, also by reading it,
// makes the turn longer in which packets wait.
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relay/forward.h"
#include "../make_table.h"

#define RULES 400

static char *many_rules(void)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    for (int i = 0; i < RULES; i++)
        fprintf(to,
                "%s{name=\"r-%d\";input={interface=\"in0\";group=\"239.255.0.1\";port=%d;};"
                "outputs=({interface=\"out0\";group=\"239.255.1.1\";port=%d;});}",
                i ? "," : "", i, 5000 + i, 5000 + i);
    cr_assert(fclose(to) == 0);
    return text;
}

// The state of a table in a file, as the relay has it. *fd: that file.
static struct forward *in_file(const struct table_view *view, int *fd)
{
    size_t size = forward_bytes(view);

    *fd = memfd_create("state", MFD_CLOEXEC);
    cr_assert(*fd >= 0 && ftruncate(*fd, (off_t) size) == 0);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    cr_assert(memory != MAP_FAILED);
    struct forward *f = forward_new(view, NULL, memory, 1);
    cr_assert_not_null(f);
    return f;
}

static long long kib(int fd)
{
    struct stat s;

    cr_assert(fstat(fd, &s) == 0);
    return (long long) s.st_blocks / 2;
}

Test(idle_pages, are_not_taken_by_a_reload)
{
    struct table_view was, is;
    char *rules = many_rules();
    int before_fd, now_fd;

    make_view(&was, NULL, "version=1;rules=(%s);", rules);
    make_view(&is, &was, "version=1;rules=(%s);", rules);
    cr_assert_eq(is.rules[RULES - 1].carried_from, RULES - 1);
    struct forward *before = in_file(&was, &before_fd), *now = in_file(&is, &now_fd);
    before->flows[3].counters.packets = 1;
    residence_add(&before->residence[3], 1000, 1);

    long long before_kib = kib(before_fd), now_kib = kib(now_fd);
    forward_carry(now, before);
    cr_expect_eq(now->residence[3].max_ns, 1000);
    // All histograms have 800 KiB; what else is copied is small.
    cr_expect_leq(kib(before_fd) - before_kib, 64, "%lld KiB of the table before", kib(before_fd) - before_kib);
    cr_expect_leq(kib(now_fd) - now_kib, 64, "%lld KiB of the new one", kib(now_fd) - now_kib);
    forward_free(before);
    forward_free(now);
    free(rules);
}
