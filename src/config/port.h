// SPDX-License-Identifier: Apache-2.0
// port: whether an interface of this host is a port of another one, to which what comes by it belongs.
#ifndef MCR_CONFIG_PORT_H
#define MCR_CONFIG_PORT_H

#include <net/if.h>
#include <stdbool.h>

// Asks the kernel (rtnetlink(7)). Returns true, with the name, if the interface is a port of a bridge, bond or team.
// False otherwise: also where it does not exist, or the kernel does not answer.
bool port_of(const char *interface, char name[IF_NAMESIZE]);

#endif
