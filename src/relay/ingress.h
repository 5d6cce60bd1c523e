// SPDX-License-Identifier: Apache-2.0
// ingress: reads the ring of one input interface, pass by pass.
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

// Largest number of slots in one pass. It limits how long other interfaces, signals and a new table wait, and how many
// slots are withheld from the kernel meanwhile.
#define INGRESS_BUDGET 256
// Datagrams, times outputs, after which a pass ends: a slot may hold dozens of datagrams, and each may have 256
// outputs. Sending them takes 2 ms in batches, or 44 ms one by one (raw outputs); a ring of the default size holds what
// arrives in that time at 200,000/s.
#define INGRESS_SENDS 16384

struct ingress {
    ev_io watcher; // of the relay's loop
    uint64_t id;
    int fd;
    uint8_t *ring;
    size_t ring_size; // bytes
    uint32_t slot_size, n_slots, block_size, slots_per_block;
    uint32_t head;              // next slot to be read
    bool more;                  // the last pass ended by its budget, or by until_ns
    bool ethernet;              // frames begin with an Ethernet header
    bool super_frames;          // each frame follows a virtio_net_hdr
    uint32_t interface;         // index in the present table
    uint64_t taken, taken_then; // frames taken: now, and at the last ingress_count_drops()
    uint64_t looped;            // datagrams of this host that came back, since rings_publish() last told of them
    uint64_t looped_next_ns;    // when it may tell again, CLOCK_MONOTONIC
    struct reassembly *reassembly;
    struct stats_interface_counters counters;
};

// Room for frames that exceed a slot. All interfaces share it, because every pass ends with a flush.
struct ingress_spill;
struct ingress_spill *ingress_spill_new(void); // the caller calls free(3); NULL without memory

// Maps the ring of fd with the geometry of t. The caller keeps fd. Returns false with errno set.
bool ingress_init(struct ingress *in, uint64_t id, int fd, const struct table_interface *t);

// Finds the head of a ring that another process may have read: the slot with the oldest frame that it has left, or the
// one that the kernel fills next. Returns how many frames wait.
uint32_t ingress_resume(struct ingress *in);

// Unmaps the ring and frees what ingress_init() allocated.
void ingress_close(struct ingress *in);

// Passes one frame to f and counts it; uses only interface, reassembly and counters of in. kind: sll_pkttype of
// packet(7), as PACKET_HOST. The bytes must not change until forward_flush(), after which the caller calls
// reassembly_release().
void ingress_frame(struct ingress *in, struct forward *f, const uint8_t *bytes, size_t length, struct packet_meta meta,
                   uint8_t kind);

// Passes frames to f, at most INGRESS_BUDGET, until INGRESS_SENDS is reached, and up to the first one that was stamped
// after until_ns; flushes f, and returns the slots to the kernel. Returns the number of frames.
uint32_t ingress_pass(struct ingress *in, struct forward *f, struct ingress_spill *spill, uint64_t until_ns);

// The until_ns of a pass over `in`, one of these n rings. Rings with legs of merges are read nearly in the order of the
// stamps: no further ahead of another one's next frame than INGRESS_AHEAD_NS. After a pause each has what came in all
// its time, and with reorder_ms no more is held than comes in that. now_ns: CLOCK_REALTIME; a stamp that is far ahead
// of it is from before a step of the clock, and waits for none.
#define INGRESS_AHEAD_NS UINT64_C(1000000)
uint64_t ingress_until(struct ingress *const *rings, size_t n, const struct ingress *in, const struct forward *f,
                       uint64_t now_ns);

// Returns whether the ring has a frame, without a system call.
bool ingress_ready(const struct ingress *in);

// Returns the stamp of that frame.
uint64_t ingress_next_stamp(const struct ingress *in);

// Forwards all frames that are in the ring now, before it is closed.
void ingress_drain(struct ingress *in, struct forward *f, struct ingress_spill *spill);

// Empties the socket's queue, when nothing tells which slots its frames belong to.
void ingress_drop_queue(struct ingress *in, struct ingress_spill *spill);

// Returns all slots that are filled now to the kernel unread: the old ring of the same interface has forwarded the
// frames.
void ingress_skip(struct ingress *in, struct ingress_spill *spill);

// Counts what the kernel has dropped since the last call (reading PACKET_STATISTICS clears it), and the datagrams whose
// fragments did not all come in time. Returns whether the ring is stuck: since the last call the kernel has dropped
// frames, although the next slot was free. tpacket_rcv() leaves a ring in this state for good after a frame that a
// virtio_net_hdr cannot describe (UDP fragmentation offload by a virtual machine).
bool ingress_count_drops(struct ingress *in, uint64_t now_ns);

#endif
