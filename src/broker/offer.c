// SPDX-License-Identifier: Apache-2.0
// Puts a table in force: offers it to the relay, which adopts or rejects it, and records the result.
#include <config.h>

#include "broker/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/statistics.h"
#include "common/descriptors.h"
#include "compile/compile.h"
#include "log/log.h"
#include "stats/place.h"

// A relay closes the descriptors of a table that it rejects, or that did not come whole. A compromised one may keep
// them and ask again. After this number of rejected descriptors no other table is offered. Each one is a table or a few
// KiB of kernel memory, which a cgroup counts.
#define REJECTED_MAX 4096

static void end_broker(struct broker *b, const char *why)
{
    log_error(EVENT_RELAY, "reason=\"%s\"", why);
    b->over = true;
    b->status = EXIT_FAILURE;
}

void offer_answer(struct broker *b, const struct handover_message *m)
{
    if (handover_send(b->relay, m, NULL))
        return;
    end_broker(b, "cannot be answered: the broker ends");
}

void offer_refuse(struct broker *b, struct attempt *a)
{
    struct handover_message m = {.type = HANDOVER_REFUSED, .serial = a->serial};

    if (a->asker)
        record_refused(b, a);
    snprintf(m.text, sizeof(m.text), "%s", a->why);
    // A relay that gives no verdict does not read an answer either.
    if (!b->over)
        offer_answer(b, &m);
}

const struct table_view *offer_before(const struct broker *b)
{
    return b->running.bytes ? &b->view : keep_before(&b->keep);
}

// Sends table, statistics, state and new sockets. *n: the largest number of descriptors that the relay can have got,
// even if not all could be sent.
static bool send_offer(const struct broker *b, const struct attempt *a, int fds[HANDOVER_OFFER_FDS], size_t *n)
{
    struct handover_message offer = {.type = HANDOVER_OFFER, .serial = a->serial, .n_fds = HANDOVER_PLAIN};
    struct handover_message end = {.type = HANDOVER_COMMIT, .serial = a->serial};
    size_t n_new = 0;

    if (keep_before(&b->keep)) {
        offer.n_fds = HANDOVER_CONTINUED;
        fds[HANDOVER_TABLE_BEFORE] = b->keep.table_before;
        fds[HANDOVER_STATE_BEFORE] = b->keep.state_before;
    } else if (fds[HANDOVER_BACK] >= 0) {
        offer.n_fds = HANDOVER_TRIAL;
    }
    bool ok = handover_send(b->relay, &offer, fds) &&
              (b->config || sockets_send_pool(b->sockets, b->relay, a->serial)) &&
              sockets_send_new(b->sockets, b->relay, a->serial, &n_new) && handover_send(b->relay, &end, NULL);

    *n = offer.n_fds + n_new;
    return ok;
}

// Ends the broker after a load without a verdict. It revokes what it has opened for the load, and records the load;
// otherwise a compromised relay could use the offer without a trace.
static void no_verdict(struct broker *b, struct attempt *a, enum handover_result result)
{
    if (result == HANDOVER_CLOSED) {
        b->over = true;
        snprintf(a->why, sizeof(a->why), "mcrd was stopped meanwhile");
        return;
    }
    snprintf(a->why, sizeof(a->why), "the relay gives no verdict on the table");
    end_broker(b, "no verdict on a table: the broker ends");
}

// Keeps the table and its state, which is in force.
static void keep(struct broker *b, int offered[HANDOVER_PLAIN])
{
    if (offered[HANDOVER_TABLE] >= 0)
        keep_table(&b->keep, offered[HANDOVER_TABLE], offered[HANDOVER_STATE]);
    offered[HANDOVER_TABLE] = offered[HANDOVER_STATE] = -1;
}

// Waits for the relay's verdict.
static enum handover_result receive_verdict(const struct broker *b, struct handover_message *m)
{
    struct pollfd p = {.fd = b->relay, .events = POLLIN};
    int fds[HANDOVER_FDS_MAX];

    // The next message must be the verdict: the relay has one request under way at a time.
    return poll(&p, 1, b->verdict_ms) != 0 ? handover_receive(b->relay, m, fds) : HANDOVER_EMPTY;
}

// Sends an offer, and waits for the relay's verdict. Returns true with its receipt if the table is in force; false with
// a->why if not.
static bool hand_over(struct broker *b, struct attempt *a, int offered[HANDOVER_OFFER_FDS],
                      struct handover_receipt *receipt)
{
    struct handover_message m;
    size_t n_sent;
    bool swapped = false;

    if (b->n_rejected >= REJECTED_MAX) {
        snprintf(a->why, sizeof(a->why),
                 "the relay has rejected tables with %zu descriptors and may have kept them: restart mcrd",
                 b->n_rejected);
        log_error(EVENT_OFFERS_END, "reason=\"%s\" effect=\"no other table is offered\"", a->why);
        return false;
    }
    a->offered = true;
    if (!send_offer(b, a, offered, &n_sent)) {
        b->n_rejected += n_sent;
        snprintf(a->why, sizeof(a->why), "the table cannot be handed over: %s", strerror(errno));
        // The relay has not read for HANDOVER_SEND_SECONDS; an answer to it would block as long again.
        if (errno == EAGAIN)
            end_broker(b, "the relay does not read: the broker ends");
        return false;
    }
    enum handover_result result = receive_verdict(b, &m);
    if (result == HANDOVER_GOT && m.serial == a->serial && m.type == HANDOVER_SWAPPED) {
        swapped = true;
        keep(b, offered);
        keep_at_once(&b->keep);
        offer_answer(b, &(struct handover_message){.type = HANDOVER_KEPT, .serial = a->serial});
        result = receive_verdict(b, &m);
    }
    if (result == HANDOVER_GOT && m.serial == a->serial && m.type == HANDOVER_ADOPTED) {
        *receipt = m.receipt;
        return true;
    }
    if (result == HANDOVER_GOT && m.serial == a->serial && m.type == HANDOVER_REJECTED && !swapped) {
        b->n_rejected += n_sent;
        m.text[sizeof(m.text) - 1] = '\0';
        snprintf(a->why, sizeof(a->why), "the relay: %.1000s", m.text);
        return false;
    }
    no_verdict(b, a, result);
    return false;
}

// The directory may have been root's, which makes the lock there, and not the user's.
static void tell_no_statistics(const struct broker *b, struct attempt *a)
{
    const struct file_reader reader = {.user = b->as_user, .group = b->as_group, .uid = b->uid, .gid = b->gid};
    bool denied = errno == EACCES;
    int used = snprintf(a->why, sizeof(a->why), "%s: %s", b->stats_file, strerror(errno));
    char shut[FILE_WHY_MAX];

    if (denied && file_directory_is_shut(b->stats_file, b->options->config_path, "/run/mcr", &reader, shut))
        snprintf(a->why + used, sizeof(a->why) - (size_t) used, "; %s", shut);
}

static int create_statistics(const struct broker *b, const struct attempt *a, const char *path, const char *signed_by,
                             const struct table_view *t)
{
    struct stats_header told = {.features = b->features,
                                .continued = b->continued,
                                .inputs_most = (uint32_t) sockets_inputs(b->sockets),
                                .keeps = b->keep.store.most > 0,
                                .not_kept = keep_over(&b->keep, b->sockets, b->approval.trust.required > 0)};

    told.continued.kept = b->goes_on;
    told.continued.replaced = b->config ? 0 : sockets_unwanted_rings(b->sockets); // of a later load the relay knows it
    approve_show(b, signed_by, !b->config || !a->asker, &told.signatures);
    snprintf(told.file, sizeof(told.file), "%s", b->options->config_path);
    return statistics_create(path, &told, t);
}

// Makes what the relay gets of a table: fds. Returns false with a->why; the caller closes fds.
static bool make(struct broker *b, struct attempt *a, const struct table_image *table, const struct table_view *view,
                 const char *path, const char *signed_by, int fds[HANDOVER_PLAIN])
{
    fds[HANDOVER_TABLE] = table_image_seal(table);
    fds[HANDOVER_STATE] = keep_new_state();
    if (fds[HANDOVER_TABLE] < 0 || fds[HANDOVER_STATE] < 0) {
        snprintf(a->why, sizeof(a->why), "the table and its state cannot be sealed: %s", strerror(errno));
        return false;
    }
    fds[HANDOVER_STATS] = create_statistics(b, a, path, signed_by, view);
    if (fds[HANDOVER_STATS] < 0)
        tell_no_statistics(b, a);
    return fds[HANDOVER_STATS] >= 0;
}

static void close_all(int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fds[i] = descriptors_close(fds[i]);
}

// What the filters accept besides the destinations of the new table until the relay has adopted it.
static const struct table_view *still_accepted(const struct broker *b, const struct attempt *a)
{
    // What was closed stays so.
    if (b->revoked || b->trial.over)
        return NULL;
    if (b->trial.config && !a->ends_trial)
        return &b->trial.view;
    return b->running.bytes ? &b->view : NULL;
}

static bool show(const char *path)
{
    char quoted[600];

    if (statistics_publish(path))
        return true;
    log_errno(LOG_LEVEL_ERR, EVENT_STATISTICS, "file=%s", log_quote(path, quoted, sizeof(quoted)));
    return false;
}

void offer_save_running(const struct broker *b, bool back, const struct config_bytes *file)
{
    if (!statistics_save_running(b->stats_file, back, file->text, file->size, file->info.mode))
        log_errno(LOG_LEVEL_WARNING, EVENT_RUNNING, "reason=\"no copy of the running file can be kept\"");
}

// Puts the statistics in their place, and answers, when the relay has adopted a table.
static void publish(struct broker *b, const struct attempt *a, bool on_trial)
{
    char back[PATH_MAX];

    if (on_trial)
        show(statistics_back_path(b->stats_file, back));
    else
        statistics_forget_back(b->stats_file);
    b->unpublished = !show(b->stats_file);
    offer_answer(b, &(struct handover_message){.type = HANDOVER_ADOPTED, .serial = a->serial});
}

// Offers a compiled table, and one to go back to, whose bytes may be NULL. Returns whether it is in force; if not,
// a->why has the reason.
static bool offer(struct broker *b, struct attempt *a, const struct table_image *table, struct table_image *back)
{
    struct handover_receipt receipt;
    struct table_view view, back_view;
    const char *bad;
    int fds[HANDOVER_OFFER_FDS] = {-1, -1, -1, -1, -1, -1};
    char back_path[PATH_MAX];
    bool adopted = false, on_trial = back->bytes != NULL;
    // Another program may have put a file there since the start.
    const char *taken = stats_place_taken(AT_FDCWD, b->stats_file);

    if (taken && errno == EEXIST) {
        snprintf(a->why, sizeof(a->why), "%s: %s", b->stats_file, taken);
        return false;
    }
    if (!table_attach(&view, table->bytes, table->size, &bad) ||
        (on_trial && !table_attach(&back_view, back->bytes, back->size, &bad))) {
        snprintf(a->why, sizeof(a->why), "internal: the compiled table is not valid: %s", bad);
        return false;
    }
    b->unpublished = false; // the new ones take their place
    statistics_back_path(b->stats_file, back_path);
    const char *signed_by = b->trial.config ? b->trial.signed_by : b->approval.signed_by;
    bool made = make(b, a, table, &view, b->stats_file, a->signed_by, fds) &&
                (!on_trial || make(b, a, back, &back_view, back_path, signed_by, fds + HANDOVER_BACK));
    if (made && !sockets_set_filters(b->sockets, &view, still_accepted(b, a)))
        snprintf(a->why, sizeof(a->why), "ingress filter: %s", strerror(errno));
    else if (made)
        adopted = hand_over(b, a, fds, &receipt);
    if (!adopted) {
        // What the mcrd before has left is not closed here.
        close_all(fds, HANDOVER_PLAIN);
        if (on_trial)
            close_all(fds + HANDOVER_BACK, HANDOVER_PLAIN);
        statistics_discard(b->stats_file);
        if (on_trial)
            statistics_discard(back_path);
        return false;
    }
    audit_show(&b->audit, AUDIT_NOW, fds[HANDOVER_STATS]);
    fds[HANDOVER_STATS] = descriptors_close(fds[HANDOVER_STATS]);
    keep(b, fds);
    if (on_trial)
        trial_ready(b, back, fds + HANDOVER_BACK);
    // The record comes before the statistics, in which mcrd --reload reads the verdict.
    if (a->confirms) {
        record_confirmed(b, a);
    } else if (a->asker) {
        log_setup("broker", view.header->instance);
        record_accepted(b, a, &view, &receipt);
    }
    publish(b, a, on_trial);
    return true;
}

void offer_run(struct broker *b, const struct table_image *table)
{
    const char *why;

    free(b->running.bytes);
    b->running = *table;
    // This cannot fail: the same bytes were attached before the offer.
    table_attach(&b->view, b->running.bytes, b->running.size, &why);
}

// Compiles c and what it goes back to, which may be NULL. Returns false with reason.
static bool compile_both(struct broker *b, const struct attempt *a, struct config *c, struct config *to,
                         struct table_image *table, struct table_image *back, char reason[COMPILE_WHY_MAX])
{
    struct table_view view;
    const char *bad;

    if (to)
        validity_set(b, to);
    // What a start goes on with runs already.
    bool running = c == b->config || (!b->config && b->goes_on);
    if (!compile(c, offer_before(b), a->generation, running, b->sockets, table, reason))
        return false;
    if (!to)
        return true;
    trial_mark(table, c, to);
    return table_attach(&view, table->bytes, table->size, &bad) &&
           compile(to, &view, a->generation + 1, true, b->sockets, back, reason);
}

enum outcome offer_config(struct broker *b, struct attempt *a, struct config *c)
{
    bool running = c == b->config;
    struct config *to = trial_way_back(b, a);
    struct table_image table = {.bytes = NULL}, back = {.bytes = NULL};
    char reason[COMPILE_WHY_MAX] = "";
    enum outcome outcome = REFUSED;

    sockets_begin(b->sockets);
    if (!compile_both(b, a, c, to, &table, &back, reason))
        snprintf(a->why, sizeof(a->why), "%s: %s", b->options->config_path, reason);
    else if (running && table_image_equal(&table, &b->running) && (!to || table_image_equal(&back, &b->trial.image)))
        outcome = UNCHANGED;
    else if ((!a->asker || record_begins(b, a, c)) && offer(b, a, &table, &back))
        outcome = ADOPTED;
    if (outcome == ADOPTED)
        offer_run(b, &table);
    else
        free(table.bytes);
    free(back.bytes);
    // The only commit point. After a failure exactly the sockets of the table in force are open, and during a trial
    // those of the one to go back to.
    sockets_settle(b->sockets, outcome != REFUSED);
    const struct config *back_to = outcome == ADOPTED ? to : b->trial.config;
    const struct table_view *also = back_to ? &b->trial.view : NULL;
    if (outcome == REFUSED && (b->revoked || b->trial.over))
        validity_narrow(b);
    else if (b->running.bytes && outcome != UNCHANGED && !sockets_set_filters(b->sockets, &b->view, also))
        log_errno(LOG_LEVEL_WARNING, EVENT_FILTER, "reason=\"an ingress filter stays wider than needed\"");
    return outcome;
}
