// SPDX-License-Identifier: Apache-2.0
// instructions: the relay's own way of a datagram, from ring slot to system call, for callgrind to count: parse, match,
// limit, batch, headers, counters. The rings are files in memory and what leaves goes to /dev/null, or is taken from
// the transmit ring by tests/tx_kernel.c (some 20 instructions a frame), so that the counts are the same each time.
// instructions.py runs it and compares.
//
//   instructions             all cases; measured() is run once for each
//   instructions --names     name and datagrams of each case
//   instructions --build     what the counts depend on
#include <config.h>

#include <alloca.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../tx_kernel.h"
#include "relay/ingress.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 // linux/virtio_net.h, since 6.2
#endif

#define PASSES 16
#define PASS   128 // frames, within INGRESS_BUDGET

struct test {
    const char *name;
    size_t size;       // payload bytes of a datagram
    uint32_t per_slot; // datagrams of a super-frame
    uint32_t rules, used, outputs, sources;
    bool ipv6, limited, check, one_by_one;
};

// clang-format off
static const struct test tests[] = {
    //                        size  slot   rules  used  out  src   ipv6   limited check  one_by_one
    {"single flow",           1316, 1,      1,     1,    1,   0,   false, false,  false, false},
    {"100 bytes",              100, 1,      1,     1,    1,   0,   false, false,  false, false},
    {"64 interleaved flows",  1316, 1,     64,    64,    1,   0,   false, false,  false, false},
    {"1 of 10,000 rules",     1316, 1,  10000,     1,    1,   0,   false, false,  false, false},
    {"64 of 10,000 rules",    1316, 1,  10000,    64,    1,   0,   false, false,  false, false},
    {"16 outputs",            1316, 1,      1,     1,   16,   0,   false, false,  false, false},
    {"super-frames of 48",    1316, 48,     1,     1,    1,   0,   false, false,  false, false},
    {"limit, 16 senders",     1316, 1,      1,     1,    1,   16,  false, true,   false, false},
    {"checksum to verify",    1316, 1,      1,     1,    1,   0,   false, false,  true,  false},
    {"IPv6",                  1316, 1,      1,     1,    1,   0,   true,  false,  false, false},
    {"without GSO",           1316, 1,      1,     1,    1,   0,   false, false,  false, true},
};
// clang-format on
#define TESTS (sizeof(tests) / sizeof(tests[0]))

static struct tx_kernel kernel;

ssize_t __wrap_write(int fd, const void *bytes, size_t n);
ssize_t __real_write(int fd, const void *bytes, size_t n);

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    if (fd != kernel.fd)
        return __real_write(fd, bytes, n);
    tx_kernel_send(&kernel);
    return 0;
}

static void take_frame(void *context, const uint8_t *frame, size_t length)
{
    (void) context;
    (void) frame;
    (void) length;
}

struct fixture {
    struct table_header header;
    struct table_interface interface;
    struct table_view view;
    struct stats_segment stats;
    struct egress socket;
    struct tx_ring *queue;
    struct ingress in;
    struct ingress_spill *spill;
    struct forward *f;
};

static void *take(size_t n, size_t size)
{
    void *memory = calloc(n, size);

    if (!memory) {
        fprintf(stderr, "instructions: out of memory\n");
        exit(1);
    }
    return memory;
}

// --- table -----------------------------------------------------------------------------------------------------------

static struct addr group_of(const struct test *t, uint32_t rule)
{
    struct addr a = {.family = ADDR_IPV4, .bytes = {239, 255, (uint8_t) (rule >> 8), (uint8_t) rule}};

    if (t->ipv6)
        a = (struct addr){.family = ADDR_IPV6, .bytes = {0xff, 0x15, [14] = (uint8_t) (rule >> 8), (uint8_t) rule}};
    return a;
}

static struct addr sender_of(const struct test *t, uint32_t n)
{
    struct addr a = {.family = ADDR_IPV4, .bytes = {198, 18, 1, (uint8_t) n}};

    if (t->ipv6)
        a = (struct addr){.family = ADDR_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t) n}};
    return a;
}

static void make_output(const struct test *t, struct table_output *o, const struct addr *to)
{
    *o = (struct table_output){.to = *to,
                               .ttl = 1,
                               .dscp = TABLE_DSCP_PRESERVE,
                               .ip_at = 14,
                               .header_length = t->ipv6 ? 62 : 42,
                               .port = 6000,
                               .carried_from = TABLE_NONE};
    o->header[14] = t->ipv6 ? 0x60 : 0x45;
}

static void make_index(struct table_view *v, struct table_header *header)
{
    uint32_t mask = v->n_slots - 1;
    struct table_slot *slots = take(v->n_slots, sizeof(*slots));

    memset(slots, 0xff, v->n_slots * sizeof(*slots));
    for (uint32_t i = 0; i < v->n_destinations; i++) {
        struct table_key key = {.destination = v->destinations[i].address, .port = v->destinations[i].port};
        uint32_t hash = table_hash(&key), probe = 0;
        while (slots[(hash + probe) & mask].destination != TABLE_NONE)
            probe++;
        slots[(hash + probe) & mask] = (struct table_slot){.hash = hash, .destination = i};
        if (probe + 1 > header->longest_probe)
            header->longest_probe = probe + 1;
    }
    v->slots = slots;
}

static void make_table(const struct test *t, struct fixture *x)
{
    struct table_rule *rules = take(t->rules, sizeof(*rules));
    struct table_path *paths = take(t->rules, sizeof(*paths));
    struct table_destination *destinations = take(t->rules, sizeof(*destinations));
    struct table_output *outputs = take((size_t) t->rules * t->outputs, sizeof(*outputs));
    struct addr_prefix *sources = take(t->sources + 1, sizeof(*sources));
    struct table_egress *egress = take(1, sizeof(*egress));
    uint32_t n_slots = 16;

    for (uint32_t i = 0; i < t->rules; i++) {
        rules[i] = (struct table_rule){.flags = TABLE_RULE_ENABLED,
                                       .first_destination = i,
                                       .n_destinations = 1,
                                       .max_payload = 65507,
                                       .first_path = i,
                                       .n_paths = 1,
                                       .first_counter = i * t->outputs,
                                       .n_outputs = t->outputs,
                                       .n_sources = t->sources,
                                       .packets_per_second = t->limited ? 100000000 : 0,
                                       .bits_per_second = t->limited ? UINT64_C(1000000000000) : 0,
                                       .burst_ms = 100,
                                       .carried_from = TABLE_NONE};
        paths[i] = (struct table_path){.rule = i, .first_output = i * t->outputs};
        destinations[i] = (struct table_destination){.address = group_of(t, i), .port = 5000, .path = i};
        for (uint32_t o = i * t->outputs; o < (i + 1) * t->outputs; o++) {
            make_output(t, &outputs[o], &destinations[i].address);
            outputs[o].counter = o;
        }
    }
    // The sender is the last one of the list.
    for (uint32_t i = 0; i < t->sources; i++)
        sources[i] = (struct addr_prefix){.addr = sender_of(t, 100 + t->sources - 1 - i), .bits = t->ipv6 ? 128 : 32};
    *egress = (struct table_egress){
        .id = 1, .kind = TABLE_EGRESS_FRAME, .flags = t->one_by_one ? 0 : TABLE_EGRESS_GSO, .mtu = 1500};
    while (n_slots < 2 * t->rules)
        n_slots *= 2;
    x->view = (struct table_view){.header = &x->header,
                                  .interfaces = &x->interface,
                                  .rules = rules,
                                  .paths = paths,
                                  .outputs = outputs,
                                  .egress = egress,
                                  .sources = sources,
                                  .destinations = destinations,
                                  .n_interfaces = 1,
                                  .n_rules = t->rules,
                                  .n_paths = t->rules,
                                  .n_outputs = t->rules * t->outputs,
                                  .n_counters = t->rules * t->outputs,
                                  .n_egress = 1,
                                  .n_sources = t->sources,
                                  .n_destinations = t->rules,
                                  .n_slots = n_slots};
    make_index(&x->view, &x->header);
}

// --- ring ------------------------------------------------------------------------------------------------------------

static size_t make_frame(const struct test *t, uint32_t rule, uint8_t *at)
{
    struct addr group = group_of(t, rule), sender = sender_of(t, 100);
    size_t payload = t->size * t->per_slot, ip_size = t->ipv6 ? sizeof(struct ip6_hdr) : sizeof(struct iphdr);
    struct udphdr udp = {.source = htons(4000), .dest = htons(5000), .len = htons((uint16_t) (payload + sizeof(udp)))};
    uint16_t pseudo[2] = {htons(IPPROTO_UDP), udp.len};

    at[12] = t->ipv6 ? 0x86 : 0x08;
    at[13] = t->ipv6 ? 0xdd : 0x00;
    if (t->ipv6) {
        struct ip6_hdr ip = {.ip6_flow = htonl(UINT32_C(6) << 28), .ip6_plen = udp.len, .ip6_nxt = IPPROTO_UDP};
        ip.ip6_hlim = 8;
        memcpy(&ip.ip6_src, sender.bytes, sizeof(ip.ip6_src));
        memcpy(&ip.ip6_dst, group.bytes, sizeof(ip.ip6_dst));
        memcpy(at + 14, &ip, sizeof(ip));
    } else {
        struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 8, .protocol = IPPROTO_UDP};
        ip.tot_len = htons((uint16_t) (payload + sizeof(udp) + sizeof(ip)));
        memcpy(&ip.saddr, sender.bytes, sizeof(ip.saddr));
        memcpy(&ip.daddr, group.bytes, sizeof(ip.daddr));
        ip.check = (uint16_t) ~packet_sum(0, &ip, sizeof(ip));
        memcpy(at + 14, &ip, sizeof(ip));
    }
    for (size_t i = 0; i < payload; i++)
        at[14 + ip_size + sizeof(udp) + i] = (uint8_t) (i * 7 + rule);
    uint16_t sum = packet_sum(packet_sum(0, sender.bytes, addr_length(&sender)), group.bytes, addr_length(&group));
    memcpy(at + 14 + ip_size, &udp, sizeof(udp));
    udp.check =
        (uint16_t) ~packet_sum(packet_sum(sum, pseudo, sizeof(pseudo)), at + 14 + ip_size, sizeof(udp) + payload);
    memcpy(at + 14 + ip_size, &udp, sizeof(udp));
    return 14 + ip_size + sizeof(udp) + payload;
}

static void make_ring(const struct test *t, struct fixture *x)
{
    size_t mac = TPACKET_ALIGN(sizeof(struct tpacket2_hdr)) + 64;
    uint32_t slot_size = (uint32_t) (mac + 14 + 40 + 8 + t->size * t->per_slot + 63) & ~63u;

    int fd = memfd_create("ring", MFD_CLOEXEC);

    x->interface = (struct table_interface){.link = TABLE_LINK_ETHERNET,
                                            .super_frames = 1,
                                            .slot_size = slot_size,
                                            .n_slots = PASS,
                                            .block_size = PASS * slot_size};
    if (fd < 0 || ftruncate(fd, (off_t) PASS * slot_size) != 0 || !ingress_init(&x->in, 1, fd, &x->interface)) {
        perror("instructions: ring");
        exit(1);
    }
    for (uint32_t i = 0; i < PASS; i++) {
        uint8_t *bytes = x->in.ring + (size_t) i * slot_size;
        struct tpacket2_hdr *slot = (void *) bytes;
        struct virtio_net_hdr v = {.gso_type = t->per_slot > 1 ? VIRTIO_NET_HDR_GSO_UDP_L4 : 0};
        v.gso_size = t->per_slot > 1 ? (uint16_t) t->size : 0;
        memcpy(bytes + mac - sizeof(v), &v, sizeof(v));
        slot->tp_mac = (uint16_t) mac;
        // The used rules lie spread over the table.
        slot->tp_len = slot->tp_snaplen = (uint32_t) make_frame(t, i % t->used * (t->rules / t->used), bytes + mac);
    }
}

// The kernel's part: the ring is full again.
static void fill_ring(const struct test *t, struct fixture *x)
{
    for (uint32_t i = 0; i < PASS; i++)
        ((struct tpacket2_hdr *) (void *) (x->in.ring + (size_t) i * x->in.slot_size))->tp_status =
            TP_STATUS_USER | (t->check ? 0 : TP_STATUS_CSUM_VALID);
}

// --- run -------------------------------------------------------------------------------------------------------------

static struct fixture *open_fixture(const struct test *t, int null)
{
    struct fixture *x = take(1, sizeof(*x));

    make_table(t, x);
    make_ring(t, x);
    stats_segment_place(&x->stats, take(1, stats_segment_size(1, x->view.n_rules, x->view.n_counters)), 1,
                        x->view.n_rules);
    egress_init(&x->socket, 1, null);
    tx_kernel_reset(&kernel);
    x->queue = tx_ring_new(kernel.fd, kernel.slot_size);
    egress_configure(&x->socket, x->view.egress, x->queue);
    x->spill = ingress_spill_new();
    x->f = forward_new(&x->view, &x->stats, 1);
    if (!x->f || !x->spill || !x->queue)
        exit(1);
    x->f->egress[0] = &x->socket;
    return x;
}

// What is counted: one pass of the relay's loop over a ring.
static __attribute__((noinline)) void pass(struct fixture *x)
{
    x->f->now_ns += 1000000;
    do
        ingress_pass(&x->in, x->f, x->spill);
    while (x->in.more);
    forward_publish(x->f);
}

// Callgrind writes its counts out at the end of this.
static __attribute__((noinline)) void measured(const struct test *t, struct fixture *x)
{
    for (int i = 0; i < PASSES; i++) {
        fill_ring(t, x);
        pass(x);
    }
}

static __attribute__((noinline)) bool run(const struct test *t, int null)
{
    struct fixture *x = open_fixture(t, null);
    uint64_t sent = 0, wanted = (uint64_t) PASSES * PASS * t->per_slot * t->outputs;

    measured(t, x);
    for (uint32_t i = 0; i < x->view.n_counters; i++)
        sent += x->f->outputs[i].packets;
    if (sent != wanted)
        fprintf(stderr, "instructions: %s: %llu of %llu datagrams were sent\n", t->name, (unsigned long long) sent,
                (unsigned long long) wanted);
    forward_free(x->f);
    ingress_close(&x->in);
    close(x->in.fd);
    free(x->spill);
    tx_ring_free(x->queue);
    return sent == wanted;
}

// memcmp() and the like take other ways at the end of a page, and where in its page the stack begins depends on the
// environment and the program's path: begin at the same place.
static bool run_aligned(const struct test *t, int null)
{
    volatile char *pad = alloca((uintptr_t) __builtin_frame_address(0) % 4096 + 64);

    pad[0] = 0;
    return run(t, null);
}

int main(int argc, char *argv[])
{
    const char *what = argc > 1 ? argv[1] : "";
    struct utsname u;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    bool ok = null >= 0 && tx_kernel_open(&kernel, 2048);

    kernel.take = take_frame;

    if (strcmp(what, "--names") == 0) {
        for (size_t i = 0; i < TESTS; i++)
            printf("%s\t%u\n", tests[i].name, PASSES * PASS * tests[i].per_slot);
    } else if (strcmp(what, "--build") == 0) {
        uname(&u);
        printf("compiler\t" __VERSION__ "\nflags\t" BUILD_FLAGS "\nlibc\t%s\nmachine\t%s\n", gnu_get_libc_version(),
               u.machine);
    } else {
        for (size_t i = 0; ok && i < TESTS; i++)
            ok = run_aligned(&tests[i], null);
    }
    return ok ? 0 : 1;
}
