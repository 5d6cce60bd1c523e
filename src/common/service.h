// SPDX-License-Identifier: Apache-2.0
// service: the service manager's side of a start: the socket to which it is told things (sd_notify(3)), and the
// descriptors that it hands over (sd_listen_fds(3)). Only the environment is read; no library, because the sandbox
// allows no socket for each message, which libsystemd makes.
#ifndef MCR_COMMON_SERVICE_H
#define MCR_COMMON_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Number of the first descriptor that is handed over (SD_LISTEN_FDS_START).
#define SERVICE_FDS_START 3

// Most descriptors that are taken, as many as FileDescriptorStoreMax= of the units.
#define SERVICE_FDS_MAX 1024

// Connects a socket that never blocks to $NOTIFY_SOCKET. Returns a descriptor that the caller closes, or -1 with errno
// set; errno 0: there is no manager.
int service_connect(void);

// Returns how many descriptors the manager says that it keeps: $FDSTORE (systemd 254 sets it, the units do for older
// ones), or 0.
uint32_t service_keeps(void);

// Returns how many descriptors were handed over to this process, from SERVICE_FDS_START up: $LISTEN_FDS, if $LISTEN_PID
// is this process. 0 if there are none, or more than SERVICE_FDS_MAX.
size_t service_handed_over(void);

// Returns the process for which descriptors were handed over, if it is another one than `pid`; else 0.
uint64_t service_other(pid_t pid);

// Copies the next name of a list of names separated by colons, as in $LISTEN_FDNAMES, and moves *list behind it. Writes
// "" when the list has ended, or when the name is too long for `size` bytes.
void service_next_name(const char **list, char *name, size_t size);

#endif
