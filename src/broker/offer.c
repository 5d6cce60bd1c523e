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

void offer_refuse(struct broker *b, const struct attempt *a)
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
    struct handover_message offer = {.type = HANDOVER_OFFER, .serial = a->serial, .n_fds = HANDOVER_TABLE_BEFORE};
    struct handover_message end = {.type = HANDOVER_COMMIT, .serial = a->serial};
    size_t n_new = 0;

    if (keep_before(&b->keep)) {
        offer.n_fds = HANDOVER_OFFER_FDS;
        fds[HANDOVER_TABLE_BEFORE] = b->keep.table_before;
        fds[HANDOVER_STATE_BEFORE] = b->keep.state_before;
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

// Sends an offer, and waits for the relay's verdict. Returns true with its receipt if the table is in force; false with
// a->why if not.
static bool hand_over(struct broker *b, struct attempt *a, int offered[HANDOVER_OFFER_FDS],
                      struct handover_receipt *receipt)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];
    size_t n_sent;

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
    // The next message must be the verdict: the relay has one request under way at a time.
    struct pollfd p = {.fd = b->relay, .events = POLLIN};
    enum handover_result result = HANDOVER_EMPTY;
    if (poll(&p, 1, b->verdict_ms) != 0)
        result = handover_receive(b->relay, &m, fds);
    if (result == HANDOVER_GOT && m.serial == a->serial && m.type == HANDOVER_ADOPTED) {
        *receipt = m.receipt;
        return true;
    }
    if (result == HANDOVER_GOT && m.serial == a->serial && m.type == HANDOVER_REJECTED) {
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

    if (denied && file_directory_is_shut(b->stats_file, "/run/mcr-NAME", &reader, shut))
        snprintf(a->why + used, sizeof(a->why) - (size_t) used, "; %s", shut);
}

static int create_statistics(const struct broker *b, const struct attempt *a, const struct table_view *t)
{
    struct stats_header told = {.features = b->features,
                                .continued = b->continued,
                                .inputs_most = (uint32_t) sockets_inputs(b->sockets),
                                .keeps = b->keep.store.most > 0,
                                .not_kept = keep_over(&b->keep, b->sockets, b->approval.trust.required > 0)};

    told.continued.kept = b->goes_on;
    told.continued.replaced = b->config ? 0 : sockets_unwanted_rings(b->sockets); // of a later load the relay knows it
    approve_show(b, a->signed_by, &told.signatures);
    snprintf(told.file, sizeof(told.file), "%s", b->options->config_path);
    return statistics_create(b->stats_file, &told, t);
}

// Offers a compiled table. Returns whether it is in force; if not, a->why has the reason.
static bool offer(struct broker *b, struct attempt *a, const struct table_image *table)
{
    struct handover_receipt receipt;
    struct table_view view;
    const char *bad;
    int fds[HANDOVER_OFFER_FDS] = {-1, -1, -1, -1, -1};
    bool adopted = false;
    // Another program may have put a file there since the start.
    const char *taken = stats_place_taken(AT_FDCWD, b->stats_file);

    if (taken && errno == EEXIST) {
        snprintf(a->why, sizeof(a->why), "%s: %s", b->stats_file, taken);
        return false;
    }

    if (!table_attach(&view, table->bytes, table->size, &bad)) {
        snprintf(a->why, sizeof(a->why), "internal: the compiled table is not valid: %s", bad);
        return false;
    }
    fds[HANDOVER_TABLE] = table_image_seal(table);
    fds[HANDOVER_STATE] = keep_new_state();
    if (fds[HANDOVER_TABLE] < 0 || fds[HANDOVER_STATE] < 0) {
        snprintf(a->why, sizeof(a->why), "the table and its state cannot be sealed: %s", strerror(errno));
        goto done;
    }
    fds[HANDOVER_STATS] = create_statistics(b, a, &view);
    if (fds[HANDOVER_STATS] < 0) {
        tell_no_statistics(b, a);
        goto done;
    }
    // The filters accept the destinations of both tables until the relay has adopted the new one.
    if (!sockets_set_filters(b->sockets, &view, b->running.bytes && !b->revoked ? &b->view : NULL)) {
        snprintf(a->why, sizeof(a->why), "ingress filter: %s", strerror(errno));
        goto done;
    }
    adopted = hand_over(b, a, fds, &receipt);
done:
    if (adopted)
        audit_show(&b->audit, fds[HANDOVER_STATS]);
    descriptors_close(fds[HANDOVER_STATS]);
    if (!adopted) {
        descriptors_close(fds[HANDOVER_TABLE]);
        descriptors_close(fds[HANDOVER_STATE]);
        statistics_discard(b->stats_file);
        return false;
    }
    keep_table(&b->keep, fds[HANDOVER_TABLE], fds[HANDOVER_STATE]);
    // The record comes before the statistics, in which mcrd --reload reads the verdict.
    if (a->asker) {
        log_setup("broker", view.header->instance);
        record_accepted(b, a, &view, &receipt);
    }
    if (!statistics_publish(b->stats_file)) {
        char quoted[600];
        log_errno(LOG_LEVEL_ERR, EVENT_STATISTICS, "file=%s", log_quote(b->stats_file, quoted, sizeof(quoted)));
    }
    offer_answer(b, &(struct handover_message){.type = HANDOVER_ADOPTED, .serial = a->serial});
    return true;
}

static void run_table(struct broker *b, const struct table_image *table)
{
    const char *why;

    free(b->running.bytes);
    b->running = *table;
    // This cannot fail: the same bytes were attached before the offer.
    table_attach(&b->view, b->running.bytes, b->running.size, &why);
}

enum outcome offer_config(struct broker *b, struct attempt *a, const struct config *c)
{
    bool running = c == b->config;
    struct table_image table = {.bytes = NULL};
    char reason[COMPILE_WHY_MAX] = "";
    enum outcome outcome = REFUSED;

    sockets_begin(b->sockets);
    if (!compile(c, offer_before(b), a->generation, running, b->sockets, &table, reason))
        snprintf(a->why, sizeof(a->why), "%s: %s", b->options->config_path, reason);
    else if (running && table_image_equal(&table, &b->running))
        outcome = UNCHANGED;
    else if ((!a->asker || record_begins(b, a, c)) && offer(b, a, &table))
        outcome = ADOPTED;
    if (outcome == ADOPTED)
        run_table(b, &table);
    else
        free(table.bytes);
    // The only commit point. After a failure exactly the sockets of the table in force are open.
    sockets_settle(b->sockets, outcome != REFUSED);
    if (outcome == REFUSED && b->revoked)
        validity_hold(b);
    else if (b->running.bytes && outcome != UNCHANGED && !sockets_set_filters(b->sockets, &b->view, NULL))
        log_errno(LOG_LEVEL_WARNING, EVENT_FILTER, "reason=\"an ingress filter stays wider than needed\"");
    return outcome;
}
