// SPDX-License-Identifier: Apache-2.0
// ingress: the ring of one input interface, drained pass by pass.
#ifndef MCR_RELAY_INGRESS_H
#define MCR_RELAY_INGRESS_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/forward.h"
#include "wire/reassembly.h"
#include "stats/layout.h"
#include "table/layout.h"

// Slots of one pass. Bounds how long other interfaces, signals and a new table wait, and how much of the ring is
// withheld from the kernel meanwhile.
#define INGRESS_BUDGET 256
// Datagrams that one pass sends: a slot may hold dozens, and each may have 256 outputs. In batches so many take 2 ms,
// one by one (raw outputs) 44 ms; a ring of the default size holds what comes meanwhile at 200,000/s.
#define INGRESS_SENDS 16384

struct ingress {
    ev_io watcher; // of the relay's loop
    uint64_t id;
    int fd;
    uint8_t *ring;
    size_t ring_size; // bytes
    uint32_t slot_size, n_slots, block_size, slots_per_block;
    uint32_t head;              // next slot to be read
    bool more;                  // the last pass ended by its budget
    bool ethernet;              // frames begin with an Ethernet header
    bool super_frames;          // and have a virtio_net_hdr before it
    uint32_t interface;         // index in the present table
    uint64_t taken, taken_then; // frames; those at the last look at the drops
    struct reassembly *reassembly;
    struct stats_interface_counters counters;
};

// Frames that no slot holds are read into these; shared by all interfaces, because every pass ends with a flush.
struct ingress_spill;
struct ingress_spill *ingress_spill_new(void); // for free(3); NULL without memory

// Maps the ring of fd, which stays the caller's, with the geometry of t. False with errno set.
bool ingress_init(struct ingress *in, uint64_t id, int fd, const struct table_interface *t);

// Unmaps the ring.
void ingress_close(struct ingress *in);

// Takes one frame through f and counts it; of in, only interface, reassembly and counters matter. kind: PACKET_HOST and
// its like (packet(7)). The bytes must stay as they are until forward_flush(), after which reassembly_release() is due.
void ingress_frame(struct ingress *in, struct forward *f, const uint8_t *bytes, size_t length, struct packet_meta meta,
                   uint8_t kind);

// Takes frames through f, at most INGRESS_BUDGET, or until INGRESS_SENDS datagrams leave, flushes, and gives the slots
// back to the kernel. Returns how many.
uint32_t ingress_pass(struct ingress *in, struct forward *f, struct ingress_spill *spill);

// Whether a frame waits; looks into memory only.
bool ingress_ready(const struct ingress *in);

// Forwards everything that is in the ring now, before the ring goes.
void ingress_drain(struct ingress *in, struct forward *f, struct ingress_spill *spill);

// Gives everything that is in the ring now back to the kernel unread: the old ring of the same interface has forwarded
// it already.
void ingress_skip(struct ingress *in, struct ingress_spill *spill);

// Adds what the kernel has dropped since the last call (PACKET_STATISTICS is cleared by reading), and the datagrams
// whose fragments did not all come in time. Returns whether the ring is stuck: the kernel has dropped frames, but put
// none into the free slot that was waiting all that time. A frame that a virtio_net_hdr cannot describe (UDP
// fragmentation offload, by a virtual machine) does that in tpacket_rcv(), for good.
bool ingress_count_drops(struct ingress *in, uint64_t now_ns);

#endif
