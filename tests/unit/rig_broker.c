// SPDX-License-Identifier: Apache-2.0
// The rig's broker: its requests are served by functions of its own.
#include <config.h>

#include "broker/broker.c" // NOLINT

#include <criterion/criterion.h>

#include "common/service.h"
#include "rig_machine.h"
#include "rig_parts.h"

static struct broker_options options;

struct broker *rig_broker_start(int relay, int inotify, const char *path, const char *trust, int first, size_t n,
                                const char *names)
{
    struct broker *b = calloc(1, sizeof(*b));
    struct config_bytes bytes = {.text = NULL};

    cr_assert_not_null(b);
    options = (struct broker_options){.machine = &rig_machine,
                                      .sandbox = SANDBOX_OFF,
                                      .config_path = path,
                                      .trust_path = trust,
                                      .without = RIG_WITHOUT,
                                      .inotify = inotify};
    *b = (struct broker){.options = &options,
                         .relay = relay,
                         .daemon = RIG_PID,
                         .watch.inotify = inotify,
                         .trial.fds = {-1, -1, -1},
                         .verdict_ms = VERDICT_MS};
    b->landlock = 1; // in what it says
    log_setup("broker", NULL);
    keep_init(&b->keep);
    audit_init(&b->audit);
    b->sockets = sockets_new(&rig_machine, options.without);
    cr_assert_not_null(b->sockets);
    b->continued.rings = (uint32_t) keep_inherit(&b->keep, b->sockets, service_connect(), first, n, names, false);
    cr_assert(start_read_identity(b, &bytes));
    if (b->continued.rings > 0 || keep_before(&b->keep))
        statistics_read_before(b->stats_file, &b->continued);
    audit_prepare(&b->audit, b->audit_file, getuid(), getgid());
    cr_assert(start_judge(b, &bytes));
    audit_open(&b->audit, keep_audit(&b->keep));
    snprintf(b->as_user, sizeof(b->as_user), "mcr");
    snprintf(b->as_group, sizeof(b->as_group), "mcr");
    return b;
}

void rig_broker_speaks(const struct broker *b)
{
    log_setup("broker", b->config ? b->view.header->instance : NULL);
}

void rig_broker_run(struct broker *b)
{
    if (serve(b) != EXIT_SUCCESS)
        validity_close(b);
    keep_end(&b->keep);
    audit_end(&b->audit);
    audit_free(&b->audit);
    keep_free(&b->keep);
    sockets_free(b->sockets);
    free(b->running.bytes);
    trial_end(b);
    config_free(b->config);
    text_free(&b->text);
    close(b->relay);
    free(b);
}

int rig_broker_sooner(int a, int b)
{
    return sooner(a, b);
}
