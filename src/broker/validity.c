// SPDX-License-Identifier: Apache-2.0
// Serial, validity, and rules that begin and end by the wall clock: what the broker decides.
//
// The relay asks in time. One that was taken over may not: then the broker closes by itself what it can
// (validity_look()).
#include <config.h>

#include "broker/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "compile/compile.h"
#include "config/problems.h"
#include "log/log.h"

#define LATE_MS 3000  // an intact relay has asked by then
#define WAKE_MS 10000 // the clock may be set meanwhile

#define BEGIN_SECONDS 60 // how often a rule is tried again that cannot begin

static uint64_t now_s(void)
{
    return clock_realtime_ns() / NS_PER_S;
}

// --- admission -------------------------------------------------------------------------------------------------------

// The file that runs, or that the mcrd before ran and this one can go on with.
struct before {
    bool runs;
    uint64_t serial;
    uint8_t sha256[32];
};

static struct before before_of(struct broker *b)
{
    struct before before = {.runs = b->config != NULL};
    struct config_problems problems = {0};
    struct config_bytes bytes;

    if (b->config) {
        // While a file is on trial, only the one before may be loaded.
        const struct config *c = b->trial.config ? b->trial.config : b->config;
        before.serial = c->serial;
        memcpy(before.sha256, c->file.sha256, sizeof(before.sha256));
        return before;
    }
    if (!start_kept_fits(b) || !keep_file_before(&b->keep, &bytes))
        return before;
    struct config *c = config_load_text(bytes.text, bytes.size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    if (c) {
        before = (struct before){.runs = true, .serial = c->serial};
        memcpy(before.sha256, bytes.info.sha256, sizeof(before.sha256));
    }
    config_free(c);
    config_problems_free(&problems);
    file_free(&bytes);
    return before;
}

bool validity_admit(struct broker *b, const struct config *next, char why[1024])
{
    struct before before = before_of(b);
    struct config_problems problems = {0};
    char reason[TIMES_WHY_MAX];
    bool ok = true;

    // A restart goes on with what ran.
    if (!b->config && before.runs && memcmp(before.sha256, next->file.sha256, sizeof(before.sha256)) == 0)
        return true;
    if (before.runs && !times_may_follow(before.serial, before.sha256, next, reason)) {
        snprintf(why, 1024, "%s: %s", b->options->config_path, reason);
        return false;
    }
    if (!schedule_given(next->valid))
        return true;
    if (!times_clock_is_set(next, now_s())) {
        // A machine that has just booted may get the time later: permanent rules do not wait for it.
        if (before.runs)
            snprintf(why, 1024, "%s: the clock is not set, and valid_from or valid_until cannot be judged",
                     b->options->config_path);
        return !before.runs;
    }
    times_check(next, now_s(), &problems);
    if (problems.n_errors > 0) {
        config_problems_first(&problems, b->options->config_path, why, 1024);
        ok = false;
    }
    config_problems_free(&problems);
    return ok;
}

// --- what runs -------------------------------------------------------------------------------------------------------

static const struct config_rule *find(const struct config *c, const char *name, uint32_t at)
{
    // A file that did not change has it at the same place.
    if (at < c->n_rules && strcmp(c->rules[at].name, name) == 0)
        return &c->rules[at];
    for (size_t i = 0; i < c->n_rules; i++)
        if (strcmp(c->rules[i].name, name) == 0)
            return &c->rules[i];
    return NULL;
}

// What has ended stays so, also where the clock is set back, or jumped ahead for a moment: a temporary opening is
// opened again by a file with another active_until only.
static void keep_expired(struct config *c, const struct table_view *before)
{
    for (uint32_t i = 0; before && i < before->n_rules; i++) {
        const struct table_rule *was = &before->rules[i];
        const struct config_rule *r = was->flags & TABLE_RULE_EXPIRED ? find(c, was->name, i) : NULL;
        if (r && r->active.until == was->active_until)
            c->rules[r - c->rules].phase = SCHEDULE_AFTER;
    }
}

void validity_set(struct broker *b, struct config *c)
{
    times_apply(c, now_s(), times_clock_is_set(c, now_s()));
    keep_expired(c, offer_before(b));
    if (b->trial.config)
        keep_expired(c, &b->trial.view);
}

// Rules that are to come, closed or opened as if their time were now. Returns how many there are.
static size_t open_scheduled(struct config *c, bool open, const enum schedule_phase *phases)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_rules; i++) {
        bool comes = phases[i] == SCHEDULE_BEFORE || phases[i] == SCHEDULE_UNKNOWN;
        if (comes)
            c->rules[i].phase = open ? SCHEDULE_OPEN : phases[i];
        n += comes && c->rules[i].enabled;
    }
    return n;
}

bool validity_scheduled(struct broker *b, struct config *next, char why[1024])
{
    enum schedule_phase *phases = calloc(next->n_rules + 1, sizeof(*phases));
    char reason[COMPILE_WHY_MAX];
    bool ok = true;

    for (size_t i = 0; phases && i < next->n_rules; i++)
        phases[i] = next->rules[i].phase;
    if (phases && open_scheduled(next, true, phases) > 0)
        ok = compile_judge(next, b->sockets, reason);
    if (phases)
        open_scheduled(next, false, phases);
    if (!ok)
        snprintf(why, 1024, "%s: once all its rules run: %s", b->options->config_path, reason);
    free(phases);
    return ok;
}

bool validity_judge(struct broker *b, struct config *next, char why[1024])
{
    approve_date(b, next);
    validity_set(b, next);
    return compile_judge(next, b->sockets, why) && validity_scheduled(b, next, why);
}

bool validity_leave_out(struct broker *b, const char *why)
{
    char quoted[1100];
    size_t n = 0;

    for (size_t i = 0; i < b->config->n_rules; i++) {
        struct config_rule *r = &b->config->rules[i];
        if (!r->enabled || !schedule_given(r->active) || r->phase != SCHEDULE_OPEN || r->told == SCHEDULE_OPEN)
            continue;
        log_named(LOG_LEVEL_ERR, EVENT_RULE_REVOKED, r->name,
                  "rule=%s reason=%s effect=\"it cannot begin, and is tried again every %d s; the others go on\"",
                  r->name, log_quote(why, quoted, sizeof(quoted)), BEGIN_SECONDS);
        r->phase = SCHEDULE_BEFORE;
        n++;
    }
    if (n > 0)
        b->config->next_change = schedule_sooner(b->config->next_change, now_s() + BEGIN_SECONDS);
    return n > 0;
}

static const char *phase_name(enum schedule_phase phase)
{
    return phase == SCHEDULE_OPEN ? "active" : phase == SCHEDULE_AFTER ? "expired" : "scheduled";
}

// The relay is to ask at the next bound.
static void expect(struct broker *b)
{
    b->revoke_s = b->config->next_change;
    if (b->trial.config)
        b->revoke_s = schedule_sooner(b->revoke_s, b->trial.config->next_change);
    b->late_ns = 0;
}

void validity_tell(struct broker *b)
{
    char text[TIMES_TEXT_MAX];

    for (size_t i = 0; i < b->config->n_rules; i++) {
        struct config_rule *r = &b->config->rules[i];
        if (!r->enabled || r->told == r->phase)
            continue;
        log_named(LOG_LEVEL_NOTICE, EVENT_RULE_TIMES, r->name, "rule=%s state=%s reason=\"%s\"", r->name,
                  phase_name(r->phase),
                  r->phase == SCHEDULE_OPEN ? times_text(r->active, text) : times_reason(r, text));
        r->told = r->phase;
    }
    b->revoked = false;
    expect(b);
}

// --- without the relay -----------------------------------------------------------------------------------------------

int validity_wait_ms(const struct broker *b)
{
    uint64_t now = now_s(), waited_ms = (clock_monotonic_ns() - b->late_ns) / 1000000;

    if (b->revoke_s == 0)
        return -1;
    if (b->late_ns != 0)
        return waited_ms < LATE_MS ? (int) (LATE_MS - waited_ms) : 1;
    return now >= b->revoke_s ? 1 : b->revoke_s - now < WAKE_MS / 1000 ? (int) (b->revoke_s - now) * 1000 : WAKE_MS;
}

static void tell_revoked(struct config *c, bool ending)
{
    for (size_t i = 0; i < c->n_rules; i++)
        if (c->rules[i].enabled && c->rules[i].phase == SCHEDULE_AFTER && c->rules[i].told != SCHEDULE_AFTER) {
            c->rules[i].told = SCHEDULE_AFTER;
            log_named(LOG_LEVEL_ERR, EVENT_RULE_REVOKED, c->rules[i].name,
                      "rule=%s reason=\"%s\" effect=\"its groups are left, its filters and sockets closed\"",
                      c->rules[i].name,
                      ending ? "it would end without a broker, which is about to end"
                             : "it has ended, and the relay has not asked");
        }
}

// What may be open: once a trial has been closed, only what the file before it uses.
static struct config *allowed(const struct broker *b)
{
    return b->trial.over ? b->trial.config : b->config;
}

// Compiles what runs now, and closes what that does not use. The relay gets no table: it still has the one before.
// Returns false if that was not possible.
static bool narrow(struct broker *b, bool ending)
{
    char why[COMPILE_WHY_MAX] = "";
    struct table_image table = {.bytes = NULL}, back = {.bytes = NULL};
    struct config *c = allowed(b), *to = b->trial.over ? NULL : b->trial.config;
    struct table_view view, back_view;
    const char *bad;
    char quoted[2 * COMPILE_WHY_MAX];
    bool closed = false;

    // Nothing begins here, which might not be possible.
    for (size_t i = 0; i < c->n_rules; i++) {
        struct config_rule *r = &c->rules[i];
        if (schedule_given(r->active) && r->phase == SCHEDULE_OPEN && r->told != SCHEDULE_OPEN)
            r->phase = SCHEDULE_BEFORE;
    }
    sockets_begin(b->sockets);
    if (!compile(c, &b->view, b->view.header->generation, true, b->sockets, &table, why) ||
        !table_attach(&view, table.bytes, table.size, &bad) ||
        (to && (!compile(to, &view, view.header->generation, true, b->sockets, &back, why) ||
                !table_attach(&back_view, back.bytes, back.size, &bad)))) {
        sockets_settle(b->sockets, false);
        log_error(EVENT_RULE_REVOKED, "reason=%s effect=\"what has ended stays open\"",
                  log_quote(why, quoted, sizeof(quoted)));
    } else {
        if (!sockets_set_filters(b->sockets, &view, to ? &back_view : NULL))
            log_errno(LOG_LEVEL_WARNING, EVENT_FILTER, "reason=\"an ingress filter stays wider than needed\"");
        sockets_narrow(b->sockets);
        keep_settle(&b->keep, b->sockets, &b->view);
        tell_revoked(c, ending);
        closed = true;
    }
    free(table.bytes);
    free(back.bytes);
    return closed;
}

bool validity_narrow(struct broker *b)
{
    return narrow(b, false);
}

void validity_close(struct broker *b)
{
    bool any = false;

    trial_close(b);
    struct config *c = allowed(b);
    for (size_t i = 0; c && i < c->n_rules; i++) {
        struct config_rule *r = &c->rules[i];
        if (!r->enabled || r->active.until == 0 || r->phase == SCHEDULE_AFTER)
            continue;
        r->phase = SCHEDULE_AFTER;
        any = true;
    }
    if (any)
        narrow(b, true);
}

void validity_look(struct broker *b)
{
    uint64_t now_ns = clock_monotonic_ns();

    if (b->revoke_s == 0 || now_s() < b->revoke_s) {
        b->late_ns = 0;
        return;
    }
    // The clock may have been set, so the time that the relay has begins now.
    if (b->late_ns == 0)
        b->late_ns = now_ns;
    if (now_ns - b->late_ns < LATE_MS * UINT64_C(1000000))
        return;
    validity_set(b, b->config);
    if (b->trial.config)
        validity_set(b, b->trial.config);
    if (validity_narrow(b)) {
        b->revoked = true;
        expect(b);
    } else {
        b->late_ns = now_ns; // tried again
    }
}
