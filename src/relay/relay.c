// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "log/log.h"
#include "relay/loop_memory.h"
#include "relay/rtnetlink.h"
#include "relay/state.h"

#define HELD_SECONDS  0.01           // a longer wait for what a merge holds back is looked at again
#define LIVES_NS      (5 * NS_PER_S) // at least, before it ends for a broker: no loop that a manager gives up
#define TICK_SECONDS  0.2            // largest age of ring drops, and of the statistics without traffic
#define HELLO_SECONDS 30
#define LINKS_SECONDS 0.05
#define PROBE_SECONDS 0.15

// --- events ----------------------------------------------------------------------------------------------------------

// What a merge holds back leaves at its time, even if nothing comes: a turn of the loop is made then. The clock of the
// stamps may be set: the timer waits for no longer than a window can be.
static void watch_held(struct relay *r)
{
    uint64_t now = clock_realtime_ns() - RINGS_SETTLED_NS;
    double seconds;

    if (!r->swap.now || r->swap.now->due_ns == UINT64_MAX)
        return;
    seconds = r->swap.now->due_ns > now ? (double) (r->swap.now->due_ns - now) / 1e9 : 0;
    seconds = seconds < HELD_SECONDS ? seconds : HELD_SECONDS;
    if (ev_is_active(&r->held.timer) && ev_timer_remaining(r->loop, &r->held.timer) <= seconds)
        return;
    ev_timer_stop(r->loop, &r->held.timer);
    ev_timer_set(&r->held.timer, seconds, 0.);
    ev_now_update(r->loop);
    ev_timer_start(r->loop, &r->held.timer);
}

static void on_held(struct relay *r)
{
    (void) r; // settle() follows
}

// Without a broker, ends as a process that failed, so that a service manager that keeps descriptors starts both anew.
static void end_for_broker(struct relay *r)
{
    if (r->shown.broker_alive || !r->notify.keeps || clock_ns(CLOCK_BOOTTIME) - r->shown.started_boottime_ns < LIVES_NS)
        return;
    r->goes_on = true; // nobody has asked for the file that lies on the disk
    relay_stop(r, EXIT_FAILURE);
}

static void on_tick(struct relay *r)
{
    if (timed_look(r))
        request_send(r, REQUEST_LINKS);
    if (r->swap.now) {
        uint64_t settled = rings_settled_ns(r);
        if (r->swap.now->bridged_ns > 0 &&
            (settled >= r->swap.now->bridged_ns || clock_monotonic_ns() >= r->swap.now->bridge_ends_ns))
            forward_settle(r->swap.now);
        forward_publish_merges(r->swap.now, settled);
        forward_publish_streams(r->swap.now);
    }
    rings_publish(r);
    publish_header(r, STATS_LIVE);
    publish_sends(r);
    publish_drops(r);
    log_sum_up();
    notify_again(&r->notify);
    uint64_t now = clock_monotonic_ns();
    if (r->doubt_ends_ns != 0 && now >= r->doubt_ends_ns)
        trust_restore(r);
    request_again(r, now);
    end_for_broker(r);
}

static void on_watchdog(struct relay *r)
{
    notify_send(&r->notify, "WATCHDOG=1");
}

// Starts the timer, unless it runs. Events come in bursts; only the first one starts it, so that a storm cannot delay
// the request.
static void answer_later(struct relay *r, struct timer *t, double seconds)
{
    if (ev_is_active(&t->timer))
        return;
    ev_timer_set(&t->timer, seconds, 0.);
    ev_timer_start(r->loop, &t->timer);
}

static void look_at_news(struct relay *r, int fd, rtnetlink_gone *gone)
{
    // During a load, every link event is relevant: it may concern the new table.
    enum rtnetlink_concern news = rtnetlink_changed(fd, r->under_way == REQUEST_LOAD ? NULL : relay_table(r), gone, r);

    // Whether a file would be refused depends on the interfaces.
    if (news >= RTNETLINK_OTHERS && r->shown.config_state != STATS_CONFIG_CURRENT)
        answer_later(r, &r->probe_timer, PROBE_SECONDS);
    if (news < RTNETLINK_TABLE)
        return;
    trust_doubt_links(r);
    answer_later(r, &r->links_timer, LINKS_SECONDS);
}

static void on_links(struct relay *r)
{
    look_at_news(r, r->links.io.fd, trust_on_gone);
}

static void on_addresses(struct relay *r)
{
    look_at_news(r, r->addresses.io.fd, NULL);
}

static void on_silent(void *context, uint32_t ifindex, const struct addr *address)
{
    struct relay *r = context;

    if (r->swap.now)
        forward_unreachable(r->swap.now, ifindex, address);
}

static void on_neighbours(struct relay *r)
{
    rtnetlink_neighbours(r->neighbours.io.fd, on_silent, r);
}

static void on_links_timer(struct relay *r)
{
    request_send(r, REQUEST_LINKS);
}

static void on_inotify(struct relay *r)
{
    char buffer[4096] __attribute__((aligned(8)));

    // The content of the events does not matter: the broker looks at the file that the path names now.
    for (int i = 0; i < 64 && read(r->inotify.io.fd, buffer, sizeof(buffer)) > 0; i++)
        ;
    answer_later(r, &r->probe_timer, PROBE_SECONDS);
}

static void on_probe_timer(struct relay *r)
{
    request_send(r, REQUEST_PROBE);
}

static void on_summary_timer(struct relay *r)
{
    if (!publish_summary_next(r))
        ev_timer_stop(r->loop, &r->summary_timer.timer);
}

// --- waiting ---------------------------------------------------------------------------------------------------------

// Sets how long the loop waits before it looks for events. Under load, datagrams gather meanwhile and leave in larger
// batches. No event ends the wait, so it delays signals and the broker, too.
static void choose_wait(struct relay *r)
{
    const struct table_view *t = relay_table(r);
    uint64_t wait = 0;

    if (t && t->header->busy_poll_usecs == 0)
        wait = coalesce_turn(&r->coalesce, r->turn_frames, r->turn_flows, t->header->coalesce_usecs * UINT64_C(1000),
                             clock_monotonic_ns());
    ev_set_io_collect_interval(r->loop, r->full ? 0. : (double) wait / 1e9);
    r->turn_frames = r->turn_flows = 0;
    r->full = false;
}

// With busy_poll: how long only the rings are polled before signals, timers and the broker get a turn.
#define SPIN_NS UINT64_C(50000)

// Polls the rings for SPIN_NS without sleep.
static void spin(struct relay *r)
{
    uint64_t until = clock_monotonic_ns() + SPIN_NS;

    do {
        for (unsigned i = 0; i < 64; i++)
            if (rings_pass_ready(r))
                break;
    } while (clock_monotonic_ns() < until);
}

static bool is_busy(const struct relay *r)
{
    uint32_t usecs = r->swap.now ? relay_table(r)->header->busy_poll_usecs : 0;

    return usecs == TABLE_BUSY_POLL_ALWAYS ||
           (usecs > 0 && clock_monotonic_ns() - r->last_frame_ns < usecs * UINT64_C(1000));
}

static void run(struct relay *r)
{
    while (!r->ending) {
        bool busy = is_busy(r);
        if (busy)
            spin(r);
        choose_wait(r);
        watch_held(r);
        ev_run(r->loop, busy ? EVRUN_NOWAIT : EVRUN_ONCE);
        rings_settle(r);
    }
}

// --- start -----------------------------------------------------------------------------------------------------------

// Replaces libev's handler, which calls perror(): that duplicates a descriptor, for which the sandbox kills the
// process.
static void on_loop_failure(const char *what)
{
    log_errno(LOG_LEVEL_ERR, EVENT_LOOP, "reason=\"%s\"", what);
    _exit(EXIT_FAILURE);
}

// Locks the statistics for the life of this process: others find the process by this lock, which cannot be forged
// (command/daemon.c). fd stays open, because closing it would release the lock.
static bool lock_statistics(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0)
        return true;
    log_errno(LOG_LEVEL_ERR, EVENT_START, "reason=\"the statistics cannot be locked\"");
    return false;
}

// Tells how the broker has ended, if it could not log it itself. Before the system call filter, which has no wait4(2).
static void tell_broker_end(void)
{
    int status;

    if (TEMP_FAILURE_RETRY(waitpid(-1, &status, 0)) > 0 && WIFSIGNALED(status))
        log_error(EVENT_START, "reason=\"the broker was ended by signal %d\"", WTERMSIG(status));
}

// Receives the broker's first message, before the loop runs.
static bool receive_hello(int broker, struct handover_message *m)
{
    struct pollfd p = {.fd = broker, .events = POLLIN};
    int fds[HANDOVER_FDS_MAX];

    if (TEMP_FAILURE_RETRY(poll(&p, 1, HELLO_SECONDS * 1000)) != 1) {
        log_error(EVENT_START, "reason=\"the broker has not answered for %d s\"", HELLO_SECONDS);
        return false;
    }
    errno = 0;
    enum handover_result result = handover_receive(broker, m, fds);
    if (result == HANDOVER_GOT && m->type == HANDOVER_HELLO && m->n_fds == 1) {
        signal(SIGCHLD, SIG_IGN); // from now on the kernel reaps the broker
        return lock_statistics(sandbox_move_up(fds[0]));
    }
    if (result == HANDOVER_CLOSED && errno == 0)
        tell_broker_end();
    else
        log_errno(LOG_LEVEL_ERR, EVENT_START, "reason=\"the broker's first message cannot be received\"");
    return false;
}

static void on_source(struct ev_loop *loop, ev_io *io, int events)
{
    (void) events;
    ((struct source *) io)->answer(ev_userdata(loop));
}

static void on_timer(struct ev_loop *loop, ev_timer *t, int events)
{
    (void) events;
    ((struct timer *) t)->answer(ev_userdata(loop));
}

static void watch_fd(struct relay *r, struct source *s, int fd, int priority, void (*answer)(struct relay *r))
{
    s->answer = answer;
    ev_io_init(&s->io, on_source, fd, EV_READ);
    ev_set_priority(&s->io, priority);
    ev_io_start(r->loop, &s->io);
}

static void watch_time(struct relay *r, struct timer *t, double seconds, void (*answer)(struct relay *r))
{
    t->answer = answer;
    ev_timer_init(&t->timer, on_timer, seconds, seconds);
    if (seconds > 0)
        ev_timer_start(r->loop, &t->timer);
}

// Opens everything that cannot be opened after confine().
static bool prepare(struct relay *r)
{
    // The kernel may delay a wake-up by 50 us by default, which is longer than the waits of choose_wait().
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    tzset(); // reads the time zone's files, which gmtime_r() would do later
    r->shown.started_ns = clock_realtime_ns();
    r->shown.started_boottime_ns = clock_ns(CLOCK_BOOTTIME);
    r->shown.pid = (uint32_t) getpid();
    r->spill = ingress_spill_new();
    // These descriptors move above those that the sandbox lets the relay write to: by a write to rtnetlink it could
    // send requests to the kernel.
    int links = sandbox_move_up(rtnetlink_open(RTNETLINK_INTERFACES));
    int addresses = sandbox_move_up(rtnetlink_open(RTNETLINK_ADDRESSES));
    int neighbours = sandbox_move_up(rtnetlink_open(RTNETLINK_NEIGHBOURS));
    int inotify = sandbox_move_up(r->options->inotify);
    int signals = sandbox_move_up(signals_open());
    // EVFLAG_NOENV: the environment does not choose the backend.
    ev_set_syserr_cb(on_loop_failure);
    if (loop_memory_begin(on_loop_failure))
        r->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    if (!r->spill || links < 0 || addresses < 0 || neighbours < 0 || inotify < 0 || signals < 0 || !r->loop) {
        log_errno(LOG_LEVEL_ERR, EVENT_START, "reason=\"no memory, epoll, rtnetlink, inotify or signalfd\"");
        return false;
    }
    ev_set_userdata(r->loop, r);
    swap_init(&r->swap, r->loop, rings_on_readable);
    notify_init(&r->notify);
    watch_fd(r, &r->from_broker, r->broker, 0, request_on_message);
    watch_fd(r, &r->signals, signals, 0, signals_answer);
    // Link events come before the rings of the same turn, so that nothing is sent by an index that is gone.
    watch_fd(r, &r->links, links, EV_MAXPRI, on_links);
    watch_fd(r, &r->addresses, addresses, 0, on_addresses);
    watch_fd(r, &r->neighbours, neighbours, 0, on_neighbours);
    watch_fd(r, &r->inotify, inotify, 0, on_inotify);
    watch_time(r, &r->tick, TICK_SECONDS, on_tick);
    watch_time(r, &r->links_timer, 0., on_links_timer);
    watch_time(r, &r->probe_timer, 0., on_probe_timer);
    watch_time(r, &r->summary_timer, 0., on_summary_timer);
    watch_time(r, &r->alarm, 0., publish_alarms);
    watch_time(r, &r->held, 0., on_held);
    watch_time(r, &r->trial.timer, 0., on_trial_ended);
    watch_time(r, &r->watchdog, (double) r->notify.watchdog_ns / 1e9, on_watchdog);
    return true;
}

// Drops every right before the first packet socket arrives. Reads back what is left before the system call filter is
// loaded, which does not allow it later.
static bool confine(struct relay *r, const struct handover_hello *whom)
{
    enum sandbox_mode mode = r->options->sandbox;

    if (!sandbox_drop(SANDBOX_RELAY, whom->uid, whom->gid) || !sandbox_limit(SANDBOX_RELAY, mode) ||
        (r->options->landlock && !sandbox_landlock(SANDBOX_RELAY, mode, NULL, &r->shown.landlock)))
        return false;
    r->shown.capabilities = sandbox_capabilities();
    if (r->shown.capabilities == UINT64_MAX) {
        log_errno(LOG_LEVEL_ERR, EVENT_SANDBOX_DROP, "role=relay reason=\"the kernel does not tell what is left\"");
        return false;
    }
    if (mode == SANDBOX_ENFORCE && r->shown.landlock == 0)
        log_warn(EVENT_FEATURE_MISSING, "feature=landlock effect=\"the system call filter alone keeps files away\"");
    return sandbox_filter(SANDBOX_RELAY, mode);
}

static void finish(struct relay *r)
{
    notify_send(&r->notify, "STOPPING=1");
    if (r->swap.now)
        r->swap.now->memory->in_order = !r->goes_on;
    // Under a service manager, what is held back waits for the next start as what the rings hold does (broker/keep.h).
    if (r->swap.now && !r->notify.keeps)
        forward_release(r->swap.now, UINT64_MAX);
    publish_summary_begin(r);
    while (publish_summary_next(r))
        ;
    log_sum_up();
    publish_header(r, STATS_STOPPED);
    on_trial_free(r);
    swap_close(&r->swap);
    free(r->spill);
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
    *r = (struct relay){
        .options = options,
        .broker = broker,
        .shown = {.seccomp = options->sandbox, .broker_alive = true},
        .under_way = REQUEST_NONE,
        .notify = {.fd = -1},
        .next_asker = {.pid = (uint32_t) getppid(), .uid = getuid(), .loginuid = UINT32_MAX},
        .status = EXIT_FAILURE,
    };
    if (prepare(r)) {
        // Beside the broker's start: to make a network namespace takes the kernel some time.
        r->shown.isolation = sandbox_isolate(options->sandbox);
        // A broker that ends before its first message has logged why.
        if (receive_hello(broker, &hello) && confine(r, &hello.hello)) {
            request_send(r, REQUEST_LOAD);
            run(r);
        }
        finish(r);
    }
    int status = r->status;
    free(r);
    return status;
}
