// SPDX-License-Identifier: Apache-2.0
// Explains what the file would do with one datagram, by passing it through the compiled table.
#include <config.h>

#include "command/command.h"

#include <jansson.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdarg.h>
#include <string.h>

#include "common/digest.h"
#include "common/exit.h"
#include "command/nearest.h"
#include "command/offline.h"
#include "command/running.h"
#include "compile/compile.h"
#include "config/endpoint.h"
#include "config/load.h"
#include "config/times.h"
#include "config/way.h"
#include "stats/counters.h"
#include "wire/header.h"

struct explain {
    const struct explain_options *options;
    struct config *config;
    struct offline *offline;
    struct addr source;
    struct table_key key;                    // destination of the datagram; interface: the present try
    uint8_t probe[65536 + TABLE_HEADER_MAX]; // the datagram as an IP packet
    size_t probe_length;
    struct offline_verdict verdict;
    // The first packet of each output that has sent one.
    struct left {
        const struct table_output *output;
        struct packet packet;
        uint32_t n_packets;
    } left[CONFIG_OUTPUTS_MAX];
    size_t n_left;
    bool deadline; // a rule that forwards the datagram has one
    json_t *notes;
};

// Of a merge, in the order of enum config_merge_by: which datagrams leave, and on what that depends besides; NULL: on
// nothing.
static const struct {
    const char *leaves, *condition;
} by_merge[] = {
    [CONFIG_MERGE_RTP] = {"the first copy of each leaves", "if it is RTP, else it is dropped: no_sequence"},
    [CONFIG_MERGE_FIELD] = {"the first copy of each leaves", NULL},
    [CONFIG_MERGE_PAYLOAD] = {"the first copy of each leaves", NULL},
    [CONFIG_MERGE_ACTIVE] = {"what the active leg brings leaves",
                             "while this leg is the active one, else it is dropped: standby"},
};

// --- the datagram ----------------------------------------------------------------------------------------------------

// Writes the datagram as an output would send it: zeros, or as RTP begins. Its checksum is not completed, but counts as
// verified (checksum_vouched).
static void write_probe(struct explain *x)
{
    struct table_output to = {.to = x->key.destination, .port = x->key.port};
    struct header_fill fill = {.ttl = (uint8_t) x->options->ttl, .identification = 1, .bytes = x->options->size};

    header_write(&to, NULL, &x->source, to.port);
    header_fill(&to, &fill, x->probe);
    x->probe_length = to.header_length + x->options->size;
}

static void take_output(void *context, const struct table_output *o, const uint8_t *frame, size_t length)
{
    static const struct packet_meta bare = {.ethernet = false};
    struct explain *x = context;
    size_t link = ETH_HLEN + (o->vlan ? 4u : 0u);

    if (x->n_left > 0 && x->left[x->n_left - 1].output == o) {
        x->left[x->n_left - 1].n_packets++;
        return;
    }
    struct left *l = &x->left[x->n_left++];
    *l = (struct left){.output = o, .n_packets = 1};
    // Of a fragment, this sets at least the addresses.
    packet_parse(&l->packet, frame + link, length - link, &bare);
}

// --- steps -----------------------------------------------------------------------------------------------------------

// Adds a step (printf format). line: of the file; 0: the step does not follow from a line.
static void __attribute__((format(printf, 5, 6)))
add_step(json_t *steps, const char *step, int line, bool passed, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    json_t *text = json_vsprintf(format, args);
    va_end(args);
    json_array_append_new(steps, json_pack("{s:s, s:o, s:b, s:o}", "step", step, "line",
                                           line ? json_integer(line) : json_null(), "passed", passed, "text", text));
}

static void add_sources(const struct explain *x, json_t *steps)
{
    const struct config_input *in = offline_input_of(x->offline, &x->verdict);
    char source[ADDR_TEXT_MAX], prefix[ADDR_TEXT_MAX], list[NEAREST_TEXT_MAX];

    addr_format(&x->source, source);
    for (size_t i = 0; i < in->n_sources; i++)
        if (addr_prefix_contains(&in->sources[i], &x->source)) {
            add_step(steps, "sources", in->sources_line, true, "%s is allowed by \"%s\"", source,
                     addr_prefix_format(&in->sources[i], prefix));
            return;
        }
    add_step(steps, "sources", in->sources_line, false, "%s is none of %s", source,
             nearest_value(SCHEMA_INPUT, "sources", in, list));
}

static void add_output(const struct explain *x, const struct config_output *o, const struct table_output *t,
                       const struct stats_output_counters *counters, json_t *steps)
{
    const struct table_view *v = &x->offline->table;
    char to[ADDR_TEXT_MAX], from[ADDR_TEXT_MAX + 16], where[ADDR_TEXT_MAX + 32], pieces[48] = "", tag[16] = "";
    const struct left *l = x->left;

    snprintf(where, sizeof(where), t->to.family == ADDR_IPV6 ? "%s [%s]:%u" : "%s %s:%u", o->interface,
             addr_format(&t->to, to), t->port);
    if (t->egress == TABLE_NONE) {
        add_step(steps, "output", o->line, false, "%s waits: %s", where,
                 v->rules[v->paths[x->verdict.path].rule].reason);
        return;
    }
    if (counters->packets == 0) {
        add_step(steps, "output", o->line, false, "%s: not sent: %s", where,
                 counters->expired  ? "ttl is used up"
                 : counters->errors ? "the interface is down"
                                    : "it does not fit the link");
        return;
    }
    while (l->output != t)
        l++;
    addr_format(&l->packet.source, from);
    if (x->offline->links[t->interface].assumed && o->source.family == ADDR_NONE && !o->keep_source)
        snprintf(from, sizeof(from), "its own address");
    if (l->n_packets > 1)
        snprintf(pieces, sizeof(pieces), ", in %u fragments", l->n_packets);
    if (o->vlan)
        snprintf(tag, sizeof(tag), ", vlan %u", o->vlan);
    add_step(steps, "output", o->line, true, "%s from %s, ttl %u, dscp %u%s, %s%s", where, from, l->packet.ttl,
             l->packet.dscp, tag, config_way_phrase(config_way(o, v->egress[t->egress].kind == TABLE_EGRESS_FRAME)),
             pieces);
}

static void add_checks(struct explain *x, const struct table_path *path, json_t *steps)
{
    const struct config_rule *r = &x->config->rules[path->rule];
    const struct stats_drops *drops = &x->verdict.drops;
    const int line = offline_line(x->offline, &x->verdict);
    char text[NEAREST_TEXT_MAX];

    if (offline_input_of(x->offline, &x->verdict)->n_sources > 0)
        add_sources(x, steps);
    if (drops->source > 0)
        return;
    if (drops->ttl > 0) {
        add_step(steps, "ttl", line, false, "ttl %u is used up, and every output decrements it", x->options->ttl);
        return;
    }
    if (r->max_payload_line)
        add_step(steps, "max_payload", r->max_payload_line, drops->size == 0, "%u bytes, allowed is up to %u",
                 x->options->size, r->max_payload);
    if (drops->size > 0)
        return;
    if (drops->no_sequence > 0) {
        add_step(steps, "merge", line, false, "%u bytes, %s needs %u or more", x->options->size,
                 nearest_value(SCHEMA_MERGE, "by", &r->merge, text), compile_merge_least(r));
        return;
    }
    if (r->merge.line)
        add_step(steps, "merge", r->merge.line, true, "%s, as %s says", by_merge[r->merge.by].leaves,
                 nearest_value(SCHEMA_MERGE, "by", &r->merge, text));
    if (r->limit.line)
        add_step(steps, "limit", r->limit.line, drops->rate == 0, "alone it is within %s",
                 nearest_value(SCHEMA_RULE, "limit", r, text));
    if (stats_drops_total(drops) > 0) {
        add_step(steps, x->verdict.drop->key ? x->verdict.drop->key : x->verdict.drop->name, line, false, "%s",
                 x->verdict.drop->help);
        return;
    }
    for (uint32_t i = 0; i < r->n_outputs; i++)
        add_output(x, &r->outputs[i], &x->offline->table.outputs[path->first_output + i], &x->verdict.outputs[i],
                   steps);
}

// Which of its reasons (relay/martian.h) it is.
static const char *martian_reason(const struct addr *a)
{
    static const struct {
        struct addr_prefix of;
        const char *why;
    } reasons[] = {
        {{{.family = ADDR_IPV4, .bytes = {0}}, 8}, "0.0.0.0/8 names no host"},
        {{{.family = ADDR_IPV4, .bytes = {127}}, 8}, "it is a loopback address"},
        {{{.family = ADDR_IPV4, .bytes = {224}}, 4}, "it is a group"},
        {{{.family = ADDR_IPV4, .bytes = {240}}, 4}, "240.0.0.0/4 is reserved; its last address is the broadcast"},
        {{{.family = ADDR_IPV6, .bytes = {[15] = 1}}, 128}, "it is the loopback address"},
        {{{.family = ADDR_IPV6, .bytes = {0}}, 96}, "::/96 names no host"},
        {{{.family = ADDR_IPV6, .bytes = {[10] = 0xff, [11] = 0xff}}, 96}, "it is IPv4 written as IPv6"},
        {{{.family = ADDR_IPV6, .bytes = {0xff}}, 8}, "it is a group"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (addr_prefix_contains(&reasons[i].of, a))
            return reasons[i].why;
    return "it is the interface's own, or a broadcast of its subnet";
}

static void add_interface_drop(const struct explain *x, json_t *steps)
{
    const struct offline_verdict *v = &x->verdict;
    char source[ADDR_TEXT_MAX];

    if (v->drop->at == offsetof(struct stats_interface_counters, martian))
        add_step(steps, v->name, 0, false, "no sender has %s: %s", addr_format(&x->source, source),
                 martian_reason(&x->source));
    else
        add_step(steps, v->name, 0, false, "%s", v->drop->help);
}

// --- one interface ---------------------------------------------------------------------------------------------------

// Adds what the datagram, which this input brought and an output took, must be besides.
static void add_condition(const struct explain *x, const struct config_rule *r, size_t input)
{
    const char *condition = r->merge.line ? by_merge[r->merge.by].condition : NULL;
    char leg[CONFIG_LEG_MAX];

    if (condition)
        json_array_append_new(x->notes, json_sprintf("rule \"%s\", leg \"%s\": forwarded only %s", r->name,
                                                     config_leg(r, input, leg), condition));
}

// What happens to the datagram on the interface of x->key, where it is for this path; adds it to tries.
static bool try_interface(struct explain *x, const struct table_destination *to, json_t *tries)
{
    const struct table_path *path = &x->offline->table.paths[to->path];
    const struct config_rule *r = &x->config->rules[path->rule];
    const struct config_input *in = &r->inputs[to->leg];
    struct packet_meta meta = {.vlan = x->key.vlan, .checksum_vouched = true};
    char text[NEAREST_TEXT_MAX];
    const char *reason = x->offline->table.rules[path->rule].reason;
    json_t *steps = json_array();

    x->n_left = 0;
    offline_forget(x->offline);
    if (x->options->size > 0)
        x->probe[x->probe_length - x->options->size] = r->merge.by == CONFIG_MERGE_RTP ? 2 << 6 : 0; // RTP's version
    offline_frame(x->offline, x->key.interface, 0, x->probe, x->probe_length, &meta, PACKET_HOST, &x->verdict);
    bool failed = x->verdict.path != TABLE_NONE && !x->verdict.forwarded && stats_drops_total(&x->verdict.drops) == 0;
    add_step(steps, "rule", in->line, true, "rule \"%s\" takes it: %s", r->name, nearest_input(in, text));
    if (x->verdict.path != TABLE_NONE)
        add_checks(x, path, steps);
    else // the interface has dropped the datagram before the rule counted it
        add_interface_drop(x, steps);
    if (x->verdict.forwarded)
        add_condition(x, r, to->leg);
    x->deadline |= x->verdict.forwarded && r->deadline_us > 0;
    json_array_append_new(tries, json_pack("{s:s, s:b, s:s, s:s?, s:s, s:o}", "interface",
                                           x->offline->table.interfaces[x->key.interface].name, "forwarded",
                                           x->verdict.forwarded, "verdict", x->verdict.name, "reason",
                                           failed && *reason ? reason : NULL, "rule", r->name, "steps", steps));
    return x->verdict.forwarded;
}

// Tries the given interface, or all interfaces on which a rule takes the datagram.
static bool try_interfaces(struct explain *x, json_t *tries)
{
    const struct table_view *v = &x->offline->table;
    bool forwarded = false;

    for (x->key.interface = 0; x->key.interface < v->n_interfaces; x->key.interface++) {
        const char *name = v->interfaces[x->key.interface].name;
        const struct table_destination *to = table_lookup(v, &x->key);
        if (to && (!x->options->interface || strcmp(name, x->options->interface) == 0))
            forwarded |= try_interface(x, to, tries);
    }
    return forwarded;
}

// --- printing --------------------------------------------------------------------------------------------------------

// Prints one line. name: of the step, or NULL if the text is enough.
static void print_line(const struct explain *x, json_t *each, const char *name)
{
    json_int_t line = json_integer_value(json_object_get(each, "line"));

    printf("  %s", x->config->path);
    if (line)
        printf(":%" JSON_INTEGER_FORMAT, line);
    if (name)
        printf(": %s", name);
    printf(": %s\n", json_string_value(json_object_get(each, "text")));
}

static void print_text(const struct explain *x, json_t *tree)
{
    json_t *each, *step;
    size_t i, j;

    json_array_foreach(json_object_get(tree, "tries"), i, each)
    {
        printf("on %s:\n", json_string_value(json_object_get(each, "interface")));
        json_array_foreach(json_object_get(each, "steps"), j, step)
            print_line(x, step, j == 0 ? NULL : json_string_value(json_object_get(step, "step"))); // the rule is first
        const char *reason = json_string_value(json_object_get(each, "reason"));
        if (json_is_true(json_object_get(each, "forwarded")))
            puts("  forwarded");
        else
            printf("  not forwarded: %s\n", reason ? reason : json_string_value(json_object_get(each, "verdict")));
    }
    if (i == 0)
        puts(json_array_size(json_object_get(tree, "nearest")) > 0
                 ? "not forwarded: no rule takes it; the nearest:"
                 : "not forwarded: no rule takes it, and none is near");
    json_array_foreach(json_object_get(tree, "nearest"), i, each) print_line(x, each, NULL);
    json_array_foreach(json_object_get(tree, "notes"), i, each) printf("note: %s\n", json_string_value(each));
}

static int explain(struct explain *x)
{
    const struct explain_options *o = x->options;
    json_t *tries = json_array(), *nearest = json_array(), *notes = json_array();
    char hex[DIGEST_TEXT_MAX], running[DIGEST_TEXT_MAX], inputs[OFFLINE_INPUTS_MAX], why[TIMES_LOAD_MAX];
    bool forwarded, printed = true;

    x->notes = notes;
    write_probe(x);
    forwarded = try_interfaces(x, tries);
    if (o->interface && offline_input(x->offline, o->interface) == TABLE_NONE)
        json_array_append_new(notes, json_sprintf("--interface is \"%s\", the inputs of the file's active rules are: %s",
                                                  o->interface, offline_inputs(x->offline, inputs)));
    if (json_array_size(tries) == 0)
        nearest_find(x->config, o->interface, &x->key, nearest);
    else
        json_array_append_new(notes, offline_note(x->offline)); // NULL adds nothing
    offline_add_reasons(x->offline, notes);
    if (x->deadline)
        json_array_append_new(notes, json_string(OFFLINE_DEADLINE));
    if (addr_is_multicast(&x->source))
        json_array_append_new(notes, json_string("SRC is a group: SRC and DST may be swapped"));
    if (!o->running && !times_may_load(x->config, command_time(o->at), why))
        json_array_append_new(notes, json_string(why));
    if (o->running)
        digest_text(x->config->file.sha256, running);
    else
        json_array_append_new(notes, running_note(x->config, running));
    json_t *tree = json_pack("{s:s, s:s, s:s?, s:{s:s, s:s, s:i, s:s?, s:o, s:i, s:i}, s:b, s:o, s:o, s:o}", "file",
                             x->config->path, "sha256", digest_text(x->config->file.sha256, hex), "running",
                             *running ? running : NULL, "datagram", "source", o->source, "destination", o->destination,
                             "port", (int) o->port, "interface", o->interface, "vlan",
                             o->vlan ? json_integer(o->vlan) : json_null(), "size", (int) o->size, "ttl", (int) o->ttl,
                             "forwarded", forwarded, "tries", tries, "nearest", nearest, "notes", notes);
    if (o->json) {
        printed = command_print_tree(tree);
    } else {
        print_text(x, tree);
        json_decref(tree);
    }
    if (!command_flush(x->config->path, printed))
        return EXIT_TROUBLE;
    return forwarded ? 0 : 1;
}

int command_explain(const char *path, const struct explain_options *o)
{
    struct explain x = {.options = o, .key = {.port = (uint16_t) o->port, .vlan = (uint16_t) o->vlan}};
    char why[COMPILE_WHY_MAX];
    int status = EXIT_TROUBLE;

    if (!addr_parse(o->source, &x.source))
        return command_trouble("SRC is \"%s\", allowed is an IPv4 or IPv6 address", o->source);
    if (!addr_parse(o->destination, &x.key.destination) || x.key.destination.family != x.source.family)
        return command_trouble("DST is \"%s\", allowed is an IPv%u address, as SRC is", o->destination,
                               x.source.family);
    x.config = running_or_file(path, o->running, CONFIG_LOAD_OFFLINE_INTERFACES);
    if (x.config)
        times_apply(x.config, command_time(o->at), true);
    if (x.config && !(x.offline = offline_open(x.config, take_output, &x, why)))
        command_trouble("%s: %s", x.config->path, why);
    if (x.offline)
        status = explain(&x);
    offline_close(x.offline);
    config_free(x.config);
    return status;
}
