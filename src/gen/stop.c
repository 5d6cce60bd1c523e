// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t requested;

static void on_signal(int signal_number)
{
    (void) signal_number;
    requested = 1;
}

void stop_install(void)
{
    // No SA_RESTART: a wait should end.
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    // A test that closed its end of --ready-fd or of a pipe is told by the failed write.
    signal(SIGPIPE, SIG_IGN);
}

bool stop_requested(void)
{
    return requested != 0;
}
