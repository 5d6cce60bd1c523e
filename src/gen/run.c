// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/run.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t requested;

static void on_signal(int signal_number)
{
    (void) signal_number;
    requested = 1;
}

void run_begin(void)
{
    // No SA_RESTART: a signal must end a wait.
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    // A write to a closed pipe, or to --ready-fd, fails with an error instead of a signal.
    signal(SIGPIPE, SIG_IGN);
}

bool run_stopped(void)
{
    return requested != 0;
}
