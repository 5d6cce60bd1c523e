// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/options.h"

#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stddef.h>
#include <unistd.h>

#include "common/clock.h"
#include "gen/legs.h"
#include "gen/payload.h"
#include "gen/random.h"
#include "gen/sequence.h"

#define AT(field)   offsetof(struct gen_options, field)
#define SEQ_MAX     PAYLOAD_SEQ_MAX
#define DAYS_366_MS (366 * 24 * 3600 * UINT64_C(1000))
#define COUNT(of)   (sizeof(of) / sizeof((of)[0]))

enum { AS = 1 }; // the bit of --as: what goes with it

_Static_assert(LEG_MOST <= ARGUMENT_LIST_MOST && LEG_MOST == 8, "as --leg says");

static const struct argument send_rows[] = {
    {"interface", "IF", ARGUMENT_TEXT, AT(interface), .help = "send by this interface", .heading = "Where to",
     .letter = 'i'},
    {"group", "G", ARGUMENT_ADDRESS, AT(group), .help = "to this multicast group, IPv4 or IPv6", .letter = 'g'},
    {"address", "A", ARGUMENT_ADDRESS, AT(address), .help = "to this unicast or broadcast address"},
    {"port", "P", ARGUMENT_NUMBER, AT(port), .least = 1, .most = 65535, .help = "to this UDP port", .letter = 'p'},
    {"leg", "LEG", ARGUMENT_LIST, AT(leg_texts), .most = LEG_MOST, .allowed = "allowed are 8 legs",
     .help = "or, up to 8 times, by this leg: IF,ADDRESS,PORT and what it does to the stream, each of it optional: "
             "delay_ms=N, loss=P%, pattern=RUN[/EVERY][@FROM], reorder=N, repeat=N. All legs send the same stream"},

    {"size", "BYTES", ARGUMENT_NUMBER, AT(size), .most = PAYLOAD_MAX, .heading = "What",
     .help = "payload (default 1316); below 32 it carries only the lowest 8 bits of the sequence number"},
    {"stream", "ID", ARGUMENT_NUMBER, AT(stream), .most = UINT32_MAX,
     .help = "tells several sources apart (default 0)"},
    {"first", "SEQ", ARGUMENT_NUMBER, AT(first), .most = SEQ_MAX, .help = "first sequence number (default 0)"},
    {"flows", "N", ARGUMENT_NUMBER, AT(flows), .least = 1, .most = 4096,
     .help =
         "send to N consecutive addresses from G or A on, in turn; each has sequence numbers of its own (default 1)"},
    {"as", "FORM", ARGUMENT_TEXT, AT(as), .is = AS,
     .help =
         "with a number before the payload that a merge goes by: rtp, and any of ,payload_type=96 ,clock_hz=90000; or "
         "field, and any of ,at=0 ,bytes=4 ,endian=big ,session_at=0 ,session_bytes=0"},
    {"first-number", "N", ARGUMENT_NUMBER, AT(framing.first_number), .most = UINT64_MAX, .with = AS,
     .help = "number of the first datagram (default 0)"},
    {"ssrc", "ID", ARGUMENT_NUMBER, AT(framing.session), .most = UINT32_MAX, .with = AS,
     .help = "SSRC, or session id of a field (default: by --seed)"},
    {"restart", "N", ARGUMENT_NUMBER, AT(framing.restart), .least = 1, .most = SEQ_MAX, .with = AS,
     .help = "after each N datagrams a new SSRC or session, and a random number"},
    {"seed", "N", ARGUMENT_NUMBER, AT(framing.seed), .most = UINT64_MAX,
     .help = "whatever is random follows from it (default 1)"},

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
    {"lost-file", "FILE", ARGUMENT_TEXT, AT(lost_file),
     .help = "write which numbers the legs lost on purpose, for mcrgen recv"},
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
    {"as", "FORM", ARGUMENT_TEXT, AT(as), .help = "the payload stands behind what mcrgen send --as FORM writes"},

    {"count", "N", ARGUMENT_NUMBER, AT(count), .least = 1, .most = SEQ_MAX, .help = "after N datagrams",
     .heading = "When to stop", .letter = 'c'},
    {"idle-ms", "N", ARGUMENT_NUMBER, AT(idle_ms), .least = 1, .most = 86400000,
     .help = "when nothing came for N ms, after the first datagram"},
    {"missing-ms", "N", ARGUMENT_NUMBER, AT(missing_ms), .least = 1, .most = 86400000,
     .help = "in place of --idle-ms, while fewer came than --expect says"},
    {"seconds", "S", ARGUMENT_DECIMAL, AT(seconds), .least = 1, .most = DAYS_366_MS,
     .help = "after this time at the latest (default 60)"},

    {"expect", "N", ARGUMENT_NUMBER, AT(expect), .most = SEQ_MAX, .heading = "What to expect",
     .help = "fail unless exactly N sequence numbers from --first on came, each once; with 0, nothing may come"},
    {"first", "SEQ", ARGUMENT_NUMBER, AT(first), .most = SEQ_MAX,
     .help = "first sequence number (default: with --expect or --size below 32, 0; else the lowest that comes)"},
    {"lost-file", "FILE", ARGUMENT_TEXT, AT(lost_file),
     .help = "fail unless all came but what all legs lost, as the file of mcrgen send says; read at the end"},
    {"in-order", NULL, ARGUMENT_FLAG, AT(in_order), .help = "fail also when datagrams are out of order"},

    {"ready-fd", "FD", ARGUMENT_NUMBER, AT(ready_fd), .most = 1048575, .heading = "How",
     .help = "write the line \"ready\" there once joined, not on stderr"},
    {"gro", NULL, ARGUMENT_FLAG, AT(gro), .help = "let the kernel hand over trains of datagrams (UDP_GRO)"},
    {"json", NULL, ARGUMENT_FLAG, AT(json), .help = "report as one JSON object", .heading = "Report", .letter = 'j'},
    {"progress", NULL, ARGUMENT_FLAG, AT(progress), .help = "a line each second on stderr"},
};

static const struct arguments send_line = {
    "mcrgen send",
    "usage: mcrgen send --interface IF (--group G | --address A) --port P [OPTION...]\n"
    "       mcrgen send --leg IF,ADDRESS,PORT[,...]... [OPTION...]\n",
    "Exit status: 0 all sent, 1 a send failed, 2 wrong usage or no socket.\n",
    send_rows,
    COUNT(send_rows),
    .once = true,
};

static const struct arguments recv_line = {
    "mcrgen recv",
    "usage: mcrgen recv --interface IF [--group G | --address A] --port P [OPTION...]\n",
    "Exit status: 0 all came; 1 losses, duplicates, corruption, or nothing came;\n"
    "2 wrong usage, no socket, or no --lost-file.\n",
    recv_rows,
    COUNT(recv_rows),
    .once = true,
};

static int check_source(const struct arguments *line, const struct gen_options *o, const struct addr *to)
{
    if (!o->source.family)
        return -1;
    if (!addr_is_unicast(&o->source))
        return arguments_wrong(line, "--source: allowed is a unicast address");
    if (o->source.family != to->family && to->family)
        return arguments_wrong(line, "--source: allowed is an address of the destination's family (IPv%u)", to->family);
    return -1;
}

// What both ask for. Return -1, or the exit status.
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
    return check_source(line, o, &o->destination);
}

static int check_form(const struct arguments *line, struct gen_options *o)
{
    struct framing *f = &o->framing;
    char why[LIST_WHY_MAX];

    o->duration_ns = (uint64_t) (o->seconds * (double) NS_PER_S + 0.5);
    if (!o->as)
        return -1;
    if (!framing_parse(o->as, f, why))
        return arguments_wrong(line, "--as is \"%s\", %s", o->as, why);
    if (!framing_holds(f, f->first_number))
        return arguments_wrong(line, "--first-number is \"%" PRIu64 "\", which the number of --as has no room for",
                               f->first_number);
    if (o->size < framing_length(f) + PAYLOAD_HEADER)
        return arguments_wrong(line, "--size is \"%" PRIu64 "\", allowed with --as %s is %zu to %d", o->size, o->as,
                               framing_length(f) + PAYLOAD_HEADER, PAYLOAD_MAX);
    return -1;
}

// What the datagrams of send have before their payload.
static int check_framing(const struct arguments *line, struct gen_options *o)
{
    struct framing *f = &o->framing;

    if (f->session == GEN_NONE)
        f->session = (uint32_t) random_of(f->seed, RANDOM_SESSION, 0);
    f->rate = o->rate;
    f->stride = o->flows;
    if (f->as == FRAMING_AS_RTP && o->rate == 0)
        return arguments_wrong(line,
                               "--rate is \"0\", allowed with --as rtp is 1 to 100000000: its time stamps need one");
    return -1;
}

static int check_leg(const struct arguments *line, struct gen_options *o, unsigned i)
{
    const char *text = o->leg_texts.texts[i];
    struct leg *leg = &o->legs[i];
    char why[LIST_WHY_MAX];

    if (!leg_parse(text, leg, why))
        return arguments_wrong(line, "--leg is \"%s\", %s", text, why);
    leg->ifindex = if_nametoindex(leg->interface);
    if (leg->ifindex == 0)
        return arguments_wrong(line, "--leg is \"%s\", \"%s\": allowed is one of `ip link`", text, leg->interface);
    if (leg->delay_ms > 0 && o->rate == 0)
        return arguments_wrong(line, "--leg is \"%s\": delay_ms needs a --rate above 0", text);
    if (leg->delay_ms * o->rate > LEGS_WAITING_MOST * 1000)
        return arguments_wrong(line, "--leg is \"%s\", allowed with --rate %" PRIu64 " is delay_ms=0 to %" PRIu64, text,
                               o->rate, LEGS_WAITING_MOST * 1000 / o->rate);
    leg_seed(leg, o->framing.seed, i + 1);
    return check_source(line, o, &leg->to);
}

static int check_legs(const struct arguments *line, struct gen_options *o)
{
    int status = -1;

    if (o->interface || o->group.family || o->address.family || o->port)
        return arguments_wrong(line, "--leg says where to send: without --interface, --group, --address and --port");
    if (o->flows > 1)
        return arguments_wrong(line, "--leg excludes --flows");
    uint64_t made = o->count ? o->count : (uint64_t) ((double) o->rate * o->seconds);
    if (o->lost_file && (made > SEQUENCE_WINDOW || o->first > SEQ_MAX - SEQUENCE_WINDOW))
        return arguments_wrong(line, "--lost-file: allowed are %" PRIu64 " datagrams, and a --first of up to %" PRIu64,
                               SEQUENCE_WINDOW, SEQ_MAX - SEQUENCE_WINDOW);
    o->n_legs = o->leg_texts.n;
    for (unsigned i = 0; i < o->n_legs && status < 0; i++)
        status = check_leg(line, o, i);
    return status;
}

int gen_options_send(struct gen_options *o, int argc, char **argv)
{
    const struct arguments *line = &send_line;

    *o = (struct gen_options){.rate = 1000,
                              .size = 1316,
                              .ttl = 1,
                              .flows = 1,
                              .gso = 1,
                              .batch = 64,
                              .framing = {.session = GEN_NONE, .seed = 1}};
    int status = arguments_read(line, argc, argv, o, NULL);
    if (status < 0)
        status = o->leg_texts.n ? check_legs(line, o) : check_addresses(line, o);
    if (status < 0)
        status = check_form(line, o);
    if (status < 0)
        status = check_framing(line, o);
    if (status >= 0)
        return status;
    if (!o->n_legs && !o->destination.family)
        return arguments_wrong(line, "--group or --address is missing: where to send");
    if (!o->n_legs && o->lost_file)
        return arguments_wrong(line, "--lost-file can only go with --leg");
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
    if (status < 0)
        status = check_form(line, o);
    if (status >= 0)
        return status;
    if (o->lost_file && (o->expect != GEN_NONE || o->first != GEN_NONE || o->size < PAYLOAD_HEADER))
        return arguments_wrong(line, "--lost-file says what to expect: without --expect, --first and a --size below %d",
                               PAYLOAD_HEADER);
    if (o->missing_ms > 0 && o->expect == GEN_NONE)
        return arguments_wrong(line, "--missing-ms: only --expect says that some are missing");
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
