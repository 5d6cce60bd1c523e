// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/run.h"
#include "common/clock.h"
#include "common/exit.h"
#include "common/progress.h"
#include "gen/datagram.h"
#include "gen/legs.h"
#include "gen/pace.h"
#include "gen/socket.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

// A sleep ends 30 to 60 us late (measured), so the last part of a wait is a busy loop, which uses at most a sixteenth
// of the processor. Waits shorter than SLEEP_LEAST_NS are all busy loop.
#define SPIN_MOST_NS   60000
#define SLEEP_LEAST_NS 20000

struct source {
    const struct gen_options *o;
    struct payload_maker *maker;
    struct legs *legs; // or NULL, and the rest is used
    int fd;
    struct mmsghdr *messages; // o->batch of them
    struct iovec *parts;      // of each datagram
    uint8_t (*headers)[DATAGRAM_HEADER_MAX];
    // Of each flow: where it goes, and its next sequence number.
    struct one_flow {
        struct sockaddr_storage to;
        socklen_t to_length;
        uint64_t seq;
    } * flows;
    uint64_t next; // flow of the next message
    struct gen_sent result;
};

static bool source_init(struct source *s, const struct gen_options *o)
{
    size_t batch = (size_t) o->batch, datagrams = batch * (size_t) o->gso;

    *s = (struct source){.o = o, .fd = -1};
    s->maker = datagram_maker_new(o);
    if (s->maker && o->n_legs > 0) {
        s->legs = legs_new(o, s->maker, &s->result);
        return s->legs != NULL;
    }
    s->messages = calloc(batch, sizeof(*s->messages));
    s->parts = calloc(datagrams * DATAGRAM_PARTS, sizeof(*s->parts));
    s->headers = calloc(datagrams, sizeof(*s->headers));
    s->flows = calloc((size_t) o->flows, sizeof(*s->flows));
    if (!s->maker || !s->messages || !s->parts || !s->headers || !s->flows) {
        fprintf(stderr, "mcrgen: out of memory\n");
        return false;
    }
    for (uint32_t i = 0; i < o->flows; i++) {
        struct addr to = addr_after(&o->destination, i);
        s->flows[i].to_length = gen_socket_address(&s->flows[i].to, &to, o->port, o->ifindex);
        s->flows[i].seq = o->first;
    }
    s->fd = gen_socket_open_sender(o);
    return s->fd >= 0;
}

static void source_free(struct source *s)
{
    if (s->fd >= 0)
        close(s->fd);
    legs_free(s->legs);
    free(s->flows);
    free(s->headers);
    free(s->parts);
    free(s->messages);
    free(s->maker);
}

// Makes messages of n datagrams, of the flows in turn. Returns the number of messages.
static unsigned fill(struct source *s, uint64_t n)
{
    uint64_t time_ns = clock_realtime_ns();
    struct iovec *part = s->parts;
    struct one_flow *flow = s->flows;
    unsigned message = 0;

    for (uint64_t i = 0; i < n; i++) {
        if (i % s->o->gso == 0) {
            flow = &s->flows[s->next];
            s->next = s->next + 1 < s->o->flows ? s->next + 1 : 0;
            s->messages[message].msg_hdr = (struct msghdr){.msg_iov = part};
            // With one flow the socket is connected, so that the kernel need not look up the route each time.
            if (s->o->flows > 1) {
                s->messages[message].msg_hdr.msg_name = &flow->to;
                s->messages[message].msg_hdr.msg_namelen = flow->to_length;
            }
            message++;
        }
        unsigned parts = datagram_parts(s->o, s->maker, flow->seq++, time_ns, s->headers[i], part);
        part += parts;
        s->messages[message - 1].msg_hdr.msg_iovlen += parts;
    }
    return message;
}

// Makes and sends n datagrams.
static void send_some(struct source *s, uint64_t n)
{
    datagram_send(s->fd, s->messages, fill(s, n), n, s->o->gso, &s->result);
}

// A signal ends the wait, unless what is owed must leave.
static void wait_until(uint64_t until_ns, bool owed)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t spin = until_ns > now ? (until_ns - now) / 16 : 0;

    if (spin > SPIN_MOST_NS)
        spin = SPIN_MOST_NS;
    for (; now < until_ns && (owed || !run_stopped()); now = clock_monotonic_ns()) {
        uint64_t left = until_ns - now;
        if (left < SLEEP_LEAST_NS + spin)
            continue;
        uint64_t wake = left < RUN_TICK_NS ? until_ns - spin : now + RUN_TICK_NS;
        struct timespec at = {.tv_sec = (time_t) (wake / NS_PER_S), .tv_nsec = (long) (wake % NS_PER_S)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
}

// Returns the number of datagrams to send.
static uint64_t total_of(const struct gen_options *o)
{
    uint64_t total = o->count ? o->count : PAYLOAD_SEQ_MAX - o->first;

    if (o->duration_ns > 0 && o->rate > 0) {
        uint64_t ns = o->duration_ns,
                 due = ns / NS_PER_S * o->rate + (ns % NS_PER_S * o->rate + NS_PER_S - 1) / NS_PER_S;
        if (due < total)
            total = due;
    }
    return total;
}

// Draws the bar if it is due: of the datagrams if their number ends the run, else of the time.
static void draw(struct progress *bar, const struct gen_options *o, uint64_t done, uint64_t total, uint64_t now)
{
    bool timed = !o->count && o->rate == 0;

    if (now >= bar->next_ns)
        progress_show(bar, timed ? now - bar->start_ns : done, timed ? o->duration_ns : total, now);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Sends what the legs still owe when no more is made: also after a signal, so that what was lost is what was said.
static void finish_legs(struct legs *legs)
{
    for (;;) {
        uint64_t due = legs_send(legs, clock_monotonic_ns(), true);
        if (due == UINT64_MAX)
            return;
        wait_until(due, true);
    }
}

static void run(struct source *s)
{
    const struct gen_options *o = s->o;
    uint64_t total = total_of(o), most = o->batch * o->gso, done = 0;
    uint64_t start = clock_monotonic_ns(), next_progress = o->progress ? start + NS_PER_S : UINT64_MAX;
    // A paced run ends with its total; it reaches the deadline only if it lags behind.
    uint64_t deadline = o->duration_ns ? start + o->duration_ns + (o->rate ? PACE_LAG_NS : 0) : UINT64_MAX;
    uint64_t first_ns = 0, last_ns = 0;
    struct pace pace;
    struct progress bar;

    progress_begin(&bar, !o->progress && (o->count || o->duration_ns), start);
    pace_init(&pace, o->rate, o->gso, most, start);
    while (done < total && !run_stopped()) {
        uint64_t now = clock_monotonic_ns();
        if (now >= deadline)
            break;
        if (now >= next_progress) {
            fprintf(stderr, "%4" PRIu64 " s  sent %" PRIu64 "  failed %" PRIu64 "\n", (now - start) / NS_PER_S,
                    s->result.sent, s->result.failed);
            next_progress += NS_PER_S;
        }
        draw(&bar, o, done, total, now);
        uint64_t left = earlier(total - done, most), wait = 0, due = UINT64_MAX;
        uint64_t n = pace_take(&pace, s->legs ? earlier(left, legs_room(s->legs)) : left, now, &wait);
        if (s->legs) {
            legs_make(s->legs, n, now);
            due = legs_send(s->legs, now, false);
        }
        if (n == 0) {
            wait_until(earlier(earlier(next_progress, bar.next_ns), earlier(wait, due)), false);
            continue;
        }
        if (first_ns == 0)
            first_ns = now;
        if (!s->legs)
            send_some(s, n);
        last_ns = clock_monotonic_ns();
        done += n;
    }
    if (s->legs) {
        finish_legs(s->legs);
        last_ns = clock_monotonic_ns();
    }
    progress_end(&bar);
    s->result.made = s->legs ? done : s->result.sent + s->result.failed;
    s->result.duration_ns = last_ns - first_ns;
    s->result.given_up_ns = pace.given_up_ns;
    s->result.bytes = s->result.sent * o->size;
}

int run_send(const struct gen_options *o)
{
    struct source source;
    int status = EXIT_TROUBLE;

    // By default the kernel wakes threads up to 50 us late, to save power.
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (source_init(&source, o)) {
        run(&source);
        bool written = !source.legs || legs_finish(source.legs);
        bool printed = gen_report_sent(o, &source.result);
        status = printed && written && source.result.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    source_free(&source);
    return status;
}
