// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/state.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

Test(asker, who_asks_too_often_waits)
{
    uint64_t due = 0;
    double began = now();

    for (int i = 0; i < ASKER_BURST; i++)
        asker_pace(&due);
    cr_expect_lt(now() - began, 0.5);
    began = now();
    for (int i = 0; i < 20; i++)
        asker_pace(&due);
    cr_expect_geq(now() - began, 18.0 / ASKER_PER_SECOND);
}

Test(asker, the_kernels_word_on_the_login_counts_more)
{
    struct handover_asker self = {.pid = (uint32_t) getpid(), .loginuid = 4711};
    char text[16] = "";
    int fd = open("/proc/self/loginuid", O_RDONLY);

    if (fd >= 0) {
        cr_assert_gt(read(fd, text, sizeof(text) - 1), 0);
        close(fd);
        cr_expect_eq(asker_login(&self), (uint32_t) strtoul(text, NULL, 10));
    }
    self.pid = UINT32_MAX; // no process has it
    cr_expect_eq(asker_login(&self), 4711);
    self.pid = 0;
    cr_expect_eq(asker_login(&self), UINT32_MAX);
}
