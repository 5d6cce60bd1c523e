// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/relay.h"

#include <ev.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "handover/handover.h"
#include "log/log.h"
#include "relay/swap.h"

#define TICK_SECONDS  0.2 // how old statistics without traffic, and ring drops, may be
#define HELLO_SECONDS 30

struct ring_watcher {
    ev_io io;
    struct ingress *in;
};

struct relay {
    const struct relay_options *options;
    struct ev_loop *loop;
    ev_io broker_io, signal_io;
    ev_timer tick;
    int broker, signals;
    bool broker_alive;
    struct swap swap;
    struct ingress_spill *spill;
    struct ring_watcher watchers[TABLE_INTERFACES_MAX];
    uint32_t serial;     // of the last LOAD
    bool loading, again; // a LOAD is under way; another was asked for meanwhile
    char last_error[512];
    pid_t pid; // asked before the filter
    uint64_t capabilities;
    uint64_t started_ns, loaded_ns; // CLOCK_REALTIME
    int status;          // to exit with
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static const struct table_view *table_of(const struct relay *r)
{
    return r->swap.now ? &r->swap.now->view : NULL;
}

// --- statistics ------------------------------------------------------------------------------------------------------

static void publish_interface(struct relay *r, const struct ingress *in)
{
    struct stats_interface *to = &r->swap.now->forward->stats.interfaces[in->interface];

    stats_write_begin(&to->sequence);
    to->counters = in->counters;
    stats_write_end(&to->sequence);
}

static void publish_header(struct relay *r, enum stats_segment_state state)
{
    if (!r->swap.now)
        return;
    struct stats_header *h = r->swap.now->forward->stats.header;
    const struct table_header *table = r->swap.now->view.header;

    stats_write_begin(&h->sequence);
    h->state = state;
    h->pid = (uint32_t) r->pid;
    h->generation = table->generation;
    h->started_ns = r->started_ns;
    h->loaded_ns = r->loaded_ns;
    h->heartbeat_ns = clock_ns(CLOCK_MONOTONIC);
    memcpy(h->sha256, table->sha256, sizeof(h->sha256));
    h->config_state = r->last_error[0] ? STATS_CONFIG_INVALID : STATS_CONFIG_CURRENT;
    h->seccomp = r->options->sandbox == SANDBOX_ENFORCE ? STATS_SECCOMP_ENFORCE
                 : r->options->sandbox == SANDBOX_LOG   ? STATS_SECCOMP_LOG
                                                        : STATS_SECCOMP_OFF;
    h->capabilities = r->capabilities;
    h->broker_alive = r->broker_alive;
    memcpy(h->last_error, r->last_error, sizeof(h->last_error));
    stats_write_end(&h->sequence);
}

static void publish_everything(struct relay *r)
{
    if (!r->swap.now)
        return;
    for (size_t i = 0; i < r->swap.n_rings; i++) {
        ingress_count_drops(r->swap.rings[i]);
        publish_interface(r, r->swap.rings[i]);
    }
    forward_publish_all(r->swap.now->forward);
    publish_header(r, STATS_LIVE);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    struct relay *r = w->data;

    (void) loop;
    (void) events;
    for (size_t i = 0; i < r->swap.n_rings; i++) {
        ingress_count_drops(r->swap.rings[i]);
        publish_interface(r, r->swap.rings[i]);
    }
    publish_header(r, STATS_LIVE);
}

static void log_summary(struct relay *r)
{
    const struct table_view *t = table_of(r);

    if (!t)
        return;
    publish_everything(r);
    for (size_t i = 0; i < r->swap.n_rings; i++) {
        const struct ingress *in = r->swap.rings[i];
        const struct stats_interface_counters *c = &in->counters;
#define FORMAT(name, help) " " #name "=%llu"
#define VALUE(name, help)  , (unsigned long long) c->name
        log_notice("interface", "interface=%s" STATS_INTERFACE_COUNTERS(FORMAT),
                   t->interfaces[in->interface].name STATS_INTERFACE_COUNTERS(VALUE));
    }
    for (uint32_t i = 0; i < t->n_rules; i++) {
        const struct stats_rule_counters *rule = &r->swap.now->forward->flows[i].counters;
        const struct stats_drops *c = &rule->drops;
        uint64_t out = 0;
        for (uint32_t j = 0; j < t->rules[i].n_outputs; j++)
            out += r->swap.now->forward->outputs[t->rules[i].first_output + j].packets;
#undef FORMAT
#define FORMAT(name, help) " dropped_" #name "=%llu"
        log_notice("rule", "rule=%s packets=%llu bytes=%llu sent=%llu" STATS_RULE_DROPS(FORMAT), t->rules[i].name,
                   (unsigned long long) rule->packets, (unsigned long long) rule->bytes,
                   (unsigned long long) out STATS_RULE_DROPS(VALUE));
#undef FORMAT
#undef VALUE
    }
}

// --- ingress ---------------------------------------------------------------------------------------------------------

// An empty pass means that the socket woke us with an error: the link went down, or the interface is gone.
static void clear_error(struct relay *r, struct ring_watcher *w)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(w->in->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0)
        log_warn("link", "interface=%s error=\"%s\"", table_of(r)->interfaces[w->in->interface].name, strerror(error));
}

static void on_ring_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct ring_watcher *w = (struct ring_watcher *) io;
    struct relay *r = io->data;
    struct forward *f = r->swap.now->forward;

    (void) loop;
    (void) events;
    f->now_ns = clock_ns(CLOCK_MONOTONIC);
    if (ingress_pass(w->in, f, r->spill) == 0)
        clear_error(r, w);
    forward_publish(f);
    publish_interface(r, w->in);
}

static void on_ring(void *context, struct ingress *in, bool comes)
{
    struct relay *r = context;

    for (size_t i = 0; i < TABLE_INTERFACES_MAX; i++) {
        struct ring_watcher *w = &r->watchers[i];
        if (comes ? w->in != NULL : w->in != in)
            continue;
        if (comes) {
            ev_io_init(&w->io, on_ring_readable, in->fd, EV_READ);
            w->io.data = r;
            w->in = in;
            ev_io_start(r->loop, &w->io);
        } else {
            ev_io_stop(r->loop, &w->io);
            w->in = NULL;
        }
        return;
    }
}

// --- broker ----------------------------------------------------------------------------------------------------------

static void stop(struct relay *r, int status)
{
    r->status = status;
    ev_break(r->loop, EVBREAK_ALL);
}

static bool tell_broker(struct relay *r, enum handover_type type, const char *text)
{
    struct handover_message m = {.type = type, .serial = r->serial};

    if (text)
        snprintf(m.text, sizeof(m.text), "%s", text);
    if (handover_send(r->broker, &m, NULL))
        return true;
    log_errno(LOG_LEVEL_ERR, "broker", "reason=\"cannot be asked\"");
    return false;
}

static void ask_for_load(struct relay *r)
{
    if (!r->broker_alive) {
        snprintf(r->last_error, sizeof(r->last_error), "the broker is gone: restart mcrd to load a file");
        log_error("reload", "result=refused reason=\"%s\"", r->last_error);
        publish_header(r, STATS_LIVE);
        return;
    }
    if (r->loading) {
        r->again = true;
        return;
    }
    r->serial++;
    r->loading = tell_broker(r, HANDOVER_LOAD, NULL);
}

static void load_ended(struct relay *r)
{
    r->loading = false;
    if (r->again) {
        r->again = false;
        ask_for_load(r);
    }
}

static void refused(struct relay *r, const char *why)
{
    char quoted[1100];

    snprintf(r->last_error, sizeof(r->last_error), "%s", why);
    log_quote(why, quoted, sizeof(quoted));
    if (!r->swap.now) {
        log_error("start", "result=refused reason=%s", quoted);
        stop(r, EXIT_FAILURE);
        return;
    }
    log_error("reload", "result=refused generation=%llu reason=%s",
              (unsigned long long) table_of(r)->header->generation, quoted);
    publish_header(r, STATS_LIVE);
    load_ended(r);
}

static void hex(const uint8_t *bytes, size_t n, char *text)
{
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static void adopted(struct relay *r, bool first)
{
    const struct table_view *t = table_of(r);
    char sha256[65], file[600];

    r->last_error[0] = '\0';
    r->loaded_ns = clock_ns(CLOCK_REALTIME);
    log_setup("relay", t->header->instance);
    hex(t->header->sha256, sizeof(t->header->sha256), sha256);
    publish_everything(r);
    tell_broker(r, HANDOVER_ADOPTED, NULL);
    static const char *const modes[] = {"off", "log", "enforce"};
    log_notice(first ? "started" : "reload",
               "%sversion=%s generation=%llu file=%s sha256=%s rules=%u interfaces=%u seccomp=%s capabilities=%llx",
               first ? "" : "result=accepted ", PACKAGE_VERSION, (unsigned long long) t->header->generation,
               log_quote(r->options->config_path, file, sizeof(file)), sha256, t->n_rules, t->n_interfaces,
               modes[r->options->sandbox], (unsigned long long) r->capabilities);
    load_ended(r);
}

static void commit(struct relay *r)
{
    bool first = !r->swap.now;
    char why[SWAP_WHY_MAX];

    if (swap_commit(&r->swap, clock_ns(CLOCK_MONOTONIC), on_ring, r, why)) {
        adopted(r, first);
        return;
    }
    swap_reject(&r->swap);
    tell_broker(r, HANDOVER_REJECTED, why);
    refused(r, why);
}

static void broker_gone(struct relay *r, const char *reason)
{
    r->broker_alive = false;
    ev_io_stop(r->loop, &r->broker_io);
    if (!r->swap.now) {
        // It has told why by itself.
        stop(r, EXIT_FAILURE);
        return;
    }
    swap_reject(&r->swap);
    log_error("broker", "reason=\"%s\" effect=\"forwarding goes on, reloads are refused until mcrd is restarted\"",
              reason);
    publish_header(r, STATS_LIVE);
    if (r->loading) {
        r->loading = r->again = false;
        refused(r, "the broker ended during the load");
    }
}

static void on_broker_message(struct relay *r, struct handover_message *m, const int *fds)
{
    char why[SWAP_WHY_MAX] = "";
    bool ok = true;

    switch (m->type) {
    case HANDOVER_OFFER:
        ok = swap_offer(&r->swap, m, fds, why);
        break;
    case HANDOVER_SOCKETS:
        ok = swap_sockets(&r->swap, m, fds, why);
        break;
    case HANDOVER_COMMIT:
        commit(r);
        return;
    case HANDOVER_REFUSED:
        m->text[sizeof(m->text) - 1] = '\0';
        refused(r, m->text);
        return;
    default:
        broker_gone(r, "unexpected message");
        return;
    }
    // What follows of this offer finds none, and its COMMIT is rejected.
    if (!ok) {
        log_error("handover", "reason=\"%s\"", why);
        swap_reject(&r->swap);
    }
}

static void on_broker(struct ev_loop *loop, ev_io *io, int events)
{
    struct relay *r = io->data;
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];

    (void) loop;
    (void) events;
    // One message a turn: the rings are drained in between.
    switch (handover_receive(r->broker, &m, fds)) {
    case HANDOVER_EMPTY:
        return;
    case HANDOVER_GOT:
        on_broker_message(r, &m, fds);
        return;
    case HANDOVER_CLOSED:
        broker_gone(r, "ended");
        return;
    case HANDOVER_BOGUS:
        broker_gone(r, "bogus message");
        return;
    }
}

// --- signals ---------------------------------------------------------------------------------------------------------

static void on_signal(struct ev_loop *loop, ev_io *io, int events)
{
    struct relay *r = io->data;
    struct signalfd_siginfo info;

    (void) loop;
    (void) events;
    while (read(r->signals, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGHUP:
            log_notice("reload_asked", "pid=%u uid=%u", info.ssi_pid, info.ssi_uid);
            ask_for_load(r);
            break;
        case SIGUSR1:
            log_summary(r);
            break;
        default:
            log_notice("stopping", "signal=%s pid=%u uid=%u", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT",
                       info.ssi_pid, info.ssi_uid);
            stop(r, r->swap.now ? EXIT_SUCCESS : EXIT_FAILURE);
            break;
        }
    }
}

static bool open_signals(struct relay *r)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN); // the kernel reaps the broker
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    r->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return r->signals >= 0;
}

// --- start -----------------------------------------------------------------------------------------------------------

// The broker's first word, before there is a loop.
static bool receive_hello(int broker, struct handover_message *m)
{
    struct pollfd p = {.fd = broker, .events = POLLIN};
    int fds[HANDOVER_FDS_MAX];

    if (poll(&p, 1, HELLO_SECONDS * 1000) != 1)
        return false;
    return handover_receive(broker, m, fds) == HANDOVER_GOT && m->type == HANDOVER_HELLO;
}

static bool prepare(struct relay *r)
{
    r->started_ns = clock_ns(CLOCK_REALTIME);
    r->spill = ingress_spill_new();
    // EVFLAG_NOENV: the environment does not choose the backend.
    r->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    if (!r->spill || !r->loop || !open_signals(r)) {
        log_errno(LOG_LEVEL_ERR, "start", "reason=\"no memory, epoll or signalfd\"");
        return false;
    }
    ev_io_init(&r->broker_io, on_broker, r->broker, EV_READ);
    r->broker_io.data = r;
    ev_io_start(r->loop, &r->broker_io);
    ev_io_init(&r->signal_io, on_signal, r->signals, EV_READ);
    r->signal_io.data = r;
    ev_io_start(r->loop, &r->signal_io);
    ev_timer_init(&r->tick, on_tick, TICK_SECONDS, TICK_SECONDS);
    r->tick.data = r;
    ev_timer_start(r->loop, &r->tick);
    return true;
}

static void finish(struct relay *r)
{
    log_summary(r);
    publish_header(r, STATS_STOPPED);
    swap_close(&r->swap, on_ring, r);
    ingress_spill_free(r->spill);
    if (r->loop)
        ev_loop_destroy(r->loop);
}

int relay_run(const struct relay_options *options, int broker)
{
    struct relay *r = calloc(1, sizeof(*r));
    struct handover_message hello;

    log_setup("relay", NULL);
    if (!r)
        return EXIT_FAILURE;
    r->options = options;
    r->broker = broker;
    r->broker_alive = true;
    r->status = EXIT_FAILURE;
    swap_init(&r->swap);
    // When the broker ends before its first word, it has told why by itself.
    if (receive_hello(broker, &hello) && prepare(r)) {
        // Rights go before the first packet socket comes. What is left is read back before the filter, which lets
        // nothing change it afterwards.
        if (sandbox_drop(SANDBOX_RELAY, hello.hello.uid, hello.hello.gid)) {
            r->pid = getpid();
            r->capabilities = sandbox_capabilities();
            if (sandbox_filter(SANDBOX_RELAY, options->sandbox)) {
                ask_for_load(r);
                ev_run(r->loop, 0);
            }
        }
        finish(r);
    }
    int status = r->status;
    free(r);
    return status;
}
