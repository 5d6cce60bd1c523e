// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/run.h"
#include "common/clock.h"
#include "common/exit.h"
#include "common/kernel.h"
#include "common/progress.h"
#include "gen/lost.h"
#include "gen/payload.h"
#include "gen/report.h"
#include "gen/socket.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 128

// Pause between two reads of the socket, in ns: at a high rate, a wake-up for each datagram would cost the sender's
// processor a third of its time (measured on veth). Latencies stay exact, because the kernel stamps the arrival.
#define NAP_NS 200000

// Distance of the buffers, bytes. A datagram, or several that GRO has merged, has less than 64 KiB. 320 bytes more keep
// the beginnings of the buffers out of the same cache sets.
#define STRIDE (65536 + 320)

struct sink {
    const struct gen_options *o;
    int fd;
    uint64_t start; // --first, or 0
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(int))];
    } control[BATCH];
    bool active; // a datagram of mcrgen has come
    bool failed;
    struct gen_received result;
    uint8_t buffers[BATCH][STRIDE];
};

static struct sink *sink_new(const struct gen_options *o)
{
    struct sink *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->o = o;
    s->start = o->first == GEN_NONE ? 0 : o->first;
    s->result.stream = o->stream;
    if (!sequence_init(&s->result.sequence, s->start, o->expect)) {
        free(s);
        return NULL;
    }
    for (unsigned i = 0; i < BATCH; i++) {
        s->parts[i] = (struct iovec){s->buffers[i], STRIDE};
        s->messages[i].msg_hdr =
            (struct msghdr){.msg_iov = &s->parts[i], .msg_iovlen = 1, .msg_control = s->control[i].bytes};
    }
    return s;
}

// Checks and counts a payload that is shorter than a header, or should be.
static enum payload_verdict judge_compact(struct sink *s, const uint8_t *data, size_t size)
{
    struct sequence *q = &s->result.sequence;
    uint8_t low;

    if (size != s->o->size)
        return PAYLOAD_FOREIGN;
    if (size == 0) // has no sequence number
        return PAYLOAD_GOOD;
    if (!payload_check_compact(data, size, &low))
        return PAYLOAD_CORRUPT;
    sequence_add(q, sequence_widen(q, low, s->start));
    return PAYLOAD_GOOD;
}

static enum payload_verdict judge_full(struct sink *s, const uint8_t *data, size_t size, uint64_t at_ns)
{
    struct gen_received *r = &s->result;
    struct payload_info info;
    enum payload_verdict verdict = payload_check(data, size, framing_length(&s->o->framing), &info);

    if (verdict != PAYLOAD_GOOD)
        return verdict;
    if (r->stream != GEN_NONE && info.stream != r->stream)
        return PAYLOAD_FOREIGN;
    if (s->o->size != GEN_NONE && size != s->o->size)
        return PAYLOAD_CORRUPT;
    // Without --stream, the stream of the first datagram is counted.
    r->stream = info.stream;
    sequence_add(&r->sequence, info.seq);
    histogram_add(&r->latency, (int64_t) (at_ns - info.time_ns));
    return PAYLOAD_GOOD;
}

static void judge(struct sink *s, const uint8_t *data, size_t size, uint64_t at_ns)
{
    struct gen_received *r = &s->result;
    enum payload_verdict verdict =
        s->o->size < PAYLOAD_HEADER ? judge_compact(s, data, size) : judge_full(s, data, size, at_ns);

    if (verdict == PAYLOAD_FOREIGN) {
        r->foreign++;
        return;
    }
    s->active = true;
    if (verdict == PAYLOAD_CORRUPT) {
        r->corrupt++;
        return;
    }
    if (r->received++ == 0)
        r->first_ns = r->last_ns = at_ns;
    r->bytes += size;
    // Time stamps from different processors may be slightly out of order.
    if (at_ns > r->last_ns) {
        if (at_ns - r->last_ns > r->gap_max_ns)
            r->gap_max_ns = at_ns - r->last_ns;
        r->last_ns = at_ns;
    }
}

static bool enough(const struct sink *s)
{
    return s->o->count && s->result.received >= s->o->count;
}

static void judge_message(struct sink *s, struct mmsghdr *message)
{
    const uint8_t *data = message->msg_hdr.msg_iov->iov_base;
    size_t left = message->msg_len, segment = left;
    uint64_t at_ns = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message->msg_hdr); c; c = CMSG_NXTHDR(&message->msg_hdr, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(c), sizeof(t));
            at_ns = (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
        } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof(size));
            if (size > 0)
                segment = (size_t) size;
        }
    }
    if (at_ns == 0)
        at_ns = clock_realtime_ns();
    do {
        size_t size = left < segment ? left : segment;
        judge(s, data, size, at_ns);
        data += size;
        left -= size;
    } while (left > 0 && !enough(s));
}

// Reads and checks the messages that are there. Returns their number.
static int drain(struct sink *s)
{
    for (unsigned i = 0; i < BATCH; i++)
        s->messages[i].msg_hdr.msg_controllen = sizeof(s->control[i].bytes);
    int n = recvmmsg(s->fd, s->messages, BATCH, MSG_DONTWAIT, NULL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            fprintf(stderr, "mcrgen: receiving: %s\n", strerror(errno));
            s->failed = true;
        }
        return 0;
    }
    for (int i = 0; i < n && !enough(s); i++)
        judge_message(s, &s->messages[i]);
    return n;
}

static void progress(const struct sink *s, uint64_t elapsed_ns)
{
    const struct gen_received *r = &s->result;

    fprintf(stderr,
            "%4" PRIu64 " s  received %" PRIu64 "  missing %" PRIu64 "  duplicates %" PRIu64 "  corrupt %" PRIu64
            "  socket drops %" PRIu32 "\n",
            elapsed_ns / NS_PER_S, r->received, sequence_lost(&r->sequence, GEN_NONE), r->sequence.duplicates,
            r->corrupt, gen_socket_drops(s->fd));
}

// Draws the bar if it is due: of the datagrams if their number is given, else of the time.
static void draw(struct progress *bar, const struct sink *s, uint64_t now)
{
    const struct gen_options *o = s->o;
    uint64_t wanted = o->count ? o->count : o->expect != GEN_NONE ? o->expect : 0;

    if (now >= bar->next_ns)
        progress_show(bar, wanted ? s->result.received : now - bar->start_ns, wanted ? wanted : o->duration_ns, now);
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// How long nothing comes before this is the end. 0: forever.
static uint64_t patience_ns(const struct sink *s)
{
    const struct gen_options *o = s->o;
    bool missing = o->expect != GEN_NONE && s->result.received < o->expect;

    return (missing && o->missing_ms ? o->missing_ms : o->idle_ms) * 1000000;
}

// Receives until the end. Returns the reason of the end (static text).
static const char *run(struct sink *s, struct progress *bar)
{
    const struct gen_options *o = s->o;
    uint64_t start = clock_monotonic_ns(), deadline = start + o->duration_ns, idle_end = UINT64_MAX, active = 0;
    uint64_t next_progress = o->progress ? start + NS_PER_S : UINT64_MAX;

    while (!s->failed) {
        // Read the clock before the socket: an empty socket was empty at this time.
        uint64_t now = clock_monotonic_ns();
        if (run_stopped())
            return "signal";
        if (now >= deadline) {
            s->result.coming = active > 0 && now - active < (o->idle_ms ? o->idle_ms * 1000000 : NS_PER_S);
            return "seconds";
        }
        if (now >= next_progress) {
            progress(s, now - start);
            next_progress += NS_PER_S;
        }
        draw(bar, s, now);
        s->active = false;
        int messages = drain(s);
        if (enough(s))
            return "count";
        if (s->active)
            active = now;
        if (s->active && patience_ns(s) > 0)
            idle_end = clock_monotonic_ns() + patience_ns(s);
        else if (messages == 0 && now >= idle_end)
            return "idle";
        if (messages == 0) {
            uint64_t until = earliest(earliest(deadline, idle_end), earliest(next_progress, now + RUN_TICK_NS));
            struct timespec timeout = {.tv_nsec = until > now ? (long) (until - now) : 0};
            ppoll(&(struct pollfd){.fd = s->fd, .events = POLLIN}, 1, &timeout, NULL);
        } else if (messages < BATCH) {
            struct timespec nap = {.tv_nsec = NAP_NS};
            clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
        }
    }
    return "error";
}

// Tells the process at the other end of --ready-fd that datagrams sent from now on are counted.
static bool say_ready(int fd)
{
    if (dprintf(fd, "ready\n") < 0) {
        fprintf(stderr, "mcrgen: cannot say ready on file descriptor %d: %s\n", fd, strerror(errno));
        return false;
    }
    if (fd > STDERR_FILENO)
        close(fd);
    return true;
}

// Judges by what the sender says that it lost.
static void conclude_lost(struct sink *s)
{
    struct gen_received *r = &s->result;
    struct lost_verdict v;
    char why[LOST_WHY_MAX];

    if (!lost_judge(s->o->lost_file, &r->sequence, &v, why)) {
        fprintf(stderr, "mcrgen: %s: %s\n", s->o->lost_file, why);
        r->not_judged = true;
        return;
    }
    r->lost = v.missing;
    r->unexpected = v.unexpected;
    r->expected = v.expected;
    r->lost_by_all = v.all;
}

static void conclude(struct sink *s, uint64_t checksum_errors_before)
{
    struct gen_received *r = &s->result;
    const struct gen_options *o = s->o;
    const struct sequence *q = &r->sequence;
    uint64_t checksum_errors = gen_socket_checksum_errors();

    r->socket_drops = gen_socket_drops(s->fd);
    r->receive_buffer = gen_socket_buffer(s->fd);
    r->checksum_errors = checksum_errors == GEN_NONE ? GEN_NONE : checksum_errors - checksum_errors_before;
    r->expected = o->expect;
    r->lost_by_all = GEN_NONE;
    if (o->lost_file) {
        conclude_lost(s);
    } else if (o->size != 0) {
        r->lost = sequence_lost(q, o->first);
        r->unexpected = q->unexpected;
    } else if (o->expect != GEN_NONE) { // no datagram had a sequence number
        r->lost = o->expect > r->received ? o->expect - r->received : 0;
        r->unexpected = r->received > o->expect ? r->received - o->expect : 0;
    }
    // That nothing at all came is a success only for one who expects nothing.
    bool came = r->received > 0 || r->expected == 0;
    // What the socket dropped may have been the end of the stream: only one who knows the number can do without it.
    bool complete = r->expected != GEN_NONE || r->socket_drops == 0;
    r->ok = !s->failed && !r->not_judged && came && complete && r->lost == 0 && q->duplicates == 0 && r->corrupt == 0 &&
            r->unexpected == 0 && q->too_old == 0 && (q->reordered == 0 || !o->in_order);
}

int run_recv(const struct gen_options *o)
{
    uint64_t checksum_errors = gen_socket_checksum_errors();
    int status = EXIT_TROUBLE;
    struct sink *s = sink_new(o);

    if (!s) {
        fprintf(stderr, "mcrgen: out of memory\n");
        return EXIT_TROUBLE;
    }
    s->fd = gen_socket_open_receiver(o);
    if (s->fd >= 0 && say_ready((int) o->ready_fd)) {
        struct progress bar;
        progress_begin(&bar, !o->progress, clock_monotonic_ns());
        s->result.stopped_by = run(s, &bar);
        progress_end(&bar);
        conclude(s, checksum_errors);
        bool printed = gen_report_received(o, &s->result);
        status = s->failed || s->result.not_judged ? EXIT_TROUBLE
                 : printed && s->result.ok         ? EXIT_SUCCESS
                                                   : EXIT_FAILURE;
    }
    if (s->fd >= 0)
        close(s->fd);
    sequence_free(&s->result.sequence);
    free(s);
    return status;
}
