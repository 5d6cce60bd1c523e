// SPDX-License-Identifier: Apache-2.0
// A capture through the file's rules, as if it came in now.
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
#include "command/offline.h"
#include "command/running.h"
#include "command/unmatched.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/exit.h"
#include "common/progress.h"
#include "config/load.h"

struct replay {
    const struct replay_options *options;
    struct config *config;
    struct offline *offline;
    struct capture *capture;
    struct pcap_dumper *writer;
    uint32_t interface;
    uint64_t size; // of the capture in bytes; 0: not known
    struct progress bar;
    // Of the present packet.
    struct capture_frame frame;
    struct packet packet;
    enum packet_verdict parsed; // packet's addresses are known of fragments, too
    struct offline_verdict verdict;
    // Of all.
    uint64_t n, n_frames, first_ns;
    uint64_t unfinished, merged, truncated;
    json_t *verdicts; // {VERDICT: N}
    struct unmatched *unmatched;
    json_t *note; // that other rules run; NULL: not known
    char running[DIGEST_TEXT_MAX];
};

static bool is_stream(const struct replay_options *o)
{
    return strcmp(o->capture, "-") == 0;
}

static const char *capture_name(const struct replay_options *o)
{
    return is_stream(o) ? "the standard input" : o->capture;
}

static void take_output(void *context, const struct table_output *o, const uint8_t *frame, size_t length)
{
    struct replay *r = context;

    (void) o;
    r->n_frames++;
    if (r->writer)
        capture_write(r->writer, r->frame.time_ns, frame, length);
}

// --- one packet ------------------------------------------------------------------------------------------------------

static const uint8_t no_station[6];

// Which way a frame went: where the capture does not tell, by the hardware address of the interface, if that is here.
static uint8_t kind_of(const struct replay *r)
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
static bool is_unmatched(const struct replay *r, uint8_t kind)
{
    const struct stats_counter *drop = r->verdict.drop;

    return r->parsed == PACKET_OK && kind != PACKET_OTHERHOST && r->packet.vlan < 0x1000 && drop &&
           r->verdict.path == TABLE_NONE &&
           (drop->at == offsetof(struct stats_interface_counters, unmatched) ||
            drop->at == offsetof(struct stats_interface_counters, vlan));
}

static void judge(struct replay *r)
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
        unmatched_count(
            r->unmatched,
            &(struct table_key){.destination = r->packet.destination, .port = r->packet.port, .vlan = r->packet.vlan});
    json_t *count = json_object_get(r->verdicts, r->verdict.name);
    if (count)
        json_integer_set(count, json_integer_value(count) + 1);
    else
        json_object_set_new(r->verdicts, r->verdict.name, json_integer(1));
}

// --- its line --------------------------------------------------------------------------------------------------------

static const struct table_rule *rule_of(const struct replay *r)
{
    const struct table_view *t = &r->offline->table;

    return r->verdict.path == TABLE_NONE ? NULL : &t->rules[t->paths[r->verdict.path].rule];
}

// The outputs that took the present packet, as texts.
static json_t *outputs_tree(const struct replay *r)
{
    const struct table_view *t = &r->offline->table;
    const struct table_rule *rule = rule_of(r);
    json_t *outputs = json_array();
    char address[ADDR_TEXT_MAX];

    for (uint32_t i = 0; rule && i < rule->n_outputs; i++) {
        const struct table_output *o = &t->outputs[t->paths[r->verdict.path].first_output + i];
        if (r->verdict.outputs[i].packets > 0)
            json_array_append_new(outputs, json_sprintf(o->to.family == ADDR_IPV6 ? "%s [%s]:%u" : "%s %s:%u",
                                                        t->interfaces[o->interface].name, addr_format(&o->to, address),
                                                        o->port));
    }
    return outputs;
}

static void print_packet(const struct replay *r)
{
    const struct packet *p = &r->packet;
    uint64_t since = r->frame.time_ns > r->first_ns ? r->frame.time_ns - r->first_ns : 0;
    const struct table_rule *rule = rule_of(r);
    json_t *outputs = outputs_tree(r), *output;
    char source[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX];
    size_t i;

    printf("%" PRIu64 " %" PRIu64 ".%09" PRIu64 " ", r->n, since / 1000000000, since % 1000000000);
    if (r->parsed == PACKET_OK)
        printf(p->source.family == ADDR_IPV6 ? "[%s]:%u > [%s]:%u, %zu bytes" : "%s:%u > %s:%u, %zu bytes",
               addr_format(&p->source, source), p->source_port, addr_format(&p->destination, destination), p->port,
               p->length);
    else if (r->parsed == PACKET_FRAGMENT)
        printf("%s > %s, %zu bytes of a datagram from %u on", addr_format(&p->source, source),
               addr_format(&p->destination, destination), p->length, p->fragment.offset);
    else
        printf("a frame of %zu bytes", r->frame.length);
    if (r->frame.meta.vlan)
        printf(", vlan %u", r->frame.meta.vlan & 0xfff);
    printf(": %s", r->verdict.name);
    if (rule)
        printf(" (%s:%d: %s)", r->config->path, offline_line(r->offline, &r->verdict), rule->name);
    json_array_foreach(outputs, i, output) printf("%s%s", i ? ", " : ": ", json_string_value(output));
    putchar('\n');
    json_decref(outputs);
}

// A member that is left out where it is not known.
static json_t *number(bool known, uint64_t value)
{
    return known ? json_integer((json_int_t) value) : NULL;
}

static void print_packet_json(const struct replay *r)
{
    const struct packet *p = &r->packet;
    const struct table_rule *rule = rule_of(r);
    const bool whole = r->parsed == PACKET_OK, addressed = whole || r->parsed == PACKET_FRAGMENT;
    char source[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX];
    json_t *tree = json_pack(
        "{s:I, s:I, s:s*, s:s*, s:o*, s:o*, s:o*, s:o*, s:s, s:s*, s:o*, s:o*}", "packet", (json_int_t) r->n, "time_ns",
        (json_int_t) r->frame.time_ns, "source", addressed ? addr_format(&p->source, source) : NULL, "destination",
        addressed ? addr_format(&p->destination, destination) : NULL, "bytes", number(addressed, p->length),
        "source_port", number(whole, p->source_port), "port", number(whole, p->port), "vlan",
        number(r->frame.meta.vlan != 0, r->frame.meta.vlan & 0xfff), "verdict", r->verdict.name, "rule",
        rule ? rule->name : NULL, "line", number(rule, (uint64_t) offline_line(r->offline, &r->verdict)), "outputs",
        rule ? outputs_tree(r) : NULL);

    fputs(r->n == 1 ? "\n    " : ",\n    ", stdout);
    json_dumpf(tree, stdout, JSON_PRESERVE_ORDER);
    json_decref(tree);
}

// --- all of them -----------------------------------------------------------------------------------------------------

static void add_note(json_t *notes, uint64_t n, const char *text)
{
    if (n > 0)
        json_array_append_new(notes, json_sprintf("%" PRIu64 " %s", n, text));
}

// What the counts do not say by themselves.
static json_t *make_notes(const struct replay *r)
{
    json_t *notes = json_array();

    json_array_append_new(notes, offline_note(r->offline)); // NULL adds nothing
    json_array_append(notes, r->note);
    add_note(notes, r->truncated, "packets were cut by the capture: take them whole (tcpdump -s 0)");
    add_note(notes, r->unfinished,
             "UDP checksums were left to the sender's device when they were captured: taken for right");
    add_note(
        notes, r->merged,
        "packets are longer than the MTU: super-frames (GSO, GRO), of which a capture does not tell the datagrams; "
        "each counts as one here");
    return notes;
}

static void add_counts(json_t *tree, const struct stats_counter *c, const void *values)
{
    for (; c->name; c++)
        json_object_set_new(tree, c->name, json_integer((json_int_t) stats_counter_value(c, values)));
}

static json_t *rule_tree(const struct replay *r, uint32_t i)
{
    const struct table_view *t = &r->offline->table;
    const struct forward *f = r->offline->forward;
    const struct stats_rule_counters *counters = &f->flows[i].counters;
    const struct table_rule *rule = &t->rules[i];
    json_t *drops = json_object(), *outputs = json_array();

    add_counts(drops, stats_rule_drops, &counters->drops);
    for (uint32_t j = 0; j < rule->n_outputs; j++) {
        char to[TABLE_OUTPUT_TEXT_MAX];
        table_output_text(t, &t->outputs[t->paths[rule->first_path].first_output + j], to);
        json_t *output = json_pack("{s:s}", "to", to);
        add_counts(output, stats_output_counters, &f->outputs[rule->first_counter + j]);
        json_array_append_new(outputs, output);
    }
    return json_pack("{s:s, s:i, s:I, s:I, s:o, s:o}", "name", rule->name, "line", r->config->rules[i].line, "packets",
                     (json_int_t) counters->packets, "bytes", (json_int_t) counters->bytes, "drops", drops, "outputs",
                     outputs);
}

static json_t *summary_tree(const struct replay *r, bool damaged)
{
    const struct table_view *t = &r->offline->table;
    json_t *interface = json_object(), *rules = json_array(), *notes = make_notes(r);

    add_counts(interface, stats_interface_counters, &r->offline->ingress.counters);
    json_object_set_new(interface, "name", json_string(t->interfaces[r->interface].name));
    for (uint32_t i = 0; i < t->n_rules; i++)
        if (t->rules[i].flags & TABLE_RULE_ENABLED)
            json_array_append_new(rules, rule_tree(r, i));
    json_t *unmatched = unmatched_tree(r->unmatched, r->config, t->interfaces[r->interface].name, notes);
    return json_pack("{s:I, s:b, s:O, s:I, s:o, s:o, s:o, s:o}", "count", (json_int_t) r->n, "damaged", damaged,
                     "verdicts", r->verdicts, "frames_out", (json_int_t) r->n_frames, "interface", interface, "rules",
                     rules, "unmatched", unmatched, "notes", notes);
}

static void print_counters(json_t *counters, const char *before)
{
    const char *name;
    json_t *value;

    json_object_foreach(counters, name, value)
    {
        if (json_integer_value(value) == 0 || !json_is_integer(value))
            continue;
        printf("%s%" JSON_INTEGER_FORMAT " %s", before, json_integer_value(value), name);
        before = ", ";
    }
    putchar('\n');
}

static void print_unmatched(const struct replay *r, json_t *list)
{
    json_t *each;
    size_t i;

    if (json_array_size(list) > 0)
        puts("no rule takes:");
    json_array_foreach(list, i, each)
    {
        const char *to = json_string_value(json_object_get(each, "destination"));
        json_t *vlan = json_object_get(each, "vlan"), *rule = json_array_get(json_object_get(each, "nearest"), 0);
        printf(strchr(to, ':') ? "  [%s]:%" JSON_INTEGER_FORMAT : "  %s:%" JSON_INTEGER_FORMAT, to,
               json_integer_value(json_object_get(each, "port")));
        if (vlan)
            printf(", vlan %" JSON_INTEGER_FORMAT, json_integer_value(vlan));
        printf(": %" JSON_INTEGER_FORMAT " packets; ", json_integer_value(json_object_get(each, "packets")));
        if (rule)
            printf("the nearest: %s:%" JSON_INTEGER_FORMAT ": %s\n", r->config->path,
                   json_integer_value(json_object_get(rule, "line")), json_string_value(json_object_get(rule, "text")));
        else
            puts("no rule is near");
    }
}

static void print_summary(const struct replay *r, json_t *tree)
{
    size_t i, j, silent = 0;
    json_t *rule, *output, *note;

    printf("%" PRIu64 " packets", r->n);
    print_counters(json_object_get(tree, "verdicts"), ": ");
    json_array_foreach(json_object_get(tree, "rules"), i, rule)
    {
        if (json_integer_value(json_object_get(rule, "packets")) == 0) {
            silent++;
            continue;
        }
        printf("%s:%" JSON_INTEGER_FORMAT ": rule \"%s\": %" JSON_INTEGER_FORMAT " packets", r->config->path,
               json_integer_value(json_object_get(rule, "line")), json_string_value(json_object_get(rule, "name")),
               json_integer_value(json_object_get(rule, "packets")));
        print_counters(json_object_get(rule, "drops"), ", dropped: ");
        json_array_foreach(json_object_get(rule, "outputs"), j, output)
        {
            printf("  to %s", json_string_value(json_object_get(output, "to")));
            print_counters(output, ": ");
        }
    }
    if (silent > 0)
        printf("%zu rule%s without a packet\n", silent, silent == 1 ? "" : "s");
    printf("%" PRIu64 " frames out\n", r->n_frames);
    print_unmatched(r, json_object_get(tree, "unmatched"));
    json_array_foreach(json_object_get(tree, "notes"), i, note) printf("note: %s\n", json_string_value(note));
}

// before: what stands before the first one.
static void print_members(json_t *tree, const char *before)
{
    const char *name;
    json_t *value;

    json_object_foreach(tree, name, value)
    {
        printf("%s\n  \"%s\": ", before, name);
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
        before = ",";
    }
}

// Packets come one by one, however many there are.
static void begin_json(const struct replay *r)
{
    char hex[DIGEST_TEXT_MAX];
    json_t *head =
        json_pack("{s:s, s:s, s:s?, s:s}", "file", r->config->path, "sha256", digest_text(r->config->file.sha256, hex),
                  "running", *r->running ? r->running : NULL, "capture", r->options->capture);

    putchar('{');
    print_members(head, "");
    fputs(head ? "," : "", stdout); // NULL where a path is no UTF-8
    if (!r->options->quiet)
        fputs("\n  \"packets\": [", stdout);
    json_decref(head);
}

static void end_json(const struct replay *r, json_t *summary)
{
    print_members(summary, r->options->quiet ? "" : "\n  ],");
    fputs("\n}\n", stdout);
}

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

static enum capture_result next_frame(struct replay *r, char why[CAPTURE_WHY_MAX])
{
    enum capture_result result = stopped ? CAPTURE_END : capture_next(r->capture, &r->frame, why);

    return stopped ? CAPTURE_END : result;
}

static int run(struct replay *r)
{
    const struct replay_options *o = r->options;
    char why[CAPTURE_WHY_MAX];
    enum capture_result result;

    if (o->json)
        begin_json(r);
    while ((result = next_frame(r, why)) == CAPTURE_FRAME) {
        if (r->bar.next_ns != UINT64_MAX)
            progress_show(&r->bar, capture_position(r->capture), r->size, clock_monotonic_ns());
        if (r->n++ == 0)
            r->first_ns = r->frame.time_ns;
        judge(r);
        if (!o->quiet)
            (o->json ? print_packet_json : print_packet)(r);
    }
    progress_end(&r->bar);
    offline_end(r->offline);
    json_t *summary = summary_tree(r, result == CAPTURE_DAMAGED);
    (o->json ? end_json : print_summary)(r, summary);
    json_decref(summary);
    if (result != CAPTURE_DAMAGED)
        return 0;
    command_trouble("%s: is damaged behind packet %" PRIu64 ": %s", capture_name(o), r->n, why);
    return 1;
}

// --- files and rights ------------------------------------------------------------------------------------------------

// After this, nothing can be opened any more, and what a hostile capture may make of this process is of no use.
static bool give_up_rights(enum sandbox_mode mode)
{
    if (sandbox_capabilities() != 0 && !sandbox_drop(SANDBOX_RELAY, getuid(), getgid()))
        return false;
    return sandbox_filter(SANDBOX_RELAY, mode);
}

static bool is_same_file(FILE *capture, const char *out)
{
    struct stat a, b;

    return fstat(fileno(capture), &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// When it fails, the process ends: what is open goes with it.
static bool open_files(const struct replay_options *o, FILE **capture, FILE **out)
{
    if (is_stream(o) && isatty(STDIN_FILENO))
        command_trouble("--replay -: the standard input is a terminal: tcpdump -i IF -U -w - udp | mcrd --replay -");
    else if (!(*capture = is_stream(o) ? stdin : fopen(o->capture, "rbe")))
        command_trouble("%s: cannot be opened: %s", o->capture, strerror(errno));
    else if (o->out && is_same_file(*capture, o->out))
        command_trouble("%s: is the capture itself", o->out);
    else if (o->out && !(*out = fopen(o->out, "wbe")))
        command_trouble("%s: cannot be written: %s", o->out, strerror(errno));
    else
        return true;
    return false;
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
static void begin_bar(struct replay *r, FILE *capture)
{
    const struct replay_options *o = r->options;
    struct stat st;

    if (fstat(fileno(capture), &st) == 0 && S_ISREG(st.st_mode))
        r->size = (uint64_t) st.st_size;
    progress_begin(&r->bar, r->size > 0 && ((o->quiet && !o->json) || !isatty(STDOUT_FILENO)), clock_monotonic_ns());
}

static int open_and_run(struct replay *r)
{
    const struct replay_options *o = r->options;
    FILE *capture, *out = NULL;
    char why[CAPTURE_WHY_MAX];
    int status;

    if (is_stream(o))
        follow_stream();
    if (!open_files(o, &capture, &out))
        exit(EXIT_TROUBLE); // told
    begin_bar(r, capture);
    if (!give_up_rights(o->sandbox))
        exit(EXIT_TROUBLE); // told
    if (!(r->capture = capture_open(capture, why)))
        status = command_trouble("%s: %s", capture_name(o), stopped ? "ended before the first packet" : why);
    else if (out && !(r->writer = capture_create(out, why)))
        status = command_trouble("%s: %s", o->out, why);
    else
        status = run(r);
    if (r->writer && !capture_finish(r->writer)) {
        command_trouble("%s: cannot be written: %s", o->out, strerror(errno));
        status = 1;
    }
    capture_close(r->capture);
    return command_flush(r->config->path, true) ? status : 1;
}

static int choose_interface(struct replay *r)
{
    const struct table_view *t = &r->offline->table;
    const char *before = "", *name = r->options->interface;

    r->interface = offline_input(r->offline, name);
    if (r->interface != TABLE_NONE)
        return 0;
    fprintf(stderr, name ? "mcrd: --interface is \"%s\"" : "mcrd: --replay needs --interface", name);
    fputs(", allowed are the inputs of the file's rules: ", stderr);
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        if (t->interfaces[i].ring_id != 0) {
            fprintf(stderr, "%s%s", before, t->interfaces[i].name);
            before = ", ";
        }
    fputs(*before ? "\n" : "none\n", stderr);
    return EXIT_TROUBLE;
}

int command_replay(const char *path, const struct replay_options *options)
{
    char why[COMPILE_WHY_MAX > CAPTURE_WHY_MAX ? COMPILE_WHY_MAX : CAPTURE_WHY_MAX];
    struct replay r = {.options = options};
    int status = EXIT_TROUBLE;

    if (!capture_load(why))
        return command_trouble("%s", why);
    json_object_seed(0); // reads random bytes, which the sandbox will forbid
    if (!(r.unmatched = unmatched_new()))
        return command_trouble("%s", strerror(ENOMEM));
    r.verdicts = json_object();
    r.config = running_or_file(path, options->running, CONFIG_LOAD_OFFLINE_INTERFACES);
    if (r.config && options->running)
        digest_text(r.config->file.sha256, r.running);
    else if (r.config)
        r.note = running_note(r.config, r.running);
    if (r.config && !(r.offline = offline_open(r.config, take_output, &r, why)))
        command_trouble("%s: %s", r.config->path, why);
    if (r.offline && (status = choose_interface(&r)) == 0)
        status = open_and_run(&r);
    offline_close(r.offline);
    config_free(r.config);
    json_decref(r.verdicts);
    json_decref(r.note);
    unmatched_free(r.unmatched);
    return status;
}
