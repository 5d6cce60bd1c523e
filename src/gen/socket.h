// SPDX-License-Identifier: Apache-2.0
// socket: the one UDP socket of mcrgen, made from its options.
#ifndef MCR_GEN_SOCKET_H
#define MCR_GEN_SOCKET_H

#include "gen/options.h"

#include <stdint.h>
#include <sys/socket.h>

// Tried for the receive buffer; without CAP_NET_ADMIN net.core.rmem_max caps it.
#define GEN_SOCKET_BUFFER (64 * 1024 * 1024)

// A socket that sends to the options' destination by their interface. -1 after saying on stderr what failed.
int gen_socket_open_sender(const struct gen_options *o);

// Fills in a socket address; the wildcard for ADDR_NONE. Returns its length.
socklen_t gen_socket_address(struct sockaddr_storage *storage, const struct addr *a, uint64_t port, unsigned ifindex);

// A non-blocking socket that gets what is addressed to the options' destination and comes in by their interface, with
// receive timestamps; groups are joined. -1 after saying on stderr what failed.
int gen_socket_open_receiver(const struct gen_options *o);

// The size of the receive buffer in the kernel's own count, bookkeeping included.
uint64_t gen_socket_buffer(int fd);

// What the kernel could not put into the receive buffer since the socket was opened: the count of SO_RXQ_OVFL, known
// without a further datagram. Datagrams with a wrong UDP checksum are in it, too.
uint32_t gen_socket_drops(int fd);

// Datagrams with a wrong UDP checksum that this network namespace got so far, over all its sockets; GEN_NONE when /proc
// does not tell.
uint64_t gen_socket_checksum_errors(void);

#endif
