// SPDX-License-Identifier: Apache-2.0
// A table on trial: it is confirmed, or the relay goes back to the one before. That one is ready (swap.back), so that
// going back needs nobody: not the broker, not the file.
#include <config.h>

#include "relay/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "log/log.h"

// Notes which rules relay when the trial begins: they must go on.
static void arm(struct relay *r)
{
    const struct forward *f = r->swap.now;
    uint64_t now_ns = clock_monotonic_ns();

    free(r->trial.armed);
    r->trial.n_armed = f->table->n_rules;
    r->trial.armed = calloc(r->trial.n_armed + 1u, sizeof(*r->trial.armed));
    for (uint32_t i = 0; r->trial.armed && i < r->trial.n_armed; i++) {
        const struct table_rule *rule = &f->table->rules[i];
        const struct rule_state *flow = &f->flows[i];
        uint64_t last_ns = flow->counters.last_packet_ns;
        r->trial.armed[i] = rule->carried_from != TABLE_NONE && forward_allowed(flow) > 0 && !flow->blockage.on &&
                            now_ns - last_ns <= rule->silence_ms * UINT64_C(1000000);
    }
}

static void stop(struct relay *r)
{
    ev_timer_stop(r->loop, &r->trial.timer.timer);
    r->shown.trial_ends_ns = 0;
    memset(r->shown.returns_to, 0, sizeof(r->shown.returns_to));
    free(r->trial.armed);
    r->trial.armed = NULL;
    r->trial.n_armed = 0;
}

// Looks again when the trial ends.
static void wait(struct relay *r)
{
    uint64_t now_ns = clock_monotonic_ns(), ends_ns = r->shown.trial_ends_ns;

    ev_timer_stop(r->loop, &r->trial.timer.timer);
    ev_timer_set(&r->trial.timer.timer, ends_ns > now_ns ? (double) (ends_ns - now_ns) / 1e9 : 0., 0.);
    ev_now_update(r->loop);
    ev_timer_start(r->loop, &r->trial.timer.timer);
}

static void forget_returned(struct relay *r)
{
    r->shown.returned[0] = '\0';
    memset(r->swap.now->memory->returned, 0, sizeof(r->swap.now->memory->returned));
}

// What the mcrd before had on trial, or had gone back from, counts as long as this one goes on with the file before.
static void continue_returned(struct relay *r)
{
    const struct handover_state *m = r->swap.now->memory;
    static const uint8_t none[32];

    if (!r->shown.continued.kept || memcmp(m->returned, none, sizeof(none)) == 0)
        forget_returned(r);
    else
        snprintf(r->shown.returned, sizeof(r->shown.returned), "%.*s", (int) sizeof(m->why_returned) - 1,
                 m->why_returned);
}

void on_trial_adopted(struct relay *r, bool first)
{
    const struct table_header *h = relay_table(r)->header;

    if (first) {
        continue_returned(r);
    } else if (r->under_way == REQUEST_LOAD || r->under_way == REQUEST_CONFIRM) {
        forget_returned(r);
    }
    memcpy(r->shown.returns_to, h->returns_to, sizeof(r->shown.returns_to));
    if (!r->swap.back) {
        stop(r);
    } else if (r->under_way == REQUEST_LOAD) {
        r->shown.trial_ends_ns = clock_monotonic_ns() + h->trial_seconds * NS_PER_S;
        arm(r);
        wait(r);
    }
}

static void go_back(struct relay *r, const char *why)
{
    uint8_t returned[32];
    char was[DIGEST_TEXT_MAX], now[DIGEST_TEXT_MAX], quoted[2 * sizeof(r->shown.returned)];
    uint64_t generation = r->shown.generation;

    memcpy(returned, r->shown.sha256, sizeof(returned));
    stop(r);
    swap_return(&r->swap, clock_monotonic_ns(), r->spill);
    if (relay_table(r)->header->flags & TABLE_TIMED)
        forward_end_rules(r->swap.now, clock_realtime_ns() / NS_PER_S);
    for (size_t i = 0; i < r->swap.n_rings; i++)
        rings_pass(r, r->swap.rings[i]);
    const struct table_header *h = relay_table(r)->header;
    snprintf(r->shown.returned, sizeof(r->shown.returned), "%s", why);
    memcpy(r->swap.now->memory->returned, returned, sizeof(returned));
    snprintf(r->swap.now->memory->why_returned, sizeof(r->swap.now->memory->why_returned), "%s", why);
    log_setup("relay", h->instance);
    r->shown.generation = h->generation;
    memcpy(r->shown.sha256, h->sha256, sizeof(r->shown.sha256));
    r->shown.loaded_ns = clock_realtime_ns();
    // Another file may lie on the disk by now, of which the broker's answer to the probe is the news.
    enum stats_config_state state = on_trial_config_state(r, STATS_CONFIG_PENDING);
    if (state == STATS_CONFIG_RETURNED || !r->shown.broker_alive)
        r->shown.config_state = state;
    timed_adopted(r);
    // The broker makes a record of it; where there is none, this is the only one.
    if (!r->shown.broker_alive)
        log_record(LOG_LEVEL_ERR, EVENT_RETURNED,
                   "generation=%llu sha256=%s from_generation=%llu from_sha256=%s reason=%s",
                   (unsigned long long) h->generation, digest_text(h->sha256, now), (unsigned long long) generation,
                   digest_text(returned, was), log_quote(why, quoted, sizeof(quoted)));
    if (timed_look(r))
        request_send(r, REQUEST_LINKS);
    publish_alarms_watch(r);
    publish_everything(r);
    publish_status(r);
    r->wanted[REQUEST_PROBE] |= r->shown.broker_alive;
    request_send(r, REQUEST_RETURNED);
}

// A confirmation that is under way is waited for; refused, the trial goes on.
void on_trial_ended(struct relay *r)
{
    char why[64];

    if (r->shown.trial_ends_ns == 0 || r->wanted[REQUEST_CONFIRM] || r->under_way == REQUEST_CONFIRM)
        return;
    if (clock_monotonic_ns() < r->shown.trial_ends_ns) {
        wait(r);
        return;
    }
    snprintf(why, sizeof(why), "it was not confirmed within %u s", relay_table(r)->header->trial_seconds);
    go_back(r, why);
}

bool on_trial_watches(const struct relay *r)
{
    return r->shown.trial_ends_ns != 0 && relay_table(r)->header->flags & TABLE_RETURN_ON_SILENCE;
}

void on_trial_look(struct relay *r)
{
    const struct forward *f = r->swap.now;
    char why[sizeof(r->shown.returned)];

    // A table whose verdict has not been answered yet is not gone back from.
    if (!on_trial_watches(r) || !r->trial.armed || r->unrecorded || f->table->n_rules != r->trial.n_armed)
        return;
    for (uint32_t i = 0; i < r->trial.n_armed; i++) {
        const struct table_rule *rule = &f->table->rules[i];
        bool silent = rule->silence_ms > 0 && f->flows[i].health.alarms & 1u << STATS_ALARM_SILENCE;
        if (!r->trial.armed[i] || !(rule->flags & TABLE_RULE_ENABLED) || f->flows[i].ended ||
            (!silent && !f->flows[i].blockage.on))
            continue;
        snprintf(why, sizeof(why), "rule %s %s", rule->name, silent ? "fell silent" : "drops nearly all that comes");
        go_back(r, why);
        return;
    }
}

enum stats_config_state on_trial_config_state(const struct relay *r, enum stats_config_state state)
{
    static const uint8_t none[32];
    const uint8_t *returned = r->swap.now->memory->returned;

    if (r->shown.trial_ends_ns != 0)
        return STATS_CONFIG_TRIAL;
    if (state == STATS_CONFIG_PENDING && memcmp(returned, none, sizeof(none)) != 0 &&
        memcmp(returned, r->shown.disk_sha256, sizeof(none)) == 0)
        return STATS_CONFIG_RETURNED;
    return state;
}

void on_trial_confirm(struct relay *r, const struct handover_asker *asker)
{
    r->shown.asked++;
    publish_header(r, STATS_LIVE);
    if (r->shown.trial_ends_ns != 0 && r->shown.broker_alive) {
        r->next_confirmer = *asker;
        request_send(r, REQUEST_CONFIRM);
        return;
    }
    log_warn(EVENT_CONFIRM_ASKED, "pid=%u uid=%u reason=\"%s\" effect=none", asker->pid, asker->uid,
             r->shown.trial_ends_ns != 0 ? "the broker is gone" : "nothing is on trial");
    if (r->under_way != REQUEST_LOAD)
        r->shown.answered = r->shown.asked;
    publish_header(r, STATS_LIVE);
}

void on_trial_free(struct relay *r)
{
    free(r->trial.armed);
    r->trial.armed = NULL;
}
