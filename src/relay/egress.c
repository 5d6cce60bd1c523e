// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/egress.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/kernel.h"
#include "log/log.h"
#include "wire/header.h"

_Static_assert(TABLE_BURST_MAX == BATCH_DATAGRAMS, "an output without a burst of its own takes whole batches");

// Datagrams that one system call sends.
struct shipment {
    struct iovec *iov; // iov[0] is reserved for headers
    uint32_t n_pieces; // from iov[1] on
    uint32_t n_datagrams;
    size_t segment;
    struct header_fill fill; // of the headers
    bool plain;              // socket mode: send without UDP_SEGMENT
    bool more;               // other datagrams follow at once
};

void egress_init(struct egress *e, uint64_t id, int fd)
{
    *e = (struct egress){.id = id, .fd = fd, .gso = true, .dscp = -1, .ttl = -1, .segment = -1};
}

void egress_close(struct egress *e)
{
    tx_ring_free(e->ring);
    close(e->fd);
}

void egress_configure(struct egress *e, const struct table_egress *t, struct tx_ring *queue)
{
    e->queue = queue;
    e->kind = t->kind;
    e->mtu = t->mtu;
    e->trust = EGRESS_SURE;
    // GSO stays off once the kernel has refused it (egress_send()).
    e->gso = e->gso && (t->flags & TABLE_EGRESS_GSO);
}

// Returns whether a datagram fits one packet. The kernel fragments for UDP sockets, but not if mcr writes the IP
// header.
static bool fits(const struct egress *e, const struct table_output *o, size_t payload)
{
    return payload + header_ip_size(o) + sizeof(struct udphdr) <= e->mtu;
}

// --- headers that mcr writes -----------------------------------------------------------------------------------------

static void write_header(struct egress *e, const struct table_output *o, struct shipment *s, uint8_t *header)
{
    if (o->to.family == ADDR_IPV4) {
        // The kernel replaces 0 in each raw packet by another identification, even in the fragments of one datagram.
        if ((uint16_t) e->identification == 0)
            e->identification++;
        s->fill.identification = (uint16_t) e->identification;
        e->identification += s->n_datagrams;
    }
    header_fill(o, &s->fill, header);
}

static ssize_t put(struct egress *e, const struct table_output *o, const struct iovec *iov, int n)
{
    return e->take ? e->take(e, o, iov, n) : writev(e->fd, iov, n);
}

// Writes the virtio_net_hdr and the headers of a frame. linear: bytes of the frame that the kernel keeps contiguous
// (hdr_len of virtio_net_hdr). Returns the bytes written.
static size_t write_lead(struct egress *e, const struct table_output *o, struct shipment *s, size_t linear, uint8_t *at)
{
    struct virtio_net_hdr v = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = (uint16_t) (o->ip_at + header_ip_size(o)),
        .csum_offset = offsetof(struct udphdr, check),
        .hdr_len = (uint16_t) linear,
    };

    if (s->n_datagrams > 1) {
        v.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        v.gso_size = (uint16_t) s->segment;
    }
    memcpy(at, &v, sizeof(v));
    write_header(e, o, s, at + sizeof(v));
    return sizeof(v) + o->header_length;
}

static ssize_t send_frame(struct egress *e, const struct table_output *o, struct shipment *s)
{
    uint8_t block[sizeof(struct virtio_net_hdr) + TABLE_HEADER_MAX];
    size_t lead = write_lead(e, o, s, s->n_datagrams > 1 ? o->header_length : 0, block);

    s->iov[0] = (struct iovec){.iov_base = block, .iov_len = lead};
    return put(e, o, s->iov, (int) s->n_pieces + 1);
}

const char *refusal_hint(int error)
{
    return error == ENOBUFS ? ": the queue is full, or nftables drops it (egress)"
           : error == EPERM ? ": nftables drops it (output)"
                            : "";
}

void refusals_note(struct refusals *refusals, const struct table_output *o, uint32_t n, int error)
{
    if (!refusals)
        return;
    struct refusal *r = &refusals->of[o->counter];
    r->n += n;
    r->error = error;
    r->to = o->to;
    r->port = o->port;
    refusals->any = true;
}

static void note_run(struct stats_output_counters *counters, uint32_t n)
{
    if (n > counters->largest_run)
        counters->largest_run = n;
}

// Writes one datagram, whose payload is one piece, into the transmit ring. Returns false if it must leave by its own
// call.
static bool enqueue(struct egress *e, const struct table_output *o, struct shipment *s,
                    struct stats_output_counters *counters)
{
    struct tx_frame frame = {
        .length = sizeof(struct virtio_net_hdr) + o->header_length + s->fill.bytes,
        .payload = s->fill.bytes,
        .output = o,
        .counters = counters,
    };
    // Of one output no more than its burst leave by one call.
    uint32_t run = tx_ring_run(e->queue, counters);
    if (run >= o->burst) {
        egress_flush(e);
        run = 0;
    }
    frame.run = run + 1;
    uint8_t *room = tx_ring_room(e->queue, frame.length);
    if (!room)
        return false;
    // The whole frame is linear, because the peer of a veth, or software segmentation, would copy it again otherwise.
    size_t lead = write_lead(e, o, s, o->header_length + s->fill.bytes, room);
    if (s->fill.bytes > 0)
        memcpy(room + lead, s->iov[1].iov_base, s->fill.bytes);
    tx_ring_add(e->queue, &frame);
    note_run(counters, frame.run);
    return true;
}

// Returns whether mcr writes the IP header.
static bool writes_ip(const struct egress *e)
{
    return e->kind == TABLE_EGRESS_FRAME || e->kind == TABLE_EGRESS_RAW;
}

// Sends one datagram that exceeds the link's MTU as fragments. The kernel does not fragment if mcr writes the IP
// header.
static ssize_t send_fragments(struct egress *e, const struct table_output *o, struct shipment *s)
{
    struct virtio_net_hdr v = {.flags = 0};
    size_t lead = e->kind == TABLE_EGRESS_FRAME ? sizeof(v) : 0;
    size_t ip_size = header_ip_size(o) + (o->to.family == ADDR_IPV6 ? HEADER_FRAGMENT_SIZE : 0);
    size_t total = s->fill.bytes + sizeof(struct udphdr),
           most = e->mtu > ip_size ? (e->mtu - ip_size) & ~(size_t) 7 : 0;
    uint8_t header[TABLE_HEADER_MAX],
        block[sizeof(v) + TABLE_HEADER_MAX + HEADER_FRAGMENT_SIZE + sizeof(struct udphdr)];
    uint32_t id = e->identification;
    const uint8_t *payload = s->iov[1].iov_base;

    if (most < 8 * sizeof(struct udphdr)) {
        errno = EMSGSIZE;
        return -1;
    }
    write_header(e, o, s, header);
    header_checksum(header + o->ip_at + header_ip_size(o), &s->iov[1]);
    if (o->to.family == ADDR_IPV6)
        e->identification++;
    memcpy(block, &v, sizeof(v));
    for (size_t offset = 0; offset < total;) {
        size_t length = total - offset < most ? total - offset : most;
        size_t udp = offset == 0 ? sizeof(struct udphdr) : 0;
        memcpy(block + lead, header, o->ip_at + header_ip_size(o));
        size_t used = lead + o->ip_at;
        used += header_fragment(o, block + used, id, offset, length, offset + length < total);
        memcpy(block + used, header + o->ip_at + header_ip_size(o), udp);
        struct iovec iov[2] = {{.iov_base = block, .iov_len = used + udp},
                               {.iov_base = (void *) payload, .iov_len = length - udp}};
        if (put(e, o, iov, 2) < 0)
            return -1;
        payload += length - udp;
        offset += length;
    }
    return (ssize_t) total;
}

// --- socket mode -----------------------------------------------------------------------------------------------------

static bool set_if_changed(int fd, int *present, int value, int level, int name)
{
    if (*present == value)
        return true;
    if (setsockopt(fd, level, name, &value, sizeof(value)) != 0)
        return false;
    *present = value;
    return true;
}

// Names of the socket options in each family.
struct names {
    int level, dscp, unicast_ttl, multicast_ttl;
};
static const struct names names_ipv4 = {IPPROTO_IP, IP_TOS, IP_TTL, IP_MULTICAST_TTL};
static const struct names names_ipv6 = {IPPROTO_IPV6, IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS};

static bool apply_settings(struct egress *e, const struct table_output *o, struct shipment *s)
{
    const struct names *n = o->to.family == ADDR_IPV4 ? &names_ipv4 : &names_ipv6;
    // No segment may exceed the link's MTU. A single datagram is sent without UDP_SEGMENT, because kernels before 5.1
    // lose it otherwise.
    int segment = !s->plain && e->gso && s->n_datagrams > 1 && fits(e, o, s->segment) ? (int) s->segment : 0;

    return set_if_changed(e->fd, &e->dscp, s->fill.dscp << 2, n->level, n->dscp) &&
           set_if_changed(e->fd, &e->ttl, s->fill.ttl, n->level,
                          addr_is_multicast(&o->to) ? n->multicast_ttl : n->unicast_ttl) &&
           (!e->gso || set_if_changed(e->fd, &e->segment, segment, IPPROTO_UDP, UDP_SEGMENT));
}

static ssize_t send_socket(struct egress *e, const struct table_output *o, struct shipment *s)
{
    if (!apply_settings(e, o, s))
        return -1;
    // An empty writev() does not reach the socket; an empty write() sends an empty datagram.
    return s->fill.bytes == 0 ? write(e->fd, "", 0) : writev(e->fd, s->iov + 1, (int) s->n_pieces);
}

// RAW: mcr writes both headers. RAW_UDP: mcr writes the UDP header; the kernel writes the IP header with the socket's
// addresses, ttl and dscp, and fragments.
static ssize_t send_raw(struct egress *e, const struct table_output *o, struct shipment *s)
{
    uint8_t header[TABLE_HEADER_MAX];
    size_t left_out = writes_ip(e) ? 0 : header_ip_size(o);

    if (!writes_ip(e) && !apply_settings(e, o, s))
        return -1;
    write_header(e, o, s, header);
    header_checksum(header + header_ip_size(o), &s->iov[1]);
    s->iov[0] = (struct iovec){.iov_base = header + left_out, .iov_len = o->header_length - left_out};
    return put(e, o, s->iov, 2);
}

// --- both ------------------------------------------------------------------------------------------------------------

static ssize_t send_once(struct egress *e, const struct table_output *o, struct shipment *s)
{
    if (writes_ip(e) && !fits(e, o, s->fill.bytes) && s->n_datagrams == 1)
        return send_fragments(e, o, s);
    switch (e->kind) {
    case TABLE_EGRESS_FRAME:
        return send_frame(e, o, s);
    case TABLE_EGRESS_RAW:
    case TABLE_EGRESS_RAW_UDP:
        return send_raw(e, o, s);
    case TABLE_EGRESS_TX_RING: // never an output's egress
    case TABLE_EGRESS_SOCKET:
        break;
    }
    return send_socket(e, o, s);
}

static bool may_wait(const struct egress *e, const struct table_output *o, struct shipment *s)
{
    return e->queue && e->trust == EGRESS_SURE && s->n_datagrams == 1 && fits(e, o, s->fill.bytes) &&
           (s->more || tx_ring_waiting(e->queue) > 0);
}

static bool ship(struct egress *e, const struct table_output *o, struct shipment *s,
                 struct stats_output_counters *counters)
{
    ssize_t n = 0;

    if (!may_wait(e, o, s) || !enqueue(e, o, s, counters)) {
        egress_flush(e); // keeps the order: frames that wait leave first
        n = send_once(e, o, s);
    }

    // Try again after an ICMP error: the kernel reports that of an earlier datagram once, and does not send this one.
    // The errors excluded here are no ICMP errors.
    if (n < 0 && e->kind != TABLE_EGRESS_FRAME && errno != EAGAIN && errno != ENOBUFS && errno != EINVAL &&
        errno != EIO) {
        int answer = errno;
        n = send_once(e, o, s);
        if (n >= 0) {
            counters->unreachable++;
            refusals_note(e->refusals, o, 1, answer);
        }
    }
    if (n >= 0) {
        counters->packets += s->n_datagrams;
        counters->bytes += s->fill.bytes;
        note_run(counters, s->n_datagrams);
        return true;
    }
    return false;
}

static void count_failure(struct egress *e, const struct table_output *o, struct stats_output_counters *counters,
                          uint32_t n)
{
    if (errno == EMSGSIZE) {
        counters->too_big += n;
        return;
    }
    counters->errors += n;
    refusals_note(e->refusals, o, n, errno);
}

// Sends each datagram of the batch separately. together: frames may wait in the transmit ring, which one call sends.
// Returns whether any datagram was sent or waits.
static bool send_one_by_one(struct egress *e, const struct table_output *o, const struct batch *b, struct shipment *s,
                            bool together, struct stats_output_counters *counters)
{
    struct iovec iov[2];
    bool any = false;
    uint32_t left = b->n_datagrams;

    s->iov = iov;
    s->n_pieces = 1;
    s->n_datagrams = 1;
    s->plain = true;
    s->more = together;
    for (uint32_t i = 1; left > 0 && i <= b->n_pieces; i++) {
        size_t at = 0;
        do {
            size_t rest = b->pieces[i].iov_len - at;
            s->fill.bytes = rest < b->segment ? rest : b->segment;
            iov[1] = (struct iovec){.iov_base = (uint8_t *) b->pieces[i].iov_base + at, .iov_len = s->fill.bytes};
            if (ship(e, o, s, counters))
                any = true;
            else
                count_failure(e, o, counters, 1);
            at += s->fill.bytes;
            left--;
        } while (at < b->pieces[i].iov_len);
    }
    return any;
}

bool egress_waits(const struct egress *e)
{
    return e->queue && tx_ring_waiting(e->queue) > 0;
}

void egress_flush(struct egress *e)
{
    struct tx_frame f;

    if (!egress_waits(e) || tx_ring_send(e->queue))
        return;
    // Each frame that is left is sent by its own call, whose errno says why it fails.
    while (tx_ring_take_back(e->queue, &f)) {
        struct iovec iov = {.iov_base = (void *) f.bytes, .iov_len = f.length};
        if (put(e, f.output, &iov, 1) >= 0)
            continue;
        f.counters->packets--;
        f.counters->bytes -= f.payload;
        count_failure(e, f.output, f.counters, 1);
    }
}

// Sends a batch of no more than o->burst datagrams.
static void send_whole(struct egress *e, const struct table_output *o, struct batch *b,
                       struct stats_output_counters *counters, bool more)
{
    struct shipment s = {
        .iov = b->pieces,
        .n_pieces = b->n_pieces,
        .n_datagrams = b->n_datagrams,
        .segment = b->segment,
        .fill = {.source = &b->source,
                 .source_port = b->source_port,
                 .dscp = o->dscp == TABLE_DSCP_PRESERVE ? b->dscp : o->dscp,
                 .ttl = o->ttl == 0 ? (uint8_t) (b->ttl - 1) : o->ttl,
                 .bytes = b->bytes},
        .more = more,
    };

    // If datagrams of b->segment bytes do not fit, the last one, which may be shorter, still may.
    if ((b->n_datagrams > 1 && !e->gso) || !fits(e, o, b->segment)) {
        send_one_by_one(e, o, b, &s, true, counters);
        return;
    }
    if (ship(e, o, &s, counters))
        return;
    // EMSGSIZE (EINVAL before Linux 6.14): the route's MTU is below the link's, and the kernel does not fragment
    // segments. It fragments single datagrams.
    if (b->n_datagrams == 1 || (errno != EINVAL && errno != EIO && errno != EMSGSIZE)) {
        count_failure(e, o, counters, b->n_datagrams);
        return;
    }
    // EINVAL: the kernel has no UDP GSO for this socket. EIO: it has none without checksum offload. GSO is the cause if
    // the same datagrams leave one by one, so frames must not wait here: only sent ones prove it.
    bool together = errno == EMSGSIZE;
    if (send_one_by_one(e, o, b, &s, together, counters) && !together) {
        e->gso = false;
        e->segment = -1;
        if (e->kind == TABLE_EGRESS_SOCKET)
            set_if_changed(e->fd, &e->segment, 0, IPPROTO_UDP, UDP_SEGMENT);
        log_warn(EVENT_GSO_MISSING, "mode=%s reason=\"the kernel takes no UDP GSO here; sending one by one\"",
                 e->kind == TABLE_EGRESS_FRAME ? "frame" : "socket");
    }
}

// Sends a batch in parts of o->burst datagrams.
static void send_in_parts(struct egress *e, const struct table_output *o, const struct batch *b,
                          struct stats_output_counters *counters, bool more)
{
    const struct batch empty = {
        .segment = b->segment, .dscp = b->dscp, .ttl = b->ttl, .source = b->source, .source_port = b->source_port};
    struct batch part = empty;
    uint32_t left = b->n_datagrams;

    for (uint32_t i = 1; i <= b->n_pieces; i++)
        for (size_t at = 0; at < b->pieces[i].iov_len;) {
            size_t rest = b->pieces[i].iov_len - at, room = (o->burst - part.n_datagrams) * b->segment;
            size_t bytes = rest < room ? rest : room;
            uint32_t n = (uint32_t) ((bytes + b->segment - 1) / b->segment);
            part.pieces[++part.n_pieces] = (struct iovec){(uint8_t *) b->pieces[i].iov_base + at, bytes};
            part.n_datagrams += n;
            part.bytes += bytes;
            at += bytes;
            left -= n;
            if (part.n_datagrams < o->burst && left > 0)
                continue;
            send_whole(e, o, &part, counters, more || left > 0);
            part = empty;
        }
}

void egress_send(struct egress *e, const struct table_output *o, struct batch *b,
                 struct stats_output_counters *counters, bool more)
{
    if (!e || e->trust >= EGRESS_DOUBTED)
        counters->errors += b->n_datagrams;
    else if (o->ttl == 0 && b->ttl <= 1)
        counters->expired += b->n_datagrams;
    else if (b->n_datagrams > o->burst)
        send_in_parts(e, o, b, counters, more);
    else
        send_whole(e, o, b, counters, more);
}
