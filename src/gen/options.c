// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/options.h"
#include "common/clock.h"
#include "gen/payload.h"

#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { FLAG, NUMBER, SECONDS, ADDRESS, INTERFACE };

struct row {
    const char *name;
    unsigned roles;
    enum kind kind;
    size_t at; // in struct gen_options
    uint64_t least, most;
};

#define AT(field) offsetof(struct gen_options, field)
#define BOTH      (GEN_SEND | GEN_RECV)
#define SEQ_MAX   PAYLOAD_SEQ_MAX
#define FLOWS_MAX 4096
#define DAYS_366  (366 * 24 * UINT64_C(3600))

// clang-format off
static const struct row rows[] = {
    [GEN_INTERFACE]     = {"interface",     BOTH,     INTERFACE, AT(interface),   0, 0},
    [GEN_GROUP]         = {"group",         BOTH,     ADDRESS,   AT(group),       0, 0},
    [GEN_ADDRESS]       = {"address",       BOTH,     ADDRESS,   AT(address),     0, 0},
    [GEN_PORT]          = {"port",          BOTH,     NUMBER,    AT(port),        1, 65535},
    [GEN_RATE]          = {"rate",          GEN_SEND, NUMBER,    AT(rate),        0, 100000000},
    [GEN_COUNT]         = {"count",         BOTH,     NUMBER,    AT(count),       1, SEQ_MAX},
    [GEN_SECONDS]       = {"seconds",       BOTH,     SECONDS,   AT(duration_ns), 0, DAYS_366},
    [GEN_SIZE]          = {"size",          BOTH,     NUMBER,    AT(size),        0, PAYLOAD_MAX},
    [GEN_TTL]           = {"ttl",           GEN_SEND, NUMBER,    AT(ttl),         1, 255},
    [GEN_DSCP]          = {"dscp",          GEN_SEND, NUMBER,    AT(dscp),        0, 63},
    [GEN_SOURCE]        = {"source",        BOTH,     ADDRESS,   AT(source),      0, 0},
    [GEN_SOURCE_PORT]   = {"source-port",   GEN_SEND, NUMBER,    AT(source_port), 1, 65535},
    [GEN_STREAM]        = {"stream",        BOTH,     NUMBER,    AT(stream),      0, UINT32_MAX},
    [GEN_FIRST]         = {"first",         BOTH,     NUMBER,    AT(first),       0, SEQ_MAX},
    [GEN_FLOWS]         = {"flows",         GEN_SEND, NUMBER,    AT(flows),       1, FLOWS_MAX},
    // UDP_MAX_SEGMENTS of linux/udp.h: 64 until Linux 6.8, then 128.
    [GEN_GSO]           = {"gso",           GEN_SEND, NUMBER,    AT(gso),         1, 128},
    // UIO_MAXIOV: the kernel takes no more messages in one sendmmsg().
    [GEN_BATCH]         = {"batch",         GEN_SEND, NUMBER,    AT(batch),       1, 1024},
    [GEN_DONT_FRAGMENT] = {"dont-fragment", GEN_SEND, FLAG,      0,               0, 0},
    [GEN_IDLE_MS]       = {"idle-ms",       GEN_RECV, NUMBER,    AT(idle_ms),     1, 86400000},
    [GEN_EXPECT]        = {"expect",        GEN_RECV, NUMBER,    AT(expect),      0, SEQ_MAX},
    [GEN_READY_FD]      = {"ready-fd",      GEN_RECV, NUMBER,    AT(ready_fd),    0, 1048575},
    [GEN_GRO]           = {"gro",           GEN_RECV, FLAG,      0,               0, 0},
    [GEN_JSON]          = {"json",          BOTH,     FLAG,      0,               0, 0},
    [GEN_PROGRESS]      = {"progress",      BOTH,     FLAG,      0,               0, 0},
    [GEN_HELP]          = {"help",          BOTH,     FLAG,      0,               0, 0},
    [GEN_VERSION]       = {"version",       BOTH,     FLAG,      0,               0, 0},
};
// clang-format on

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *role_name(enum gen_role role)
{
    return role == GEN_SEND ? "send" : "recv";
}

// Always false, for the caller to return.
__attribute__((format(printf, 2, 3))) static bool wrong(const struct gen_options *o, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "mcrgen %s: ", role_name(o->role));
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || text[digits] != '\0')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno != 0 || value < least || value > most)
        return false;
    *out = value;
    return true;
}

// "5", "0.25": more than zero, to the millisecond.
static bool parse_seconds(const char *text, uint64_t most, uint64_t *out_ns)
{
    size_t whole = strspn(text, "0123456789");
    uint64_t seconds, ms = 0;
    char digits[24];

    if (whole == 0 || whole >= sizeof(digits))
        return false;
    memcpy(digits, text, whole);
    digits[whole] = '\0';
    if (!parse_number(digits, 0, most, &seconds))
        return false;
    if (text[whole] == '.') {
        const char *fraction = text + whole + 1;
        size_t places = strlen(fraction);
        if (places < 1 || places > 3 || !parse_number(fraction, 0, 999, &ms))
            return false;
        for (; places < 3; places++)
            ms *= 10;
    } else if (text[whole] != '\0') {
        return false;
    }
    *out_ns = seconds * NS_PER_S + ms * 1000000;
    return *out_ns > 0 && *out_ns <= most * NS_PER_S;
}

static bool read_interface(struct gen_options *o, const char *text)
{
    if (strlen(text) == 0 || strlen(text) >= IF_NAMESIZE || strpbrk(text, "/: \t\n"))
        return wrong(o, "--interface \"%s\": the name of an interface is allowed, 1 to 15 characters", text);
    o->interface = text;
    o->ifindex = if_nametoindex(text);
    if (o->ifindex == 0)
        return wrong(o, "--interface %s: there is no such interface here; one of `ip link` is allowed", text);
    return true;
}

static bool read_value(struct gen_options *o, const struct row *row, const char *text)
{
    void *field = (char *) o + row->at;

    switch (row->kind) {
    case FLAG:
        return true;
    case NUMBER:
        if (parse_number(text, row->least, row->most, field))
            return true;
        return wrong(o, "--%s \"%s\": a whole number from %llu to %llu is allowed", row->name, text,
                     (unsigned long long) row->least, (unsigned long long) row->most);
    case SECONDS:
        if (parse_seconds(text, row->most, field))
            return true;
        return wrong(o, "--%s \"%s\": a time from 0.001 to %llu, with up to three decimals, is allowed", row->name,
                     text, (unsigned long long) row->most);
    case ADDRESS:
        if (addr_parse(text, field))
            return true;
        return wrong(o, "--%s \"%s\": a numeric IPv4 or IPv6 address is allowed", row->name, text);
    case INTERFACE:
        return read_interface(o, text);
    }
    return false;
}

static bool check_addresses(struct gen_options *o)
{
    bool group = gen_given(o, GEN_GROUP), address = gen_given(o, GEN_ADDRESS);

    if (group && address)
        return wrong(o, "--group and --address exclude each other");
    if (o->role == GEN_SEND && !group && !address)
        return wrong(o, "--group or --address is missing: where to send");
    if (group && !addr_is_multicast(&o->group))
        return wrong(o,
                     "--group: a multicast address is allowed (224.0.0.0/4 or ff00::/8); "
                     "for another one, --address");
    if (address && addr_is_multicast(&o->address))
        return wrong(o, "--address: a unicast or broadcast address is allowed; for a multicast one, --group");
    o->destination = group ? o->group : o->address;
    if (!gen_given(o, GEN_SOURCE))
        return true;
    if (!addr_is_unicast(&o->source))
        return wrong(o, "--source: a unicast address is allowed");
    if (o->role == GEN_RECV && !group)
        return wrong(o, "--source makes a source-specific join and is allowed only with --group");
    if (o->source.family != o->destination.family)
        return wrong(o, "--source: an address of the destination's family (IPv%u) is allowed", o->destination.family);
    return true;
}

static bool check_send(struct gen_options *o)
{
    if (gen_given(o, GEN_GSO) && o->gso > 1) {
        if (o->size == 0)
            return wrong(o, "--gso needs a --size of at least 1");
        if (o->gso * o->size > PAYLOAD_MAX)
            return wrong(o, "--gso %llu: with --size %llu, at most %llu is allowed (%d bytes in one send)",
                         (unsigned long long) o->gso, (unsigned long long) o->size,
                         (unsigned long long) (PAYLOAD_MAX / o->size), PAYLOAD_MAX);
    }
    struct addr last = addr_after(&o->destination, (uint32_t) o->flows - 1);
    if (gen_given(o, GEN_GROUP) ? !addr_is_multicast(&last) : addr_is_multicast(&last))
        return wrong(o, "--flows %llu: the last of them is no longer %s", (unsigned long long) o->flows,
                     gen_given(o, GEN_GROUP) ? "a multicast address" : "a unicast or broadcast address");
    if (o->count > SEQ_MAX - o->first)
        return wrong(o, "--first and --count: sequence numbers up to %llu are allowed", (unsigned long long) SEQ_MAX);
    return true;
}

static bool check_recv(struct gen_options *o)
{
    if (gen_given(o, GEN_EXPECT) && o->expect > SEQ_MAX - o->first)
        return wrong(o, "--first and --expect: sequence numbers up to %llu are allowed", (unsigned long long) SEQ_MAX);
    if (gen_given(o, GEN_STREAM) && gen_given(o, GEN_SIZE) && o->size < PAYLOAD_HEADER)
        return wrong(o, "--stream: payloads shorter than %d bytes carry none; leave it out, or raise --size",
                     PAYLOAD_HEADER);
    return true;
}

static bool check(struct gen_options *o)
{
    if (!gen_given(o, GEN_INTERFACE))
        return wrong(o, "--interface is missing");
    if (!check_addresses(o))
        return false;
    if (!gen_given(o, GEN_PORT))
        return wrong(o, "--port is missing");
    return o->role == GEN_SEND ? check_send(o) : check_recv(o);
}

bool gen_options_read(struct gen_options *o, enum gen_role role, int argc, char *argv[])
{
    struct option known[ROWS + 1] = {{0}};
    unsigned used = 0;

    *o = (struct gen_options){.role = role, .rate = 1000, .size = 1316, .ttl = 1, .flows = 1, .gso = 1, .batch = 64};
    if (role == GEN_RECV)
        o->duration_ns = 60 * NS_PER_S;
    for (unsigned i = 0; i < ROWS; i++)
        if (rows[i].roles & role)
            known[used++] = (struct option){.name = rows[i].name,
                                            .has_arg = rows[i].kind == FLAG ? no_argument : required_argument,
                                            .val = (int) i};
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":", known, NULL)) != -1;) {
        if (c == ':')
            return wrong(o, "%s needs a value", argv[optind - 1]);
        if (c == '?')
            return wrong(o, "%s is not an option here; see mcrgen %s --help", argv[optind - 1], role_name(role));
        if (gen_given(o, (enum gen_option) c))
            return wrong(o, "--%s is given twice", rows[c].name);
        o->given |= UINT32_C(1) << c;
        if (c == GEN_HELP || c == GEN_VERSION)
            return true;
        if (!read_value(o, &rows[c], optarg))
            return false;
    }
    if (optind < argc)
        return wrong(o, "\"%s\": only options are allowed; see mcrgen %s --help", argv[optind], role_name(role));
    return check(o);
}
