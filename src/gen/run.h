// SPDX-License-Identifier: Apache-2.0
// run: mcrgen send and mcrgen recv. SIGINT and SIGTERM end a run early; the report is printed nevertheless.
#ifndef MCR_GEN_RUN_H
#define MCR_GEN_RUN_H

#include "gen/options.h"

// Longest wait, in ns: a signal may arrive between run_stopped() and a wait, which it then does not end.
#define RUN_TICK_NS 100000000

// Installs the signal handlers. Call it before a run.
void run_begin(void);

// Returns whether SIGINT or SIGTERM has come.
bool run_stopped(void);

// Send datagrams with sequence numbers at a given rate, or receive and check them. Print the report, and return
// mcrgen's exit status.
int run_send(const struct gen_options *o);
int run_recv(const struct gen_options *o);

#endif
