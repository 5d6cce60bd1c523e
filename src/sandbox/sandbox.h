// SPDX-License-Identifier: Apache-2.0
// sandbox: drops every right that a process does not need, and verifies that it is gone.
//
// Call the functions in this order: sandbox_isolate() (relay only), sandbox_drop(), sandbox_limit(),
// sandbox_landlock(), sandbox_filter().
#ifndef MCR_SANDBOX_SANDBOX_H
#define MCR_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "stats/layout.h"

enum sandbox_role { SANDBOX_RELAY, SANDBOX_BROKER };

// SANDBOX_LOG and SANDBOX_OFF are for debugging. They drop capabilities, but use no isolation, no limits and no
// Landlock, which cannot merely log.
enum sandbox_mode {
    SANDBOX_OFF = STATS_SECCOMP_OFF,
    SANDBOX_LOG = STATS_SECCOMP_LOG,
    SANDBOX_ENFORCE = STATS_SECCOMP_ENFORCE
};

// The relay keeps descriptors that it only reads at this number or above: the sockets of rings and memberships,
// rtnetlink, signalfd and inotify. Its filter allows writes only to lower ones, so a socket that receives a zone's
// traffic can never send into that zone. Below it there is room for the outputs in socket mode
// (CONFIG_SOCKET_OUTPUTS_MAX) of two tables, which a reload needs.
#define SANDBOX_INGRESS_FD 16384

// Limit of open descriptors (RLIMIT_NOFILE): those below SANDBOX_INGRESS_FD, and rings and memberships
// (TABLE_HOLDS_MAX) above it.
#define SANDBOX_FILES_MAX 65536
#define SANDBOX_FILES_MIN (SANDBOX_INGRESS_FD + 1024)

// Moves fd to a number from SANDBOX_INGRESS_FD up, where the relay's filter denies writes, and closes fd. Returns the
// new descriptor, or -1 with errno set. If fd is -1, only returns -1.
int sandbox_move_up(int fd);

// Moves the process into an empty network namespace and an empty root directory, as far as it may: root may. Open
// sockets and files stay usable. Returns a mask of enum stats_isolation.
unsigned sandbox_isolate(enum sandbox_mode mode);

// Changes to uid and gid without supplementary groups, if they differ from the present ones. Keeps only CAP_NET_RAW
// (broker) or no capability (relay) in any set; sets no_new_privs, and prevents core dumps. Reads the result back from
// the kernel. Returns false with the reason logged if a step fails; the caller must then exit.
bool sandbox_drop(enum sandbox_role role, uid_t uid, gid_t gid);

// Sets resource limits that cannot be raised again: no process, no core dump, no locked memory, no message queue.
// Returns false with the reason logged if one is not in force.
bool sandbox_limit(enum sandbox_role role, enum sandbox_mode mode);

// Directories that the broker needs, with everything below them.
struct sandbox_paths {
    const char *const *read; // to read files
    size_t n_read;
    const char *const *write; // to read, write, make, rename and remove files
    size_t n_write;
};

// Loads a Landlock domain that denies all rights which both kernel and landlock.c know, except those for paths (NULL:
// none). *abi: version of its ABI, or 0 if the kernel has no Landlock or the mode does not use it. Returns false with
// the reason logged if the domain cannot be loaded or is not in force afterwards.
bool sandbox_landlock(enum sandbox_role role, enum sandbox_mode mode, const struct sandbox_paths *paths, unsigned *abi);

// Loads the role's system call filter (syscalls.c). With SANDBOX_LOG the kernel only logs what SANDBOX_ENFORCE refuses.
// Returns false with the reason logged if the filter cannot be loaded or is not in force afterwards.
bool sandbox_filter(enum sandbox_role role, enum sandbox_mode mode);

// Prints the answer of the filter to each call of each role, with the reason. Returns false if it cannot be written.
bool sandbox_list(FILE *to);

// Returns every capability that this process may use or regain, from the kernel: bit N is capability N.
uint64_t sandbox_capabilities(void);

// Returns "relay" or "broker", for messages.
const char *sandbox_role_name(enum sandbox_role role);

// Parses "off", "log" or "enforce" (STATS_SECCOMP_MODES). Returns false if text is none of them.
bool sandbox_mode_parse(const char *text, unsigned *mode);

#endif
