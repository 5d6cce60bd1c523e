// SPDX-License-Identifier: Apache-2.0
// ask: asks the running daemon for something, and waits for its answer. There is no control socket: a signal is the
// request, and the answer is in the statistics.
#ifndef MCR_COMMAND_ASK_H
#define MCR_COMMAND_ASK_H

#include <stdbool.h>

#include "command/daemon.h"

// Returns a pidfd of the daemon of stats_file, after a check that it was started with the file at path, or -1 after a
// message. The caller closes it.
int ask_find(const char *stats_file, const char *path, struct daemon *d);

// Returns the login uid of this process (proc(5)); -1: none.
int ask_login(void);

// Sends a signal with the login uid, which the daemon may be unable to read from /proc (ProtectProc= in
// systemd.exec(5)). Returns false after a message.
bool ask_signal(int process, const struct daemon *d, int number);

// Waits for the verdict on what was asked after *d was read, and reads it into *d. Looks up the statistics by name each
// time, because each load replaces their file. Returns false after a message.
bool ask_wait(int process, const char *stats_file, double seconds, struct daemon *d);

#endif
