// SPDX-License-Identifier: Apache-2.0
// egress: sends a batch of datagrams by one output, with as few system calls as the kernel allows.
#ifndef MCR_RELAY_EGRESS_H
#define MCR_RELAY_EGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "relay/tx_ring.h"
#include "stats/layout.h"
#include "stats/residence.h"
#include "table/layout.h"

// UDP_MAX_SEGMENTS of Linux 4.18 (later kernels take more).
#define BATCH_DATAGRAMS 64
// Largest payload of one batch, bytes: with the largest headers it fits one IP packet of 65,535 bytes.
#define BATCH_BYTES 65440

// Datagrams of one path and one size that leave together. The pieces point into the ring, and each holds whole
// datagrams, in order. Only the last datagram of the batch may be shorter than the others.
struct batch {
    uint32_t n_datagrams;
    uint32_t n_pieces;
    size_t segment;       // payload bytes of each datagram except the last
    size_t bytes;         // payload bytes of all datagrams
    uint8_t dscp, ttl;    // as received
    struct addr source;   // the same for all datagrams if an output of the rule keeps it
    uint16_t source_port; // as source; host order
    // pieces[0] is reserved for the headers that egress.c writes.
    struct iovec pieces[1 + BATCH_DATAGRAMS];
    struct residence_runs stay; // one run for each piece
};

_Static_assert(RESIDENCE_RUNS == BATCH_DATAGRAMS, "a batch of single datagrams has a run for each");

// Failures of one output: datagrams that the kernel has refused, except those that were too big, and answers by an ICMP
// error.
struct refusal {
    uint64_t n; // datagrams, and answers
    int error;  // errno, destination and port of the last one
    struct addr to;
    uint16_t port;
};

struct refusals {
    bool any;           // datagrams were refused since the owner set this to false
    struct refusal *of; // one for each counter of the table
};

// Returns a hint at the cause of an errno, to be printed after its text; may be empty.
const char *refusal_hint(int error);

// Counts n datagrams of this output that the kernel has refused, or one answer. refusals NULL: they are not counted.
void refusals_note(struct refusals *refusals, const struct table_output *o, uint32_t n, int error);

// Whether the link is still as the table says. Link events lower the trust until the broker has looked at the links.
enum egress_trust {
    EGRESS_SURE,
    EGRESS_ALONE,   // the link may have changed: each frame leaves at once
    EGRESS_DOUBTED, // link events were lost: nothing leaves
    EGRESS_GONE,    // the interface is gone, and another one may have its index: nothing leaves
};

// One socket that the broker has opened, and its present settings.
struct egress {
    uint64_t id;
    int fd;
    bool gso;
    enum egress_trust trust;
    enum table_egress_kind kind;
    uint32_t mtu;            // bytes, of the IP packet
    uint32_t identification; // of the next IPv4 packet or IPv6 fragment whose IP header egress.c writes
    int dscp, ttl, segment;  // socket options as last set; -1: never set
    struct tx_ring *ring;    // of a TX_RING: its mapping, which egress_close() frees
    struct tx_ring *queue;   // of a FRAME socket: the transmit ring in which frames may wait, or NULL; not owned
    bool noted;              // scratch of forward.c: this egress is in its list to be flushed
    // Where refusals are counted, set by the owner: those of the table in force. NULL: refusals are not counted here.
    struct refusals *refusals;
    // Called in place of writev(2), with its meaning (explain, replay). NULL: the socket sends.
    ssize_t (*take)(struct egress *e, const struct table_output *o, const struct iovec *iov, int n);
};

// e owns fd from now on.
void egress_init(struct egress *e, uint64_t id, int fd);

// Unmaps the transmit ring and closes fd.
void egress_close(struct egress *e);

// Applies the table's entry for this socket. queue: the transmit ring of the same interface, or NULL.
void egress_configure(struct egress *e, const struct table_egress *t, struct tx_ring *queue);

// Sends b by o, and counts each datagram in counters. e: NULL while the output waits. more: other batches follow at
// once, so a single frame may wait for them in the transmit ring, which copies its bytes. The caller calls
// egress_flush() afterwards in any case.
void egress_send(struct egress *e, const struct table_output *o, struct batch *b,
                 struct stats_output_counters *counters, bool more);

// Returns whether frames wait for egress_flush(). The caller flushes before it reads the counters or changes the table.
bool egress_waits(const struct egress *e);

// Sends the frames that wait.
void egress_flush(struct egress *e);

#endif
