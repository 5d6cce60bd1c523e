// SPDX-License-Identifier: Apache-2.0
// relay: the process that forwards. It has the only event loop, and may only use what the broker hands over.
#ifndef MCR_RELAY_RELAY_H
#define MCR_RELAY_RELAY_H

#include <stdbool.h>

#include "sandbox/sandbox.h"

struct relay_options {
    enum sandbox_mode sandbox;
    bool landlock; // use Landlock if the kernel has it
    int inotify;   // descriptor shared with the broker, which chooses what it watches (broker/watch.h)
};

// Runs until a signal or a failure. broker: the relay's end of the socket pair (handover.h). Returns the exit status.
int relay_run(const struct relay_options *options, int broker);

#endif
