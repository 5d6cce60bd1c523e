// SPDX-License-Identifier: Apache-2.0
// socket: opens the UDP socket of mcrgen from its options.
#ifndef MCR_GEN_SOCKET_H
#define MCR_GEN_SOCKET_H

#include "gen/options.h"

#include <stdint.h>
#include <sys/socket.h>

// Requested size of the receive buffer, bytes. Without CAP_NET_ADMIN, net.core.rmem_max limits it.
#define GEN_SOCKET_BUFFER (64 * 1024 * 1024)

// Opens a socket that sends to the destination by the interface. Returns -1 after a message on stderr.
int gen_socket_open_sender(const struct gen_options *o);

// Fills in a socket address; the wildcard for ADDR_NONE. port: host order. Returns its length in bytes.
socklen_t gen_socket_address(struct sockaddr_storage *storage, const struct addr *a, uint64_t port, unsigned ifindex);

// Opens a non-blocking socket that receives datagrams to the destination on the interface, with receive timestamps, and
// joins a group. Returns -1 after a message on stderr.
int gen_socket_open_receiver(const struct gen_options *o);

// Returns the size of the receive buffer in bytes, as the kernel counts it, with its bookkeeping.
uint64_t gen_socket_buffer(int fd);

// Returns how many datagrams the socket has dropped since it was opened, because the receive buffer was full or the UDP
// checksum wrong. This is the count of SO_RXQ_OVFL, which would need a further datagram.
uint32_t gen_socket_drops(int fd);

// Returns how many datagrams with a wrong UDP checksum all sockets of this network namespace have received so far, from
// /proc, or GEN_NONE if it is not available.
uint64_t gen_socket_checksum_errors(void);

#endif
