// SPDX-License-Identifier: Apache-2.0
// mcrgen: makes and judges sequence-numbered, checksummed UDP traffic.
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "common/exit.h"
#include "gen/options.h"
#include "gen/run.h"

static const char help[] =
    "mcrgen makes and judges sequence-numbered, checksummed UDP traffic, to accept\n"
    "an installation of mcr or any other path of multicast, unicast or broadcast.\n"
    "\n"
    "  mcrgen send --interface IF (--group G | --address A) --port P [OPTION...]\n"
    "  mcrgen send --leg IF,ADDRESS,PORT[,...]... [OPTION...]\n"
    "  mcrgen recv --interface IF [--group G | --address A] --port P [OPTION...]\n"
    "\n"
    "  mcrgen send --help    how to send\n"
    "  mcrgen recv --help    how to receive\n"
    "  mcrgen --version\n"
    "\n"
    "Exit status: 0 all is well; 1 a datagram could not be sent, or was lost,\n"
    "duplicated or corrupt; 2 wrong usage, or the socket could not be opened.\n";

int main(int argc, char *argv[])
{
    const char *word = argc > 1 ? argv[1] : "";
    bool sending = strcmp(word, "send") == 0;
    struct gen_options o;

    if (sending || strcmp(word, "recv") == 0) {
        int status = (sending ? gen_options_send : gen_options_recv)(&o, argc - 1, argv + 1);
        if (status >= 0)
            return status;
        run_begin();
        return sending ? run_send(&o) : run_recv(&o);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return puts("mcrgen " PACKAGE_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    if (argc > 1)
        fprintf(stderr, "mcrgen: \"%s\": send, recv, --help or --version is allowed\n", word);
    else
        fprintf(stderr, "mcrgen: send, recv, --help or --version is missing\n");
    return EXIT_USAGE;
}
