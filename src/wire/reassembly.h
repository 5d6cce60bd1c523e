// SPDX-License-Identifier: Apache-2.0
// reassembly: the fragments of one input interface, put together. Pure: no system call, and all memory is taken by
// reassembly_new(). By interface and VLAN, which the kernel's own reassembly for packet sockets is not: there, a
// fragment of one zone can complete a datagram of another.
#ifndef MCR_WIRE_REASSEMBLY_H
#define MCR_WIRE_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/packet.h"
#include "stats/layout.h"

// Datagrams under way at once; one more puts the oldest out. 64 KiB each.
#define REASSEMBLY_SETS 64

// How long the others of a fragment are waited for. RFC 8200 says 60 s, which serves streams that wait for them; here
// identifications (16 bits in IPv4) come round within seconds (RFC 4963).
#define REASSEMBLY_NS UINT64_C(2000000000)

struct reassembly;

// NULL without memory.
struct reassembly *reassembly_new(void);
void reassembly_free(struct reassembly *r);

// Takes a fragment as packet_parse() gives it. True: p is what it was the last missing one of, a whole IP payload of
// type p->fragment.next for packet_parse_whole(), with ttl and dscp of the first fragment; it stays as it is until
// reassembly_release(). False: p is kept, or dropped. A datagram that is given up is counted once in c, as received and
// by its reason; one that waits is not counted yet.
bool reassembly_take(struct reassembly *r, struct packet *p, uint64_t now_ns, struct stats_interface_counters *c);

// Whether whole datagrams hold so much room that they should be released before the next fragment.
bool reassembly_is_crowded(const struct reassembly *r);

// Gives the whole datagrams back.
void reassembly_release(struct reassembly *r);

// Gives up what has waited for too long.
void reassembly_expire(struct reassembly *r, uint64_t now_ns, struct stats_interface_counters *c);

#endif
