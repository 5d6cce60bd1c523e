// SPDX-License-Identifier: Apache-2.0
// broker: the process that reads the config file and opens sockets. It never touches a packet and has no event loop: it
// answers the relay's requests, and ends when the relay ends.
#ifndef MCR_BROKER_BROKER_H
#define MCR_BROKER_BROKER_H

#include "machine/machine.h"
#include "sandbox/sandbox.h"

struct broker_options {
    const struct machine *machine; // the functions by which sockets are opened (machine.h)
    enum sandbox_mode sandbox;
    const char *config_path;
    const char *trust_path; // --trust, or NULL (trust/signatures.h)
    unsigned without;       // mask of enum feature
    int inotify;            // descriptor shared with the relay (watch.h)
    // What the service manager has handed over, from SERVICE_FDS_START up (common/service.h). fresh: it is not used.
    size_t handed_over;
    bool fresh;
};

// Runs until the relay closes its end of the socket pair. relay: the broker's end (handover.h). Returns the exit
// status.
int broker_run(const struct broker_options *options, int relay);

#endif
