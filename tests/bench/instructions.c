// SPDX-License-Identifier: Apache-2.0
// instructions: the relay's own way of a datagram, from ring slot to system call, for callgrind to count: parse, match,
// limit, batch, headers, counters. The rings are files in memory and what leaves goes to /dev/null, or is taken from
// the transmit ring by tests/tx_kernel.c (some 20 instructions a frame), so that the counts are the same each time.
// instructions.py runs it and compares.
//
//   instructions [NAME]      all cases, or one; measured() is run once for each
//   instructions --names     name and datagrams of each case
//   instructions --features  name of each case that asks for more than the first, and what it asks for
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

#include "../make_table.h"
#include "../tx_kernel.h"
#include "common/clock.h"
#include "relay/ingress.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 // linux/virtio_net.h, since 6.2
#endif

#define PASSES 16
#define PASS   128  // frames, within INGRESS_BUDGET
#define GAP_NS 8000 // between two frames: 125,000 a second

struct test {
    const char *name;
    size_t size;       // payload bytes of a datagram
    uint32_t per_slot; // datagrams of a super-frame
    uint32_t rules, used, outputs, sources;
    bool ipv6, check, one_by_one;
    const char *keys, *output; // further keys of the rules and of their outputs, or NULL: what is asked of a plain rule
    bool numbered, ts;         // what the payload is: as RTP, which is a field of 2 bytes, too; packets of one PID
    bool legs;                 // two legs that bring the same in turns
    bool untimed;
};

#define RULE       .size = 1316, .per_slot = 1, .rules = 1, .used = 1, .outputs = 1
#define RULES(n)   .size = 1316, .per_slot = 1, .rules = (n), .outputs = 1
#define LIMIT      "limit={packets_per_second=100000000;bits_per_second=1000000000000L;"
#define NUMBER     "field={at=2;bytes=2;};"
#define MERGES(by) .legs = true, .numbered = true, .keys = "merge={by=\"" by "\";"

static const struct test tests[] = {
    {"single flow", RULE},
    {"100 bytes", .size = 100, .per_slot = 1, .rules = 1, .used = 1, .outputs = 1},
    {"64 interleaved flows", RULES(64), .used = 64},
    {"1 of 10,000 rules", RULES(10000), .used = 1},
    {"64 of 10,000 rules", RULES(10000), .used = 64},
    {"16 outputs", .size = 1316, .per_slot = 1, .rules = 1, .used = 1, .outputs = 16},
    {"super-frames of 48", .size = 1316, .per_slot = 48, .rules = 1, .used = 1, .outputs = 1},
    {"checksum to verify", RULE, .check = true},
    {"IPv6", RULE, .ipv6 = true},
    {"without GSO", RULE, .one_by_one = true},
    // What a rule may ask for, each beside the single flow.
    {"without residence", RULE, .untimed = true},
    {"16 sources", RULE, .sources = 16},
    {"limit", RULE, .keys = LIMIT "};"},
    {"limit, 16 senders", RULE, .sources = 16, .keys = LIMIT "};"},
    {"limit of each sender", RULE, .keys = LIMIT "per_source=true;};"},
    {"deadline", RULE, .keys = "deadline_us=10000000;"},
    {"alarms", RULE, .keys = "silence_ms=1000;min_packets_per_second=1;max_residence_us=10000000;"},
    {"burst of 8", RULE, .output = "burst=8;"},
    {"ttl decrement", RULE, .output = "ttl=\"decrement\";"},
    {"source preserve", RULE, .output = "source=\"preserve\";"},
    {"monitor RTP", RULE, .numbered = true, .keys = "monitor={as=\"rtp\";};"},
    {"monitor RTP, jitter", RULE, .numbered = true, .keys = "monitor={as=\"rtp\";clock_hz=90000;};"},
    {"monitor field", RULE, .numbered = true, .keys = "monitor={as=\"field\";" NUMBER "};"},
    {"monitor 7 TS packets", RULE, .ts = true, .keys = "monitor={as=\"ts\";};"},
    {"merged by RTP", RULE, MERGES("rtp") "};"},
    {"merged by RTP, reorder", RULE, MERGES("rtp") "reorder_ms=10;};max_payload=1472;"},
    {"merged by field", RULE, MERGES("field") NUMBER "window_ms=40;};"},
    {"merged by field, reorder", RULE, MERGES("field") NUMBER "window_ms=40;reorder_ms=10;};max_payload=1472;"},
    {"merged by payload", RULE, MERGES("payload") "};"},
    {"merged by active", RULE, MERGES("active") "};"},
};
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

static void write_input(const struct test *t, uint32_t i, FILE *to)
{
    char text[ADDR_TEXT_MAX];
    struct addr a = group_of(t, i);
    const char *between = "sources=[";

    fprintf(to, "{interface=\"in0\";group=\"%s\";port=5000;", addr_format(&a, text));
    // The sender is the last one of the list.
    for (uint32_t n = t->sources; n-- > 0; between = ",") {
        a = sender_of(t, 100 + n);
        fprintf(to, "%s\"%s\"", between, addr_format(&a, text));
    }
    fprintf(to, "%s}", t->sources ? "];" : "");
}

static const char *text_of(const char *keys)
{
    return keys ? keys : "";
}

static void write_rule(const struct test *t, uint32_t i, FILE *to)
{
    char text[ADDR_TEXT_MAX];
    struct addr a;

    fprintf(to, "%s{name=\"rule-%u\";%s%s", i ? "," : "", i, text_of(t->keys), t->legs ? "inputs=(" : "input=");
    write_input(t, i, to);
    if (t->legs) {
        fputc(',', to);
        write_input(t, i + 1, to);
    }
    fprintf(to, "%s;outputs=(", t->legs ? ")" : "");
    for (uint32_t o = 0; o < t->outputs; o++) {
        a = group_of(t, i * t->outputs + o);
        fprintf(to, "%s{interface=\"out0\";group=\"%s\";port=6000;%s}", o ? "," : "", addr_format(&a, text),
                text_of(t->output));
    }
    fputs(");}", to);
}

static void make_rules(const struct test *t, struct fixture *x)
{
    char *rules = NULL;
    size_t size;
    FILE *to = open_memstream(&rules, &size);

    for (uint32_t i = 0; i < t->rules; i++)
        write_rule(t, i, to);
    if (fclose(to) != 0)
        exit(1);
    make_view(&x->view, NULL, "version=1;rules=(%s);", rules);
    free(rules);
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
        at[14 + ip_size + sizeof(udp) + i] = (uint8_t) (i * 7 + (t->legs ? 0 : rule));
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

    struct table_interface small = *x->view.interfaces;
    small.super_frames = 1;
    small.slot_size = slot_size;
    small.n_slots = PASS;
    small.block_size = PASS * slot_size;
    if (fd < 0 || ftruncate(fd, (off_t) PASS * slot_size) != 0 || !ingress_init(&x->in, 1, fd, &small)) {
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
        uint32_t group = t->legs ? i % 2 : i % t->used * (t->rules / t->used);
        slot->tp_len = slot->tp_snaplen = (uint32_t) make_frame(t, group, bytes + mac);
    }
}

// A stream in order: version 2 of RTP, or packets of one PID whose counter goes up.
static void number_payload(const struct test *t, uint8_t *p, uint32_t n)
{
    if (t->numbered) {
        memcpy(p, (const uint8_t[12]){0x80, 96, (uint8_t) (n >> 8), (uint8_t) n}, 12);
        return;
    }
    for (uint32_t i = 0; i < t->size / 188; i++)
        memcpy(p + i * 188, (const uint8_t[4]){0x47, 1, 0, (uint8_t) (0x10 | ((n * (t->size / 188) + i) & 15))}, 4);
}

// The kernel's part: the ring is full again, of frames that have come in the last millisecond.
static void fill_ring(const struct test *t, struct fixture *x, uint32_t turn)
{
    uint64_t first_ns = clock_realtime_ns() - PASS * GAP_NS;

    for (uint32_t i = 0; i < PASS; i++) {
        uint8_t *bytes = x->in.ring + (size_t) i * x->in.slot_size;
        struct tpacket2_hdr *slot = (void *) bytes;
        if (t->numbered || t->ts)
            number_payload(t, bytes + slot->tp_mac + 14 + sizeof(struct iphdr) + sizeof(struct udphdr),
                           t->legs ? (turn * PASS + i) / 2 : turn * PASS + i);
        slot->tp_status = TP_STATUS_USER | (t->check ? 0 : TP_STATUS_CSUM_VALID);
        slot->tp_sec = (uint32_t) ((first_ns + i * GAP_NS) / NS_PER_S);
        slot->tp_nsec = (uint32_t) ((first_ns + i * GAP_NS) % NS_PER_S);
    }
}

// --- run -------------------------------------------------------------------------------------------------------------

static struct fixture *open_fixture(const struct test *t, int null)
{
    struct fixture *x = take(1, sizeof(*x));

    make_rules(t, x);
    make_ring(t, x);
    const struct table_view *v = &x->view;
    stats_segment_place(&x->stats, take(1, stats_segment_size(v->n_interfaces, v->n_rules, v->n_inputs, v->n_counters)),
                        v->n_interfaces, v->n_rules, v->n_inputs);
    egress_init(&x->socket, 1, null);
    tx_kernel_reset(&kernel);
    x->queue = tx_ring_new(kernel.fd, kernel.slot_size);
    egress_configure(&x->socket, v->egress, x->queue);
    x->socket.gso = !t->one_by_one;
    x->spill = ingress_spill_new();
    x->f = forward_new(v, &x->stats, NULL, 1);
    if (!x->f || !x->spill || !x->queue)
        exit(1);
    x->f->egress[0] = &x->socket;
    x->f->untimed = t->untimed;
    return x;
}

// What is counted: one pass of the relay's loop over a ring.
static __attribute__((noinline)) void pass(struct fixture *x)
{
    x->f->now_ns += 1000000;
    do
        ingress_pass(&x->in, x->f, x->spill, UINT64_MAX);
    while (x->in.more);
    forward_publish(x->f);
}

// Callgrind writes its counts out at the end of this.
static __attribute__((noinline)) void measured(const struct test *t, struct fixture *x)
{
    for (uint32_t i = 0; i < PASSES; i++) {
        fill_ring(t, x, i);
        pass(x);
    }
}

static __attribute__((noinline)) bool run(const struct test *t, int null)
{
    struct fixture *x = open_fixture(t, null);
    uint64_t sent = 0, wanted = (uint64_t) PASSES * PASS * t->per_slot * t->outputs / (t->legs ? 2 : 1);

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
    } else if (strcmp(what, "--features") == 0) {
        for (size_t i = 0; i < TESTS; i++)
            if (tests[i].keys || tests[i].output || tests[i].sources || tests[i].untimed)
                printf("%s\t%s%s%s\n", tests[i].name, tests[i].sources ? "sources=[16];" : "", text_of(tests[i].keys),
                       text_of(tests[i].output));
    } else if (strcmp(what, "--build") == 0) {
        uname(&u);
        printf("compiler\t" __VERSION__ "\nflags\t" BUILD_FLAGS "\nlibc\t%s\nmachine\t%s\n", gnu_get_libc_version(),
               u.machine);
    } else {
        for (size_t i = 0; ok && i < TESTS; i++)
            ok = (*what && strcmp(what, tests[i].name) != 0) || run_aligned(&tests[i], null);
    }
    return ok ? 0 : 1;
}
