// SPDX-License-Identifier: Apache-2.0
// ring: what mcrd does with a datagram and nothing more, with either version of the packet ring, to tell what the
// version brings. Frames are taken from a ring of 16 MiB in passes, datagrams of one flow and size leave together as a
// super-frame that points into the ring, then the ring's memory goes back to the kernel. No limits, sources, checksums.
//
//   ring 2[:FRAMES]|3[:KIB] IN-INTERFACE OUT-INTERFACE WAIT-USECS GROUP:PORT=GROUP:PORT...
//
// 2: TPACKET_V2, a slot for each frame. Between passes it waits as mcrd does (relay/coalesce.h), or for FRAMES frames,
//    WAIT-USECS at most, and not at all below 100,000 frames a second.
// 3: TPACKET_V3, blocks of KIB (256): the kernel hands one over when it is full or RETIRE_MS are over, and that is the
//    wait; WAIT-USECS does not matter.
// IPv4 multicast over Ethernet only. On SIGUSR1 it prints how many datagrams a system call has sent.
#include <config.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <time.h>

#include "common/clock.h"
#include "machine/output.h"
#include "wire/header.h"
#include "machine/ring.h"
#include "machine/link.h"
#include "machine/membership.h"
#include "common/kernel.h"
#include "relay/coalesce.h"
#include "wire/packet.h"
#include "relay/prefetch.h"

// As mcrd's: machine/ring.c, relay/ingress.h, relay/forward.h.
#define RING_SIZE   (16u << 20)
#define SLOT_SIZE   1664u // at an MTU of 1500
#define BUDGET      256u  // frames of a pass; V3 ends it at a block's end
#define BATCH       64u
#define BATCH_BYTES 65440u
#define BLOCK_KIB   256u
#define RETIRE_MS   1 // the least that the kernel takes
#define FLOWS_MAX   64
#define INDEX_SIZE  256u

struct header {
    struct virtio_net_hdr v;
    struct ethhdr ethernet;
    struct iphdr ip;
    struct udphdr udp;
} __attribute__((packed));

struct rule_state {
    uint32_t group; // network order, as the port
    uint16_t port;
    struct header header;
    unsigned n;
    size_t segment;
    struct iovec iov[1 + BATCH];
};

struct ring {
    int fd, version;
    uint8_t *at;
    uint32_t block_size, n_blocks, slots_per_block;
    uint32_t head; // next slot, or block
};

static struct rule_state flows[FLOWS_MAX], *flow_index[INDEX_SIZE], *pending[FLOWS_MAX];
static unsigned n_pending, n_flushed;
static int out;
static uint64_t n_datagrams, n_sends;

static void die(const char *what)
{
    fprintf(stderr, "ring: %s: %s\n", what, strerror(errno));
    exit(1);
}

// --- datagrams -------------------------------------------------------------------------------------------------------

// The flow's place in the index, or a free one.
static struct rule_state **find(uint32_t group, uint16_t port)
{
    uint32_t i = ((group ^ port) * UINT32_C(2654435761)) >> 24;

    while (flow_index[i] && (flow_index[i]->group != group || flow_index[i]->port != port))
        i = (i + 1) % INDEX_SIZE;
    return &flow_index[i];
}

// What cannot be sent is lost; the receiver counts.
static void send_batch(struct rule_state *f)
{
    struct header *h = &f->header;
    size_t udp_length = f->n * f->segment + sizeof(h->udp);
    uint16_t pseudo[2] = {htons(IPPROTO_UDP), htons((uint16_t) udp_length)};

    h->v.gso_type = f->n > 1 ? VIRTIO_NET_HDR_GSO_UDP_L4 : VIRTIO_NET_HDR_GSO_NONE;
    h->v.gso_size = f->n > 1 ? (uint16_t) f->segment : 0;
    h->ip.tot_len = htons((uint16_t) (udp_length + sizeof(h->ip)));
    h->ip.id = htons((uint16_t) n_datagrams);
    h->ip.check = 0;
    h->ip.check = (uint16_t) ~packet_sum(0, &h->ip, sizeof(h->ip));
    h->udp.len = pseudo[1];
    h->udp.check = packet_sum(packet_sum(0, &h->ip.saddr, 8), pseudo, sizeof(pseudo));
    n_datagrams += f->n;
    n_sends++;
    (void) !writev(out, f->iov, (int) f->n + 1);
    f->n = 0;
}

static void take(uint8_t *frame, size_t length)
{
    struct iphdr ip;
    struct udphdr udp;

    if (length < ETH_HLEN + sizeof(ip) + sizeof(udp))
        return;
    memcpy(&ip, frame + ETH_HLEN, sizeof(ip));
    size_t at = ETH_HLEN + ip.ihl * 4u + sizeof(udp);
    if (ip.ihl < 5 || length < at || ip.protocol != IPPROTO_UDP || (ip.frag_off & htons(IP_MF | IP_OFFMASK)) != 0)
        return;
    memcpy(&udp, frame + at - sizeof(udp), sizeof(udp));
    struct rule_state *f = *find(ip.daddr, udp.dest);
    size_t size = ntohs(udp.len) - sizeof(udp);
    prefetch_later(frame + at, length - at);
    if (!f || ntohs(udp.len) < sizeof(udp) || size > length - at)
        return;
    if (f->n > 0 && (size != f->segment || size == 0 || f->n == BATCH || (f->n + 1) * size > BATCH_BYTES))
        send_batch(f); // and stays pending
    else if (f->n == 0)
        pending[n_pending++] = f;
    f->segment = size;
    f->iov[++f->n] = (struct iovec){.iov_base = frame + at, .iov_len = size};
}

static void flush(void)
{
    for (unsigned i = 0; i < n_pending; i++)
        send_batch(pending[i]);
    n_flushed = n_pending;
    n_pending = 0;
}

// --- the ring --------------------------------------------------------------------------------------------------------

static struct tpacket2_hdr *slot_at(const struct ring *r, uint32_t i)
{
    i %= r->n_blocks * r->slots_per_block;
    return (void *) (r->at + (size_t) (i / r->slots_per_block) * r->block_size + i % r->slots_per_block * SLOT_SIZE);
}

static struct tpacket_hdr_v1 *block_at(const struct ring *r, uint32_t i)
{
    return &((struct tpacket_block_desc *) (void *) (r->at + (size_t) (i % r->n_blocks) * r->block_size))->hdr.bh1;
}

// Each returns how many frames it has taken.
static uint32_t pass_v2(struct ring *r)
{
    uint32_t first = r->head, n = 0;

    for (; n < BUDGET; n++) {
        struct tpacket2_hdr *s = slot_at(r, first + n);
        if (!(__atomic_load_n(&s->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            break;
        for (uint32_t line = 0; line < 2; line++)
            prefetch_soon((uint8_t *) slot_at(r, first + n + 3) + line * PREFETCH_LINE);
        if (s->tp_snaplen == s->tp_len)
            take((uint8_t *) s + s->tp_mac, s->tp_len);
    }
    flush();
    for (uint32_t i = 0; i < n; i++)
        __atomic_store_n(&slot_at(r, first + i)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    r->head = (first + n) % (r->n_blocks * r->slots_per_block);
    return n;
}

static uint32_t pass_v3(struct ring *r)
{
    uint32_t first = r->head, n = 0, blocks = 0;

    for (; n < BUDGET && blocks < r->n_blocks; blocks++) {
        struct tpacket_hdr_v1 *b = block_at(r, first + blocks);
        if (!(__atomic_load_n(&b->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            break;
        uint8_t *at = (uint8_t *) b - offsetof(struct tpacket_block_desc, hdr) + b->offset_to_first_pkt;
        for (uint32_t i = 0; i < b->num_pkts; i++) {
            const struct tpacket3_hdr *s = (void *) at;
            for (uint32_t line = 0; line < 2; line++)
                prefetch_soon(at + 3 * s->tp_next_offset + line * PREFETCH_LINE); // frames of one size
            if (s->tp_snaplen == s->tp_len)
                take(at + s->tp_mac, s->tp_len);
            at += s->tp_next_offset;
        }
        n += b->num_pkts;
    }
    flush();
    for (uint32_t i = 0; i < blocks; i++)
        __atomic_store_n(&block_at(r, first + i)->block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    r->head = (first + blocks) % r->n_blocks;
    return n;
}

static void open_ring(struct ring *r, int version, uint32_t block_size, uint32_t ifindex, struct ring_filter *filter)
{
    struct sockaddr_ll where = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int) ifindex};
    int one = 1;

    *r = (struct ring){.block_size = block_size,
                       .n_blocks = RING_SIZE / block_size,
                       .slots_per_block = block_size / SLOT_SIZE,
                       .version = version,
                       .fd = socket(AF_PACKET, SOCK_RAW, 0)};
    // V2 takes the beginning of it.
    struct tpacket_req3 memory = {.tp_block_size = block_size,
                                  .tp_block_nr = r->n_blocks,
                                  .tp_frame_size = SLOT_SIZE,
                                  .tp_frame_nr = r->n_blocks * r->slots_per_block,
                                  .tp_retire_blk_tov = RETIRE_MS};
    size_t size = (size_t) r->n_blocks * block_size;
    if (r->fd < 0 || setsockopt(r->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0 ||
        setsockopt(r->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0 ||
        !ring_set_filter(r->fd, filter) ||
        setsockopt(r->fd, SOL_PACKET, PACKET_RX_RING, &memory, sizeof(memory)) != 0 ||
        (r->at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0)) == MAP_FAILED ||
        bind(r->fd, (struct sockaddr *) &where, sizeof(where)) != 0)
        die("ring");
}

// --- the rest --------------------------------------------------------------------------------------------------------

// "GROUP:PORT"; the text is cut at the colon.
static struct filter_key parse(char *text)
{
    char *colon = strchr(text, ':');
    struct filter_key k = {.port = colon ? (uint16_t) atoi(colon + 1) : 0};

    if (colon)
        *colon = '\0';
    if (!colon || !addr_parse(text, &k.address) || k.address.family != ADDR_IPV4) {
        errno = EINVAL;
        die(text);
    }
    return k;
}

static struct filter_key open_flow(struct rule_state *f, const struct link *link, char *text)
{
    char *output = strchr(text, '=');

    if (output)
        *output++ = '\0';
    struct filter_key in = parse(text), to = parse(output ? output : text);
    struct table_output t = {.to = to.address, .port = to.port};
    header_write(&t, link->mac, &link->ipv4, to.port);
    memcpy((uint8_t *) &f->header + sizeof(f->header.v), t.header, t.header_length);
    f->header.ip.ttl = 1;
    f->header.v = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                          .hdr_len = t.header_length,
                                          .csum_start = ETH_HLEN + sizeof(struct iphdr),
                                          .csum_offset = offsetof(struct udphdr, check)};
    f->iov[0] = (struct iovec){.iov_base = &f->header, .iov_len = sizeof(f->header)};
    memcpy(&f->group, in.address.bytes, sizeof(f->group));
    f->port = htons(in.port);
    *find(f->group, f->port) = f;
    return in;
}

static void answer(int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof(info)) > 0)
        printf("%.1f\n", n_sends ? (double) n_datagrams / (double) n_sends : 0.);
    fflush(stdout);
}

// frames: to wait for; 0: as mcrd does.
static uint64_t wait_ns(struct coalesce *pace, uint32_t n, uint32_t n_flows, uint32_t frames, uint64_t most_ns)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t wait = coalesce_turn(pace, n, n_flows, most_ns, (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec);
    if (n >= BUDGET || pace->rate < PACE_FROM)
        return 0;
    uint64_t gather = frames * NS_PER_S / pace->rate;
    return frames == 0 ? wait : gather < most_ns ? gather : most_ns;
}

static void relay(struct ring *r, uint32_t frames, uint64_t most_ns, int signals)
{
    struct coalesce pace = {.rate = 0};
    int epoll = epoll_create1(0), fds[] = {r->fd, signals};

    for (int i = 0; i < 2; i++)
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &(struct epoll_event){.events = EPOLLIN, .data.fd = fds[i]}) != 0)
            die("epoll_ctl");
    for (;;) {
        struct epoll_event e = {.data.fd = -1};
        if (epoll_wait(epoll, &e, 1, -1) == 1 && e.data.fd == signals)
            answer(signals);
        uint32_t n = r->version == TPACKET_V3 ? pass_v3(r) : pass_v2(r);
        uint64_t wait = r->version == TPACKET_V3 ? 0 : wait_ns(&pace, n, n_flushed, frames, most_ns);
        if (wait > 0)
            nanosleep(&(struct timespec){.tv_nsec = (long) wait}, NULL);
    }
}

int main(int argc, char *argv[])
{
    struct ring r;
    sigset_t signals;
    struct link links[2] = {{.ifindex = 0}};
    struct filter_key keys[FLOWS_MAX];
    const char *step = "no such interface";
    struct memberships joined;
    bool gso;

    memberships_init(&joined);
    if (argc < 6 || argc - 5 > FLOWS_MAX || (*argv[1] != '2' && *argv[1] != '3')) {
        fprintf(stderr,
                "usage: ring 2[:FRAMES]|3[:KIB] IN-INTERFACE OUT-INTERFACE WAIT-USECS "
                "GROUP:PORT=GROUP:PORT...\n");
        return 2;
    }
    int version = *argv[1] == '3' ? TPACKET_V3 : TPACKET_V2;
    uint32_t number = argv[1][1] == ':' ? (uint32_t) atoi(argv[1] + 2) : 0; // 0: the usual one
    uint32_t kib = version == TPACKET_V3 && number > 0 ? number : BLOCK_KIB;
    for (int i = 0; i < 2; i++)
        snprintf(links[i].name, sizeof(links[i].name), "%s", argv[2 + i]);
    if (!link_query(links, 2) || links[0].ifindex == 0 || links[1].ifindex == 0)
        die(step);
    struct output_address to = {.ifindex = links[1].ifindex};
    if ((out = output_open(REGISTRY_FRAME, &to, 0, &gso, &step)) < 0)
        die(step);
    struct ring_filter filter = {.keys = keys, .n = (size_t) argc - 5, .ethernet = true};
    for (size_t i = 0; i < filter.n; i++) {
        keys[i] = open_flow(&flows[i], &links[1], argv[5 + i]);
        if (!memberships_want(&joined, links[0].ifindex, &keys[i].address, NULL, false))
            die("membership");
    }
    open_ring(&r, version, kib << 10, links[0].ifindex, &filter);
    // As in relay.c: waits are shorter than the 50 us by which the kernel may put a wake-up off.
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    puts("ready");
    fflush(stdout);
    relay(&r, number, (uint64_t) atoi(argv[4]) * 1000u, signalfd(-1, &signals, 0));
}
