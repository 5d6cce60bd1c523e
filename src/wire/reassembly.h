// SPDX-License-Identifier: Apache-2.0
// reassembly: reassembles IP fragments of one input interface. Pure: no system call, and reassembly_new() allocates all
// memory. It keeps interfaces and VLANs apart. The kernel's reassembly for packet sockets does not: there, a fragment
// of one zone can complete a datagram of another.
#ifndef MCR_WIRE_REASSEMBLY_H
#define MCR_WIRE_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/packet.h"
#include "stats/layout.h"

// Datagrams that can be reassembled at once, of 64 KiB each; one more evicts the oldest.
#define REASSEMBLY_SETS 64

// How long an incomplete datagram is kept, in ns. RFC 8200 says 60 s, which is too long for fast streams: their
// identifications (16 bits in IPv4) repeat within seconds (RFC 4963).
#define REASSEMBLY_NS UINT64_C(2000000000)

struct reassembly;

// Returns NULL without memory. The caller frees it with reassembly_free().
struct reassembly *reassembly_new(void);
void reassembly_free(struct reassembly *r);

// Adds a fragment from packet_parse(). now_ns: CLOCK_MONOTONIC. Returns true if it completes a datagram: p then holds
// the whole IP payload of type p->fragment.next for packet_parse_whole(), with ttl and dscp of the first fragment;
// p->payload is valid until reassembly_release(). Returns false if the fragment was stored or dropped. A dropped
// datagram is counted once in c, as received and by its reason; an incomplete one is not counted yet.
bool reassembly_take(struct reassembly *r, struct packet *p, uint64_t now_ns, struct stats_interface_counters *c);

// Returns whether whole datagrams use so many of the sets that they should be released before the next fragment.
bool reassembly_is_crowded(const struct reassembly *r);

// Frees the sets of all whole datagrams. Their payloads become invalid.
void reassembly_release(struct reassembly *r);

// Drops and counts datagrams that have been incomplete for REASSEMBLY_NS.
void reassembly_expire(struct reassembly *r, uint64_t now_ns, struct stats_interface_counters *c);

#endif
