// SPDX-License-Identifier: Apache-2.0
// egress: sends a batch of datagrams by one output, as few system calls as the kernel allows.
#ifndef MCR_RELAY_EGRESS_H
#define MCR_RELAY_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "relay/tx_ring.h"
#include "stats/layout.h"
#include "table/layout.h"

// UDP_MAX_SEGMENTS of Linux 4.18 (later kernels take more).
#define BATCH_DATAGRAMS 64
// Payload bytes of one batch: with the largest headers it stays within one IP packet of 65,535 bytes.
#define BATCH_BYTES 65440

// Datagrams of one path and one size that leave together. The pieces point into the ring: whole datagrams each, in
// order; only the last datagram of the batch may be shorter than the others.
struct batch {
    uint32_t n_datagrams;
    uint32_t n_pieces;
    size_t segment;       // payload bytes of each datagram but the last
    size_t bytes;         // of payload in all
    uint8_t dscp, ttl;    // as received
    struct addr source;   // of all, where an output of the rule keeps it
    uint16_t source_port; // host order
    // pieces[0] is egress.c's own, for the headers.
    struct iovec pieces[1 + BATCH_DATAGRAMS];
};

// What does not get through by one output: what the kernel has refused, but for what was too big, and what was answered
// by an ICMP error.
struct refusal {
    uint64_t n; // datagrams, and answers
    int error;  // errno, destination and port of the last one
    struct addr to;
    uint16_t port;
};

struct refusals {
    bool any;           // since the owner set it to false
    struct refusal *of; // one for each counter of the table
};

// What the kernel's error does not say by itself, to be put behind it; may be empty.
const char *refusal_hint(int error);

// Notes n datagrams that the kernel has refused by this output, or one answer; refusals NULL: nobody wants to know.
void refusals_note(struct refusals *refusals, const struct table_output *o, uint32_t n, int error);

// Whether its link is still as the table says; until the broker has looked. Each value doubts more than the one before.
enum egress_trust {
    EGRESS_SURE,
    EGRESS_ALONE,   // it may have changed: each frame leaves at once
    EGRESS_DOUBTED, // news of links were lost: nothing leaves
    EGRESS_GONE,    // it is gone, and another one may have its index: nothing leaves
};

// One socket that the broker has opened, and what it was last told.
struct egress {
    uint64_t id;
    int fd;
    bool gso;
    enum egress_trust trust;
    enum table_egress_kind kind;
    uint32_t mtu;            // bytes, of the IP packet
    uint32_t identification; // of the next IPv4 packet or IPv6 fragment that we write ourselves
    int dscp, ttl, segment;  // socket mode: as set now; -1: not yet
    struct tx_ring *ring;    // of a transmit ring: what is mapped of it
    struct tx_ring *queue;   // of a socket for frames: the ring beside it, in which frames may wait; or NULL
    bool noted;              // scratch of forward.c: it is among those to be flushed
    // Where refusals are counted: those of the table in force, set by the owner. NULL: nobody wants to know.
    struct refusals *refusals;
    // Receives each packet in place of the socket, as writev(2) would (explain, replay). NULL: the socket sends.
    ssize_t (*take)(struct egress *e, const struct table_output *o, const struct iovec *iov, int n);
};

void egress_init(struct egress *e, uint64_t id, int fd);

// Unmaps and closes.
void egress_close(struct egress *e);

// Applies what the table says of this socket; queue: the transmit ring of the same interface, or NULL.
void egress_configure(struct egress *e, const struct table_egress *t, struct tx_ring *queue);

// Sends b by o and counts every datagram of it in counters. e is NULL where the output's interface is missing.
// more: others follow at once, and a single frame may wait for them. In either case egress_flush() is due. The bytes of
// frames that wait are copied.
void egress_send(struct egress *e, const struct table_output *o, struct batch *b,
                 struct stats_output_counters *counters, bool more);

// Whether something waits for egress_flush(), which is due before the counters are read or the table changes.
bool egress_waits(const struct egress *e);

// Sends what waits.
void egress_flush(struct egress *e);

#endif
