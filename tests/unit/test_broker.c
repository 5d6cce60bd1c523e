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

static bool any_filter(int fd, const struct ring_filter *filter)
{
    (void) fd, (void) filter;
    return true;
}

// Its sockets for rings are no descriptors, so that they cannot be sent: what came before them counts.
Test(offer, what_was_sent_of_it_counts_if_the_rest_cannot_be)
{
    static const char text[] =
        "version=1;rules=({name=\"r\";input={interface=\"in0\";group=\"239.255.0.1\";port=5000;};"
        "outputs=({interface=\"out0\";group=\"239.255.0.2\";port=5000;});});";
    char directory[] = "/tmp/mcr-units-XXXXXX";
    struct machine machine = machine_none;
    struct broker_options options = {.machine = &machine, .config_path = "mcr.conf"};
    struct broker b = {.options = &options, .sockets = sockets_new(&machine, FEATURE_TX_RING)};
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    struct handover_message m;
    int ends[2], fds[HANDOVER_FDS_MAX];
    const char *step;

    machine.ring_set_filter = any_filter;
    cr_assert(mkdtemp(directory) && handover_pair(ends));
    snprintf(b.stats_file, sizeof(b.stats_file), "%s/stats", directory);
    b.relay = ends[1];
    keep_init(&b.keep);
    audit_init(&b.audit);
    cr_assert(c && b.sockets && sockets_open_pool(b.sockets, 1, &step));
    for (size_t sent = HANDOVER_PLAIN; sent <= 2 * HANDOVER_PLAIN; sent += HANDOVER_PLAIN) {
        struct attempt a = {.serial = 1, .generation = 1};
        cr_expect_eq(offer_config(&b, &a, c), REFUSED);
        cr_expect(strstr(a.why, "the table cannot be handed over: Bad file descriptor"), "%s", a.why);
        cr_expect_eq(b.n_rejected, sent);
        cr_assert(handover_receive(ends[0], &m, fds) == HANDOVER_GOT && m.type == HANDOVER_OFFER);
        handover_close(&m, fds);
    }
    struct attempt a = {.serial = 1, .generation = 1};
    b.n_rejected = 4096;
    cr_expect_eq(offer_config(&b, &a, c), REFUSED);
    cr_expect(strstr(a.why, "the relay has rejected tables with 4096 descriptors"), "%s", a.why);
    cr_expect_eq(handover_receive(ends[0], &m, fds), HANDOVER_EMPTY);
    cr_expect(!b.over);
    sockets_free(b.sockets);
    config_free(c);
    rmdir(directory);
}

Test(trial, what_it_held_is_given_back_once)
{
    struct broker b = {.relay = -1};

    audit_init(&b.audit);
    for (size_t i = 0; i < HANDOVER_PLAIN; i++)
        b.trial.fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd = b.trial.fds[0];
    b.trial.image.bytes = malloc(100);
    b.trial.text.signatures = malloc(100);
    trial_end(&b);
    cr_expect_null(b.trial.text.signatures);
    cr_expect_null(b.trial.image.bytes);
    cr_expect(b.trial.fds[0] == -1 && fcntl(fd, F_GETFD) < 0);
    trial_end(&b);
    audit_free(&b.audit);
}
