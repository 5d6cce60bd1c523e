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

// The datagrams that one system call sends.
struct shipment {
    struct iovec *iov; // iov[0] is free for headers
    uint32_t n_pieces; // behind it
    uint32_t n_datagrams;
    size_t segment;
    struct header_fill fill; // of the headers
    bool plain;              // socket mode: without UDP_SEGMENT, whatever it is set to
    bool more;               // others follow at once
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
    // GSO stays off once the kernel has refused it (below).
    e->gso = e->gso && (t->flags & TABLE_EGRESS_GSO);
}

// Whether a datagram leaves in one packet. The kernel fragments for UDP sockets, but not if the IP
// header is ours.
static bool fits(const struct egress *e, const struct table_output *o, size_t payload)
{
    return payload + header_ip_size(o) + sizeof(struct udphdr) <= e->mtu;
}

// --- headers that we write ourselves ---------------------------------------------------------------------------------

static void write_header(struct egress *e, const struct table_output *o, struct shipment *s, uint8_t *header)
{
    if (o->to.family == ADDR_IPV4) {
        // The kernel replaces 0 by an identification of its own in each raw packet, fragments of one datagram included.
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

// Writes what comes before a frame's payload. linear: how many bytes of the frame the kernel keeps in one piece
// (virtio_net_hdr). Returns the size.
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

// Puts one datagram, which lies in one piece, into the transmit ring. False when it must leave by itself.
static bool enqueue(struct egress *e, const struct table_output *o, struct shipment *s,
                    struct stats_output_counters *counters)
{
    struct tx_frame frame = {
        .length = sizeof(struct virtio_net_hdr) + o->header_length + s->fill.bytes,
        .payload = s->fill.bytes,
        .output = o,
        .counters = counters,
    };
    uint8_t *room = tx_ring_room(e->queue, frame.length);

    if (!room)
        return false;
    // The whole frame is linear: otherwise a veth's other end, or software segmentation, would copy it once more.
    size_t lead = write_lead(e, o, s, o->header_length + s->fill.bytes, room);
    if (s->fill.bytes > 0)
        memcpy(room + lead, s->iov[1].iov_base, s->fill.bytes);
    tx_ring_add(e->queue, &frame);
    return true;
}

// Whether the IP header is ours.
static bool writes_ip(const struct egress *e)
{
    return e->kind == TABLE_EGRESS_FRAME || e->kind == TABLE_EGRESS_RAW;
}

// Sends one datagram that is larger than the link as fragments: the kernel does not do it where the IP header is ours.
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

// What the kernel calls these settings in each family.
struct names {
    int level, dscp, unicast_ttl, multicast_ttl;
};
static const struct names names_ipv4 = {IPPROTO_IP, IP_TOS, IP_TTL, IP_MULTICAST_TTL};
static const struct names names_ipv6 = {IPPROTO_IPV6, IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS};

static bool apply_settings(struct egress *e, const struct table_output *o, struct shipment *s)
{
    const struct names *n = o->to.family == ADDR_IPV4 ? &names_ipv4 : &names_ipv6;
    // No segment may exceed the link's MTU. A single datagram is sent without UDP_SEGMENT: before 5.1 the kernel loses
    // it otherwise.
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
    // writev() of nothing never reaches the socket; write() of nothing sends an empty datagram.
    return s->fill.bytes == 0 ? write(e->fd, "", 0) : writev(e->fd, s->iov + 1, (int) s->n_pieces);
}

// Raw: both headers are ours. Raw UDP: the UDP header is ours; the kernel writes the IP header: addresses of the
// socket, ttl, dscp, fragments.
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
    case TABLE_EGRESS_TX_RING: // no output's
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
        egress_flush(e); // what came before leaves before
        n = send_once(e, o, s);
    }

    // The kernel reports an ICMP error of an earlier datagram once, in place of sending this one. The errors excluded
    // here are no ICMP errors.
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

// Sends each datagram of the batch by itself; together: frames may wait for one call. Returns whether any was sent or
// waits.
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
    // Each of the others is sent by a call of its own, which tells why it fails.
    while (tx_ring_take_back(e->queue, &f)) {
        struct iovec iov = {.iov_base = (void *) f.bytes, .iov_len = f.length};
        if (put(e, f.output, &iov, 1) >= 0)
            continue;
        f.counters->packets--;
        f.counters->bytes -= f.payload;
        count_failure(e, f.output, f.counters, 1);
    }
}

void egress_send(struct egress *e, const struct table_output *o, struct batch *b,
                 struct stats_output_counters *counters, bool more)
{
    if (!e || e->trust >= EGRESS_DOUBTED) {
        counters->errors += b->n_datagrams;
        return;
    }
    if (o->ttl == 0 && b->ttl <= 1) {
        counters->expired += b->n_datagrams;
        return;
    }

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

    // If the largest do not fit, the last one of the batch still may.
    if ((b->n_datagrams > 1 && !e->gso) || !fits(e, o, b->segment)) {
        send_one_by_one(e, o, b, &s, true, counters);
        return;
    }
    if (ship(e, o, &s, counters))
        return;
    // EMSGSIZE (EINVAL before 6.14): the route's MTU is below the link's, and no segment may be fragmented; a datagram
    // may.
    if (b->n_datagrams == 1 || (errno != EINVAL && errno != EIO && errno != EMSGSIZE)) {
        count_failure(e, o, counters, b->n_datagrams);
        return;
    }
    // EINVAL: the kernel knows no UDP GSO for this socket; EIO: none without checksum offload. A
    // frame that waits would prove nothing.
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
