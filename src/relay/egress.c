// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log/log.h"
#include "relay/packet.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 // linux/udp.h, since 4.18
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 // linux/virtio_net.h, since 6.2
#endif

enum { IP_AT = sizeof(struct ethhdr), UDP_AT = IP_AT + sizeof(struct iphdr), PAYLOAD_AT = UDP_AT + sizeof(struct udphdr) };

// What one system call sends: the datagrams of some pieces.
struct shipment {
    struct iovec *iov; // iov[0] is free for headers
    uint32_t n_pieces; // behind it
    uint32_t n_datagrams;
    size_t bytes, segment;
    uint8_t dscp, ttl; // as they leave
};

void egress_init(struct egress *e, uint64_t id, int fd)
{
    *e = (struct egress){.id = id, .fd = fd, .gso = true, .dscp = -1, .ttl = -1, .segment = -1};
}

void egress_configure(struct egress *e, const struct table_egress *t)
{
    e->kind = t->kind;
    e->mtu = t->mtu;
    // Once the kernel has refused it (below) it stays off.
    e->gso = e->gso && (t->flags & TABLE_EGRESS_GSO);
}

// The kernel fragments what a UDP socket sends, but not the frames of packet sockets.
static bool fits(const struct egress *e, size_t payload)
{
    return payload + sizeof(struct iphdr) + sizeof(struct udphdr) <= e->mtu;
}

// --- frame mode ------------------------------------------------------------------------------------------------------

// The kernel or the device finishes the UDP checksum, and cuts a GSO frame into its datagrams.
static ssize_t send_frame(struct egress *e, const struct table_output *o, const struct shipment *s)
{
    struct virtio_net_hdr v = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = UDP_AT,
        .csum_offset = offsetof(struct udphdr, check),
    };
    uint8_t block[sizeof(v) + TABLE_HEADER_MAX];
    uint8_t *frame = block + sizeof(v);
    size_t udp_length = s->bytes + sizeof(struct udphdr);
    struct iphdr ip;
    struct udphdr udp;

    if (s->n_datagrams > 1) {
        v.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        v.gso_size = (uint16_t) s->segment;
        v.hdr_len = PAYLOAD_AT;
    }
    memcpy(block, &v, sizeof(v));
    memcpy(frame, o->header, PAYLOAD_AT);

    memcpy(&ip, frame + IP_AT, sizeof(ip));
    ip.tos = (uint8_t) (s->dscp << 2);
    ip.ttl = s->ttl;
    ip.tot_len = htons((uint16_t) (udp_length + sizeof(ip)));
    ip.id = htons(e->identification);
    ip.check = 0;
    ip.check = (uint16_t) ~packet_sum(0, &ip, sizeof(ip));
    memcpy(frame + IP_AT, &ip, sizeof(ip));
    e->identification = (uint16_t) (e->identification + s->n_datagrams);

    memcpy(&udp, frame + UDP_AT, sizeof(udp));
    udp.len = htons((uint16_t) udp_length);
    uint16_t pseudo[2] = {htons(IPPROTO_UDP), udp.len};
    udp.check = packet_sum(packet_sum(0, &ip.saddr, 8), pseudo, sizeof(pseudo));
    memcpy(frame + UDP_AT, &udp, sizeof(udp));

    s->iov[0] = (struct iovec){.iov_base = block, .iov_len = sizeof(v) + PAYLOAD_AT};
    return writev(e->fd, s->iov, (int) s->n_pieces + 1);
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

static ssize_t send_socket(struct egress *e, const struct table_output *o, const struct shipment *s)
{
    int ttl_name = addr_is_multicast(&o->to) ? IP_MULTICAST_TTL : IP_TTL;
    // A send of no more than a segment leaves as it is, so that the size need not be unset for a single datagram;
    // but no segment may be larger than the link.
    int segment = e->gso && fits(e, s->segment) ? (int) s->segment : 0;

    if (!set_if_changed(e->fd, &e->dscp, s->dscp << 2, IPPROTO_IP, IP_TOS) ||
        !set_if_changed(e->fd, &e->ttl, s->ttl, IPPROTO_IP, ttl_name) ||
        (e->gso && !set_if_changed(e->fd, &e->segment, segment, IPPROTO_UDP, UDP_SEGMENT)))
        return -1;
    for (int tries = 0;; tries++) {
        // writev() of nothing never reaches the socket; write() of nothing sends an empty datagram.
        ssize_t n = s->bytes == 0 ? write(e->fd, "", 0) : writev(e->fd, s->iov + 1, (int) s->n_pieces);
        // An ICMP error of an earlier datagram is told once, in place of sending this one; these are none.
        if (n >= 0 || tries == 1 || errno == EAGAIN || errno == ENOBUFS || errno == EINVAL || errno == EIO)
            return n;
    }
}

// --- both ------------------------------------------------------------------------------------------------------------

static bool ship(struct egress *e, const struct table_output *o, const struct shipment *s,
                 struct stats_output_counters *counters)
{
    ssize_t n = e->kind == TABLE_EGRESS_FRAME ? send_frame(e, o, s) : send_socket(e, o, s);

    if (n >= 0) {
        counters->packets += s->n_datagrams;
        counters->bytes += s->bytes;
        return true;
    }
    return false;
}

static void count_failure(const struct table_output *o, struct stats_output_counters *counters, uint32_t n)
{
    char to[ADDR_TEXT_MAX];

    if (errno == EMSGSIZE) {
        counters->too_big += n;
        return;
    }
    counters->errors += n;
    log_errno(LOG_LEVEL_WARNING, "send_failed", "to=%s:%u", addr_format(&o->to, to), o->port);
}

// Each datagram of the batch by a call of its own. Whether any was sent.
static bool send_one_by_one(struct egress *e, const struct table_output *o, const struct batch *b,
                            struct shipment *s, struct stats_output_counters *counters)
{
    struct iovec iov[2];
    bool any = false;
    uint32_t left = b->n_datagrams;

    s->iov = iov;
    s->n_pieces = 1;
    s->n_datagrams = 1;
    for (uint32_t i = 1; left > 0 && i <= b->n_pieces; i++) {
        size_t at = 0;
        do {
            size_t rest = b->pieces[i].iov_len - at;
            s->bytes = rest < b->segment ? rest : b->segment;
            iov[1] = (struct iovec){.iov_base = (uint8_t *) b->pieces[i].iov_base + at, .iov_len = s->bytes};
            if (e->kind == TABLE_EGRESS_FRAME && !fits(e, s->bytes))
                counters->too_big++;
            else if (ship(e, o, s, counters))
                any = true;
            else
                count_failure(o, counters, 1);
            at += s->bytes;
            left--;
        } while (at < b->pieces[i].iov_len);
    }
    return any;
}

void egress_send(struct egress *e, const struct table_output *o, struct batch *b,
                 struct stats_output_counters *counters)
{
    if (!e) {
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
        .bytes = b->bytes,
        .segment = b->segment,
        .dscp = o->dscp == TABLE_DSCP_PRESERVE ? b->dscp : o->dscp,
        .ttl = o->ttl == 0 ? (uint8_t) (b->ttl - 1) : o->ttl,
    };

    // Where the largest does not fit, the last one of the batch still may.
    if ((b->n_datagrams > 1 && !e->gso) || !fits(e, b->segment)) {
        send_one_by_one(e, o, b, &s, counters);
        return;
    }
    if (ship(e, o, &s, counters))
        return;
    if (b->n_datagrams == 1 || (errno != EINVAL && errno != EIO)) {
        count_failure(o, counters, b->n_datagrams);
        return;
    }
    // EINVAL: the kernel knows no UDP GSO for this socket; EIO: none without checksum offload.
    if (send_one_by_one(e, o, b, &s, counters)) {
        e->gso = false;
        e->segment = -1;
        if (e->kind == TABLE_EGRESS_SOCKET)
            set_if_changed(e->fd, &e->segment, 0, IPPROTO_UDP, UDP_SEGMENT);
        log_warn("gso_missing", "mode=%s reason=\"the kernel takes no UDP GSO here; sending one by one\"",
                 e->kind == TABLE_EGRESS_FRAME ? "frame" : "socket");
    }
}
