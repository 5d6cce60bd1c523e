// SPDX-License-Identifier: Apache-2.0
// How much one pass takes, from rings in memory that the test fills as the kernel would.
#include <config.h>

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/ingress.h"
#include "../make_table.h"

#define SLOT    2048u
#define SLOTS   512u
#define BLOCK   (8 * SLOT)
#define AT      96u // of the frame in its slot
#define SIZE    16u // of a datagram: 64 of them fit a slot
#define OUTPUTS 256u

// Two interfaces with an input each (groups .1 and .2).
struct rig {
    struct table_view view;
    struct stats_segment stats;
    struct egress socket;
    struct forward *f;
    struct ingress_spill *spill;
    struct ingress rings[2];
    uint32_t filled[2];
};

static const struct forward *watched; // what its memory says of a pass while datagrams leave
static unsigned seen_in_pass;

static ssize_t swallow(struct egress *e, const struct table_output *o, const struct iovec *iov, int n)
{
    ssize_t bytes = 0;

    (void) e;
    (void) o;
    seen_in_pass += watched && watched->memory->in_pass == 1;
    for (int i = 0; i < n; i++)
        bytes += (ssize_t) iov[i].iov_len;
    return bytes;
}

// Takes the rules of this text, with two inputs in all, on an interface each.
static struct rig *open_rules(const char *rules)
{
    struct rig *x = calloc(1, sizeof(*x));

    make_view(&x->view, NULL, "version=1;rules=(%s);", rules);
    const struct table_view *v = &x->view;
    cr_assert_eq(v->n_egress, 1);
    cr_assert_eq(v->n_inputs, 2);
    stats_segment_place(&x->stats,
                        calloc(1, stats_segment_size(v->n_interfaces, v->n_rules, v->n_inputs, v->n_counters)),
                        v->n_interfaces, v->n_rules, v->n_inputs);
    egress_init(&x->socket, 1, -1);
    egress_configure(&x->socket, x->view.egress, NULL);
    x->socket.take = swallow;
    x->f = forward_new(&x->view, &x->stats, NULL, 1);
    x->f->egress[0] = &x->socket;
    x->spill = ingress_spill_new();
    for (uint32_t i = 0; i < 2; i++)
        x->rings[i] = (struct ingress){.fd = -1,
                                       .ring = calloc(SLOTS, SLOT),
                                       .ring_size = (size_t) SLOTS * SLOT,
                                       .slot_size = SLOT,
                                       .n_slots = SLOTS,
                                       .block_size = BLOCK,
                                       .slots_per_block = BLOCK / SLOT,
                                       .ethernet = true,
                                       .super_frames = true,
                                       .interface = x->view.inputs[i].interface,
                                       .reassembly = reassembly_new()};
    return x;
}

static struct rig *open_rig(uint32_t n_outputs)
{
    char rules[OUTPUTS * 64 + 512];
    int used = sprintf(rules, "{name=\"first\";input={interface=\"in0\";group=\"239.255.0.1\";port=5000;};outputs=(");

    for (uint32_t i = 0; i < n_outputs; i++)
        used += sprintf(rules + used, "%s{interface=\"out0\";group=\"239.255.1.%u\";port=6000;}", i ? "," : "", i);
    sprintf(rules + used,
            ");},{name=\"second\";input={interface=\"in1\";group=\"239.255.0.2\";port=5000;};"
            "outputs=({interface=\"out0\";group=\"239.255.2.1\";port=6000;});}");
    return open_rules(rules);
}

static void close_rig(struct rig *x)
{
    for (uint32_t i = 0; i < 2; i++) {
        reassembly_free(x->rings[i].reassembly);
        free(x->rings[i].ring);
    }
    free(x->spill);
    forward_free(x->f);
    free(x->stats.header);
    free((void *) x->view.header);
    free(x);
}

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t) (value >> 8);
    at[1] = (uint8_t) value;
}

// The next slot of ring i gets a frame of so many datagrams for its input.
static void put(struct rig *x, uint32_t i, uint32_t datagrams)
{
    uint8_t *slot = x->rings[i].ring + (size_t) (x->filled[i]++ % SLOTS) * SLOT, *frame = slot + AT, *ip = frame + 14;
    struct virtio_net_hdr v = {.gso_type = datagrams > 1 ? 5 : 0, .gso_size = SIZE}; // VIRTIO_NET_HDR_GSO_UDP_L4
    struct sockaddr_ll from = {.sll_pkttype = PACKET_MULTICAST};
    size_t length = 20 + 8 + (size_t) datagrams * SIZE;
    struct tpacket2_hdr h = {.tp_status = TP_STATUS_USER | TP_STATUS_CSUM_VALID,
                             .tp_len = (uint32_t) (14 + length),
                             .tp_snaplen = (uint32_t) (14 + length),
                             .tp_mac = AT,
                             .tp_net = AT + 14};

    cr_assert_leq(AT + 14 + length, SLOT);
    memset(slot, 0, SLOT);
    memcpy(slot + AT - sizeof(v), &v, sizeof(v));
    memcpy(frame + 12, "\x08\x00", 2);
    ip[0] = 0x45;
    put16(ip + 2, length);
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    memcpy(ip + 12, (uint8_t[]){198, 18, 0, 1}, 4);
    memcpy(ip + 16, x->view.inputs[i].to.bytes, 4);
    uint16_t sum = (uint16_t) ~packet_sum(0, ip, 20);
    memcpy(ip + 10, &sum, 2);
    put16(ip + 20, 40000);
    put16(ip + 22, 5000);
    put16(ip + 24, length - 20);
    memcpy(slot + TPACKET_ALIGN(sizeof(h)), &from, sizeof(from));
    memcpy(slot, &h, sizeof(h));
}

static void fill(struct rig *x, uint32_t i, uint32_t frames, uint32_t datagrams)
{
    while (frames-- > 0)
        put(x, i, datagrams);
}

static uint32_t pass(struct rig *x, uint32_t i)
{
    return ingress_pass(&x->rings[i], x->f, x->spill, UINT64_MAX);
}

// How many slots the kernel has back.
static uint32_t given_back(const struct ingress *in)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < SLOTS; i++)
        n += *(const uint32_t *) (const void *) (in->ring + (size_t) i * SLOT) == TP_STATUS_KERNEL;
    return n;
}

// Datagrams that rule i has sent.
static uint64_t sent(const struct rig *x, uint32_t i)
{
    uint64_t n = 0;

    for (uint32_t j = 0; j < x->view.rules[i].n_outputs; j++)
        n += x->f->outputs[x->view.rules[i].first_counter + j].packets;
    return n;
}

Test(ingress, a_pass_ends_after_so_many_slots_or_datagrams_that_leave)
{
    static const struct {
        uint32_t outputs, datagrams, slots;
    } cases[] = {
        {1, 1, INGRESS_BUDGET},
        {1, 64, INGRESS_BUDGET},
        {64, 1, INGRESS_BUDGET},
        {65, 1, INGRESS_SENDS / 65 + 1},
        {256, 1, INGRESS_SENDS / 256},
        {255, 16, INGRESS_SENDS / 255 / 16 + 1},
        {256, 16, INGRESS_SENDS / 256 / 16},
        {256, 63, 2},
        {256, 64, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig *x = open_rig(cases[i].outputs);
        uint32_t slots = cases[i].slots;
        fill(x, 0, 2 * slots < SLOTS ? 2 * slots + 1 : SLOTS, cases[i].datagrams);
        // The second pass is given as much as the first.
        for (uint32_t n = 1; n <= 2; n++) {
            uint32_t taken = pass(x, 0);
            cr_expect_eq(taken, slots, "%zu: pass %u took %u slots, not %u", i, n, taken, slots);
            cr_expect(x->rings[0].more, "%zu: there is more", i);
            cr_expect_eq(sent(x, 0), (uint64_t) n * slots * cases[i].datagrams * cases[i].outputs);
        }
        // The last one of an odd number.
        if (2 * slots < SLOTS) {
            cr_expect_eq(pass(x, 0), 1, "%zu: what is left", i);
            cr_expect_eq(x->rings[0].more, slots == 1, "%zu: nothing is left", i);
        }
        cr_expect_eq(pass(x, 0), 0);
        cr_expect_not(x->rings[0].more);
        cr_expect_eq(given_back(&x->rings[0]), SLOTS);
        close_rig(x);
    }
}

// The loop gives each ring that has something one pass in turn. Whatever one of them holds, no more than the budget and
// one slot's worth of it leaves before the other's next pass.
Test(ingress, super_frames_for_many_outputs_keep_no_other_ring_waiting)
{
    const uint64_t most = INGRESS_SENDS + 64 * OUTPUTS - 1;
    struct rig *x = open_rig(OUTPUTS);
    uint32_t turns = 0;

    for (uint32_t i = 0; i < SLOTS; i++)
        put(x, 0, 1 + i % 64); // of all sizes
    fill(x, 1, SLOTS, 1);
    uint32_t here = 0;
    for (; here < SLOTS && turns < SLOTS; turns++) {
        uint64_t before = sent(x, 0);
        cr_expect_gt(pass(x, 0), 0);
        cr_expect_leq(sent(x, 0) - before, most, "turn %u: %lu left", turns, (unsigned long) (sent(x, 0) - before));
        here += pass(x, 1);
    }
    cr_expect_eq(turns, SLOTS / INGRESS_BUDGET, "what the other has sent does not count here");
    cr_expect_eq(sent(x, 1), SLOTS);
    cr_expect(x->rings[0].more, "the busy one has not had its way");
    close_rig(x);
}

// --- legs of a merge -------------------------------------------------------------------------------------------------

#define T0_S    1800000000u
#define NUMBERS 400u

// The slot gets an RTP number, and its stamp.
static void put_number(struct rig *x, uint32_t i, uint32_t number, uint64_t at_ms)
{
    uint8_t *slot = x->rings[i].ring + (size_t) (x->filled[i] % SLOTS) * SLOT, *rtp = slot + AT + 14 + 28;
    struct tpacket2_hdr h;

    put(x, i, 1);
    memcpy(&h, slot, sizeof(h));
    h.tp_sec = T0_S + (uint32_t) (at_ms / 1000);
    h.tp_nsec = (uint32_t) (at_ms % 1000) * 1000000;
    memcpy(slot, &h, sizeof(h));
    rtp[0] = 0x80;
    put16(rtp + 2, number);
}

// As the loop does it: a pass over each ring that has something, and then what is due. Returns how many turns it took.
static uint32_t run(struct rig *x)
{
    struct ingress *rings[2] = {&x->rings[0], &x->rings[1]};
    const uint64_t now_ns = (T0_S + 1) * NS_PER_S;
    uint32_t turns = 0, taken = 1;

    for (; taken > 0 && turns < 10 * NUMBERS; turns++) {
        uint64_t settled = now_ns;
        taken = 0;
        for (uint32_t i = 0; i < 2; i++)
            taken += ingress_pass(rings[i], x->f, x->spill, ingress_until(rings, 2, rings[i], x->f, now_ns));
        for (uint32_t i = 0; i < 2; i++)
            if (ingress_ready(rings[i]) && ingress_next_stamp(rings[i]) < settled)
                settled = ingress_next_stamp(rings[i]);
        forward_release(x->f, settled);
    }
    return turns;
}

// After a pause two rings hold all that came meanwhile. What one leg lacks is there by the other before its turn is
// over, although no more is held back than comes in reorder_ms. So it is where another rule has made one leg's ring
// longer.
Test(ingress, legs_of_a_merge_go_on_side_by_side)
{
    for (uint32_t others = 0; others < 2; others++) {
        struct rig *x = open_rules(
            "{name=\"m\";inputs=({leg=\"A\";interface=\"in0\";group=\"239.255.0.1\";port=5000;},"
            "{leg=\"B\";interface=\"in1\";group=\"239.255.0.2\";port=5000;});"
            "merge={by=\"rtp\";window_ms=50;reorder_ms=20;};max_payload=64;"
            "limit={packets_per_second=5000;};"
            "outputs=({interface=\"out0\";group=\"239.255.2.1\";port=6000;});}");
        struct stats_rule_counters *c = &x->f->flows[0].counters;
        for (uint32_t n = 0; n < NUMBERS; n++) {
            if (n % 7 != 3)
                put_number(x, 0, n, n);
            if (n % 5 != 1 || n % 7 == 3)
                put_number(x, 1, n, n + 10);
            if (others && n % 4 == 0)
                put_number(x, 1, n, n + 10); // unlike the others: a number that this leg has brought
        }
        cr_expect_lt(run(x), 2 * NUMBERS);
        cr_expect_eq(c->drops.late, 0, "%lu came too late", (unsigned long) c->drops.late);
        cr_expect_eq(sent(x, 0), NUMBERS, "%lu of %u have left", (unsigned long) sent(x, 0), NUMBERS);
        close_rig(x);
    }
}

// A stamp from before a step of the clock waits for no other ring, and no ring without a leg waits.
Test(ingress, who_waits_for_whom)
{
    struct rig *x = open_rules(
        "{name=\"m\";inputs=({leg=\"A\";interface=\"in0\";group=\"239.255.0.1\";port=5000;},"
        "{leg=\"B\";interface=\"in1\";group=\"239.255.0.2\";port=5000;});"
        "merge={by=\"rtp\";};outputs=({interface=\"out0\";group=\"239.255.2.1\";port=6000;});}");
    struct ingress *rings[2] = {&x->rings[0], &x->rings[1]};
    const uint64_t t0 = T0_S * NS_PER_S, ms = 1000000;

    cr_expect_eq(ingress_until(rings, 2, rings[0], x->f, t0), UINT64_MAX, "nothing is there");
    put_number(x, 0, 1, 500);
    cr_expect_eq(ingress_until(rings, 2, rings[0], x->f, t0 + 500 * ms), UINT64_MAX, "the other one has nothing");
    put_number(x, 1, 1, 100);
    cr_expect_eq(ingress_until(rings, 2, rings[0], x->f, t0 + 500 * ms), t0 + 100 * ms + INGRESS_AHEAD_NS);
    cr_expect_eq(ingress_until(rings, 2, rings[1], x->f, t0 + 500 * ms), t0 + 500 * ms + INGRESS_AHEAD_NS);
    cr_expect_eq(ingress_until(rings, 2, rings[0], x->f, t0 - 3600 * NS_PER_S), UINT64_MAX, "the clock was set back");
    cr_expect_eq(ingress_pass(rings[0], x->f, x->spill, t0 + 499 * ms), 0);
    cr_expect(rings[0]->more);
    cr_expect_eq(ingress_pass(rings[0], x->f, x->spill, t0 + 500 * ms), 1);
    close_rig(x);
    x = open_rig(1);
    rings[0] = &x->rings[0];
    rings[1] = &x->rings[1];
    put_number(x, 0, 1, 500);
    put_number(x, 1, 1, 100);
    cr_expect_eq(ingress_until(rings, 2, rings[0], x->f, t0 + 500 * ms), UINT64_MAX, "no merge");
    close_rig(x);
}

// --- another process goes on -----------------------------------------------------------------------------------------

static struct tpacket2_hdr *header_at(struct ingress *in, uint32_t i)
{
    return (struct tpacket2_hdr *) (void *) (in->ring + (size_t) i * SLOT);
}

// As the kernel leaves it: `written` frames in turn, of which the last `left` were not read. Each has its stamp.
static void leave(struct ingress *in, uint64_t written, uint32_t left, uint32_t disorder)
{
    memset(in->ring, 0, in->ring_size);
    for (uint64_t n = written > SLOTS ? written - SLOTS : 0; n < written; n++) {
        struct tpacket2_hdr *h = header_at(in, (uint32_t) (n % SLOTS));
        h->tp_sec = 1000 + (uint32_t) (n / 1000);
        h->tp_nsec = (uint32_t) (n % 1000) * 1000000 + (disorder && n % 7 == 0 ? disorder : 0);
        h->tp_status = written - n <= left ? TP_STATUS_USER : TP_STATUS_KERNEL;
    }
}

Test(ingress, goes_on_where_another_process_was)
{
    static const uint64_t written[] = {0, 1, 5, SLOTS - 1, SLOTS, SLOTS + 1, 3 * SLOTS + 77, 3 * SLOTS + SLOTS - 1};
    static const uint32_t left[] = {0, 1, 2, 77, 78, 300, SLOTS - 1, SLOTS};
    struct rig *x = open_rig(1);
    struct ingress *in = &x->rings[0];

    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++)
        for (size_t j = 0; j < sizeof(left) / sizeof(left[0]); j++)
            for (uint32_t disorder = 0; disorder < 2; disorder++) {
                if (left[j] > written[i])
                    continue;
                leave(in, written[i], left[j], disorder * 9000000);
                cr_expect_eq(ingress_resume(in), left[j]);
                cr_expect_eq(in->head, (written[i] - left[j]) % SLOTS, "%lu written, %u left: head %u",
                             (unsigned long) written[i], left[j], in->head);
            }
    close_rig(x);
}

// Statuses that no kernel leaves: a head within the ring, and an end.
Test(ingress, goes_on_whatever_the_slots_say)
{
    struct rig *x = open_rig(1);
    struct ingress *in = &x->rings[0];
    uint64_t value = 1;

    for (int round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < SLOTS; i++) {
            value = value * UINT64_C(6364136223846793005) + 1442695040888963407u;
            memcpy(header_at(in, i), &value, sizeof(value));
            header_at(in, i)->tp_sec = (uint32_t) (value >> 32);
        }
        cr_expect_leq(ingress_resume(in), SLOTS);
        cr_expect_lt(in->head, SLOTS);
    }
    close_rig(x);
}

// A kill in a pass leaves slots whose datagrams may have left: the next start is told.
Test(ingress, a_pass_is_marked_while_it_lasts)
{
    struct rig *x = open_rig(1);

    watched = x->f;
    for (int pass = 0; pass < 2; pass++) {
        put(x, 0, 1);
        seen_in_pass = 0;
        cr_expect_eq(ingress_pass(&x->rings[0], x->f, x->spill, UINT64_MAX), 1);
        cr_expect_gt(seen_in_pass, 0);
        cr_expect_eq(x->f->memory->in_pass, 0);
    }
    cr_expect_eq(ingress_pass(&x->rings[0], x->f, x->spill, UINT64_MAX), 0);
    cr_expect_eq(x->f->memory->in_pass, 0);
    watched = NULL;
    close_rig(x);
}
