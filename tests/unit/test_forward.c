// SPDX-License-Identifier: Apache-2.0
// Batching, limits and accounting, judged by what leaves: the egress is a socket pair, whose other end takes each frame
// with its virtio_net_hdr, cuts it as a device would, and compares datagram by datagram.
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "relay/forward.h"
#include "stats/counters.h"
#include "../make_table.h"

#define MOST 4000

// Two rules on one interface, one output each by the same socket.
#define RULES "version=1;rules=(%s,%s);"
#define FIRST(rule, input, output)                                                                                     \
    "{name=\"first\";" rule "input={interface=\"in0\";group=\"239.255.0.0\";port=5000;" input                          \
    "};outputs=({interface=\"out0\";group=\"239.255.0.0\";port=6000;" output "});}"
#define SECOND                                                                                                         \
    "{name=\"second\";input={interface=\"in0\";group=\"239.255.0.1\";port=5000;};"                                     \
    "outputs=({interface=\"out0\";group=\"239.255.0.1\";port=6000;});}"

struct fixture {
    struct table_view view;
    struct stats_segment stats;
    struct egress socket;
    struct forward *f;
    int ends[2];
    // What went in and must come out, in order, by rule.
    struct expected {
        uint8_t *bytes;
        size_t length;
    } in[2][MOST];
    size_t n_in[2], n_out[2], n_writes, largest;
    uint32_t most;     // datagrams of a write
    uint64_t stamp_ns; // of what put_rtp_frame() puts
};

// Of x->view, which has one egress.
static void open_forward(struct fixture *x)
{
    int room = 4 << 20;

    cr_assert_eq(x->view.n_egress, 1);
    const struct table_view *v = &x->view;
    stats_segment_place(&x->stats,
                        calloc(1, stats_segment_size(v->n_interfaces, v->n_rules, v->n_inputs, v->n_counters)),
                        v->n_interfaces, v->n_rules, v->n_inputs);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, x->ends), 0);
    setsockopt(x->ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    egress_init(&x->socket, 1, x->ends[0]);
    egress_configure(&x->socket, x->view.egress, NULL);
    x->f = forward_new(&x->view, &x->stats, NULL, 1);
    x->f->egress[0] = &x->socket;
}

static struct fixture *open_rules(const char *first)
{
    struct fixture *x = calloc(1, sizeof(*x));

    make_view(&x->view, NULL, RULES, first, SECOND);
    open_forward(x);
    return x;
}

static struct fixture *open_fixture(void)
{
    struct fixture *x = open_rules(FIRST("", "", ""));

    x->socket.mtu = 9000;
    return x;
}

static void close_fixture(struct fixture *x)
{
    for (int r = 0; r < 2; r++)
        for (size_t i = 0; i < x->n_in[r]; i++)
            free(x->in[r][i].bytes);
    forward_free(x->f);
    free(x->stats.header);
    free((void *) x->view.header);
    close(x->ends[0]);
    close(x->ends[1]);
    free(x);
}

static uint8_t sender = 1; // last byte of the address and offset of the port
static int64_t age_ns;     // of what comes, by the kernel's stamp

// One packet of `datagrams` times `size` bytes, the last of `last` bytes; remembered as expected when it is to pass.
static enum forward_verdict put(struct fixture *x, int rule, uint32_t datagrams, size_t size, size_t last, bool passes,
                                uint8_t ttl)
{
    static uint32_t serial;
    size_t length = (datagrams - 1) * size + last;
    uint8_t *bytes = malloc(length + 8 + 1);
    struct packet_meta meta = {.checksum_vouched = true,
                               .segment = datagrams > 1 ? (uint16_t) size : 0,
                               .stamp_ns = clock_realtime_ns() - (uint64_t) age_ns};
    struct packet p = {.destination = x->view.destinations[rule].address,
                       .source = {.family = ADDR_IPV4, .bytes = {198, 18, 0, sender}},
                       .source_port = (uint16_t) (7000 + sender),
                       .port = 5000,
                       .ttl = ttl,
                       .payload = bytes + 8,
                       .length = length,
                       .segment = datagrams > 1 ? size : length,
                       .datagrams = datagrams};

    for (size_t i = 0; i < length; i++)
        bytes[8 + i] = (uint8_t) (++serial * 2654435761u >> 24);
    for (uint32_t i = 0; passes && i < datagrams; i++) {
        struct expected *e = &x->in[rule][x->n_in[rule]++];
        e->length = i + 1 < datagrams ? size : last;
        e->bytes = malloc(e->length + 1);
        memcpy(e->bytes, bytes + 8 + i * size, e->length);
    }
    return forward_packet(x->f, 0, &p, &meta); // bytes stay for the batch, as the ring's slots do
}

// Takes everything that has left and compares it with what went in.
static void take(struct fixture *x)
{
    static uint8_t buffer[70000];
    ssize_t n;

    forward_flush(x->f);
    while ((n = recv(x->ends[1], buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
        struct virtio_net_hdr v;
        uint8_t *ip = buffer + sizeof(v) + 14, *payload = ip + 28;
        int rule = ip[19];
        size_t left = (size_t) n - (size_t) (payload - buffer);
        memcpy(&v, buffer, sizeof(v));
        x->n_writes++;
        if (left > x->largest)
            x->largest = left;
        cr_assert_eq(ip[2] << 8 | ip[3], (int) (left + 28), "total length");
        cr_assert_eq(ip[24] << 8 | ip[25], (int) (left + 8), "UDP length");
        cr_assert_eq(v.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
        size_t segment = v.gso_type ? v.gso_size : left;
        uint32_t datagrams = 0;
        do {
            size_t size = left < segment ? left : segment;
            struct expected *e = &x->in[rule][x->n_out[rule]];
            cr_assert_lt(x->n_out[rule], x->n_in[rule], "more came than went in");
            cr_assert_eq(size, e->length, "datagram %zu has %zu bytes, not %zu", x->n_out[rule], size, e->length);
            cr_assert(memcmp(payload, e->bytes, size) == 0, "datagram %zu differs", x->n_out[rule]);
            x->n_out[rule]++;
            payload += size;
            left -= size;
            datagrams++;
        } while (left > 0);
        cr_assert_leq(datagrams, BATCH_DATAGRAMS);
        if (datagrams > x->most)
            x->most = datagrams;
    }
}

static void expect_accounted(struct fixture *x, int rule)
{
    const struct stats_rule_counters *c = &x->f->flows[rule].counters;
    const struct stats_output_counters *o = &x->f->outputs[rule];
    uint64_t drops = stats_drops_total(&c->drops);

    cr_expect_eq(c->packets, drops + o->packets + o->errors + o->too_big + o->expired);
    cr_expect_eq(o->packets, x->n_out[rule]);
    cr_expect_eq(x->n_out[rule], x->n_in[rule]);
}

Test(forward, equal_sizes_leave_together)
{
    struct fixture *x = open_fixture();

    for (int i = 0; i < 64; i++)
        put(x, 0, 1, 1000, 1000, true, 64);
    take(x);
    cr_expect_eq(x->n_writes, 1);
    for (int i = 0; i < 65; i++)
        put(x, 0, 1, 1000, 1000, true, 64);
    take(x);
    cr_expect_eq(x->n_writes, 3, "64 at most");
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, a_shorter_one_closes_the_batch)
{
    struct fixture *x = open_fixture();

    put(x, 0, 1, 100, 100, true, 64);
    put(x, 0, 1, 100, 100, true, 64);
    put(x, 0, 1, 40, 40, true, 64);
    put(x, 0, 1, 40, 40, true, 64);
    put(x, 0, 1, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->n_writes, 3);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, empty_datagrams_leave_alone)
{
    struct fixture *x = open_fixture();

    put(x, 0, 1, 0, 0, true, 64);
    put(x, 0, 1, 0, 0, true, 64);
    put(x, 0, 1, 9, 9, true, 64);
    put(x, 0, 1, 0, 0, true, 64);
    take(x);
    cr_expect_eq(x->n_writes, 4);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, large_ones_stay_within_one_packet)
{
    struct fixture *x = open_fixture();

    for (int i = 0; i < 20; i++)
        put(x, 0, 1, 8972, 8972, true, 64);
    take(x);
    cr_expect_leq(x->largest, BATCH_BYTES);
    cr_expect_eq(x->n_writes, 3);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, two_rules_interleaved_batch_apart)
{
    struct fixture *x = open_fixture();

    for (int i = 0; i < 40; i++)
        put(x, i % 2, 1, 500, 500, true, 64);
    take(x);
    cr_expect_eq(x->n_writes, 2);
    expect_accounted(x, 0);
    expect_accounted(x, 1);
    close_fixture(x);
}

Test(forward, super_frames_and_plain_ones_in_any_mixture)
{
    struct fixture *x = open_fixture();

    srand(11);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 12 && x->n_in[0] < MOST - 80 && x->n_in[1] < MOST - 80; i++) {
            static const size_t sizes[] = {1, 7, 100, 100, 1316, 1472};
            size_t size = sizes[rand() % 6];
            uint32_t n = rand() % 3 == 0 ? 1 : 1 + (uint32_t) rand() % 40;
            size_t last = n == 1 || rand() % 2 ? size : 1 + (size_t) rand() % size;
            put(x, rand() % 2, n, size, n == 1 ? size : last, true, 64);
        }
        take(x);
    }
    cr_expect_gt(x->n_in[0], 1000);
    expect_accounted(x, 0);
    expect_accounted(x, 1);
    close_fixture(x);
}

// Whatever comes together: no call sends more, nothing is lost, and the order stays.
Test(forward, an_output_has_its_burst)
{
    struct fixture *x = open_rules(FIRST("", "", "burst=10;"));

    x->socket.mtu = 9000;
    srand(7);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 8 && x->n_in[0] < MOST - 80; i++) {
            uint32_t n = 1 + (uint32_t) rand() % 60;
            put(x, 0, n, 100, n == 1 ? 100 : 1 + (size_t) rand() % 100, true, 64);
        }
        take(x);
    }
    cr_expect_gt(x->n_in[0], 1000);
    cr_expect_eq(x->most, 10);
    cr_expect_eq(x->f->outputs[0].largest_run, 10);
    put(x, 1, 33, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->f->outputs[1].largest_run, 33, "the other output has no bound of its own");
    expect_accounted(x, 0);
    expect_accounted(x, 1);
    close_fixture(x);
}

Test(forward, residence_runs_from_the_stamp_until_it_is_sent)
{
    struct fixture *x = open_fixture();
    struct residence_summary s;

    age_ns = 5000000;
    for (int i = 0; i < 10; i++)
        put(x, 0, 1, 100, 100, true, 64);
    age_ns = 50000000;
    put(x, 0, 25, 100, 30, true, 64);
    put(x, 1, 1, 100, 100, true, 64);
    take(x);
    residence_summarise(&x->f->residence[0], &s);
    cr_expect_eq(s.count, 35, "each datagram of a super-frame");
    cr_expect(s.p50_ns >= 46000000 && s.max_ns >= 50000000 && s.max_ns < 10 * NS_PER_S, "%llu",
              (unsigned long long) s.max_ns);
    cr_expect_eq(x->f->residence[0].clock_steps, 0);
    residence_summarise(&x->f->residence[1], &s);
    cr_expect_eq(s.count, 1);
    age_ns = -2000000000;
    put(x, 1, 3, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->f->residence[1].clock_steps, 3, "a stamp from the future");
    x->f->untimed = true;
    put(x, 1, 1, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->f->residence[1].clock_steps, 3);
    close_fixture(x);
}

Test(forward, what_is_late_is_dropped_as_stale)
{
    struct fixture *x = open_rules(FIRST("deadline_us=1000000;", "", ""));

    put(x, 0, 2, 100, 100, true, 64);
    age_ns = 1500000000;
    put(x, 0, 20, 100, 30, false, 64);
    put(x, 1, 1, 100, 100, true, 64); // a rule without a deadline
    age_ns = -1500000000;
    put(x, 0, 1, 100, 100, true, 64);
    age_ns = INT64_C(200000000000); // the clock was set
    put(x, 0, 1, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->f->flows[0].counters.drops.stale, 20);
    age_ns = 1500000000;
    x->f->untimed = true;
    put(x, 0, 1, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->f->flows[0].counters.drops.stale, 20);
    expect_accounted(x, 0);
    expect_accounted(x, 1);
    close_fixture(x);
}

Test(forward, without_gso_one_by_one)
{
    struct fixture *x = open_fixture();

    x->socket.gso = false;
    put(x, 0, 10, 100, 30, true, 64);
    put(x, 0, 1, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->n_writes, 11);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, the_largest_payload_let_through)
{
    struct fixture *x = open_rules(FIRST("max_payload=50;", "", ""));

    put(x, 0, 3, 100, 50, false, 64); // the last, of 50 bytes, passes
    forward_flush(x->f);
    cr_expect_eq(x->f->flows[0].counters.drops.size, 2);
    cr_expect_eq(x->f->outputs[0].packets, 1);
    close_fixture(x);
}

// Puts the fragments of one IPv4 datagram together as a receiver would; returns the length of the UDP datagram.
static size_t reassemble(struct fixture *x, uint8_t *datagram, size_t mtu, int *n_fragments)
{
    uint8_t buffer[9100];
    size_t total = 0, got = 0;
    ssize_t n;
    int id = -1;

    *n_fragments = 0;
    while ((n = recv(x->ends[1], buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
        const uint8_t *ip = buffer + sizeof(struct virtio_net_hdr) + 14;
        size_t length = (size_t) (ip[2] << 8 | ip[3]) - 20, offset = (size_t) ((ip[6] << 8 | ip[7]) & 0x1fff) * 8;
        cr_assert_eq((size_t) (buffer + n - ip), length + 20);
        cr_assert_leq(length + 20, mtu);
        cr_assert_eq(packet_sum(0, ip, 20), 0xffff, "IP header checksum");
        cr_assert(id < 0 || id == (ip[4] << 8 | ip[5]), "one identification");
        id = ip[4] << 8 | ip[5];
        memcpy(datagram + offset, ip + 20, length);
        got += length;
        if (!(ip[6] & 0x20))
            total = offset + length;
        ++*n_fragments;
    }
    cr_assert_eq(got, total);
    return total;
}

Test(forward, what_does_not_fit_is_fragmented)
{
    static const size_t sizes[] = {1473, 1480, 2952, 4000, 8972, 65507};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture *x = open_rules(FIRST("", "", ""));
        static uint8_t datagram[65536];
        int n;
        put(x, 0, 1, sizes[i], sizes[i], true, 64);
        forward_flush(x->f);
        size_t length = reassemble(x, datagram, 1500, &n);
        cr_assert_eq(length, sizes[i] + 8);
        cr_expect_eq((size_t) n, (sizes[i] + 8 + 1479) / 1480);
        cr_expect(memcmp(datagram + 8, x->in[0][0].bytes, sizes[i]) == 0);
        uint16_t length_field, protocol = htons(17);
        memcpy(&length_field, datagram + 4, 2);
        uint16_t sum = packet_sum(packet_sum(0, x->view.outputs[0].header + 26, 8), &protocol, 2);
        sum = packet_sum(packet_sum(sum, &length_field, 2), datagram, length);
        cr_expect_eq(sum, 0xffff, "UDP checksum");
        cr_expect_eq(x->f->outputs[0].packets, 1);
        close_fixture(x);
    }
}

Test(forward, one_that_fits_behind_one_that_does_not)
{
    struct fixture *x = open_rules(FIRST("", "", ""));
    uint8_t buffer[2000];
    int n = 0;

    put(x, 0, 1, 1473, 1473, true, 64);
    put(x, 0, 1, 1472, 1472, true, 64);
    forward_flush(x->f);
    while (recv(x->ends[1], buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
        n++;
    cr_expect_eq(n, 3, "two fragments and a whole one");
    cr_expect_eq(x->f->outputs[0].packets, 2);
    close_fixture(x);
}

#define RTP_SIZE 100

// A super-frame of n RTP datagrams by one leg; those from `passes` on are the first copies.
static void put_rtp_frame(struct fixture *x, uint32_t interface, uint32_t first, uint32_t n, uint32_t passes)
{
    uint8_t *bytes = malloc((size_t) n * RTP_SIZE + 8);
    // The same for all: a process that has to wait meanwhile makes none of them older than a merge remembers.
    x->stamp_ns = x->stamp_ns ? x->stamp_ns : clock_realtime_ns();
    struct packet_meta meta = {.checksum_vouched = true, .segment = RTP_SIZE, .stamp_ns = x->stamp_ns};
    struct packet p = {.destination = x->view.destinations[0].address,
                       .source = {.family = ADDR_IPV4, .bytes = {198, 18, 0, 1}},
                       .source_port = 7000,
                       .port = 5000,
                       .ttl = 8,
                       .payload = bytes + 8,
                       .length = (size_t) n * RTP_SIZE,
                       .segment = RTP_SIZE,
                       .datagrams = n};

    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = bytes + 8 + (size_t) i * RTP_SIZE;
        memset(at, (int) ((first + i) % 251), RTP_SIZE);
        memcpy(at, (uint8_t[]){0x80, 33, (uint8_t) ((first + i) >> 8), (uint8_t) (first + i), 0, 0, 0, 0, 0, 0, 0, 7},
               12);
        if (first + i < passes)
            continue;
        struct expected *e = &x->in[0][x->n_in[0]++];
        e->length = RTP_SIZE;
        e->bytes = malloc(RTP_SIZE);
        memcpy(e->bytes, at, RTP_SIZE);
    }
    cr_assert_eq(forward_packet(x->f, interface, &p, &meta), FORWARD_TAKEN);
}

// Each datagram of a super-frame is judged by itself, and what passes still leaves in batches.
Test(forward, super_frames_of_two_legs_are_merged)
{
    struct fixture *x = calloc(1, sizeof(*x));

    make_view(&x->view, NULL,
              "version=1;rules=({name=\"r\";inputs=({interface=\"in0\";group=\"239.255.0.0\";port=5000;},"
              "{interface=\"in1\";group=\"239.255.0.0\";port=5000;});merge={by=\"rtp\";};"
              "outputs=({interface=\"out0\";group=\"239.255.0.0\";port=6000;});});");
    open_forward(x);
    uint32_t a = x->view.inputs[0].interface, b = x->view.inputs[1].interface;
    put_rtp_frame(x, a, 0, 40, 0);
    put_rtp_frame(x, b, 0, 40, 40);
    put_rtp_frame(x, b, 40, 30, 40);
    put_rtp_frame(x, a, 50, 40, 70); // 40 to 49 were lost here
    take(x);
    cr_expect_eq(x->n_in[0], 90);
    cr_expect_eq(x->f->flows[0].counters.drops.copy, 60);
    cr_expect_leq(x->n_writes, 2, "%zu calls", x->n_writes);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, kept_senders_do_not_mix)
{
    struct fixture *x = open_rules(FIRST("", "", "source=\"preserve\";source_port=\"preserve\";"));
    uint8_t buffer[2000];
    int n = 0;

    for (int i = 0; i < 6; i++) {
        sender = (uint8_t) (i / 3);
        put(x, 0, 1, 100, 100, true, 64);
    }
    sender = 1;
    forward_flush(x->f);
    while (recv(x->ends[1], buffer, sizeof(buffer), MSG_DONTWAIT) > 0) {
        const uint8_t *ip = buffer + sizeof(struct virtio_net_hdr) + 14;
        cr_expect_eq(ip[12], 198);
        cr_expect_eq(ip[15], n, "the sender's address");
        cr_expect_eq(ip[20] << 8 | ip[21], 7000 + n, "the sender's port");
        n++;
    }
    cr_expect_eq(n, 2);
    cr_expect_eq(x->f->outputs[0].packets, 6);
    close_fixture(x);
}

Test(forward, ttl_is_used_up)
{
    struct fixture *x = open_rules(FIRST("", "", "ttl=\"decrement\";"));

    put(x, 0, 1, 10, 10, false, 1);
    put(x, 0, 1, 10, 10, true, 2);
    put(x, 0, 1, 10, 10, true, 2);
    put(x, 0, 1, 10, 10, true, 9); // another ttl does not join
    take(x);
    cr_expect_eq(x->n_writes, 2);
    cr_expect_eq(x->f->flows[0].counters.drops.ttl, 1);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, ttl_is_used_up_for_one_output)
{
    struct fixture *x =
        open_rules(FIRST("", "", "ttl=\"decrement\";},{interface=\"out0\";group=\"239.255.1.0\";port=6000;ttl=5;"));

    put(x, 0, 1, 10, 10, true, 1);
    take(x);
    cr_expect_eq(x->f->flows[0].counters.drops.ttl, 0);
    cr_expect_eq(x->f->outputs[0].expired, 1);
    cr_expect_eq(x->f->outputs[1].packets, 1);
    close_fixture(x);
}

Test(forward, limits_cut_super_frames_too)
{
    // Bursts of 10.
    struct fixture *x = open_rules(FIRST("limit={packets_per_second=100;burst_ms=100;};", "", ""));

    put(x, 0, 25, 100, 100, true, 64);
    x->n_in[0] = 10;
    take(x);
    cr_expect_eq(x->f->flows[0].counters.drops.rate, 15);
    x->f->now_ns += 50000000; // five more
    put(x, 0, 1, 100, 100, true, 64);
    take(x);
    cr_expect_eq(x->f->flows[0].counters.drops.rate, 15);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, senders_are_checked)
{
    struct fixture *x = open_rules(FIRST("", "sources=[\"198.18.0.1\"];", ""));

    put(x, 0, 1, 10, 10, true, 64);
    sender = 2;
    put(x, 0, 2, 10, 10, false, 64);
    sender = 1;
    take(x);
    cr_expect_eq(x->f->flows[0].counters.drops.source, 2);
    expect_accounted(x, 0);
    close_fixture(x);
}

Test(forward, an_output_that_is_missing_counts_errors)
{
    struct fixture *x = open_fixture();

    // As the compiler leaves it where the output waits for something; on this machine nothing is missing.
    ((struct table_output *) x->view.outputs)[0].egress = TABLE_NONE;
    put(x, 0, 3, 10, 10, false, 64);
    take(x);
    cr_expect_eq(x->f->outputs[0].errors, 3);
    expect_accounted(x, 0);
    close_fixture(x);
}

static int refuses; // errno of every send, or 0: it leaves

static ssize_t send_or_refuse(struct egress *e, const struct table_output *o, const struct iovec *iov, int n)
{
    (void) o;
    errno = refuses;
    return refuses ? -1 : writev(e->fd, iov, n);
}

static struct {
    unsigned n;
    bool failing;
    uint64_t failed;
    int error;
    char rule[TABLE_NAME_MAX], interface[IFNAMSIZ];
    uint16_t port;
} told;

static void tell_sends(const struct table_rule *rule, const struct table_interface *interface,
                       const struct refusal *refusal, const struct spell *failing)
{
    told.n++;
    told.failing = failing->on;
    told.failed = failing->count - failing->before;
    told.error = refusal->error;
    told.port = refusal->port;
    snprintf(told.rule, sizeof(told.rule), "%s", rule->name);
    snprintf(told.interface, sizeof(told.interface), "%s", interface->name);
}

// One datagram of the second rule, sent or refused, and then a look. Returns how often something was told.
static unsigned look(struct fixture *x, int error, uint64_t s)
{
    unsigned before = told.n;

    refuses = error;
    put(x, 1, 1, 10, 10, error == 0, 64);
    take(x);
    forward_look_at_sends(x->f, s * NS_PER_S, tell_sends);
    return told.n - before;
}

Test(forward, an_output_that_fails_is_told_once_and_once_when_it_works_again)
{
    struct fixture *x = open_fixture();
    struct table_view after;

    x->socket.take = send_or_refuse;
    x->socket.refusals = &x->f->refusals;
    cr_expect_eq(look(x, 0, 1), 0);
    cr_expect_eq(look(x, EMSGSIZE, 1), 0, "too big: it has its own counter");
    cr_expect_eq(look(x, ENETDOWN, 2), 1);
    cr_expect(told.failing && told.failed == 1 && told.error == ENETDOWN && told.port == 6000);
    cr_expect(strcmp(told.rule, "second") == 0 && strcmp(told.interface, "out0") == 0, "%s, %s", told.rule,
              told.interface);
    for (uint64_t s = 3; s < 10; s++)
        cr_expect_eq(look(x, s < 9 ? ENETDOWN : ENOBUFS, s), 0);
    forward_look_at_sends(x->f, 60 * NS_PER_S, tell_sends);
    cr_expect(told.n == 1 && x->f->refusals.any, "nothing has left since");
    // What is known outlives a reload.
    make_view(&after, &x->view, RULES, SECOND, FIRST("", "", ""));
    struct forward *next = forward_new(&after, &x->stats, NULL, 2);
    forward_carry(next, x->f);
    forward_look_at_sends(next, 61 * NS_PER_S, tell_sends);
    cr_expect_eq(told.n, 1);
    next->outputs[0].packets++;
    for (uint64_t s = 62; s < 67; s++)
        forward_look_at_sends(next, s * NS_PER_S, tell_sends);
    cr_expect_eq(told.n, 1, "what the kernel takes is no proof yet");
    forward_look_at_sends(next, 67 * NS_PER_S, tell_sends);
    cr_expect(told.n == 2 && !told.failing && told.failed == 8 && told.error == ENOBUFS);
    cr_expect_str_eq(told.rule, "second");
    cr_expect_not(next->refusals.any, "nothing to look at any more");
    forward_free(next);
    free((void *) after.header);
    close_fixture(x);
}

// The kernel takes each datagram to a host that is not there, and its neighbour discovery gives up 3 seconds later.
Test(forward, rare_datagrams_to_a_host_that_is_not_there_never_work)
{
    struct fixture *x = open_fixture();
    const struct table_output *o = &x->view.outputs[x->view.paths[x->view.rules[1].first_path].first_output];

    x->socket.refusals = &x->f->refusals;
    told.n = 0;
    for (uint64_t s = 1; s < 100; s++) {
        if (s % 8 == 1)
            x->f->outputs[o->counter].packets++;
        if (s % 8 == 4)
            refusals_note(&x->f->refusals, o, 1, EHOSTUNREACH, true);
        forward_look_at_sends(x->f, s * NS_PER_S, tell_sends);
        cr_expect_eq(told.n, s >= 4, "%u after %u s", told.n, (unsigned) s);
    }
    cr_expect_eq(forward_state(x->f, 1), STATS_RULE_DOWN);
    close_fixture(x);
}

Test(forward, counters_are_carried_and_published)
{
    struct fixture *x = open_fixture();
    struct table_view after;

    put(x, 1, 2, 10, 10, true, 64);
    take(x);
    make_view(&after, &x->view, RULES, SECOND, FIRST("", "", ""));
    struct forward *next = forward_new(&after, &x->stats, NULL, 2);
    forward_carry(next, x->f);
    cr_expect_eq(next->flows[0].counters.packets, 2);
    cr_expect_eq(next->flows[1].counters.packets, 0, "carried by name, not by place");
    cr_expect_eq(next->outputs[0].packets, 2);
    forward_publish_merges(next, 0);
    forward_publish_part(next, 0, UINT32_MAX);
    cr_expect_eq(x->stats.rules[0].counters.packets, 2);
    cr_expect_eq(x->stats.outputs[0].counters.bytes, 20);
    cr_expect_eq(x->stats.rules[0].sequence % 2, 0);
    forward_free(next);
    free((void *) after.header);
    close_fixture(x);
}

// --- what is held back -----------------------------------------------------------------------------------------------

#define HELD_PORTS 64
#define HELD_RULE                                                                                                      \
    "{name=\"%s\";inputs=({interface=\"in0\";group=\"239.255.0.0\";port=\"5000-5063\";},"                              \
    "{interface=\"in1\";group=\"239.255.0.0\";port=\"5000-5063\";});max_payload=64;merge={by=\"rtp\";reorder_ms=20;};" \
    "outputs=({interface=\"out0\";group=\"239.255.0.%d\";port=\"6000-6063\";});}"
#define HELD_NS (1800000000 * NS_PER_S)
#define HELD_MS UINT64_C(1000000)

struct held_fixture {
    struct table_view view;
    struct stats_segment stats;
    struct egress socket;
    struct forward *f;
};

// A rule of 64 paths by two legs.
static struct held_fixture *open_held(void)
{
    struct held_fixture *x = calloc(1, sizeof(*x));

    make_view(&x->view, NULL, "version=1;rules=(" HELD_RULE ");", "held", 1);
    cr_assert_eq(x->view.n_paths, HELD_PORTS);
    stats_segment_place(&x->stats,
                        calloc(1, stats_segment_size(x->view.n_interfaces, 1, x->view.n_inputs, x->view.n_counters)),
                        x->view.n_interfaces, 1, x->view.n_inputs);
    x->f = forward_new(&x->view, &x->stats, NULL, 1);
    return x;
}

static void close_held(struct held_fixture *x)
{
    forward_free(x->f);
    free(x->stats.header);
    free((void *) x->view.header);
    free(x);
}

static void put_rtp(struct forward *f, uint32_t path, uint16_t number, uint64_t ms)
{
    uint8_t bytes[20] = {0x80, 33, (uint8_t) (number >> 8), (uint8_t) number, 0, 0, 0, (uint8_t) number, 1, 2, 3, 4};
    struct packet_meta meta = {.checksum_vouched = true, .stamp_ns = HELD_NS + ms * HELD_MS};
    struct packet p = {.destination = f->table->destinations[0].address,
                       .source = {.family = ADDR_IPV4, .bytes = {198, 18, 0, 1}},
                       .port = (uint16_t) (5000 + path),
                       .ttl = 64,
                       .payload = bytes,
                       .length = sizeof(bytes),
                       .segment = sizeof(bytes),
                       .datagrams = 1};

    cr_assert_eq(forward_packet(f, 0, &p, &meta), FORWARD_TAKEN);
    forward_flush(f); // bytes are gone hereafter
}

// Number 1 leaves, number 3 waits for number 2.
static void hold_one(struct forward *f, uint32_t path, uint64_t ms)
{
    put_rtp(f, path, 1, ms);
    put_rtp(f, path, 3, ms);
}

// Datagrams that were sent, if only to an output without a socket.
static uint64_t left(const struct forward *f)
{
    return f->outputs[0].packets + f->outputs[0].errors;
}

Test(forward, only_paths_that_hold_something_are_released)
{
    struct held_fixture *x = open_held();
    struct forward *f = x->f;

    hold_one(f, 7, 0);
    hold_one(f, 60, 5);
    put_rtp(f, 20, 1, 6);
    put_rtp(f, 7, 4, 6);
    cr_expect(f->n_holding == 2 && f->due_ns == HELD_NS + 20 * HELD_MS, "%u, each once", f->n_holding);
    cr_expect_eq(left(f), 3);
    forward_release(f, HELD_NS + 19 * HELD_MS);
    cr_expect(f->n_holding == 2 && left(f) == 3 && f->due_ns == HELD_NS + 20 * HELD_MS, "too early");
    forward_release(f, HELD_NS + 20 * HELD_MS);
    cr_expect(f->n_holding == 1 && f->holding[0] == 60 && left(f) == 5 && f->due_ns == HELD_NS + 25 * HELD_MS);
    // What the missing number releases is looked at once more, and no longer.
    put_rtp(f, 60, 2, 21);
    cr_expect_eq(left(f), 7);
    forward_release(f, HELD_NS + 25 * HELD_MS);
    cr_expect(f->n_holding == 0 && left(f) == 7 && f->due_ns == UINT64_MAX);
    hold_one(f, 60, 3000);
    cr_expect_eq(f->n_holding, 1, "again");
    forward_release(f, UINT64_MAX);
    cr_expect(f->n_holding == 0 && f->due_ns == UINT64_MAX, "all");
    close_held(x);
}

Test(forward, all_paths_can_hold_something)
{
    struct held_fixture *x = open_held();

    for (uint32_t i = HELD_PORTS; i-- > 0;)
        hold_one(x->f, i, i);
    cr_expect_eq(x->f->n_holding, HELD_PORTS);
    cr_expect_eq(x->f->due_ns, HELD_NS + 20 * HELD_MS);
    forward_release(x->f, HELD_NS + 50 * HELD_MS);
    cr_expect_eq(x->f->n_holding, HELD_PORTS - 31, "those of up to 30 ms are over");
    cr_expect_eq(x->f->due_ns, HELD_NS + 51 * HELD_MS);
    forward_release(x->f, UINT64_MAX);
    cr_expect(x->f->n_holding == 0 && left(x->f) == 2 * HELD_PORTS);
    close_held(x);
}

Test(forward, what_is_held_goes_over_a_reload_with_its_time)
{
    struct held_fixture *x = open_held();
    struct table_view after;

    hold_one(x->f, 9, 0);
    make_view(&after, &x->view, "version=1;rules=(" SECOND "," HELD_RULE ");", "held", 1);
    struct forward *next = forward_new(&after, &x->stats, NULL, 2);
    forward_carry(next, x->f);
    uint32_t path = after.rules[1].first_path + 9;
    cr_expect(next->n_holding == 1 && next->holding[0] == path && next->due_ns == HELD_NS + 20 * HELD_MS);
    cr_expect_eq(x->f->n_holding, 0, "nothing is left behind");
    forward_release(next, HELD_NS + 20 * HELD_MS);
    cr_expect_eq(next->n_holding, 0);
    cr_expect_eq(next->outputs[after.rules[1].first_counter].errors, 2);
    forward_free(next);
    free((void *) after.header);
    close_held(x);
    // A rule by another name is not the same: what it held leaves before.
    x = open_held();
    hold_one(x->f, 9, 0);
    make_view(&after, &x->view, "version=1;rules=(" HELD_RULE ");", "other", 1);
    next = forward_new(&after, &x->stats, NULL, 2);
    forward_carry(next, x->f);
    cr_expect(next->n_holding == 0 && x->f->n_holding == 0 && left(x->f) == 2);
    forward_free(next);
    free((void *) after.header);
    close_held(x);
}
