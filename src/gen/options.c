// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/options.h"

#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stddef.h>
#include <unistd.h>

#include "common/arguments.h"
#include "common/clock.h"
#include "gen/payload.h"

#define AT(field)   offsetof(struct gen_options, field)
#define SEQ_MAX     PAYLOAD_SEQ_MAX
#define DAYS_366_MS (366 * 24 * 3600 * UINT64_C(1000))
#define COUNT(of)   (sizeof(of) / sizeof((of)[0]))

static const struct argument send_rows[] = {
    {"interface", "IF", ARGUMENT_TEXT, AT(interface), .help = "send by this interface", .heading = "Where to",
     .letter = 'i'},
    {"group", "G", ARGUMENT_ADDRESS, AT(group), .help = "to this multicast group, IPv4 or IPv6", .letter = 'g'},
    {"address", "A", ARGUMENT_ADDRESS, AT(address), .help = "to this unicast or broadcast address"},
    {"port", "P", ARGUMENT_NUMBER, AT(port), .least = 1, .most = 65535, .help = "to this UDP port", .letter = 'p'},

    {"size", "BYTES", ARGUMENT_NUMBER, AT(size), .most = PAYLOAD_MAX, .heading = "What",
     .help = "payload (default 1316); below 32 it carries only the lowest 8 bits of the sequence number"},
    {"stream", "ID", ARGUMENT_NUMBER, AT(stream), .most = UINT32_MAX,
     .help = "tells several sources apart (default 0)"},
    {"first", "SEQ", ARGUMENT_NUMBER, AT(first), .most = SEQ_MAX, .help = "first sequence number (default 0)"},
    {"flows", "N", ARGUMENT_NUMBER, AT(flows), .least = 1, .most = 4096,
     .help =
         "send to N consecutive addresses from G or A on, in turn; each has sequence numbers of its own (default 1)"},

    {"rate", "PPS", ARGUMENT_NUMBER, AT(rate), .most = 100000000, .heading = "How much",
     .help = "datagrams a second (default 1000); 0: as fast as possible"},
    {"count", "N", ARGUMENT_NUMBER, AT(count), .least = 1, .most = SEQ_MAX, .help = "stop after N datagrams",
     .letter = 'c'},
    {"seconds", "S", ARGUMENT_DECIMAL, AT(seconds), .least = 1, .most = DAYS_366_MS,
     .help = "stop after this time; with neither this nor --count: at SIGINT or SIGTERM"},

    {"ttl", "N", ARGUMENT_NUMBER, AT(ttl), .least = 1, .most = 255, .help = "TTL or hop limit (default 1)",
     .heading = "How"},
    {"dscp", "N", ARGUMENT_NUMBER, AT(dscp), .most = 63, .help = "DSCP (default 0)"},
    {"source", "A", ARGUMENT_ADDRESS, AT(source), .help = "from this address of this host"},
    {"source-port", "P", ARGUMENT_NUMBER, AT(source_port), .least = 1, .most = 65535, .help = "from this port"},
    {"dont-fragment", NULL, ARGUMENT_FLAG, AT(dont_fragment),
     .help = "set DF; a payload that exceeds the MTU is an error"},
    // UDP_MAX_SEGMENTS of linux/udp.h: 64 until Linux 6.8, then 128.
    {"gso", "N", ARGUMENT_NUMBER, AT(gso), .least = 1, .most = 128,
     .help = "hand N datagrams to the kernel as one (UDP_SEGMENT; default 1)"},
    // UIO_MAXIOV: the largest number of messages in one sendmmsg().
    {"batch", "N", ARGUMENT_NUMBER, AT(batch), .least = 1, .most = 1024,
     .help = "at most N such sends in one system call (default 64)"},
    {"json", NULL, ARGUMENT_FLAG, AT(json), .help = "report as one JSON object", .heading = "Report", .letter = 'j'},
    {"progress", NULL, ARGUMENT_FLAG, AT(progress), .help = "a line each second on stderr"},
};

static const struct argument recv_rows[] = {
    {"interface", "IF", ARGUMENT_TEXT, AT(interface), .help = "only what comes in by this interface",
     .heading = "What to take", .letter = 'i'},
    {"group", "G", ARGUMENT_ADDRESS, AT(group), .help = "join and take this multicast group, IPv4 or IPv6",
     .letter = 'g'},
    {"address", "A", ARGUMENT_ADDRESS, AT(address),
     .help =
         "take this unicast or broadcast address; with neither this nor --group: whatever is addressed to this host"},
    {"port", "P", ARGUMENT_NUMBER, AT(port), .least = 1, .most = 65535, .help = "UDP port", .letter = 'p'},
    {"source", "S", ARGUMENT_ADDRESS, AT(source), .help = "join the group for this sender only"},
    {"stream", "ID", ARGUMENT_NUMBER, AT(stream), .most = UINT32_MAX,
     .help = "only this stream (default: the first one that comes); others are counted as foreign"},
    {"size", "BYTES", ARGUMENT_NUMBER, AT(size), .most = PAYLOAD_MAX,
     .help = "payloads have exactly this size; needed below 32"},

    {"count", "N", ARGUMENT_NUMBER, AT(count), .least = 1, .most = SEQ_MAX, .help = "after N datagrams",
     .heading = "When to stop", .letter = 'c'},
    {"idle-ms", "N", ARGUMENT_NUMBER, AT(idle_ms), .least = 1, .most = 86400000,
     .help = "when nothing came for N ms, after the first datagram"},
    {"seconds", "S", ARGUMENT_DECIMAL, AT(seconds), .least = 1, .most = DAYS_366_MS,
     .help = "after this time at the latest (default 60)"},

    {"expect", "N", ARGUMENT_NUMBER, AT(expect), .most = SEQ_MAX, .heading = "What to expect",
     .help = "fail unless exactly N sequence numbers from --first on came, each once; with 0, nothing may come"},
    {"first", "SEQ", ARGUMENT_NUMBER, AT(first), .most = SEQ_MAX,
     .help = "first sequence number (default: with --expect or --size below 32, 0; else the lowest that comes)"},

    {"ready-fd", "FD", ARGUMENT_NUMBER, AT(ready_fd), .most = 1048575, .heading = "How",
     .help = "write the line \"ready\" there once joined, not on stderr"},
    {"gro", NULL, ARGUMENT_FLAG, AT(gro), .help = "let the kernel hand over trains of datagrams (UDP_GRO)"},
    {"json", NULL, ARGUMENT_FLAG, AT(json), .help = "report as one JSON object", .heading = "Report", .letter = 'j'},
    {"progress", NULL, ARGUMENT_FLAG, AT(progress), .help = "a line each second on stderr"},
};

static const struct arguments send_line = {
    "mcrgen send",
    "usage: mcrgen send --interface IF (--group G | --address A) --port P [OPTION...]\n",
    "Exit status: 0 all sent, 1 a send failed, 2 wrong usage or no socket.\n",
    send_rows,
    COUNT(send_rows),
    .once = true,
};

static const struct arguments recv_line = {
    "mcrgen recv",
    "usage: mcrgen recv --interface IF [--group G | --address A] --port P [OPTION...]\n",
    "Exit status: 0 all came; 1 losses, duplicates, corruption, or nothing came;\n"
    "2 wrong usage or no socket.\n",
    recv_rows,
    COUNT(recv_rows),
    .once = true,
};

// Checks the addresses that send and recv have in common. Returns -1, or the exit status.
static int check_addresses(const struct arguments *line, struct gen_options *o)
{
    bool group = o->group.family, address = o->address.family;

    if (!o->interface)
        return arguments_wrong(line, "--interface is missing");
    o->ifindex = if_nametoindex(o->interface);
    if (o->ifindex == 0)
        return arguments_wrong(line, "--interface is \"%s\", allowed is one of `ip link`", o->interface);
    if (group && address)
        return arguments_wrong(line, "--group and --address exclude each other");
    if (group && !addr_is_multicast(&o->group))
        return arguments_wrong(line,
                               "--group: allowed is a multicast address (224.0.0.0/4 or ff00::/8); for another "
                               "one, --address");
    if (address && addr_is_multicast(&o->address))
        return arguments_wrong(line,
                               "--address: allowed is a unicast or broadcast address; for a multicast one, "
                               "--group");
    o->destination = group ? o->group : o->address;
    if (!o->port)
        return arguments_wrong(line, "--port is missing");
    o->duration_ns = (uint64_t) (o->seconds * (double) NS_PER_S + 0.5);
    if (!o->source.family)
        return -1;
    if (!addr_is_unicast(&o->source))
        return arguments_wrong(line, "--source: allowed is a unicast address");
    if (o->source.family != o->destination.family && o->destination.family)
        return arguments_wrong(line, "--source: allowed is an address of the destination's family (IPv%u)",
                               o->destination.family);
    return -1;
}

int gen_options_send(struct gen_options *o, int argc, char **argv)
{
    const struct arguments *line = &send_line;

    *o = (struct gen_options){.rate = 1000, .size = 1316, .ttl = 1, .flows = 1, .gso = 1, .batch = 64};
    int status = arguments_read(line, argc, argv, o, NULL);
    if (status < 0)
        status = check_addresses(line, o);
    if (status >= 0)
        return status;
    if (!o->destination.family)
        return arguments_wrong(line, "--group or --address is missing: where to send");
    if (o->gso > 1 && o->size == 0)
        return arguments_wrong(line, "--gso needs a --size of at least 1");
    if (o->gso > 1 && o->gso * o->size > PAYLOAD_MAX)
        return arguments_wrong(line,
                               "--gso is \"%" PRIu64 "\", allowed with --size %" PRIu64 " is up to %" PRIu64
                               " (%d bytes in one send)",
                               o->gso, o->size, PAYLOAD_MAX / o->size, PAYLOAD_MAX);
    struct addr last = addr_after(&o->destination, (uint32_t) o->flows - 1);
    if (addr_is_multicast(&last) != addr_is_multicast(&o->destination))
        return arguments_wrong(line, "--flows is \"%" PRIu64 "\": the last of them is no longer %s", o->flows,
                               o->group.family ? "a multicast address" : "a unicast or broadcast address");
    if (o->count > SEQ_MAX - o->first)
        return arguments_wrong(line, "--first and --count: allowed are sequence numbers up to %" PRIu64, SEQ_MAX);
    return -1;
}

int gen_options_recv(struct gen_options *o, int argc, char **argv)
{
    const struct arguments *line = &recv_line;

    *o = (struct gen_options){.size = GEN_NONE,
                              .stream = GEN_NONE,
                              .first = GEN_NONE,
                              .expect = GEN_NONE,
                              .ready_fd = STDERR_FILENO,
                              .seconds = 60};
    int status = arguments_read(line, argc, argv, o, NULL);
    if (status < 0)
        status = check_addresses(line, o);
    if (status >= 0)
        return status;
    if (o->source.family && !o->group.family)
        return arguments_wrong(line, "--source makes a source-specific join and can only go with --group");
    if (o->first != GEN_NONE && o->expect != GEN_NONE && o->expect > SEQ_MAX - o->first)
        return arguments_wrong(line, "--first and --expect: allowed are sequence numbers up to %" PRIu64, SEQ_MAX);
    if (o->stream != GEN_NONE && o->size < PAYLOAD_HEADER)
        return arguments_wrong(
            line, "--stream: payloads shorter than %d bytes carry none; leave it out, or raise --size", PAYLOAD_HEADER);
    if (fcntl((int) o->ready_fd, F_GETFD) < 0)
        return arguments_wrong(line, "--ready-fd is \"%" PRIu64 "\", allowed is an open file descriptor", o->ready_fd);
    return -1;
}
