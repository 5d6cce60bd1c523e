// SPDX-License-Identifier: Apache-2.0
// run: mcrgen send and mcrgen recv. SIGINT and SIGTERM end a run early, and the report is printed all the same.
#ifndef MCR_GEN_RUN_H
#define MCR_GEN_RUN_H

#include "gen/options.h"

// A signal may arrive between run_stopped() and a wait: no wait may be longer than this.
#define RUN_TICK_NS 100000000

// To be called before a run: takes the signals.
void run_begin(void);

// Whether a signal has come.
bool run_stopped(void);

// A paced source of sequence-numbered datagrams, and a sink that judges what arrives. Both print their report and
// return mcrgen's exit status.
int run_send(const struct gen_options *o);
int run_recv(const struct gen_options *o);

#endif
