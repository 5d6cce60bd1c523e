// SPDX-License-Identifier: Apache-2.0
// sockets: everything that the tables have open, reused from one table to the next where nothing about it changed.
#ifndef MCR_MACHINE_SOCKETS_H
#define MCR_MACHINE_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/feature.h"
#include "machine/filter.h"
#include "machine/machine.h"
#include "machine/registry.h"
#include "handover/handover.h"
#include "table/view.h"

struct sockets;

// machine: where everything is opened (machine.h). without: mask of enum feature. NULL when there is no memory.
struct sockets *sockets_new(const struct machine *machine, unsigned without);
void sockets_free(struct sockets *s);

// What the machine says of these interfaces (link.h): link_release() is due, in either case.
bool sockets_links(const struct sockets *s, struct link *links, size_t n);

// A load wants everything that its table uses, then is settled: committed or rolled back (registry.h).
void sockets_begin(struct sockets *s);
void sockets_settle(struct sockets *s, bool committed);

// Each returns the entry, opened now or before, or NULL with errno set and *step the name of what failed.
// A ring that takes super-frames stays as it is when the interface's MTU changes: what no longer fits a slot comes
// another way (ingress.c). *g tells its geometry.
struct registry_entry *sockets_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t ring_mib,
                                    const struct ring_filter *filter, struct ring_geometry *g, const char **step);
// *step is NULL where none is wanted.
struct registry_entry *sockets_tx_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t *slot_size,
                                       const char **step);
// A FRAME, SOCKET, RAW, RAW_UDP or QUIET: output_open().
struct registry_entry *sockets_output(struct sockets *s, enum registry_kind kind, const struct output_address *a,
                                      const char **step);
// source: see memberships_want().
bool sockets_join(struct sockets *s, uint32_t ifindex, const struct addr *group, const struct addr *source,
                  const char **step);

// The ids of what the relay only keeps open: membership sockets and quiet ones. Room for `most`; returns how many there
// are.
size_t sockets_holds(const struct sockets *s, uint64_t *ids, size_t most);

// The next load makes another ring in the place of this one, unless the last one of its interface was replaced a short
// time ago (ring_pool.h). An id that is not there is ignored. now_ns: CLOCK_MONOTONIC.
void sockets_give_up_ring(struct sockets *s, uint64_t id, uint64_t now_ns);

// Opens the sockets that all rings are made of (ring_pool.h), once, before the first load. False with errno set and
// *step the name of what failed.
bool sockets_open_pool(struct sockets *s, size_t n_inputs, const char **step);

// The number of input interfaces that a table may have with them.
size_t sockets_inputs(const struct sockets *s);

// Sends the relay a descriptor of each of them, before its first table. False with errno set.
bool sockets_send_pool(const struct sockets *s, int fd, uint32_t serial);

// Sends the relay every descriptor that this load has opened; *n tells how many. False with errno set.
bool sockets_send_new(const struct sockets *s, int fd, uint32_t serial, size_t *n);

// Makes the filter of every ring of `table` accept what its rules take in, and what those of `also` (or NULL) do.
bool sockets_set_filters(struct sockets *s, const struct table_view *table, const struct table_view *also);

#endif
