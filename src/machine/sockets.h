// SPDX-License-Identifier: Apache-2.0
// sockets: all sockets of the tables. A socket is reused from one table to the next if nothing about it has changed.
#ifndef MCR_MACHINE_SOCKETS_H
#define MCR_MACHINE_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/feature.h"
#include "machine/filter.h"
#include "machine/machine.h"
#include "machine/registry.h"
#include "machine/store.h"
#include "handover/handover.h"
#include "table/view.h"

struct sockets;

// machine: the functions by which everything is opened (machine.h). without: mask of enum feature. Returns NULL without
// memory; sockets_free() frees it and closes everything.
struct sockets *sockets_new(const struct machine *machine, unsigned without);
void sockets_free(struct sockets *s);

// Takes over a descriptor of the mcrd before, as one of a table in force, before the first load. own: a packet socket
// of this process. HELD: it is not used, but stays open until the first table is in force. REFUSED: with *why (static
// text); the caller closes it.
enum sockets_inherited { SOCKETS_RING, SOCKETS_HELD, SOCKETS_REFUSED };
enum sockets_inherited sockets_inherit(struct sockets *s, const char *name, int fd, int own, const char **why);

// Returns `first` of store_keep() for such a name.
bool sockets_told_first(const char *name);

// Names what the service manager is to keep of what this load wants: rings first, outputs last. t: of rings, those of
// this table; NULL: all. What rests during a trial is not kept: its frames must not be sent by the next start.
void sockets_keep(const struct sockets *s, const struct table_view *t, struct store *store);

// Fills in n links with the machine's function (link_query()). The caller calls link_release() in either case.
bool sockets_links(const struct sockets *s, struct link *links, size_t n);

// Begin and end a load (registry.h), in which the functions below open or reuse everything that the table uses.
void sockets_begin(struct sockets *s);
void sockets_settle(struct sockets *s, bool committed);

// Returns how many rings of the table in force this load does not want.
uint32_t sockets_unwanted_rings(const struct sockets *s);

// Ends a load whose table the relay has not got: revokes and closes what that table does not use, and what was opened
// for it. Nothing new is left.
void sockets_narrow(struct sockets *s);

// The next three return the entry, opened now or before, or NULL with errno set and *step the name of what failed.
// errno 0: *step is a sentence that says everything.
//
// sockets_ring(): *g is set to the ring's geometry. A ring with super-frames stays when the interface's MTU grows: the
// relay reads frames that exceed a slot from the socket's queue (relay/ingress.c).
struct registry_entry *sockets_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t ring_mib,
                                    const struct ring_filter *filter, struct ring_geometry *g, const char **step);
// sockets_tx_ring(): NULL with *step NULL if transmit rings are disabled (--without).
struct registry_entry *sockets_tx_ring(struct sockets *s, uint32_t ifindex, uint32_t mtu, uint32_t *slot_size,
                                       const char **step);
// sockets_output(): kind is FRAME, SOCKET, RAW, RAW_UDP or QUIET; see output_open().
struct registry_entry *sockets_output(struct sockets *s, enum registry_kind kind, const struct output_address *a,
                                      const char **step);
// Joins a group; see memberships_want() for source. Returns false with errno set and *step the name of what failed.
bool sockets_join(struct sockets *s, uint32_t ifindex, const struct addr *group, const struct addr *source,
                  const char **step);

// Writes the ids of the wanted sockets that the relay only keeps open: membership sockets and quiet sockets. ids has
// room for `most`. Returns how many there are.
size_t sockets_holds(const struct sockets *s, uint64_t *ids, size_t most);

// Marks a ring as stuck, so that the next load replaces it, unless a ring of its interface was replaced a short time
// ago (ring_pool.h). Ignores an unknown id. now_ns: CLOCK_MONOTONIC.
void sockets_give_up_ring(struct sockets *s, uint64_t id, uint64_t now_ns);

// Opens the sockets on which all rings are made (ring_pool.h), once, before the first load. Returns false with errno
// set and *step the name of what failed.
bool sockets_open_pool(struct sockets *s, size_t n_inputs, const char **step);

// Returns the number of input interfaces for which the pool has sockets.
size_t sockets_inputs(const struct sockets *s);

// Sends a descriptor of each socket of the pool to the relay, before its first table. fd: the broker's end of the
// socket pair. Returns false with errno set.
bool sockets_send_pool(const struct sockets *s, int fd, uint32_t serial);

// Sends every descriptor that this load has opened to the relay. *n: how many. Returns false with errno set.
bool sockets_send_new(const struct sockets *s, int fd, uint32_t serial, size_t *n);

// Sets the filter of every ring of `table` and of `also` (or NULL) to accept the destinations of both. Returns false
// if a filter could not be set.
bool sockets_set_filters(struct sockets *s, const struct table_view *table, const struct table_view *also);

#endif
