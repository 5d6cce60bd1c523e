// SPDX-License-Identifier: Apache-2.0
// send: mcrgen send, a paced source of sequence-numbered datagrams.
#ifndef MCR_GEN_SEND_H
#define MCR_GEN_SEND_H

#include "gen/options.h"

// Sends and reports. Returns mcrgen's exit status.
int gen_send(const struct gen_options *o);

#endif
