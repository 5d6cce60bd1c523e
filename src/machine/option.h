// SPDX-License-Identifier: Apache-2.0
// option: socket options that are set before a socket is used.
#ifndef MCR_MACHINE_OPTION_H
#define MCR_MACHINE_OPTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/addr.h"

// Sets *step to the name of the present step. Returns ok, its result.
bool option_step(const char **step, const char *name, bool ok);

// Sets an integer option. Returns false with errno set.
bool option_set(int fd, int level, int name, int value);

// Attaches a filter by which the socket receives nothing. Returns false with errno set.
bool option_refuse_everything(int fd);

// Writes an address and a port (host order) as a socket address. ifindex: the scope of an IPv6 address. Returns its
// length in bytes.
socklen_t option_address(struct sockaddr_storage *to, const struct addr *a, uint16_t port, uint32_t ifindex);

#endif
