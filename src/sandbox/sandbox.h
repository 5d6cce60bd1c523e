// SPDX-License-Identifier: Apache-2.0
// sandbox: giving up every right that a process does not need, and verifying that it is gone.
//
// In this order: sandbox_isolate() (relay), sandbox_drop(), sandbox_limit(), sandbox_landlock(), sandbox_filter().
#ifndef MCR_SANDBOX_SANDBOX_H
#define MCR_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "stats/layout.h"

enum sandbox_role { SANDBOX_RELAY, SANDBOX_BROKER };

// SANDBOX_LOG and SANDBOX_OFF are for debugging: capabilities are dropped all the same, but there is no isolation, no
// limit and no Landlock, which can only refuse.
enum sandbox_mode {
    SANDBOX_OFF = STATS_SECCOMP_OFF,
    SANDBOX_LOG = STATS_SECCOMP_LOG,
    SANDBOX_ENFORCE = STATS_SECCOMP_ENFORCE
};

// What the relay only reads lies at this number or above: the sockets of rings, memberships, rtnetlink, signals and the
// news of files. Its filter allows writing below it only, so that a socket that takes a zone's traffic in can never
// send into that zone. Below it there is room for the outputs in socket mode of two tables (CONFIG_SOCKET_OUTPUTS_MAX),
// which a reload needs.
#define SANDBOX_INGRESS_FD 16384

// Descriptors of a process: those below SANDBOX_INGRESS_FD, and rings and memberships (TABLE_HOLDS_MAX) above it.
#define SANDBOX_FILES_MAX 65536
#define SANDBOX_FILES_MIN (SANDBOX_INGRESS_FD + 1024)

// Moves fd, which is closed, to a number from SANDBOX_INGRESS_FD up: out of reach of write and writev. Returns the new
// descriptor, or -1 with errno set. -1 stays as it is.
int sandbox_move_up(int fd);

// Moves the process into an empty network namespace and an empty root directory, as far as its rights allow: root's
// do. Sockets and files that are open stay what they are. Returns a mask of enum stats_isolation.
unsigned sandbox_isolate(enum sandbox_mode mode);

// Becomes uid and gid without supplementary groups (where they differ from the present ones) and keeps CAP_NET_RAW
// (broker) or no capability at all (relay) in any set, with no_new_privs and without core dumps. The result is read
// back from the kernel. False, with the reason logged, when any step fails: the caller must not run on.
bool sandbox_drop(enum sandbox_role role, uid_t uid, gid_t gid);

// Resource limits that cannot be raised again: no process, no core, no locked memory, no message queue. False, with the
// reason logged, when one is not in force.
bool sandbox_limit(enum sandbox_role role, enum sandbox_mode mode);

// Directories that the broker needs, with all that is beneath them.
struct sandbox_paths {
    const char *const *read; // to read files
    size_t n_read;
    const char *write; // to read, write, make, rename and remove files
};

// Loads a Landlock domain with all rights that kernel and header know, and none but those of paths (NULL: none at
// all) given. *abi is the version of its ABI in force, or 0 where the kernel has none or the mode wants none. False,
// with the reason logged, when the kernel has it but it cannot be loaded, or does not refuse afterwards.
bool sandbox_landlock(enum sandbox_role role, enum sandbox_mode mode, const struct sandbox_paths *paths, unsigned *abi);

// Loads the role's system call filter (syscalls.c). SANDBOX_LOG only lets the kernel log what enforcing would refuse.
// False, with the reason logged, when it cannot be loaded or is not in force afterwards.
bool sandbox_filter(enum sandbox_role role, enum sandbox_mode mode);

// Prints what sandbox_filter() answers to each call of each role, with the reason. False when it cannot be written.
bool sandbox_list(FILE *to);

// Every capability that this process may use or regain, as the kernel reports it: bit N is capability N.
uint64_t sandbox_capabilities(void);

// For messages: "relay", "broker".
const char *sandbox_role_name(enum sandbox_role role);

// Parses "off", "log" or "enforce" (STATS_SECCOMP_MODES). False when text is none of them.
bool sandbox_mode_parse(const char *text, unsigned *mode);

#endif
