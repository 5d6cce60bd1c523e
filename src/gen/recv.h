// SPDX-License-Identifier: Apache-2.0
// recv: mcrgen recv, a sink that judges what arrives.
#ifndef MCR_GEN_RECV_H
#define MCR_GEN_RECV_H

#include "gen/options.h"

// Receives and reports. Returns mcrgen's exit status.
int gen_recv(const struct gen_options *o);

#endif
