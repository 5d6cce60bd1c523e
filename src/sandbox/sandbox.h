// SPDX-License-Identifier: Apache-2.0
// sandbox: giving up every right that a process does not need, and verifying that it is gone.
#ifndef MCR_SANDBOX_SANDBOX_H
#define MCR_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum sandbox_role { SANDBOX_RELAY, SANDBOX_BROKER };
enum sandbox_mode { SANDBOX_OFF, SANDBOX_LOG, SANDBOX_ENFORCE };

// Ingress descriptors of the relay are moved to this number or above; writing is allowed below it only. So a
// socket that takes a zone's traffic in can never send into that zone.
// Below it there is room for the outputs in socket mode of two tables (CONFIG_SOCKET_OUTPUTS_MAX), which a reload
// needs.
#define SANDBOX_INGRESS_FD 16384

// Becomes uid and gid without supplementary groups (where they differ from the present ones) and keeps CAP_NET_RAW
// (broker) or no capability at all (relay) in any set, with no_new_privs and without core dumps. The result is read
// back from the kernel. False, with the reason logged, when any step fails: the caller must not run on.
bool sandbox_drop(enum sandbox_role role, uid_t uid, gid_t gid);

// Loads the role's system call filter (syscalls.c). SANDBOX_LOG only lets the kernel log what enforcing would refuse.
// False, with the reason logged, when it cannot be loaded or is not in force afterwards.
bool sandbox_filter(enum sandbox_role role, enum sandbox_mode mode);

// Every capability that this process may use or regain, as the kernel reports it: bit N is capability N.
uint64_t sandbox_capabilities(void);

#endif
