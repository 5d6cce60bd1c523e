// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show_running.h"

#include <inttypes.h>

#include "common/digest.h"
#include "stats/counters.h"
#include "stats/show_times.h"
#include "stats/text.h"

static const enum paint config_paints[PAGE_STATES] = {
    [STATS_CONFIG_CURRENT] = GOOD, [STATS_CONFIG_PENDING] = WARN, [STATS_CONFIG_TRIAL] = WARN};
static const enum paint seccomp_paints[PAGE_STATES] = {[STATS_SECCOMP_LOG] = WARN, [STATS_SECCOMP_ENFORCE] = PLAIN};

static void show_daemon(const struct page *p)
{
    const struct stats_snapshot *s = p->view->now;
    const struct stats_header *h = s->at.header;
    struct paragraph f = {p, 0, 0};
    uint64_t silent = stats_age_ms(s, h->heartbeat_ns);
    char time[TEXT_NUMBER_MAX], text[128];

    paragraph_word(&f, PLAIN, 1, "mcrd");
    paragraph_word(&f, BOLD, 1, "%s", h->program_version);
    if (h->instance[0])
        paragraph_word(&f, BOLD, 2, "%s", h->instance);
    paragraph_word(&f, PLAIN, 2, "pid %u", h->pid);
    paragraph_word(&f, PLAIN, 2, "up %s", text_duration(time, stats_age_s(s, h->started_boottime_ns)));
    fputc('\n', p->to);
    if (silent >= SHOW_HEARTBEAT_LATE_MS) {
        f = paragraph(p, 0, "");
        snprintf(text, sizeof(text), "no sign of life for %s: the relay hangs or was suspended",
                 text_age(time, silent));
        paragraph_text(&f, BAD, text);
        fputc('\n', p->to);
    }
}

// Nothing where no signatures are asked for.
static void show_signatures(const struct page *p)
{
    const struct stats_signatures *s = &p->view->now->at.header->signatures;

    if (s->required == 0)
        return;
    struct paragraph f = paragraph(p, 0, "");
    paragraph_word(&f, PLAIN, 1, "signed by");
    paragraph_text(&f, PLAIN, s->signed_by);
    fputc('\n', p->to);
}

static void show_config(const struct page *p)
{
    const struct stats_header *h = p->view->now->at.header;
    const char *error = stats_last_error(h);
    char sha256[DIGEST_TEXT_MAX], time[TEXT_NUMBER_MAX];

    struct paragraph f = paragraph(p, 0, "config");
    paragraph_word(&f, PLAIN, 1, "%s", h->file);
    fputc('\n', p->to);
    f = paragraph(p, 0, "");
    paragraph_word(&f, page_paint_of(config_paints, h->config_state), 1, "%s,",
                   stats_config_state_name(h->config_state));
    paragraph_word(&f, PLAIN, 1, "sha256 %.12s,", digest_text(h->sha256, sha256));
    paragraph_word(&f, PLAIN, 1, "generation %" PRIu64, h->generation);
    paragraph_word(&f, PLAIN, 1, "of %s", text_time(time, h->loaded_ns));
    fputc('\n', p->to);
    if (h->trial_ends_ns) {
        f = paragraph(p, 0, "trial");
        paragraph_word(&f, WARN, 1, "%s left,", text_duration(time, stats_remaining_s(p->view->now, h->trial_ends_ns)));
        paragraph_text(&f, PLAIN, "unless mcrd --confirm keeps it, what ran before runs again");
        fputc('\n', p->to);
    }
    if (h->returned[0]) {
        f = paragraph(p, 0, "returned");
        paragraph_text(&f, BAD, "the last trial was not kept:");
        paragraph_text(&f, BAD, h->returned);
        if (h->config_state == STATS_CONFIG_RETURNED)
            paragraph_text(&f, PLAIN, "(put the file before back, which a boot would read)");
        fputc('\n', p->to);
    }
    if (h->signatures.left[0]) {
        f = paragraph(p, 0, "before");
        paragraph_text(&f, BAD, h->signatures.left);
        fputc('\n', p->to);
    }
    show_config_times(p, h);
    show_signatures(p);
    if (stats_disk_state(h) == STATS_CONFIG_PENDING) {
        f = paragraph(p, 0, "pending");
        paragraph_word(&f, WARN, 1, "sha256 %.12s", digest_text(h->disk_sha256, sha256));
        paragraph_text(&f, WARN, "lies on disk: mcrd --diff tells what it changes");
        fputc('\n', p->to);
    }
    if (*error) {
        f = paragraph(p, 0,
                      error != h->disk_error                        ? "refused"
                      : stats_disk_state(h) == STATS_CONFIG_INVALID ? "invalid"
                                                                    : "");
        paragraph_text(&f, BAD, error);
        fputc('\n', p->to);
        if (show_may_put_back(h)) {
            f = paragraph(p, 0, "");
            paragraph_text(&f, PLAIN, SHOW_PUT_BACK);
            fputc('\n', p->to);
        }
    }
}

// The number and hash of the last record: whoever notes them elsewhere can tell later that none was changed.
static void show_audit(const struct page *p)
{
    const struct stats_audit *a = &p->view->now->at.header->audit;
    char hash[DIGEST_TEXT_MAX];

    if (a->n == 0)
        return;
    struct paragraph f = paragraph(p, 0, "record");
    paragraph_word(&f, PLAIN, 1, "%" PRIu64 ",", a->n);
    paragraph_word(&f, PLAIN, 1, "hash %.12s%s", digest_text(a->hash, hash), a->file[0] ? "," : "");
    if (a->file[0])
        paragraph_word(&f, a->error[0] || a->lost > 0 || a->changes > 0 ? BAD : PLAIN, 1, "%s", a->file);
    fputc('\n', p->to);
    if (a->changes > 0) {
        f = paragraph(p, 0, "");
        paragraph_text(&f, BAD, a->changed);
        fputc('\n', p->to);
    }
    if (a->error[0] || a->lost > 0) {
        f = paragraph(p, 0, "");
        if (a->error[0])
            paragraph_text(&f, BAD, a->error);
        if (a->lost > 0)
            paragraph_word(&f, BAD, 1, "%" PRIu64 " records will not be in the file", a->lost);
        fputc('\n', p->to);
    }
}

static void show_sandbox(const struct page *p)
{
    const struct stats_header *h = p->view->now->at.header;
    struct paragraph f = paragraph(p, 0, "sandbox");
    char name[STATS_CAPABILITY_MAX], gone[128];

    snprintf(gone, sizeof(gone), "broker gone: %s", show_without_broker(h));
    paragraph_word(&f, page_paint_of(seccomp_paints, h->seccomp), 1, "seccomp %s,", stats_seccomp_name(h->seccomp));
    if (h->landlock)
        paragraph_word(&f, PLAIN, 1, "landlock %u,", h->landlock);
    else
        paragraph_word(&f, PLAIN, 1, "no landlock,");
    if (h->isolation & STATS_OWN_NETWORK)
        paragraph_word(&f, PLAIN, 1, "own network,");
    if (h->isolation & STATS_EMPTY_ROOT)
        paragraph_word(&f, PLAIN, 1, "empty root,");
    if (!h->capabilities)
        paragraph_word(&f, PLAIN, 1, "no capabilities,");
    for (unsigned i = 0; i < 64; i++)
        if (h->capabilities >> i & 1)
            paragraph_word(&f, BAD, 1, "%s,", stats_capability_name(i, name));
    if (h->broker_alive)
        paragraph_word(&f, PLAIN, 1, "broker alive");
    else
        paragraph_text(&f, BAD, gone);
    fputc('\n', p->to);
}

void show_running(const struct page *p)
{
    show_daemon(p);
    show_config(p);
    show_audit(p);
    show_sandbox(p);
}
