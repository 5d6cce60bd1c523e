// SPDX-License-Identifier: Apache-2.0
// The rig's relay: what the loop answers is answered by functions of its own.
#include <config.h>

#include "relay/relay.c" // NOLINT

#include <criterion/criterion.h>

#include <stdio.h>

#include "rig_parts.h"

static struct relay_options options;
static uint64_t alarm_due_ns;

struct relay *rig_relay_start(int broker, int inotify)
{
    struct relay *r = calloc(1, sizeof(*r));

    cr_assert_not_null(r);
    options = (struct relay_options){.sandbox = SANDBOX_OFF, .inotify = inotify};
    log_setup("relay", NULL);
    *r = (struct relay){
        .options = &options,
        .broker = broker,
        .shown = {.seccomp = STATS_SECCOMP_OFF, .broker_alive = true},
        .under_way = REQUEST_NONE,
        .notify = {.fd = -1},
        .next_asker = {.uid = 17, .loginuid = UINT32_MAX},
        .status = EXIT_FAILURE,
    };
    cr_assert(prepare(r));
    r->shown.pid = RIG_PID;
    request_send(r, REQUEST_LOAD);
    return r;
}

static void as_relay(struct relay *r)
{
    log_setup("relay", r->swap.now ? relay_table(r)->header->instance : NULL);
}

bool rig_relay_hears(struct relay *r)
{
    return !r->ending && ev_is_active(&r->from_broker.io);
}

bool rig_relay_ends(const struct relay *r, int *status)
{
    *status = r->status;
    return r->ending;
}

void rig_relay_take(struct relay *r)
{
    as_relay(r);
    r->from_broker.answer(r);
}

void rig_relay_tick(struct relay *r, uint64_t now_ns)
{
    as_relay(r);
    for (size_t i = 0; r->swap.now && i < r->swap.n_rings; i++)
        if (ingress_ready(r->swap.rings[i]))
            rings_on_readable(r->loop, &r->swap.rings[i]->watcher, EV_READ);
    rings_settle(r);
    r->tick.answer(r);
    if (r->alarm.timer.repeat > 0 && now_ns >= alarm_due_ns) {
        r->alarm.answer(r);
        alarm_due_ns = now_ns + (uint64_t) (r->alarm.timer.repeat * 1e9);
    }
    if (ev_is_active(&r->trial.timer.timer))
        r->trial.timer.answer(r);
    if (ev_is_active(&r->links_timer.timer)) {
        ev_timer_stop(r->loop, &r->links_timer.timer);
        r->links_timer.answer(r);
    }
    if (ev_is_active(&r->probe_timer.timer)) {
        ev_timer_stop(r->loop, &r->probe_timer.timer);
        r->probe_timer.answer(r);
    }
    if (ev_is_active(&r->summary_timer.timer))
        r->summary_timer.answer(r);
}

static double wait_s; // of the loop, as was set last

__typeof__(ev_set_io_collect_interval) __wrap_ev_set_io_collect_interval;

void __wrap_ev_set_io_collect_interval(struct ev_loop *loop, ev_tstamp interval)
{
    (void) loop;
    wait_s = interval;
}

struct rig_turn rig_relay_turn(struct relay *r)
{
    as_relay(r);
    bool busy = is_busy(r);
    if (busy)
        spin(r);
    choose_wait(r);
    watch_held(r);
    rings_settle(r);
    return (struct rig_turn){
        .busy = busy, .held = ev_is_active(&r->held.timer), .wait_us = (unsigned) (wait_s * 1e6 + 0.5)};
}

void rig_relay_signals(struct relay *r)
{
    as_relay(r);
    r->signals.answer(r);
}

void rig_relay_news(struct relay *r, bool links)
{
    as_relay(r);
    if (!links) {
        r->inotify.answer(r);
        return;
    }
    trust_doubt_links(r);
    answer_later(r, &r->links_timer, LINKS_SECONDS);
}

void rig_relay_watches(struct relay *r, FILE *to)
{
    const struct {
        const char *name;
        struct source *s;
    } sources[] = {{"broker", &r->from_broker},  {"signals", &r->signals},       {"links", &r->links},
                   {"addresses", &r->addresses}, {"neighbours", &r->neighbours}, {"inotify", &r->inotify}};
    const struct {
        const char *name;
        struct timer *t;
    } timers[] = {
        {"tick", &r->tick},   {"links", &r->links_timer}, {"probe", &r->probe_timer}, {"summary", &r->summary_timer},
        {"alarm", &r->alarm}, {"held", &r->held},         {"trial", &r->trial.timer}, {"watchdog", &r->watchdog}};

    as_relay(r);
    // Nothing has come by the first ones.
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        fprintf(to, "watches %s: %s, priority %d, from %s\n", sources[i].name,
                ev_is_active(&sources[i].s->io) ? "yes" : "no", ev_priority(&sources[i].s->io),
                sources[i].s->io.fd >= SANDBOX_INGRESS_FD ? "above" : "below");
        sources[i].s->answer(r);
    }
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        fprintf(to, "timer %s: %s, %s, every %d ms\n", timers[i].name,
                ev_is_active(&timers[i].t->timer) ? "runs" : "rests", timers[i].t->answer ? "answered" : "not answered",
                (int) (timers[i].t->timer.repeat * 1000 + 0.5));
        if (i > 0)
            timers[i].t->answer(r);
    }
    on_source(r->loop, &r->signals.io, EV_READ);
    on_timer(r->loop, &r->held.timer, EV_TIMER);
}

void rig_relay_end(struct relay *r, bool killed)
{
    as_relay(r);
    close(r->broker);
    if (killed) {
        swap_close(&r->swap);
        free(r->spill);
        on_trial_free(r);
        ev_loop_destroy(r->loop);
    } else {
        finish(r);
    }
    close(r->inotify.io.fd);
    close(r->links.io.fd);
    close(r->addresses.io.fd);
    close(r->neighbours.io.fd);
    close(r->signals.io.fd);
    if (r->notify.fd >= 0)
        close(r->notify.fd);
    free(r);
}
