// SPDX-License-Identifier: Apache-2.0
// mcrgen: makes and judges sequence-numbered, checksummed UDP traffic.
#include <config.h>

#include "gen/options.h"
#include "gen/recv.h"
#include "gen/send.h"
#include "gen/stop.h"

#include <stdio.h>
#include <string.h>

static const char help_main[] =
    "mcrgen makes and judges sequence-numbered, checksummed UDP traffic, to accept\n"
    "an installation of mcr or any other path of multicast, unicast or broadcast.\n"
    "\n"
    "  mcrgen send --interface IF (--group G | --address A) --port P [OPTION...]\n"
    "  mcrgen recv --interface IF [--group G | --address A] --port P [OPTION...]\n"
    "\n"
    "  mcrgen send --help    how to send\n"
    "  mcrgen recv --help    how to receive\n"
    "  mcrgen --version\n"
    "\n"
    "Exit status: 0 all is well; 1 a datagram could not be sent, or was lost,\n"
    "duplicated or corrupt; 2 wrong usage, or the socket could not be opened.\n";

static const char help_send[] =
    "Usage: mcrgen send --interface IF (--group G | --address A) --port P [OPTION...]\n"
    "\n"
    "Where to\n"
    "  --interface IF      send by this interface\n"
    "  --group G           to this multicast group, IPv4 or IPv6\n"
    "  --address A         to this unicast or broadcast address\n"
    "  --port P            to this UDP port\n"
    "\n"
    "What\n"
    "  --size BYTES        payload, 0 to 65507; below 32 it carries only the lowest\n"
    "                      8 bits of the sequence number (default 1316)\n"
    "  --stream ID         tells several sources apart, 0 to 4294967295 (default 0)\n"
    "  --first SEQ         first sequence number (default 0)\n"
    "  --flows N           send to N consecutive addresses from G or A on, in turn;\n"
    "                      each has sequence numbers of its own (default 1)\n"
    "\n"
    "How much\n"
    "  --rate PPS          datagrams a second; 0: as fast as possible (default 1000)\n"
    "  --count N           stop after N datagrams\n"
    "  --seconds S         stop after this time; three decimals\n"
    "                      with neither: until SIGINT or SIGTERM\n"
    "\n"
    "How\n"
    "  --ttl N             TTL or hop limit, 1 to 255 (default 1)\n"
    "  --dscp N            0 to 63 (default 0)\n"
    "  --source A          from this address of this host\n"
    "  --source-port P     from this port\n"
    "  --dont-fragment     set DF; a payload that exceeds the MTU is an error\n"
    "  --gso N             hand N datagrams to the kernel as one (UDP_SEGMENT)\n"
    "  --batch N           at most N such sends in one system call (default 64)\n"
    "\n"
    "  --json              report as one JSON object\n"
    "  --progress          a line each second on stderr\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 all sent, 1 a send failed, 2 wrong usage or no socket.\n";

static const char help_recv[] =
    "Usage: mcrgen recv --interface IF [--group G | --address A] --port P [OPTION...]\n"
    "\n"
    "What to take\n"
    "  --interface IF      only what comes in by this interface\n"
    "  --group G           join and take this multicast group, IPv4 or IPv6\n"
    "  --address A         take this unicast or broadcast address\n"
    "                      with neither: whatever is addressed to this host\n"
    "  --port P            UDP port\n"
    "  --source S          join the group for this sender only\n"
    "  --stream ID         only this stream (default: the first one that comes);\n"
    "                      others are counted as foreign\n"
    "  --size BYTES        payloads have exactly this size; needed below 32\n"
    "\n"
    "When to stop\n"
    "  --count N           after N datagrams\n"
    "  --idle-ms N         when nothing came for N ms, after the first datagram\n"
    "  --seconds S         after this time at the latest; three decimals\n"
    "                      (default 60)\n"
    "\n"
    "What to expect\n"
    "  --expect N          fail unless exactly N sequence numbers from --first on\n"
    "                      came, each once; 0: nothing may come\n"
    "  --first SEQ         first sequence number (default: with --expect or --size\n"
    "                      below 32, 0; else the lowest that comes)\n"
    "\n"
    "  --ready-fd FD       write the line \"ready\" there once joined, not on stderr\n"
    "  --gro               let the kernel hand over trains of datagrams (UDP_GRO)\n"
    "  --json              report as one JSON object\n"
    "  --progress          a line each second on stderr\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 all came; 1 losses, duplicates, corruption, or nothing came;\n"
    "2 wrong usage or no socket.\n";

static int run(enum gen_role role, int argc, char *argv[])
{
    struct gen_options options;

    if (!gen_options_read(&options, role, argc, argv))
        return 2;
    if (gen_given(&options, GEN_HELP)) {
        fputs(role == GEN_SEND ? help_send : help_recv, stdout);
        return 0;
    }
    if (gen_given(&options, GEN_VERSION)) {
        puts("mcrgen " PACKAGE_VERSION);
        return 0;
    }
    stop_install();
    return role == GEN_SEND ? gen_send(&options) : gen_recv(&options);
}

int main(int argc, char *argv[])
{
    const char *word = argc > 1 ? argv[1] : "";

    if (strcmp(word, "send") == 0)
        return run(GEN_SEND, argc - 1, argv + 1);
    if (strcmp(word, "recv") == 0)
        return run(GEN_RECV, argc - 1, argv + 1);
    if (strcmp(word, "--help") == 0) {
        fputs(help_main, stdout);
        return 0;
    }
    if (strcmp(word, "--version") == 0) {
        puts("mcrgen " PACKAGE_VERSION);
        return 0;
    }
    if (argc > 1)
        fprintf(stderr, "mcrgen: \"%s\": send, recv, --help or --version is allowed\n", word);
    else
        fprintf(stderr, "mcrgen: send, recv, --help or --version is missing\n");
    return 2;
}
