// SPDX-License-Identifier: Apache-2.0
// broker: the process that reads the config file and opens sockets. It never touches a packet, and has no loop: it
// answers the relay's requests, and ends with it.
#ifndef MCR_BROKER_BROKER_H
#define MCR_BROKER_BROKER_H

#include "machine/machine.h"
#include "sandbox/sandbox.h"

struct broker_options {
    const struct machine *machine; // where sockets are opened (machine.h)
    enum sandbox_mode sandbox;
    const char *config_path;
    unsigned without; // mask of enum feature
    int inotify;      // shared with the relay (watch.h)
};

// Runs on relay, the broker's end of the handover pair, until the relay closes it. Returns the exit status.
int broker_run(const struct broker_options *options, int relay);

#endif
