// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/ingress.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/kernel.h"
#include "relay/prefetch.h"
#include "relay/station.h"

// Largest super-frame: a link header and an IP packet of 64 KiB (GSO_LEGACY_MAX_SIZE).
#define SPILL_FRAME (sizeof(struct virtio_net_hdr) + 65536 + 64)
#define SPILL_COUNT 64

// By how much a stamp may be ahead of the time of the turn.
#define STEP_NS NS_PER_S

// How many slots ahead prefetch_ahead() fetches.
#define SLOTS_AHEAD 3

struct ingress_spill {
    uint32_t used;
    uint8_t frames[SPILL_COUNT][SPILL_FRAME];
};

struct ingress_spill *ingress_spill_new(void)
{
    return calloc(1, sizeof(struct ingress_spill));
}

static struct tpacket2_hdr *slot_at(const struct ingress *in, uint32_t i)
{
    size_t at =
        (size_t) (i / in->slots_per_block) * in->block_size + (size_t) (i % in->slots_per_block) * in->slot_size;

    return (struct tpacket2_hdr *) (void *) (in->ring + at);
}

// Whether the kernel has filled this slot.
static bool is_filled(const struct tpacket2_hdr *slot)
{
    return __atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

// --- where to go on in a ring of unknown past ------------------------------------------------------------------------

static uint32_t before(const struct ingress *in, uint32_t i)
{
    return i == 0 ? in->n_slots - 1 : i - 1;
}

// When the kernel received the frame, CLOCK_REALTIME.
static uint64_t stamp_of(const struct tpacket2_hdr *slot)
{
    return slot->tp_sec * NS_PER_S + slot->tp_nsec;
}

// Returns the slot with the oldest frame, by the stamps, which stay in slots that were given back: where they fall most
// from one slot to the next. Processors that receive at once make small falls.
static uint32_t oldest_by_stamp(const struct ingress *in)
{
    uint32_t oldest = 0;
    uint64_t most = 0, last = stamp_of(slot_at(in, in->n_slots - 1));

    for (uint32_t i = 0; i < in->n_slots; i++) {
        uint64_t stamp = stamp_of(slot_at(in, i));
        if (stamp < last && last - stamp > most) {
            most = last - stamp;
            oldest = i;
        }
        last = stamp;
    }
    return oldest;
}

// The kernel fills the slots in turn, so those that are filled are one run of the circle: the head is its first. If
// none is filled, or all are, it is where the stamps begin. The kernel may go on meanwhile: the run then grows at its
// end only.
uint32_t ingress_resume(struct ingress *in)
{
    uint32_t some = 0, waiting = 0, run = 0;

    for (uint32_t i = 0; i < in->n_slots; i++)
        if (is_filled(slot_at(in, i))) {
            some = i;
            waiting++;
        }
    for (; waiting > 0 && run < in->n_slots && is_filled(slot_at(in, before(in, some))); run++)
        some = before(in, some);
    in->head = waiting > 0 && run < in->n_slots ? some : oldest_by_stamp(in);
    // A frame may have come while the stamps were compared.
    for (run = 0; waiting == 0 && run < in->n_slots && is_filled(slot_at(in, before(in, in->head))); run++)
        in->head = before(in, in->head);
    return waiting;
}

bool ingress_init(struct ingress *in, uint64_t id, int fd, const struct table_interface *t)
{
    *in = (struct ingress){
        .id = id,
        .fd = fd,
        .slot_size = t->slot_size,
        .n_slots = t->n_slots,
        .block_size = t->block_size,
        .slots_per_block = t->block_size / t->slot_size,
        .ethernet = t->link == TABLE_LINK_ETHERNET,
        .super_frames = t->super_frames == 1,
    };
    in->ring_size = (size_t) (t->n_slots / in->slots_per_block) * t->block_size;
    in->reassembly = reassembly_new();
    if (!in->reassembly)
        return false;
    in->ring = mmap(NULL, in->ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (in->ring != MAP_FAILED)
        return true;
    reassembly_free(in->reassembly);
    return false;
}

void ingress_close(struct ingress *in)
{
    reassembly_free(in->reassembly);
    munmap(in->ring, in->ring_size);
}

// A frame in its slot or in the spill.
struct frame {
    const uint8_t *bytes;
    size_t length;
    struct virtio_net_hdr v; // zero if the ring has none
};

// Reads the next frame of the socket's queue. The socket reports a link error (ENETDOWN) once in place of a frame;
// another read keeps the queue in step with the slots.
static ssize_t read_queued(const struct ingress *in, void *room)
{
    ssize_t n = -1;

    for (int tries = 0; tries < 4 && (n = read(in->fd, room, SPILL_FRAME)) < 0 && errno != EAGAIN; tries++)
        ;
    return n;
}

// Reads a frame that exceeds its slot from the socket's queue, in which the kernel has put the whole frame.
static bool read_spilled(struct ingress *in, struct forward *f, struct ingress_spill *spill, struct frame *out)
{
    if (spill->used == SPILL_COUNT) {
        forward_flush(f);
        spill->used = 0;
    }
    uint8_t *room = spill->frames[spill->used];
    ssize_t n = read_queued(in, room);
    if (n < (ssize_t) sizeof(out->v))
        return false;
    spill->used++;
    memcpy(&out->v, room, sizeof(out->v));
    out->bytes = room + sizeof(out->v);
    out->length = (size_t) n - sizeof(out->v);
    return true;
}

// Sets out to the frame of the slot. Checks offsets and lengths although the kernel has written them.
static bool take_frame(struct ingress *in, struct forward *f, struct ingress_spill *spill,
                       const struct tpacket2_hdr *slot, struct frame *out)
{
    if (slot->tp_status & TP_STATUS_COPY)
        return read_spilled(in, f, spill, out);
    if (slot->tp_snaplen < slot->tp_len)
        return false;
    size_t mac = slot->tp_mac, length = slot->tp_snaplen;
    if (mac < sizeof(out->v) || mac > in->slot_size || length > in->slot_size - mac)
        return false;
    out->bytes = (const uint8_t *) slot + mac;
    out->length = length;
    if (in->super_frames)
        memcpy(&out->v, out->bytes - sizeof(out->v), sizeof(out->v));
    return true;
}

static struct packet_meta meta_of(const struct ingress *in, const struct tpacket2_hdr *slot,
                                  const struct virtio_net_hdr *v)
{
    struct packet_meta m = {.ethernet = in->ethernet};

    if (slot->tp_status & TP_STATUS_VLAN_VALID)
        m.vlan = slot->tp_vlan_tci & 0xfff; // IEEE 802.1Q: 0 is a priority tag without a VLAN
    // A service tag (802.1ad) becomes a VLAN number above 4095, which no rule can have.
    if ((slot->tp_status & TP_STATUS_VLAN_TPID_VALID) && slot->tp_vlan_tpid != ETH_P_8021Q)
        m.vlan |= 0x1000;
    if ((v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4)
        m.segment = v->gso_size;
    m.checksum_vouched = (slot->tp_status & (TP_STATUS_CSUMNOTREADY | TP_STATUS_CSUM_VALID)) != 0;
    return m;
}

// Estimates the number of datagrams in a truncated frame from the headers in its slot.
static uint32_t count_truncated(const struct ingress *in, const struct tpacket2_hdr *slot)
{
    struct virtio_net_hdr v;
    size_t mac = slot->tp_mac, ip = mac + (in->ethernet ? 14u : 0u);

    if (!in->super_frames || mac < sizeof(v) || ip + 1 > in->slot_size || slot->tp_snaplen < ip - mac + 1)
        return 1;
    memcpy(&v, (const uint8_t *) slot + mac - sizeof(v), sizeof(v));
    uint8_t first = ((const uint8_t *) slot)[ip];
    size_t headers = ip - mac + (first >> 4 == 6 ? 40u : (first & 15u) * 4u) + 8;
    if ((v.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_UDP_L4 || v.gso_size == 0 ||
        slot->tp_len <= headers)
        return 1;
    return (uint32_t) ((slot->tp_len - headers + v.gso_size - 1) / v.gso_size);
}

// Adds the fragment p. Returns the verdict on the datagram that it completes, or PACKET_FRAGMENT if it completes none.
static enum packet_verdict take_fragment(struct ingress *in, struct forward *f, struct packet *p,
                                         struct packet_meta *meta)
{
    if (reassembly_is_crowded(in->reassembly)) {
        forward_flush(f);
        reassembly_release(in->reassembly);
    }
    if (!reassembly_take(in->reassembly, p, f->now_ns, &in->counters))
        return PACKET_FRAGMENT;
    meta->checksum_vouched = false;
    return packet_parse_whole(p, p->payload, p->length, p->fragment.next);
}

void ingress_frame(struct ingress *in, struct forward *f, const uint8_t *bytes, size_t length, struct packet_meta meta,
                   uint8_t kind)
{
    struct stats_interface_counters *c = &in->counters;
    struct packet p = {.datagrams = 1};
    enum packet_verdict verdict = packet_parse(&p, bytes, length, &meta);
    bool ours = kind != PACKET_OUTGOING && kind != PACKET_OTHERHOST;
    if (verdict == PACKET_FRAGMENT && ours && (verdict = take_fragment(in, f, &p, &meta)) == PACKET_FRAGMENT)
        return;
    uint32_t n = verdict == PACKET_OK ? p.datagrams : 1;

    c->received += n;
    if (kind == PACKET_OUTGOING) {
        // These arrive only if the kernel lacks PACKET_IGNORE_OUTGOING.
        c->own += n;
        return;
    }
    if (verdict == PACKET_MALFORMED) {
        c->malformed++;
        return;
    }
    // Frames to other hosts arrive only if another program has made the interface promiscuous.
    if (verdict != PACKET_OK || kind == PACKET_OTHERHOST) {
        c->unmatched += n;
        return;
    }
    if (meta.ethernet && station_suspect(f->stations, bytes + STATION_AT) &&
        station_is_own(f->table, in->interface, bytes + STATION_AT, &p.source)) {
        c->own += n;
        in->looped += n;
        return;
    }
    switch (forward_packet(f, in->interface, &p, &meta)) {
    case FORWARD_TAKEN:
        break;
    case FORWARD_UNMATCHED:
        if (p.vlan != 0)
            c->vlan += n;
        else
            c->unmatched += n;
        break;
    case FORWARD_BAD_CHECKSUM:
        c->bad_checksum += n;
        break;
    case FORWARD_MARTIAN:
        c->martian += n;
        break;
    }
}

static void take_slot(struct ingress *in, struct forward *f, struct ingress_spill *spill,
                      const struct tpacket2_hdr *slot)
{
    const struct sockaddr_ll *from =
        (const void *) ((const uint8_t *) slot + TPACKET_ALIGN(sizeof(struct tpacket2_hdr)));
    struct frame frame = {.v = {0}};

    if (!take_frame(in, f, spill, slot, &frame)) {
        uint32_t lost = count_truncated(in, slot);
        in->counters.received += lost;
        in->counters.truncated += lost;
        return;
    }
    struct packet_meta meta = meta_of(in, slot, &frame.v);
    meta.stamp_ns = stamp_of(slot);
    ingress_frame(in, f, frame.bytes, frame.length, meta, from->sll_pkttype);
}

static void advance(struct ingress *in)
{
    in->head = in->head + 1 == in->n_slots ? 0 : in->head + 1;
}

static void give_back(struct tpacket2_hdr *slot)
{
    __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

// Returns the slot that is n behind the head.
static struct tpacket2_hdr *slot_behind(const struct ingress *in, uint32_t n)
{
    uint32_t at = in->head + n;

    return slot_at(in, at < in->n_slots ? at : at % in->n_slots);
}

// Fetches the header of a slot, and the headers of its frame, which follow it.
PREFETCH_INLINE void prefetch_slot(const struct tpacket2_hdr *slot)
{
    prefetch_soon(slot);
    prefetch_soon((const uint8_t *) slot + PREFETCH_LINE);
}

bool ingress_ready(const struct ingress *in)
{
    return is_filled(slot_at(in, in->head));
}

uint64_t ingress_next_stamp(const struct ingress *in)
{
    return stamp_of(slot_at(in, in->head));
}

uint64_t ingress_until(struct ingress *const *rings, size_t n, const struct ingress *in, const struct forward *f,
                       uint64_t now_ns)
{
    uint64_t until = UINT64_MAX;

    if (!f->merging[in->interface] || !ingress_ready(in) || ingress_next_stamp(in) > now_ns + STEP_NS)
        return until;
    for (size_t i = 0; i < n; i++)
        if (rings[i] != in && f->merging[rings[i]->interface] && ingress_ready(rings[i]) &&
            ingress_next_stamp(rings[i]) < until)
            until = ingress_next_stamp(rings[i]);
    return until < UINT64_MAX - INGRESS_AHEAD_NS ? until + INGRESS_AHEAD_NS : until;
}

uint32_t ingress_pass(struct ingress *in, struct forward *f, struct ingress_spill *spill, uint64_t until_ns)
{
    struct tpacket2_hdr *slots[INGRESS_BUDGET + SLOTS_AHEAD];
    uint32_t n = 0;

    for (uint32_t i = 0; i < SLOTS_AHEAD; i++)
        slots[i] = slot_behind(in, i);
    f->sends = 0;
    f->memory->in_pass = 1;
    in->more = false;
    while (!in->more && is_filled(slots[n])) {
        if (stamp_of(slots[n]) > until_ns) {
            in->more = true;
            break;
        }
        slots[n + SLOTS_AHEAD] = slot_behind(in, SLOTS_AHEAD);
        prefetch_slot(slots[n + SLOTS_AHEAD]);
        take_slot(in, f, spill, slots[n]);
        advance(in);
        n++;
        in->more = n == INGRESS_BUDGET || n == in->n_slots || f->sends >= INGRESS_SENDS;
    }
    in->taken += n;
    // The batches point into the slots, so the slots are returned only after the flush.
    forward_flush(f);
    reassembly_release(in->reassembly);
    spill->used = 0;
    for (uint32_t i = 0; i < n; i++)
        give_back(slots[i]);
    f->memory->in_pass = 0;
    return n;
}

void ingress_drain(struct ingress *in, struct forward *f, struct ingress_spill *spill)
{
    // At most n_slots frames, so that a sender cannot keep the loop here.
    for (uint32_t n = 0, some = 1; some > 0 && n < in->n_slots; n += some)
        some = ingress_pass(in, f, spill, UINT64_MAX);
}

void ingress_drop_queue(struct ingress *in, struct ingress_spill *spill)
{
    for (uint32_t n = 0; in->super_frames && n < in->n_slots && read_queued(in, spill->frames[0]) >= 0; n++)
        ;
}

void ingress_skip(struct ingress *in, struct ingress_spill *spill)
{
    struct tpacket2_hdr *slot;

    for (uint32_t n = 0; n < in->n_slots && is_filled(slot = slot_at(in, in->head)); n++) {
        // The socket's queue has the frames in the order of their slots, so drop one with its slot.
        if (slot->tp_status & TP_STATUS_COPY)
            read_queued(in, spill->frames[0]);
        give_back(slot);
        advance(in);
    }
}

bool ingress_count_drops(struct ingress *in, uint64_t now_ns)
{
    struct tpacket_stats s = {0};
    socklen_t length = sizeof(s);
    bool idle = in->taken == in->taken_then && !ingress_ready(in);

    in->taken_then = in->taken;
    if (getsockopt(in->fd, SOL_PACKET, PACKET_STATISTICS, &s, &length) == 0)
        in->counters.ring_drops += s.tp_drops;
    reassembly_expire(in->reassembly, now_ns, &in->counters);
    return idle && s.tp_drops > 0;
}
