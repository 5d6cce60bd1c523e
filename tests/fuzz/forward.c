// SPDX-License-Identifier: Apache-2.0
// forward: whatever arrives, through ingress.c, packet.c, forward.c and egress.c under a table of machine.c: rings in
// memory that the input fills, sockets whose other ends are read here, and transmit rings in memory. Every datagram is
// accounted for, and what leaves is well formed and came in. The input is which table, which sends fail (0: none), and
// then frames, each as arrive() reads it.
#include <config.h>

#include "fuzz.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine.h"
#include "relay/forward.h"
#include "relay/ingress.h"
#include "stats/counters.h"

#define SLOT       2048u
#define SLOTS      16u
#define BLOCK      (4 * SLOT)
#define AT         96u // of the frame in its slot
#define FRAME_MAX  20000u
#define FRAMES_MAX 256u // of one input
#define EGRESS_MAX 32
#define UDP_L4     5 // VIRTIO_NET_HDR_GSO_UDP_L4

struct rig {
    struct table_view v;
    struct stats_segment stats;
    struct forward *f;
    struct ingress_spill *spill;
    struct ingress rings[TABLE_INTERFACES_MAX];
    uint32_t filled[TABLE_INTERFACES_MAX]; // slots
    int queues[TABLE_INTERFACES_MAX][2];   // of frames that no slot holds
    struct egress egress[EGRESS_MAX];
    int ends[EGRESS_MAX][2];
    uint64_t datagrams, bytes; // that came out
    uint8_t faults;            // the low bits choose the error, the others how often
    unsigned n_writes;
    uint8_t queued[SLOTS * FRAME_MAX]; // frames that no slot held, since the last pass
    size_t n_queued;
    bool cut; // fragments came, which may have become a datagram that lies nowhere here
};

// --- set-up ----------------------------------------------------------------------------------------------------------

static void pair(int ends[2])
{
    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
}

// Taken once, for they are large; empty again after each input.
static struct reassembly *reassembly_of(uint32_t interface)
{
    static struct reassembly *all[TABLE_INTERFACES_MAX];
    struct stats_interface_counters nobody = {.received = 0};

    if (!all[interface])
        all[interface] = reassembly_new();
    FUZZ_ASSERT(all[interface]);
    reassembly_release(all[interface]);
    reassembly_expire(all[interface], UINT64_MAX, &nobody);
    return all[interface];
}

static int fails(void *context);
static void take_ring_frame(void *context, const uint8_t *frame, size_t length);

static void open_egress(struct rig *x, uint32_t i)
{
    const struct table_egress *t = &x->v.egress[i];

    x->f->egress[i] = &x->egress[i];
    if (t->kind != TABLE_EGRESS_TX_RING) {
        pair(x->ends[i]);
        egress_init(&x->egress[i], t->id, x->ends[i][0]);
        return;
    }
    struct tx_kernel *k = machine_tx_ring(i, t->slot_size);
    k->fails = fails;
    k->take = take_ring_frame;
    k->context = x;
    k->slow = x->faults & 1;
    egress_init(&x->egress[i], t->id, k->fd);
    x->egress[i].ring = tx_ring_new(k->fd, t->slot_size);
    FUZZ_ASSERT(x->egress[i].ring);
}

static void open_rig(struct rig *x, const struct table_image *t)
{
    static struct ingress_spill *spill;
    const char *why;

    FUZZ_ASSERT(table_attach(&x->v, t->bytes, t->size, &why) && x->v.n_egress <= EGRESS_MAX);
    void *memory = calloc(1, stats_segment_size(x->v.n_interfaces, x->v.n_rules, x->v.n_inputs, x->v.n_counters));
    stats_segment_place(&x->stats, memory, x->v.n_interfaces, x->v.n_rules, x->v.n_inputs);
    x->f = forward_new(&x->v, &x->stats, NULL, 1);
    x->spill = spill = spill ? spill : ingress_spill_new();
    FUZZ_ASSERT(memory && x->f && x->spill);
    for (uint32_t i = 0; i < x->v.n_interfaces; i++) {
        pair(x->queues[i]);
        x->rings[i] = (struct ingress){.fd = x->queues[i][0],
                                       .ring = calloc(SLOTS, SLOT),
                                       .slot_size = SLOT,
                                       .n_slots = SLOTS,
                                       .block_size = BLOCK,
                                       .slots_per_block = BLOCK / SLOT,
                                       .ethernet = x->v.interfaces[i].link == TABLE_LINK_ETHERNET,
                                       .super_frames = true,
                                       .interface = i,
                                       .reassembly = reassembly_of(i)};
    }
    for (uint32_t i = 0; i < x->v.n_egress; i++)
        open_egress(x, i);
    for (uint32_t i = 0; i < x->v.n_egress; i++)
        egress_configure(&x->egress[i], &x->v.egress[i],
                         x->v.egress[i].tx_ring == TABLE_NONE ? NULL : x->egress[x->v.egress[i].tx_ring].ring);
}

static void close_rig(struct rig *x)
{
    for (uint32_t i = 0; i < x->v.n_interfaces; i++) {
        free(x->rings[i].ring);
        close(x->queues[i][0]);
        close(x->queues[i][1]);
    }
    for (uint32_t i = 0; i < x->v.n_egress; i++) {
        if (x->v.egress[i].kind == TABLE_EGRESS_TX_RING) {
            tx_ring_free(x->egress[i].ring);
            tx_kernel_reset(machine_tx_ring(i, x->v.egress[i].slot_size));
            continue;
        }
        egress_close(&x->egress[i]);
        close(x->ends[i][1]);
    }
    forward_free(x->f);
    free(x->stats.header);
    free(x);
}

// --- what leaves -----------------------------------------------------------------------------------------------------

static size_t get16(const uint8_t *at)
{
    return (size_t) (at[0] << 8 | at[1]);
}

static void expect_came(const struct rig *x, const uint8_t *bytes, size_t n)
{
    bool came = n == 0 || x->cut || memmem(x->queued, x->n_queued, bytes, n);

    for (uint32_t i = 0; i < x->v.n_interfaces * SLOTS && !came; i++)
        came = memmem(x->rings[i / SLOTS].ring + (i % SLOTS) * SLOT, SLOT, bytes, n);
    FUZZ_ASSERT(came);
}

// The payload of one send, cut as the kernel or the device does.
static void take_payload(struct rig *x, const uint8_t *bytes, size_t n, size_t segment)
{
    size_t datagrams = 0;

    if (segment == 0 || segment > n)
        segment = n;
    x->bytes += n;
    do {
        size_t size = n < segment ? n : segment;
        expect_came(x, bytes, size);
        datagrams++;
        bytes += size;
        n -= size;
    } while (n > 0);
    FUZZ_ASSERT(datagrams <= BATCH_DATAGRAMS);
    x->datagrams += datagrams;
}

static void take_fragment(struct rig *x, const uint8_t *piece, size_t n, size_t offset)
{
    FUZZ_ASSERT(n > 0 && n <= 1480);
    if (offset == 0) {
        FUZZ_ASSERT(n > 8);
        x->datagrams++;
        x->bytes += get16(piece + 4) - 8;
        piece += 8;
        n -= 8;
    }
    expect_came(x, piece, n);
}

// What begins with the IP header. partial: the UDP checksum is that of the pseudo-header, to be finished.
static void take_ip(struct rig *x, const uint8_t *ip, size_t n, size_t segment, bool partial)
{
    bool v4 = ip[0] >> 4 == 4;
    size_t header = v4 ? 20 : 40;

    FUZZ_ASSERT(n >= header && (v4 ? ip[0] == 0x45 : ip[0] >> 4 == 6));
    FUZZ_ASSERT(n == (v4 ? get16(ip + 2) : 40 + get16(ip + 4)));
    FUZZ_ASSERT(!v4 || fuzz_sum(0, ip, 20) == 0xffff);
    FUZZ_ASSERT(ip[v4 ? 8 : 7] > 0);
    if (v4 && (get16(ip + 6) & 0x3fff) != 0) {
        take_fragment(x, ip + 20, n - 20, (get16(ip + 6) & 0x1fff) * 8);
        return;
    }
    if (!v4 && ip[6] == 44) {
        take_fragment(x, ip + 48, n - 48, get16(ip + 42) & 0xfff8);
        return;
    }
    const uint8_t *udp = ip + header;
    FUZZ_ASSERT(ip[v4 ? 9 : 6] == IPPROTO_UDP && n >= header + 8 && get16(udp + 4) == n - header);
    uint16_t sum = fuzz_sum((uint16_t) (n - header), ip + (v4 ? 12 : 8), v4 ? 8 : 32);
    sum = fuzz_sum(sum, (const uint8_t[]){0, IPPROTO_UDP}, 2);
    FUZZ_ASSERT(partial ? get16(udp + 6) == sum : get16(udp + 6) != 0 && fuzz_sum(sum, udp, n - header) == 0xffff);
    take_payload(x, udp + 8, n - header - 8, segment);
}

static void take_frame(struct rig *x, const uint8_t *bytes, size_t n)
{
    struct virtio_net_hdr v;
    size_t lead = sizeof(v) + 14;

    FUZZ_ASSERT(n > lead + 4);
    memcpy(&v, bytes, sizeof(v));
    if (get16(bytes + lead - 2) == 0x8100)
        lead += 4;
    const uint8_t *ip = bytes + lead;
    size_t header = ip[0] >> 4 == 4 ? 20 : 40;
    FUZZ_ASSERT(get16(ip - 2) == (header == 20 ? 0x0800 : 0x86dd));
    if (v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        FUZZ_ASSERT(v.csum_start == lead - sizeof(v) + header && v.csum_offset == 6);
    FUZZ_ASSERT(v.gso_type == 0 || (v.gso_type == UDP_L4 && v.gso_size > 0));
    take_ip(x, ip, n - lead, v.gso_type ? v.gso_size : 0, v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

static void take_ring_frame(void *context, const uint8_t *frame, size_t length)
{
    take_frame(context, frame, length);
}

static void take_egress(struct rig *x, uint32_t e)
{
    static uint8_t buffer[70000];
    ssize_t n;

    if (x->v.egress[e].kind == TABLE_EGRESS_TX_RING)
        return; // emptied when it is sent
    while ((n = recv(x->ends[e][1], buffer, sizeof(buffer), 0)) >= 0) {
        if (x->egress[e].kind == TABLE_EGRESS_FRAME)
            take_frame(x, buffer, (size_t) n);
        else if (x->egress[e].kind == TABLE_EGRESS_RAW)
            take_ip(x, buffer, (size_t) n, 0, false);
        else if (x->egress[e].kind == TABLE_EGRESS_RAW_UDP) {
            FUZZ_ASSERT((size_t) n >= sizeof(struct udphdr) && (buffer[4] << 8 | buffer[5]) == n);
            take_payload(x, buffer + sizeof(struct udphdr), (size_t) n - sizeof(struct udphdr), 0);
        } else
            take_payload(x, buffer, (size_t) n, x->egress[e].segment > 0 ? (size_t) x->egress[e].segment : 0);
    }
}

static struct rig *rig;

// What has been sent is cut by the segment size that it was sent with.
static void on_segment(int fd)
{
    for (uint32_t e = 0; e < rig->v.n_egress; e++)
        if (rig->egress[e].fd == fd)
            take_egress(rig, e);
}

static int fails(void *context)
{
    static const int errors[] = {EMSGSIZE, EINVAL, EIO, ENOBUFS, ECONNREFUSED, EAGAIN, ENETDOWN, EPERM};
    struct rig *x = context;

    if (x->faults == 0 || ++x->n_writes % (x->faults / 8 + 1u) != 0)
        return 0;
    return errors[x->faults % 8];
}

static int on_write(void)
{
    return fails(rig);
}

static void pass(struct rig *x)
{
    for (uint32_t i = 0; i < x->v.n_interfaces; i++) {
        uint32_t taken = 0;
        do
            taken += ingress_pass(&x->rings[i], x->f, x->spill, UINT64_MAX);
        while (x->rings[i].more);
        FUZZ_ASSERT(taken == x->filled[i]);
        x->filled[i] = 0;
        // What a hostile slot has left behind.
        while (recv(x->queues[i][0], x->spill, 1, MSG_TRUNC) >= 0)
            ;
    }
    for (uint32_t e = 0; e < x->v.n_egress; e++)
        take_egress(x, e);
    x->n_queued = 0;
}

// --- what arrives ----------------------------------------------------------------------------------------------------

static void put16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t) (value >> 8);
    at[1] = (uint8_t) value;
}

// A datagram to d, right in all but what the input changes.
static size_t build(struct fuzz_input *in, const struct table_destination *d, bool ethernet, uint8_t *frame)
{
    bool v4 = d->address.family == ADDR_IPV4;
    size_t lead = ethernet ? 14 : 0, header = v4 ? 20 : 40, payload = fuzz_u16(in) % (FRAME_MAX - 62);
    uint8_t *ip = frame + lead, *udp = ip + header, sender = fuzz_u8(in), ttl = fuzz_u8(in), mend = fuzz_u8(in);
    size_t length = lead + header + 8 + payload;

    memset(frame, 0, lead + header + 8);
    for (size_t i = 0; i < payload; i++) // so that no two places are the same
        udp[8 + i] = (uint8_t) ((i + ttl) * 2654435761u >> 24);
    if (ethernet)
        memcpy(frame + 12, v4 ? "\x08\x00" : "\x86\xdd", 2);
    ip[0] = v4 ? 0x45 : 0x60;
    put16(ip + (v4 ? 2 : 4), (v4 ? 20 : 0) + 8 + payload);
    ip[v4 ? 8 : 7] = ttl;
    ip[v4 ? 9 : 6] = IPPROTO_UDP;
    if (v4)
        memcpy(ip + 12, (uint8_t[]){198, 18, sender & 1, sender >> 4}, 4);
    else
        memcpy(ip + 8, (uint8_t[EGRESS_MAX]){0x20, 0x01, 0x0d, 0xb8, [15] = sender}, 16);
    memcpy(ip + (v4 ? 16 : 24), d->address.bytes, v4 ? 4 : 16);
    put16(udp, 40000u + sender);
    put16(udp + 2, d->port);
    put16(udp + 4, 8 + payload);
    fuzz_patch(in, frame, length);
    if (mend & 3)
        fuzz_mend(ip, length - lead, mend & 2);
    return length;
}

enum flags {
    TAGGED = 1,
    VERIFIED = 2,
    UNFINISHED = 4,
    QUEUED = 8,
    PASS = 16,
    HOSTILE_SLOT = 32,
    SUPER = 64,
    CUT = 128
};

// As tpacket_rcv() fills a slot: a frame that exceeds it is queued whole, and the slot has its beginning.
static void put_slot(struct rig *x, struct fuzz_input *in, uint32_t i, const uint8_t *frame, size_t length,
                     uint8_t flags)
{
    struct ingress *ring = &x->rings[i];
    uint8_t *slot = ring->ring + (size_t) ((ring->head + x->filled[i]) % SLOTS) * SLOT, queued[FRAME_MAX + 10];
    size_t fits = length < SLOT - AT ? length : SLOT - AT;
    uint8_t type = fuzz_u8(in);
    struct virtio_net_hdr v = {.gso_type = flags & SUPER ? UDP_L4 : type >> 3, .gso_size = fuzz_u16(in)};
    struct sockaddr_ll from = {.sll_pkttype = type & 7};
    struct tpacket2_hdr h = {.tp_len = (uint32_t) length, .tp_snaplen = (uint32_t) fits, .tp_mac = AT, .tp_net = AT};

    h.tp_vlan_tci = fuzz_u16(in);
    h.tp_status = (flags & TAGGED ? TP_STATUS_VLAN_VALID : 0) | (flags & VERIFIED ? TP_STATUS_CSUM_VALID : 0) |
                  (flags & UNFINISHED ? TP_STATUS_CSUMNOTREADY : 0) | (flags & QUEUED ? TP_STATUS_COPY : 0);
    if (flags & QUEUED) {
        memcpy(queued, &v, sizeof(v));
        memcpy(queued + sizeof(v), frame, length);
        if (send(x->queues[i][1], queued, sizeof(v) + length, 0) < 0) // no room
            h.tp_status &= ~(uint32_t) TP_STATUS_COPY;
        memcpy(x->queued + x->n_queued, frame, length);
        x->n_queued += length;
    }
    if (flags & HOSTILE_SLOT)
        fuzz_patch(in, &h, sizeof(h));
    h.tp_status |= TP_STATUS_USER;
    memcpy(slot, &h, sizeof(h));
    memcpy(slot + TPACKET_ALIGN(sizeof(h)), &from, sizeof(from));
    memcpy(slot + AT - sizeof(v), &v, sizeof(v));
    memcpy(slot + AT, frame, fits);
    x->filled[i]++;
}

static bool is_fragment(const uint8_t *ip, size_t length)
{
    if (length < 20)
        return false;
    return ip[0] >> 4 == 4 ? (get16(ip + 6) & 0x3fff) != 0 : ip[6] != IPPROTO_UDP;
}

// Writes the fragment of ip[0..length-1] that has `size` bytes of its payload from `from` on. Returns its length.
static size_t fragment_of(const uint8_t *ip, bool v4, size_t from, size_t size, bool more, uint8_t *to)
{
    size_t header = v4 ? 20 : 48;

    memcpy(to, ip, v4 ? 20 : 40);
    memcpy(to + header, ip + (v4 ? 20 : 40) + from, size);
    if (v4) {
        put16(to + 2, header + size);
        put16(to + 6, from / 8 | (more ? 0x2000 : 0));
        fuzz_mend(to, header, false);
    } else {
        put16(to + 4, 8 + size);
        to[6] = IPPROTO_FRAGMENT;
        memcpy(to + 40, (uint8_t[8]){IPPROTO_UDP, [7] = ip[8 + 15]}, 8);
        put16(to + 42, from | more);
    }
    return header + size;
}

static void arrive_as(struct rig *x, struct fuzz_input *in, uint32_t i, const uint8_t *frame, size_t length,
                      uint8_t flags)
{
    size_t lead = x->rings[i].ethernet ? 14 : 0;

    x->cut |= length > lead && is_fragment(frame + lead, length - lead);
    put_slot(x, in, i, frame, length, flags);
    if (x->filled[i] == SLOTS || x->n_queued + FRAME_MAX > sizeof(x->queued) || (flags & PASS))
        pass(x);
}

// In two fragments, the second one first or not.
static void arrive_cut(struct rig *x, struct fuzz_input *in, uint32_t i, bool v4, const uint8_t *frame, size_t length,
                       uint8_t flags)
{
    static uint8_t piece[FRAME_MAX + 8];
    size_t lead = x->rings[i].ethernet ? 14 : 0, header = v4 ? 20 : 40;
    uint8_t where = fuzz_u8(in);
    size_t total = length - lead - header, from = (size_t) (where & 0x7f) * 8 % total;

    memcpy(piece, frame, lead);
    for (unsigned n = 0; n < 2; n++) {
        bool first = n == where >> 7;
        size_t at = first ? 0 : from, size = first ? from : total - from;
        size_t bytes = lead + fragment_of(frame + lead, v4, at, size, first, piece + lead);
        if (bytes <= FRAME_MAX)
            arrive_as(x, in, i, piece, bytes, flags);
    }
}

// A destination (0xff: raw bytes on some interface), flags, how much time has passed, the frame, its slot.
static void arrive(struct rig *x, struct fuzz_input *in)
{
    static uint8_t frame[FRAME_MAX];
    uint8_t which = fuzz_u8(in), flags = fuzz_u8(in);
    uint32_t i = which % x->v.n_interfaces;
    size_t length;

    x->f->now_ns += fuzz_u8(in) * UINT64_C(1000000);
    if (which == 0xff || x->v.n_destinations == 0) {
        size_t wanted = fuzz_u16(in);
        i = fuzz_u8(in) % x->v.n_interfaces;
        const uint8_t *bytes = fuzz_bytes(in, wanted % FRAME_MAX, &length);
        memcpy(frame, bytes, length);
        arrive_as(x, in, i, frame, length, flags);
        return;
    }
    const struct table_destination *d = &x->v.destinations[which % x->v.n_destinations];
    i = d->interface;
    length = build(in, d, x->rings[i].ethernet, frame);
    if (flags & CUT)
        arrive_cut(x, in, i, d->address.family == ADDR_IPV4, frame, length, flags);
    else
        arrive_as(x, in, i, frame, length, flags);
}

// --- accounts --------------------------------------------------------------------------------------------------------

static void check_interface(const struct rig *x, uint32_t i)
{
    const struct stats_interface_counters *c = &x->rings[i].counters;
    uint64_t known = fuzz_unclaimed(c);

    for (uint32_t leg = 0; leg < x->v.n_inputs; leg++) {
        const struct table_rule *r = &x->v.rules[x->v.inputs[leg].rule];
        if (x->v.inputs[leg].interface == i)
            known += r->n_inputs > 1 ? x->f->legs[leg].packets : x->f->flows[r - x->v.rules].counters.packets;
    }
    FUZZ_ASSERT(c->received == known);
}

static void check_rule(const struct rig *x, uint32_t i)
{
    const struct table_rule *r = &x->v.rules[i];
    const struct stats_rule_counters *c = &x->f->flows[i].counters;
    uint64_t passed = c->packets - stats_drops_total(&c->drops);

    FUZZ_ASSERT(passed <= c->packets);
    for (uint32_t j = r->first_counter; j < r->first_counter + r->n_outputs; j++) {
        const struct stats_output_counters *o = &x->f->outputs[j];
        FUZZ_ASSERT(passed == o->packets + o->errors + o->too_big + o->expired);
        FUZZ_ASSERT(o->bytes <= c->bytes);
    }
    FUZZ_ASSERT(memcmp(&x->stats.rules[i].counters, c, sizeof(*c)) == 0);
}

// What the counters say was sent, came out at the other ends.
static void check_egress(const struct rig *x)
{
    uint64_t packets = 0, bytes = 0, errors = 0;

    for (uint32_t i = 0; i < x->v.n_counters; i++) {
        packets += x->f->outputs[i].packets;
        bytes += x->f->outputs[i].bytes;
        errors += x->f->outputs[i].errors + x->f->outputs[i].too_big;
    }
    // Of a datagram that failed, or was sent again, some fragments may have left.
    if (x->faults || errors > 0)
        FUZZ_ASSERT(packets <= x->datagrams && bytes <= x->bytes);
    else
        FUZZ_ASSERT(packets == x->datagrams && bytes == x->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    const struct table_image *t = machine_table(fuzz_u8(&in) % 2);
    struct rig *x = calloc(1, sizeof(*x));

    FUZZ_ASSERT(x);
    x->faults = fuzz_u8(&in);
    rig = x;
    machine_on_segment = on_segment;
    machine_on_write = on_write;
    open_rig(x, t);
    for (unsigned n = 0; in.left > 0 && n < FRAMES_MAX; n++)
        arrive(x, &in);
    pass(x);
    forward_publish_merges(x->f, 0);
    forward_publish_part(x->f, 0, UINT32_MAX);
    for (uint32_t i = 0; i < x->v.n_interfaces; i++)
        check_interface(x, i);
    for (uint32_t i = 0; i < x->v.n_rules; i++)
        check_rule(x, i);
    check_egress(x);
    close_rig(x);
    return 0;
}
