// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/run.h"
#include "common/clock.h"
#include "common/exit.h"
#include "common/progress.h"
#include "gen/pace.h"
#include "gen/payload.h"
#include "gen/report.h"
#include "gen/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

// A sleep ends 30 to 60 us late (measured), so the last part of a wait is a busy loop, which uses at most a sixteenth
// of the processor. Waits shorter than SLEEP_LEAST_NS are all busy loop.
#define SPIN_MOST_NS   60000
#define SLEEP_LEAST_NS 20000

struct source {
    const struct gen_options *o;
    int fd;
    struct payload_maker *maker;
    struct mmsghdr *messages; // o->batch elements
    struct iovec *parts;      // two for each datagram: header and body
    uint8_t (*headers)[PAYLOAD_HEADER];
    // Destination and next sequence number of each flow.
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
    size_t datagrams = o->batch * o->gso;

    *s = (struct source){.o = o, .fd = -1};
    s->maker = payload_maker_new(o->size, (uint32_t) o->stream);
    s->messages = calloc(o->batch, sizeof(*s->messages));
    s->parts = calloc(datagrams * 2, sizeof(*s->parts));
    s->headers = calloc(datagrams, sizeof(*s->headers));
    s->flows = calloc(o->flows, sizeof(*s->flows));
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
    bool with_header = s->o->size >= PAYLOAD_HEADER;
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
        struct iovec *first = part;
        uint64_t seq = flow->seq++;
        if (with_header) {
            payload_maker_header(s->maker, seq, time_ns, s->headers[i]);
            *part++ = (struct iovec){s->headers[i], PAYLOAD_HEADER};
        }
        size_t length;
        const uint8_t *body = payload_maker_body(s->maker, seq, &length);
        if (length > 0)
            *part++ = (struct iovec){(void *) (uintptr_t) body, length};
        s->messages[message - 1].msg_hdr.msg_iovlen += (size_t) (part - first);
    }
    return message;
}

// Sends n datagrams. Failures are counted and not repeated: their sequence numbers are lost.
static void send_some(struct source *s, uint64_t n)
{
    struct gen_sent *r = &s->result;
    unsigned total = fill(s, n), done = 0, retried = total;

    while (done < total) {
        int got = sendmmsg(s->fd, s->messages + done, total - done, 0), error = errno;
        if (got < 0 && error == EINTR) {
            if (run_stopped())
                return;
            continue;
        }
        // The last message may have fewer datagrams than the others.
        uint64_t rest = n - done * s->o->gso, tried = (got > 0 ? (unsigned) got : 1) * s->o->gso;
        if (tried > rest)
            tried = rest;
        if (got > 0) {
            r->sent += tried;
            done += (unsigned) got;
            continue;
        }
        if (r->errors[error]++ == 0)
            fprintf(stderr, "mcrgen: sending: %s (said once; the report counts)\n", strerror(error));
        // ECONNREFUSED reports an ICMP error of an earlier datagram; this one was not sent, so it is tried once more.
        if (error == ECONNREFUSED && retried != done) {
            retried = done;
            continue;
        }
        r->failed += tried;
        done++;
    }
}

static void wait_until(uint64_t until_ns)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t spin = until_ns > now ? (until_ns - now) / 16 : 0;

    if (spin > SPIN_MOST_NS)
        spin = SPIN_MOST_NS;
    for (; now < until_ns && !run_stopped(); now = clock_monotonic_ns()) {
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
        uint64_t left = total - done, wait = 0;
        uint64_t n = pace_take(&pace, left < most ? left : most, now, &wait);
        if (n == 0) {
            uint64_t tell = next_progress < bar.next_ns ? next_progress : bar.next_ns;
            wait_until(tell < wait ? tell : wait);
            continue;
        }
        if (first_ns == 0)
            first_ns = now;
        send_some(s, n);
        last_ns = clock_monotonic_ns();
        done += n;
    }
    progress_end(&bar);
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
        bool printed = gen_report_sent(o, &source.result);
        status = printed && source.result.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    source_free(&source);
    return status;
}
