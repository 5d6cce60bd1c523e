// SPDX-License-Identifier: Apache-2.0
// option: what is set on a socket before it is used.
#ifndef MCR_MACHINE_OPTION_H
#define MCR_MACHINE_OPTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/addr.h"

// Notes in *step what is done, and returns ok: whether it was.
bool option_step(const char **step, const char *name, bool ok);

// Sets an option that is a number. False with errno set.
bool option_set(int fd, int level, int name, int value);

// Lets the socket take nothing in. False with errno set.
bool option_refuse_everything(int fd);

// Writes an address of ifindex, and a port in host order, as the kernel wants it. Returns its length.
socklen_t option_address(struct sockaddr_storage *to, const struct addr *a, uint16_t port, uint32_t ifindex);

#endif
