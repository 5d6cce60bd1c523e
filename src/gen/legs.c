// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/legs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "gen/datagram.h"
#include "gen/lost.h"
#include "gen/pace.h"
#include "gen/socket.h"

struct legs {
    const struct gen_options *o;
    const struct payload_maker *maker;
    struct gen_sent *result;
    FILE *lost; // or NULL

    // The datagram at a place of the stream, at place modulo their number, a power of two.
    struct made {
        uint64_t monotonic_ns, realtime_ns;
    } * made;
    uint64_t mask, n_made;

    struct way {
        const struct leg *leg;
        struct gen_leg_sent *result;
        int fd;
        uint64_t turn, copy; // of the next to send, and how many copies of it were sent
        uint64_t next;       // behind the highest place that was sent
    } ways[LEG_MOST];

    // A batch.
    struct mmsghdr *messages; // o->batch of them
    struct iovec *parts;      // of each datagram
    uint8_t (*headers)[DATAGRAM_HEADER_MAX];
};

// How many datagrams are kept.
static uint64_t ring_size(const struct gen_options *o)
{
    uint64_t delay_ms = 0, reorder = 0, size = 1;

    for (unsigned i = 0; i < o->n_legs; i++) {
        if (o->legs[i].delay_ms > delay_ms)
            delay_ms = o->legs[i].delay_ms;
        if (o->legs[i].reorder > reorder)
            reorder = o->legs[i].reorder;
    }
    while (size < 2 * (o->rate * delay_ms / 1000 + reorder + o->batch * o->gso))
        size *= 2;
    return size;
}

static bool open_ways(struct legs *legs)
{
    for (unsigned i = 0; i < legs->o->n_legs; i++) {
        struct gen_options o = *legs->o;
        const struct leg *leg = &legs->o->legs[i];
        o.interface = leg->interface;
        o.ifindex = leg->ifindex;
        o.destination = leg->to;
        o.port = leg->port;
        legs->ways[i].leg = leg;
        legs->ways[i].result = &legs->result->legs[i];
        legs->ways[i].fd = gen_socket_open_sender(&o);
        if (legs->ways[i].fd < 0)
            return false;
    }
    return true;
}

static bool open_lost(struct legs *legs)
{
    const struct gen_options *o = legs->o;

    if (!o->lost_file)
        return true;
    legs->lost = lost_create(o->lost_file, o->first, o->n_legs);
    if (!legs->lost)
        fprintf(stderr, "mcrgen: %s: %s\n", o->lost_file, strerror(errno));
    return legs->lost != NULL;
}

struct legs *legs_new(const struct gen_options *o, const struct payload_maker *maker, struct gen_sent *result)
{
    struct legs *legs = calloc(1, sizeof(*legs));
    // All within the bounds of the options.
    size_t size = (size_t) ring_size(o), batch = (size_t) o->batch, datagrams = batch * (size_t) o->gso;

    if (!legs) {
        fprintf(stderr, "mcrgen: out of memory\n");
        return NULL;
    }
    *legs = (struct legs){.o = o, .maker = maker, .result = result, .mask = size - 1};
    for (unsigned i = 0; i < LEG_MOST; i++)
        legs->ways[i].fd = -1;
    legs->made = calloc(size, sizeof(*legs->made));
    legs->messages = calloc(batch, sizeof(*legs->messages));
    legs->parts = calloc(datagrams * DATAGRAM_PARTS, sizeof(*legs->parts));
    legs->headers = calloc(datagrams, sizeof(*legs->headers));
    if (!legs->made || !legs->messages || !legs->parts || !legs->headers)
        fprintf(stderr, "mcrgen: out of memory\n");
    else if (open_ways(legs) && open_lost(legs))
        return legs;
    legs_free(legs);
    return NULL;
}

void legs_free(struct legs *legs)
{
    if (!legs)
        return;
    for (unsigned i = 0; i < LEG_MOST; i++)
        if (legs->ways[i].fd >= 0)
            close(legs->ways[i].fd);
    if (legs->lost)
        fclose(legs->lost);
    free(legs->headers);
    free(legs->parts);
    free(legs->messages);
    free(legs->made);
    free(legs);
}

uint64_t legs_room(const struct legs *legs)
{
    uint64_t oldest = legs->n_made;

    for (unsigned i = 0; i < legs->o->n_legs; i++) {
        uint64_t needed = leg_oldest(legs->ways[i].leg, legs->ways[i].turn);
        if (needed < oldest)
            oldest = needed;
    }
    uint64_t room = legs->mask + 1 - (legs->n_made - oldest);
    return room - room % legs->o->gso;
}

// Counts by which legs a datagram does not leave.
static void count_lost(struct legs *legs, uint64_t place)
{
    unsigned n = legs->o->n_legs, lost = 0;

    for (unsigned i = 0; i < n; i++)
        if (leg_loses(legs->ways[i].leg, place)) {
            legs->ways[i].result->lost++;
            lost |= 1u << i;
        }
    legs->result->lost_by_all += lost == (1u << n) - 1;
    if (lost && legs->lost)
        lost_write(legs->lost, legs->o->first + place, lost);
}

void legs_make(struct legs *legs, uint64_t n, uint64_t now_ns)
{
    struct made now = {now_ns, clock_realtime_ns()};

    for (uint64_t i = 0; i < n; i++) {
        count_lost(legs, legs->n_made);
        legs->made[legs->n_made++ & legs->mask] = now;
    }
}

// Takes what the leg is to send next, one copy of it. False when it is not there yet or not due, and then *due_ns is
// when it will be, or UINT64_MAX.
static bool take(const struct legs *legs, struct way *way, uint64_t now_ns, bool ended, uint64_t *place,
                 uint64_t *due_ns)
{
    const struct leg *leg = way->leg;

    for (;;) {
        *due_ns = UINT64_MAX;
        if (!leg_turn(leg, way->turn, legs->n_made, ended, place))
            return false;
        *due_ns = legs->made[*place & legs->mask].monotonic_ns + leg->delay_ms * (NS_PER_S / 1000);
        if (*due_ns > now_ns + PACE_GROUP_NS)
            return false;
        bool lost = leg_loses(leg, *place);
        uint64_t copy = way->copy++;
        if (lost || copy == leg->repeat) {
            way->copy = 0;
            way->turn++;
        }
        if (lost)
            continue;
        way->result->repeated += copy > 0;
        way->result->reordered += copy == 0 && *place < way->next;
        way->next = *place < way->next ? way->next : *place + 1;
        return true;
    }
}

// Makes messages of what is due by one leg, at most a batch. Returns how many datagrams they hold; *due_ns is when the
// next is due.
static uint64_t fill(struct legs *legs, struct way *way, uint64_t now_ns, bool ended, uint64_t *due_ns)
{
    const struct gen_options *o = legs->o;
    struct iovec *part = legs->parts;
    uint64_t n, place;

    for (n = 0; n < o->batch * o->gso && take(legs, way, now_ns, ended, &place, due_ns); n++) {
        struct msghdr *message = &legs->messages[n / o->gso].msg_hdr;
        uint64_t time_ns = legs->made[place & legs->mask].realtime_ns;
        if (n % o->gso == 0)
            *message = (struct msghdr){.msg_iov = part};
        unsigned parts = datagram_parts(o, legs->maker, o->first + place, time_ns, legs->headers[n], part);
        message->msg_iovlen += parts;
        part += parts;
    }
    return n;
}

// Sends what is due by one leg. Returns when the next is due.
static uint64_t send_way(struct legs *legs, struct way *way, uint64_t now_ns, bool ended)
{
    const uint64_t each = legs->o->gso;
    struct gen_sent *r = legs->result;
    uint64_t n, due_ns = UINT64_MAX;

    do {
        n = fill(legs, way, now_ns, ended, &due_ns);
        unsigned messages = (unsigned) ((n + each - 1) / each);
        uint64_t sent = r->sent, failed = r->failed;
        // A signal ends the making; what is made is sent.
        for (unsigned done = 0; done < messages;)
            done += datagram_send(way->fd, legs->messages + done, messages - done, n - done * each, each, r);
        way->result->sent += r->sent - sent;
        way->result->failed += r->failed - failed;
    } while (n == legs->o->batch * each);
    return due_ns;
}

uint64_t legs_send(struct legs *legs, uint64_t now_ns, bool ended)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < legs->o->n_legs; i++) {
        uint64_t due = send_way(legs, &legs->ways[i], now_ns, ended);
        if (due < next)
            next = due;
    }
    return next;
}

bool legs_finish(struct legs *legs)
{
    bool written = !legs->lost || lost_finish(legs->lost, legs->n_made);

    if (!written)
        fprintf(stderr, "mcrgen: %s: %s\n", legs->o->lost_file, strerror(errno));
    legs->lost = NULL;
    return written;
}
