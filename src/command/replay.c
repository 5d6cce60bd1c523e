// SPDX-License-Identifier: Apache-2.0
// Captures through the file's rules, as if they came in now: a frame of all of them after the other, by their stamps.
#include <config.h>

#include "command/command.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/if_packet.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/capture.h"
#include "command/replayed.h"
#include "command/running.h"
#include "common/clock.h"
#include "common/exit.h"
#include "common/progress.h"
#include "config/load.h"
#include "config/times.h"

// A capture, and its next frame.
struct source {
    const char *name;
    FILE *file; // until capture is open, which then owns it
    struct capture *capture;
    struct capture_frame frame;
    enum capture_result result;
    bool taken;                // the frame; the next one is to be read
    uint64_t n;                // frames that were taken
    char why[CAPTURE_WHY_MAX]; // it is damaged
};

struct replay {
    struct replayed of; // the present packet, and all before it
    struct source sources[ARGUMENT_LIST_MOST];
    unsigned n_sources;
    struct pcap_dumper *writer;
    uint64_t size; // of the captures in bytes; 0: not known
    struct progress bar;
};

static bool is_stream(const struct source *s)
{
    return strcmp(s->name, "-") == 0;
}

static const char *capture_name(const struct source *s)
{
    return is_stream(s) ? "the standard input" : s->name;
}

static void take_output(void *context, const struct table_output *o, const uint8_t *frame, size_t length)
{
    struct replay *r = context;

    (void) o;
    r->of.n_frames++;
    if (r->writer)
        capture_write(r->writer, r->of.offline->forward->now_ns, frame, length);
}

// --- one packet ------------------------------------------------------------------------------------------------------

static const uint8_t no_station[6];

// Which way a frame went: where the capture does not tell, by the hardware address of the interface, if that is here.
static uint8_t kind_of(const struct replayed *r)
{
    const struct link *l = &r->offline->links[r->interface];
    const struct capture_frame *f = &r->frame;

    if (!f->stations || f->length < 12 || l->assumed || memcmp(l->mac, no_station, sizeof(l->mac)) == 0)
        return f->kind;
    if (memcmp(f->bytes + 6, l->mac, sizeof(l->mac)) == 0)
        return PACKET_OUTGOING;
    return !(f->bytes[0] & 1) && memcmp(f->bytes, l->mac, sizeof(l->mac)) != 0 ? PACKET_OTHERHOST : PACKET_HOST;
}

// A whole datagram to this host for whose destination, port and tag there is no rule. No rule can take a service tag
// (802.1ad).
static bool is_unmatched(const struct replayed *r, uint8_t kind)
{
    const struct stats_counter *drop = r->verdict.drop;

    return r->parsed == PACKET_OK && kind != PACKET_OTHERHOST && r->packet.vlan < 0x1000 && drop &&
           r->verdict.path == TABLE_NONE &&
           (drop->at == offsetof(struct stats_interface_counters, unmatched) ||
            drop->at == offsetof(struct stats_interface_counters, vlan));
}

static void judge(struct replayed *r)
{
    static const struct offline_verdict truncated = {.name = "truncated", .path = TABLE_NONE};
    struct capture_frame *f = &r->frame;
    uint8_t kind = kind_of(r);

    r->parsed = PACKET_MALFORMED;
    if (f->truncated) {
        r->verdict = truncated;
        r->truncated++;
    } else {
        r->parsed = packet_parse(&r->packet, f->bytes, f->length, &f->meta);
        if (r->parsed == PACKET_OK && packet_checksum_unfinished(&r->packet)) {
            f->meta.checksum_vouched = true;
            r->unfinished++;
        }
        size_t headers = r->packet.source.family == ADDR_IPV4 ? 28 : 48;
        if (r->parsed == PACKET_OK && r->packet.length + headers > r->offline->links[r->interface].mtu)
            r->merged++;
        offline_frame(r->offline, r->interface, f->time_ns, f->bytes, f->length, &f->meta, kind, &r->verdict);
    }
    if (is_unmatched(r, kind))
        unmatched_count(r->unmatched, &(struct table_key){.destination = r->packet.destination,
                                                          .port = r->packet.port,
                                                          .vlan = r->packet.vlan,
                                                          .interface = r->interface});
    r->held_back += r->verdict.held_back;
    json_t *count = json_object_get(r->verdicts, r->verdict.name);
    if (count)
        json_integer_set(count, json_integer_value(count) + 1);
    else
        json_object_set_new(r->verdicts, r->verdict.name, json_integer(1));
}

// --- all of them -----------------------------------------------------------------------------------------------------

// SIGINT and SIGTERM end a stream, which may have no other end. The descriptor is closed, so that no read can begin
// after a look at `stopped` and wait for ever.
static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    int error = errno;

    (void) signal;
    stopped = 1;
    close(STDIN_FILENO);
    errno = error;
}

// The capture whose next frame has the lowest stamp; of equal ones the first. NULL: all have ended.
static struct source *next_source(struct replay *r)
{
    struct source *next = NULL;

    for (struct source *s = r->sources; s < r->sources + r->n_sources && !stopped; s++) {
        if (s->taken && s->result == CAPTURE_FRAME)
            s->result = capture_next(s->capture, &s->frame, s->why);
        s->taken = false;
        if (s->result == CAPTURE_FRAME && (!next || s->frame.time_ns < next->frame.time_ns))
            next = s;
    }
    return stopped ? NULL : next;
}

static uint64_t position(const struct replay *r)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < r->n_sources; i++)
        sum += capture_position(r->sources[i].capture);
    return sum;
}

static void take(struct replay *r, struct source *s)
{
    s->taken = true;
    s->n++;
    r->of.frame = s->frame;
    r->of.interface = r->of.interfaces[s - r->sources];
    if (r->of.n++ == 0)
        r->of.first_ns = s->frame.time_ns;
    judge(&r->of);
    replayed_packet(&r->of);
}

static int run(struct replay *r)
{
    struct source *s;
    bool damaged = false;

    replayed_begin(&r->of);
    while ((s = next_source(r))) {
        if (r->bar.next_ns != UINT64_MAX)
            progress_show(&r->bar, position(r), r->size, clock_monotonic_ns());
        take(r, s);
    }
    progress_end(&r->bar);
    offline_end(r->of.offline);
    for (unsigned i = 0; i < r->n_sources; i++)
        damaged |= !stopped && r->sources[i].result == CAPTURE_DAMAGED;
    replayed_end(&r->of, damaged);
    for (s = r->sources; damaged && s < r->sources + r->n_sources; s++)
        if (s->result == CAPTURE_DAMAGED)
            command_trouble("%s: is damaged behind packet %" PRIu64 ": %s", capture_name(s), s->n, s->why);
    return damaged;
}

// --- files and rights ------------------------------------------------------------------------------------------------

// After this, nothing can be opened any more, and what a hostile capture may make of this process is of no use.
static bool give_up_rights(enum sandbox_mode mode)
{
    if (sandbox_capabilities() != 0 && !sandbox_drop(SANDBOX_RELAY, getuid(), getgid()))
        return false;
    return sandbox_filter(SANDBOX_RELAY, mode);
}

static bool is_same_file(const struct stat *a, const char *out)
{
    struct stat b;

    return stat(out, &b) == 0 && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

static bool open_source(struct source *s, const char *out)
{
    struct stat st;

    if (is_stream(s) && isatty(STDIN_FILENO))
        command_trouble("--replay -: the standard input is a terminal: tcpdump -i IF -U -w - udp | mcrd --replay -");
    else if (!(s->file = is_stream(s) ? stdin : fopen(s->name, "rbe")))
        command_trouble("%s: cannot be opened: %s", s->name, strerror(errno));
    else if (out && fstat(fileno(s->file), &st) == 0 && is_same_file(&st, out))
        command_trouble("%s: is the capture itself", out);
    else
        return true;
    return false;
}

// When it fails, the process ends: what is open goes with it.
static bool open_files(struct replay *r, FILE **out)
{
    const char *name = r->of.options->out, *config = r->of.config->path;
    struct stat st;

    if (name && stat(config, &st) == 0 && is_same_file(&st, name)) {
        command_trouble("%s: is the config itself", name);
        return false;
    }
    for (unsigned i = 0; i < r->n_sources; i++)
        if (!open_source(&r->sources[i], name))
            return false;
    if (!name || (*out = fopen(name, "wbe")))
        return true;
    command_trouble("%s: cannot be written: %s", name, strerror(errno));
    return false;
}

static bool begin_captures(struct replay *r)
{
    bool ok = true;

    for (struct source *s = r->sources; ok && s < r->sources + r->n_sources; s++) {
        ok = (s->capture = capture_open(s->file, s->why)) != NULL;
        s->result = CAPTURE_FRAME;
        s->taken = true; // none is there
        if (!ok)
            command_trouble("%s: %s", capture_name(s), stopped ? "ended before the first packet" : s->why);
    }
    return ok;
}

// Prepares for a capture that is being made: each line leaves at once, and a signal ends it.
static void follow_stream(void)
{
    // What is being written is written to its end; a read that goes on finds the descriptor closed.
    const struct sigaction end = {.sa_handler = stop, .sa_flags = SA_RESTART};

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGTERM, &end, NULL);
}

// A bar, where it does not lie among lines on the same terminal. To be asked before the rights are given up.
static void begin_bar(struct replay *r)
{
    const struct replay_options *o = r->of.options;
    struct stat st;
    bool known = true;

    for (unsigned i = 0; i < r->n_sources; i++) {
        known = known && fstat(fileno(r->sources[i].file), &st) == 0 && S_ISREG(st.st_mode);
        r->size = known ? r->size + (uint64_t) st.st_size : 0;
    }
    progress_begin(&r->bar, r->size > 0 && ((o->quiet && !o->json) || !isatty(STDOUT_FILENO)), clock_monotonic_ns());
}

static int open_and_run(struct replay *r)
{
    const struct replay_options *o = r->of.options;
    FILE *out = NULL;
    char why[CAPTURE_WHY_MAX];
    int status;

    for (unsigned i = 0; i < r->n_sources; i++)
        if (is_stream(&r->sources[i]))
            follow_stream();
    if (!open_files(r, &out))
        exit(EXIT_TROUBLE); // told
    begin_bar(r);
    if (!give_up_rights(o->sandbox))
        exit(EXIT_TROUBLE); // told
    if (!begin_captures(r))
        status = EXIT_TROUBLE;
    else if (out && !(r->writer = capture_create(out, why)))
        status = command_trouble("%s: %s", o->out, why);
    else
        status = run(r);
    if (r->writer && !capture_finish(r->writer)) {
        command_trouble("%s: cannot be written: %s", o->out, strerror(errno));
        status = 1;
    }
    for (unsigned i = 0; i < r->n_sources; i++)
        capture_close(r->sources[i].capture);
    return command_flush(r->of.config->path, true) ? status : 1;
}

// A rule that has this input, or any, and is not active at the time.
static const struct config_rule *resting(const struct config *c, const char *interface)
{
    for (const struct config_rule *r = c->rules; r < c->rules + c->n_rules; r++)
        for (size_t i = 0; (!r->enabled || r->phase != SCHEDULE_OPEN) && i < r->n_inputs; i++)
            if (!interface || strcmp(r->inputs[i].interface, interface) == 0)
                return r;
    return NULL;
}

static int choose_interface(struct replay *r, unsigned i)
{
    const struct argument_list *given = r->of.options->interfaces;
    const char *name = given->n > 1 ? given->texts[i] : given->texts[0];
    char inputs[OFFLINE_INPUTS_MAX];

    r->of.interfaces[i] = offline_input(r->of.offline, name);
    if (r->of.interfaces[i] != TABLE_NONE)
        return 0;
    fprintf(stderr, name ? "mcrd: --interface is \"%s\"" : "mcrd: --replay needs --interface", name);
    fprintf(stderr, ", allowed are the inputs of the file's active rules: %s", offline_inputs(r->of.offline, inputs));
    const struct config_rule *other = resting(r->of.config, name);
    if (other)
        fprintf(stderr, "; rule \"%s\" is not active: %s", other->name,
                other->enabled ? "--at judges by another time" : "enabled = false");
    fputc('\n', stderr);
    return EXIT_TROUBLE;
}

// Which captures there are, and by which interfaces they come in.
static int name_sources(struct replay *r)
{
    const struct argument_list *captures = r->of.options->captures, *interfaces = r->of.options->interfaces;
    unsigned n_streams = 0;
    int status = 0;

    if (interfaces->n > 1 && interfaces->n != captures->n)
        return command_trouble(
            "--replay is given %u times, --interface %u times: allowed is one for each, or one for all", captures->n,
            interfaces->n);
    r->n_sources = captures->n;
    for (unsigned i = 0; i < captures->n && status == 0; i++) {
        r->sources[i].name = captures->texts[i];
        n_streams += is_stream(&r->sources[i]);
        status = choose_interface(r, i);
    }
    return n_streams > 1 ? command_trouble("--replay - is given twice: there is one standard input") : status;
}

int command_replay(const char *path, const struct replay_options *options)
{
    char why[COMPILE_WHY_MAX > CAPTURE_WHY_MAX ? COMPILE_WHY_MAX : CAPTURE_WHY_MAX];
    struct replay r = {.of.options = options};
    int status = EXIT_TROUBLE;

    if (!capture_load(why))
        return command_trouble("%s", why);
    json_object_seed(0); // reads random bytes, which the sandbox will forbid
    if (!(r.of.unmatched = unmatched_new()))
        return command_trouble("%s", strerror(ENOMEM));
    r.of.verdicts = json_object();
    r.of.config = running_or_file(path, options->running, CONFIG_LOAD_OFFLINE_INTERFACES);
    if (r.of.config && options->running)
        digest_text(r.of.config->file.sha256, r.of.running);
    else if (r.of.config)
        r.of.note = running_note(r.of.config, r.of.running);
    if (r.of.config)
        times_apply(r.of.config, command_time(options->at), true);
    if (r.of.config && !(r.of.offline = offline_open(r.of.config, take_output, &r, why)))
        command_trouble("%s: %s", r.of.config->path, why);
    if (r.of.offline && (status = name_sources(&r)) == 0)
        status = open_and_run(&r);
    offline_close(r.of.offline);
    config_free(r.of.config);
    json_decref(r.of.verdicts);
    json_decref(r.of.note);
    unmatched_free(r.of.unmatched);
    return status;
}
