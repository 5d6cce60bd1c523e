// SPDX-License-Identifier: Apache-2.0
// A file on trial: what the relay may go back to by itself, and what follows when it has, or when somebody confirms.
//
// Both tables are compiled at once, so that all that either uses is open. The relay goes back in time; one that was
// taken over may not, or may ask for a confirmation that nobody gave: it then has no more than the file says.
#include <config.h>

#include "broker/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/statistics.h"
#include "common/clock.h"
#include "common/descriptors.h"
#include "common/schedule.h"
#include "log/log.h"

#define LATE_NS (3 * NS_PER_S) // an intact relay has gone back by then

void text_free(struct text *t)
{
    file_free(&t->bytes);
    free(t->signatures);
    *t = (struct text){.signatures = NULL};
}

bool trial_begins(const struct broker *b, const struct config *next)
{
    return b->config && next->trial.line != 0 && !b->trial.config &&
           memcmp(next->file.sha256, b->config->file.sha256, sizeof(next->file.sha256)) != 0;
}

bool trial_admit(const struct broker *b, struct attempt *a)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (!b->trial.config)
        return true;
    a->ends_trial = memcmp(a->file.sha256, b->trial.config->file.sha256, sizeof(a->file.sha256)) == 0;
    if (!a->ends_trial)
        snprintf(
            a->why, sizeof(a->why),
            "%s: a file is on trial for another %llu s: confirm it (mcrd --confirm), let it go back, or reload the "
            "file before",
            b->options->config_path,
            (unsigned long long) (b->trial.ends_ns > now_ns ? (b->trial.ends_ns - now_ns) / NS_PER_S : 0));
    return a->ends_trial;
}

struct config *trial_way_back(const struct broker *b, const struct attempt *a)
{
    return a->begins_trial ? b->config : a->ends_trial ? NULL : b->trial.config;
}

void trial_mark(struct table_image *table, const struct config *c, const struct config *back)
{
    struct table_header *h = table->bytes;

    h->trial_seconds = c->trial.seconds;
    h->flags |= (c->trial.return_on_silence ? TABLE_RETURN_ON_SILENCE : 0u) | (times_matter(back) ? TABLE_TIMED : 0u);
    h->next_change = schedule_sooner(h->next_change, back->next_change);
    memcpy(h->returns_to, back->file.sha256, sizeof(h->returns_to));
}

static void drop_ready(struct trial *t)
{
    free(t->image.bytes);
    t->image.bytes = NULL;
    for (size_t i = 0; i < HANDOVER_PLAIN; i++)
        t->fds[i] = descriptors_close(t->fds[i]);
}

void trial_ready(struct broker *b, struct table_image *image, int fds[HANDOVER_PLAIN])
{
    const char *why;

    drop_ready(&b->trial);
    b->trial.image = *image;
    image->bytes = NULL;
    // This cannot fail: the same bytes were attached before the offer.
    table_attach(&b->trial.view, b->trial.image.bytes, b->trial.image.size, &why);
    memcpy(b->trial.fds, fds, sizeof(b->trial.fds));
    for (size_t i = 0; i < HANDOVER_PLAIN; i++)
        fds[i] = -1;
    audit_show(&b->audit, AUDIT_BACK, b->trial.fds[HANDOVER_STATS]);
}

void trial_begin(struct broker *b, const struct config *next)
{
    b->trial.config = b->config;
    b->trial.text = b->text;
    memcpy(b->trial.signed_by, b->approval.signed_by, sizeof(b->trial.signed_by));
    b->trial.ends_ns = clock_monotonic_ns() + next->trial.seconds * NS_PER_S;
    b->trial.over = b->trial.closed = false;
    b->config = NULL;
    b->text = (struct text){.signatures = NULL};
}

void trial_end(struct broker *b)
{
    audit_hide(&b->audit, AUDIT_BACK);
    drop_ready(&b->trial);
    config_free(b->trial.config);
    text_free(&b->trial.text);
    b->trial.config = NULL;
    b->trial.over = b->trial.closed = false;
}

void trial_confirm(struct broker *b, const struct handover_message *m)
{
    struct attempt a = {.serial = m->serial,
                        .asker = &m->asker,
                        .signed_by = b->approval.signed_by,
                        .began_ns = clock_monotonic_ns(),
                        .ends_trial = true,
                        .confirms = true};

    if (!b->trial.config || b->trial.over) {
        struct handover_message refused = {.type = HANDOVER_REFUSED, .serial = m->serial};
        snprintf(refused.text, sizeof(refused.text), "nothing is on trial");
        offer_answer(b, &refused);
        return;
    }
    a.generation = b->view.header->generation;
    memcpy(a.file.sha256, b->config->file.sha256, sizeof(a.file.sha256));
    a.file.loginuid = asker_login(a.asker);
    validity_set(b, b->config);
    if (offer_config(b, &a, b->config) != ADOPTED) {
        if (a.why[0])
            offer_refuse(b, &a);
        return;
    }
    keep_file(&b->keep, &b->text.bytes, b->text.signatures, b->text.signatures_size);
    trial_end(b);
    keep_settle(&b->keep, b->sockets, &b->view);
    validity_tell(b);
}

bool trial_returned(struct broker *b, const struct handover_message *m)
{
    struct trial *t = &b->trial;
    bool revoked = b->revoked;
    uint64_t from = b->config ? b->view.header->generation : 0;
    uint8_t sha256[32];
    char why[sizeof(m->text)], file[600];

    if (!t->config)
        return false;
    memcpy(sha256, b->config->file.sha256, sizeof(sha256));
    snprintf(why, sizeof(why), "%.*s", (int) sizeof(why) - 1, m->text);
    audit_show(&b->audit, AUDIT_NOW, t->fds[HANDOVER_STATS]);
    keep_table(&b->keep, t->fds[HANDOVER_TABLE], t->fds[HANDOVER_STATE]);
    t->fds[HANDOVER_TABLE] = t->fds[HANDOVER_STATE] = -1;
    offer_run(b, &t->image);
    t->image.bytes = NULL;
    config_free(b->config);
    b->config = t->config;
    text_free(&b->text);
    b->text = t->text;
    t->config = NULL;
    t->text = (struct text){.signatures = NULL};
    memcpy(b->approval.signed_by, t->signed_by, sizeof(b->approval.signed_by));
    b->audit.most = (uint64_t) b->config->audit_mib << 20;
    trial_end(b);
    log_setup("broker", b->view.header->instance);
    record_returned(b, from, sha256, why, false);
    memcpy(b->returned, sha256, sizeof(b->returned));
    b->unpublished = false; // what is on trial is not shown any more
    if (!statistics_go_back(b->stats_file))
        log_errno(LOG_LEVEL_ERR, EVENT_STATISTICS, "file=%s", log_quote(b->stats_file, file, sizeof(file)));
    if (!statistics_running_back(b->stats_file))
        offer_save_running(b, false, &b->text.bytes);
    keep_settle(&b->keep, b->sockets, &b->view);
    // What has ended meanwhile, and was closed, is in the table that the relay has gone back to.
    validity_tell(b);
    b->revoked = revoked;
    if (revoked)
        validity_narrow(b);
    else if (!sockets_set_filters(b->sockets, &b->view, NULL))
        log_errno(LOG_LEVEL_WARNING, EVENT_FILTER, "reason=\"an ingress filter stays wider than needed\"");
    return true;
}

void trial_ended_by_start(struct broker *b)
{
    bool stays = memcmp(b->config->file.sha256, b->keep.returned, sizeof(b->keep.returned)) == 0;

    b->keep.trial_generation = stays ? 0 : b->keep.trial_generation;
    if (stays)
        return; // nothing has returned: the record of the start says why
    record_returned(b, b->keep.trial_generation, b->keep.returned, HANDOVER_LEFT_TRIAL, true);
    memcpy(b->returned, b->keep.returned, sizeof(b->returned));
    b->keep.trial_generation = 0;
}

// --- without the relay -----------------------------------------------------------------------------------------------

int trial_wait_ms(const struct broker *b)
{
    uint64_t now_ns = clock_monotonic_ns(), due_ns = b->trial.ends_ns + LATE_NS;

    if (!b->trial.config || b->trial.closed)
        return -1;
    return due_ns > now_ns ? (int) ((due_ns - now_ns) / 1000000) + 1 : 1;
}

void trial_close(struct broker *b)
{
    if (!b->trial.config || b->trial.closed)
        return;
    b->trial.over = true;
    b->trial.ends_ns = clock_monotonic_ns(); // tried again behind that, if it fails
    validity_set(b, b->trial.config);
    b->trial.closed = validity_narrow(b);
    log_error(EVENT_RETURNED, "reason=\"the trial is over, and the relay has not gone back\" effect=\"%s\"",
              b->trial.closed ? "what the file before does not use is closed" : "what it has opened stays open");
}

void trial_look(struct broker *b)
{
    if (b->trial.config && !b->trial.closed && clock_monotonic_ns() >= b->trial.ends_ns + LATE_NS)
        trial_close(b);
}
