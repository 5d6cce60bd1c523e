// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "rig.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "handover/handover.h"
#include "rig_machine.h"
#include "rig_manager.h"
#include "rig_parts.h"
#include "rig_text.h"

static struct rig *rig; // whose time it is; NULL: the machine's own clocks and waiting are used
static uint64_t monotonic_ns, realtime_ns;
static int relay_end, broker_end; // of the pair

// The broker's thread, and whose turn it is.
static pthread_t thread;
static sem_t to_broker, to_test;
static bool in_broker, finished;

static uint64_t each_look_ns; // by which the clocks go on when they are read

// --- in place of the C library and libev -----------------------------------------------------------------------------

__typeof__(poll) __wrap_poll, __real_poll;
__typeof__(clock_gettime) __wrap_clock_gettime, __real_clock_gettime;
__typeof__(ev_now) __wrap_ev_now, __real_ev_now;

static void pass_time(uint64_t ns)
{
    monotonic_ns += ns;
    realtime_ns += ns;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    if (!rig)
        return __real_clock_gettime(clock, t);
    pass_time(each_look_ns);
    uint64_t ns = clock == CLOCK_REALTIME ? realtime_ns : monotonic_ns;
    *t = (struct timespec){.tv_sec = (time_t) (ns / RIG_S), .tv_nsec = (long) (ns % RIG_S)};
    return 0;
}

// Its name where a 32-bit machine has times of 64 bits.
__typeof__(clock_gettime) __wrap___clock_gettime64 __attribute__((alias("__wrap_clock_gettime")));

ev_tstamp __wrap_ev_now(struct ev_loop *loop)
{
    return rig ? (double) realtime_ns / 1e9 : __real_ev_now(loop);
}

static bool has_come(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return __real_poll(&p, 1, 0) == 1;
}

static void wait_for(sem_t *turn)
{
    while (sem_wait(turn) != 0)
        ;
}

static void *run_broker(void *b)
{
    wait_for(&to_broker);
    rig_broker_run(b);
    finished = true;
    sem_post(&to_test);
    return NULL;
}

// Until the broker waits, or has ended.
static void let_broker(struct rig *x)
{
    if (x->broker_ended)
        return;
    in_broker = true;
    rig_broker_speaks(x->broker);
    sem_post(&to_broker);
    wait_for(&to_test);
    in_broker = false;
    if (!finished)
        return;
    pthread_join(thread, NULL);
    x->broker_ended = true;
    rig_tell(x, "the broker has ended");
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int ms)
{
    int ready;

    if (!rig || ms == 0)
        return __real_poll(fds, n, ms);
    if (n == 0) {
        pass_time((uint64_t) ms * RIG_MS);
        return 0;
    }
    if (!in_broker) {
        let_broker(rig);
        ready = __real_poll(fds, n, 0);
        pass_time(ready == 0 ? (uint64_t) ms * RIG_MS : 0);
        return ready;
    }
    uint64_t until_ns = ms < 0 ? UINT64_MAX : monotonic_ns + (uint64_t) ms * RIG_MS;
    while ((ready = __real_poll(fds, n, 0)) == 0 && monotonic_ns < until_ns) {
        sem_post(&to_test);
        wait_for(&to_broker);
    }
    return ready;
}

// --- what is told ----------------------------------------------------------------------------------------------------

static void say_lines(struct rig *x, int fd, const char *mark)
{
    char text[16384];
    ssize_t n;

    while ((n = read(fd, text, sizeof(text) - 1)) > 0) {
        text[n] = '\0';
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
            fputs(mark, x->to);
            rig_text_write(x->to, x->directory, line);
        }
    }
}

static void say_all(struct rig *x)
{
    say_lines(x, x->log, "  ");
    rig_manager_say(x->to, x->directory);
    rig_machine_say(x->to);
}

void rig_tell(struct rig *x, const char *format, ...)
{
    va_list args;
    char line[1024];

    say_all(x);
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    rig_text_write(x->to, x->directory, line);
}

void rig_show(struct rig *x)
{
    char path[64];

    say_all(x);
    snprintf(path, sizeof(path), "%s/stats", x->directory);
    rig_text_statistics(x->to, x->directory, path, monotonic_ns);
}

// --- both ------------------------------------------------------------------------------------------------------------

// Until neither has anything to do.
static void run(struct rig *x)
{
    bool any;

    do {
        let_broker(x);
        any = !x->deaf && rig_relay_hears(x->relay) && has_come(relay_end);
        if (any)
            rig_relay_take(x->relay);
        rig_manager_hear();
    } while (any);
    int status;
    if (!x->relay_ended && rig_relay_ends(x->relay, &status)) {
        x->relay_ended = true;
        rig_tell(x, "the relay's loop ends, status %d", status);
    }
}

void rig_end_broker(struct rig *x)
{
    rig_tell(x, "=== the broker ends");
    shutdown(broker_end, SHUT_RDWR);
    run(x);
    say_all(x);
}

void rig_wait(struct rig *x, uint64_t ns)
{
    rig_tell(x, ns < RIG_MS ? "=== %llu us" : "=== %llu ms", (unsigned long long) (ns / (ns < RIG_MS ? 1000 : RIG_MS)));
    while (ns > 0) {
        uint64_t step = ns < 200 * RIG_MS ? ns : 200 * RIG_MS;
        pass_time(step);
        ns -= step;
        if (!x->deaf)
            rig_relay_tick(x->relay, monotonic_ns);
        run(x);
    }
    say_all(x);
}

void rig_set_clock(struct rig *x, int64_t by_s)
{
    rig_tell(x, "=== the clock is set by %lld s", (long long) by_s);
    realtime_ns += (uint64_t) by_s * RIG_S;
}

void rig_turn(struct rig *x, const char *interface, unsigned n)
{
    static const struct rig_slot good = {.kind = PACKET_MULTICAST, .status = TP_STATUS_CSUM_VALID};
    uint8_t frame[256];
    size_t length = rig_machine_udp(frame, 1, 7, "turn", 4);

    for (unsigned i = 0; i < n; i++)
        rig_machine_frame(x->relay, interface, frame, length, realtime_ns, &good);
    each_look_ns = 1000;
    struct rig_turn t = rig_relay_turn(x->relay);
    each_look_ns = 0;
    rig_tell(x, "=== a turn with %u frames: %s, waits %u us%s", n, t.busy ? "busy" : "idle", t.wait_us,
             t.held ? ", holds" : "");
    say_all(x);
}

void rig_watches(struct rig *x)
{
    rig_relay_watches(x->relay, x->to);
    run(x);
    say_all(x);
}

static void send_signal(struct rig *x, int number, int login)
{
    if (login < 0)
        cr_assert_eq(kill(getpid(), number), 0);
    else
        cr_assert_eq(sigqueue(getpid(), number, (union sigval){.sival_int = login}), 0);
    rig_relay_signals(x->relay);
    run(x);
    say_all(x);
}

void rig_reload(struct rig *x, int login)
{
    rig_tell(x, "=== reload");
    send_signal(x, SIGHUP, login);
}

void rig_confirm(struct rig *x)
{
    rig_tell(x, "=== confirm");
    send_signal(x, SIGRTMIN, 1000);
}

void rig_signal(struct rig *x, int number)
{
    rig_tell(x, "=== signal %s", number == SIGUSR1 ? "USR1" : number == SIGUSR2 ? "USR2" : "TERM");
    send_signal(x, number, -1);
}

void rig_look(struct rig *x)
{
    rig_tell(x, "=== news of the file");
    rig_relay_news(x->relay, false);
    rig_wait(x, 200 * RIG_MS);
}

void rig_links(struct rig *x)
{
    rig_tell(x, "=== news of links");
    rig_relay_news(x->relay, true);
    rig_wait(x, 200 * RIG_MS);
}

void rig_ask(struct rig *x, const struct handover_message *m)
{
    struct handover_message answer;
    int fds[HANDOVER_FDS_MAX];

    rig_tell(x, "=== the relay says %u", m->type);
    cr_assert(handover_send(relay_end, m, NULL));
    let_broker(x);
    while (has_come(relay_end) && handover_receive(relay_end, &answer, fds) == HANDOVER_GOT) {
        bool text = answer.type == HANDOVER_REFUSED || answer.type == HANDOVER_PROBED;
        rig_tell(x, "  answer %u, %u descriptors, state %u: %s", answer.type, answer.n_fds, answer.probe_state,
                 text ? answer.text : "");
        handover_close(&answer, fds);
    }
}

void rig_garble(struct rig *x, bool broker)
{
    rig_tell(x, "=== the %s says what is no message", broker ? "broker" : "relay");
    cr_assert_eq(send(broker ? broker_end : relay_end, "mcr", 3, 0), 3);
    run(x);
    say_all(x);
}

void rig_answer(struct rig *x, const struct handover_message *m)
{
    rig_tell(x, "=== the broker says %u", m->type);
    cr_assert(handover_send(broker_end, m, NULL));
    run(x);
    say_all(x);
}

void rig_come(struct rig *x, const char *interface, uint8_t group, uint8_t host, unsigned n, const void *payload,
              size_t size)
{
    static const struct rig_slot good = {.kind = PACKET_MULTICAST, .status = TP_STATUS_CSUM_VALID};
    uint8_t frame[2048];
    size_t length = rig_machine_udp(frame, group, host, payload, size ? size : strlen(payload));

    rig_tell(x, "=== %u by %s for 239.255.0.%u", n, interface, group);
    while (n-- > 0)
        rig_machine_frame(x->relay, interface, frame, length, realtime_ns - x->late_ns, &good);
    rig_relay_tick(x->relay, monotonic_ns);
    run(x);
    say_all(x);
}

void rig_frame(struct rig *x, const char *what, const uint8_t *frame, size_t size, const struct rig_slot *how)
{
    rig_tell(x, "=== %s", what);
    rig_machine_frame(x->relay, "in0", frame, size, realtime_ns, how);
    rig_relay_tick(x->relay, monotonic_ns);
    run(x);
    rig_show(x);
}

void rig_come_rtp(struct rig *x, const char *interface, uint8_t group, uint16_t number)
{
    const uint8_t rtp[16] = {0x80, 33, (uint8_t) (number >> 8), (uint8_t) number, 0, 0, 0, 0, 1, 2, 3, 4, 'd', 'a',
                             't',  'a'};

    rig_come(x, interface, group, 7, 1, rtp, sizeof(rtp));
}

// --- life ------------------------------------------------------------------------------------------------------------

// Above any that the sandbox would move down to.
static void allow_descriptors(void)
{
    struct rlimit files;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

#define FIRST 900 // of what the manager hands over

static void start(struct rig *x)
{
    static char path[64], trust[64];
    char names[8192] = "";
    int ends[2];

    rig_tell(x, "=== start");
    cr_assert(handover_pair(ends));
    relay_end = ends[0];
    broker_end = ends[1];
    x->broker_ended = x->relay_ended = finished = false;
    snprintf(path, sizeof(path), "%s/mcr.conf", x->directory);
    size_t n = rig_manager_hand_over(FIRST, names, sizeof(names));
    snprintf(trust, sizeof(trust), "%s/trust.conf", x->directory);
    x->broker = rig_broker_start(broker_end, x->inotify, path, x->trust ? trust : "none", FIRST, n, names);
    x->relay = rig_relay_start(relay_end, fcntl(x->inotify, F_DUPFD_CLOEXEC, 3));
    // Behind the relay's start, so that it has the same signals blocked.
    cr_assert(sem_init(&to_broker, 0, 0) == 0 && sem_init(&to_test, 0, 0) == 0 &&
              pthread_create(&thread, NULL, run_broker, x->broker) == 0);
    run(x);
    say_all(x);
}

struct rig *rig_make(const char *text, bool managed)
{
    struct rig *x = calloc(1, sizeof(*x));
    int log[2];

    cr_assert_not_null(x);
    allow_descriptors();
    umask(022);
    setenv("TZ", "UTC", 1);
    unsetenv("JOURNAL_STREAM");
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "30000000", 1);
    unsetenv("WATCHDOG_PID");
    unsetenv("FDSTORE");
    strcpy(x->directory, "/tmp/mcr-rig-XXXXXX");
    x->to = open_memstream(&x->text, &x->size);
    cr_assert(mkdtemp(x->directory) && x->to);
    cr_assert_eq(pipe2(log, O_NONBLOCK | O_CLOEXEC), 0);
    fcntl(log[1], F_SETPIPE_SZ, 1 << 20);
    cr_assert_geq(dup2(log[1], STDERR_FILENO), 0);
    close(log[1]);
    x->log = log[0];
    if (managed)
        rig_manager_open();
    x->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    monotonic_ns = 1000 * RIG_S;
    realtime_ns = RIG_EPOCH * RIG_S;
    rig_file(x, text);
    rig = x;
    rig_rings = true;
    return x;
}

void rig_start(struct rig *x, bool trust)
{
    x->trust = trust;
    start(x);
}

struct rig *rig_open(const char *text, bool managed)
{
    struct rig *x = rig_make(text, managed);

    rig_start(x, false);
    return x;
}

void rig_restart(struct rig *x, bool killed)
{
    rig_tell(x, killed ? "=== killed" : "=== stopped");
    rig_relay_end(x->relay, killed);
    shutdown(broker_end, SHUT_RDWR);
    let_broker(x);
    cr_assert(x->broker_ended);
    say_all(x);
    pass_time(500 * RIG_MS);
    start(x);
}

void rig_close(struct rig *x, const char *name)
{
    rig_tell(x, "=== end");
    rig_relay_end(x->relay, false);
    let_broker(x);
    cr_expect(x->broker_ended);
    rig_show(x);
    rig_files(x);
    rig_text(x, "audit");
    rig_remove_all(x);
    rig_manager_close();
    rig_machine_end(x->to);
    fclose(x->to);
    rig = NULL;
    rig_rings = false;
    rig_text_compare(x->text, x->size, name);
    free(x->text);
    close(x->log);
    close(x->inotify);
    free(x);
}
