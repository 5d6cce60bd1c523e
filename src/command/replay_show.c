// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "command/replay.h"
#include "common/digest.h"
#include "config/print.h"
#include "stats/counters.h"

// --- its line --------------------------------------------------------------------------------------------------------

#define TO_MAX (IFNAMSIZ + ADDR_TEXT_MAX + 16)

static const char *describe(const struct replay *r, const struct table_output *o, char text[TO_MAX])
{
    char address[ADDR_TEXT_MAX];

    snprintf(text, TO_MAX, o->to.family == ADDR_IPV6 ? "%s [%s]:%u" : "%s %s:%u",
             r->offline->table.interfaces[o->interface].name, addr_format(&o->to, address), o->port);
    return text;
}

// The i-th output of the present packet's path, if it took it.
static const struct table_output *taken_by(const struct replay *r, uint32_t i)
{
    const struct table_view *t = &r->offline->table;

    return r->verdict.outputs[i].packets > 0 ? &t->outputs[t->paths[r->verdict.path].first_output + i] : NULL;
}

static const struct table_rule *rule_of(const struct replay *r)
{
    const struct table_view *t = &r->offline->table;

    return r->verdict.path == TABLE_NONE ? NULL : &t->rules[t->paths[r->verdict.path].rule];
}

static void print_packet(const struct replay *r)
{
    const struct packet *p = &r->packet;
    uint64_t since = r->frame.time_ns > r->first_ns ? r->frame.time_ns - r->first_ns : 0;
    const struct table_rule *rule = rule_of(r);
    char source[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX], to[TO_MAX];
    const char *before = ": ";

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
    for (uint32_t i = 0; rule && i < rule->n_outputs; i++)
        if (taken_by(r, i)) {
            printf("%s%s", before, describe(r, taken_by(r, i), to));
            before = ", ";
        }
    putchar('\n');
}

static void print_packet_json(const struct replay *r)
{
    const struct packet *p = &r->packet;
    const struct table_rule *rule = rule_of(r);
    char address[ADDR_TEXT_MAX], to[TO_MAX];
    json_t *tree = json_pack("{s:I, s:I}", "packet", (json_int_t) r->n, "time_ns", (json_int_t) r->frame.time_ns);

    if (r->parsed == PACKET_OK || r->parsed == PACKET_FRAGMENT) {
        json_object_set_new(tree, "source", json_string(addr_format(&p->source, address)));
        json_object_set_new(tree, "destination", json_string(addr_format(&p->destination, address)));
        json_object_set_new(tree, "bytes", json_integer((json_int_t) p->length));
    }
    if (r->parsed == PACKET_OK) {
        json_object_set_new(tree, "source_port", json_integer(p->source_port));
        json_object_set_new(tree, "port", json_integer(p->port));
    }
    if (r->frame.meta.vlan)
        json_object_set_new(tree, "vlan", json_integer(r->frame.meta.vlan & 0xfff));
    json_object_set_new(tree, "verdict", json_string(r->verdict.name));
    if (rule) {
        json_t *outputs = json_array();
        for (uint32_t i = 0; i < rule->n_outputs; i++)
            if (taken_by(r, i))
                json_array_append_new(outputs, json_string(describe(r, taken_by(r, i), to)));
        json_object_set_new(tree, "rule", json_string(rule->name));
        json_object_set_new(tree, "line", json_integer(offline_line(r->offline, &r->verdict)));
        json_object_set_new(tree, "outputs", outputs);
    }
    fputs(r->n == 1 ? "\n    " : ",\n    ", stdout);
    json_dumpf(tree, stdout, JSON_PRESERVE_ORDER);
    json_decref(tree);
}

void replay_show_packet(const struct replay *r)
{
    if (r->options->json)
        print_packet_json(r);
    else
        print_packet(r);
}

// --- all of them -----------------------------------------------------------------------------------------------------

static void add_note(json_t *notes, uint64_t n, const char *text)
{
    char line[512];

    snprintf(line, sizeof(line), "%" PRIu64 " %s", n, text);
    if (n > 0)
        json_array_append_new(notes, json_string(line));
}

// What the counts do not say by themselves.
static json_t *make_notes(const struct replay *r)
{
    json_t *notes = json_array();

    json_array_append_new(notes, offline_note(r->offline)); // NULL adds nothing
    add_note(notes, r->truncated, "packets were cut by the capture: take them whole (tcpdump -s 0)");
    add_note(notes, r->unfinished,
             "UDP checksums were left to the sender's device when they were captured: taken for right");
    add_note(
        notes, r->merged,
        "packets are longer than the MTU: super-frames (GSO, GRO), of which a capture does not tell the datagrams; "
        "each counts as one here");
    return notes;
}

static json_t *count_tree(const struct stats_counter *counters, const void *values)
{
    json_t *tree = json_object();

    for (; counters->name; counters++)
        json_object_set_new(tree, counters->name, json_integer((json_int_t) stats_counter_value(counters, values)));
    return tree;
}

static json_t *rule_tree(const struct replay *r, uint32_t i)
{
    const struct table_view *t = &r->offline->table;
    const struct forward *f = r->offline->forward;
    const struct table_rule *rule = &t->rules[i];
    json_t *outputs = json_array();

    for (uint32_t j = 0; j < rule->n_outputs; j++) {
        char to[TABLE_OUTPUT_TEXT_MAX];
        table_output_text(t, &t->outputs[t->paths[rule->first_path].first_output + j], to);
        json_t *output = count_tree(stats_output_counters, &f->outputs[rule->first_counter + j]);
        json_t *named = json_pack("{s:s}", "to", to);
        json_object_update(named, output);
        json_decref(output);
        json_array_append_new(outputs, named);
    }
    return json_pack("{s:s, s:i, s:I, s:I, s:o, s:o}", "name", rule->name, "line", r->config->rules[i].line, "packets",
                     (json_int_t) f->flows[i].counters.packets, "bytes", (json_int_t) f->flows[i].counters.bytes,
                     "drops", count_tree(stats_rule_drops, &f->flows[i].counters.drops), "outputs", outputs);
}

static json_t *summary_tree(const struct replay *r, bool damaged)
{
    const struct table_view *t = &r->offline->table;
    json_t *verdicts = json_object(), *rules = json_array();
    json_t *interface = count_tree(stats_interface_counters, &r->offline->ingress.counters);

    for (const struct tally *v = r->verdicts; v < r->verdicts + VERDICTS_MAX && v->name; v++)
        json_object_set_new(verdicts, v->name, json_integer((json_int_t) v->n));
    for (uint32_t i = 0; i < t->n_rules; i++)
        if (t->rules[i].flags & TABLE_RULE_ENABLED)
            json_array_append_new(rules, rule_tree(r, i));
    json_object_set_new(interface, "name", json_string(t->interfaces[r->interface].name));
    return json_pack("{s:I, s:b, s:o, s:I, s:o, s:o, s:o}", "count", (json_int_t) r->n, "damaged", damaged, "verdicts",
                     verdicts, "frames_out", (json_int_t) r->n_frames, "interface", interface, "rules", rules, "notes",
                     make_notes(r));
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
    json_array_foreach(json_object_get(tree, "notes"), i, note) printf("note: %s\n", json_string_value(note));
}

void replay_show_head(const struct replay *r)
{
    char hex[DIGEST_TEXT_MAX];
    json_t *head = json_pack("{s:s, s:s, s:s}", "file", r->config->path, "sha256",
                             digest_text(r->config->file.sha256, hex), "capture", r->options->capture);
    const char *name;
    json_t *value;

    if (!r->options->json)
        goto done;
    // Packets come one by one, however many there are.
    putchar('{');
    json_object_foreach(head, name, value)
    {
        printf("\n  \"%s\": ", name);
        json_dumpf(value, stdout, JSON_ENCODE_ANY);
        putchar(',');
    }
    if (!r->options->quiet)
        fputs("\n  \"packets\": [", stdout);
done:
    json_decref(head);
}

void replay_show_end(const struct replay *r, bool damaged)
{
    json_t *tree = summary_tree(r, damaged), *value;
    const char *name, *before = r->options->quiet ? "\n" : "\n  ],\n";

    if (!r->options->json)
        print_summary(r, tree);
    json_object_foreach(tree, name, value)
    {
        if (!r->options->json)
            break;
        printf("%s  \"%s\": ", before, name);
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
        before = ",\n";
    }
    if (r->options->json)
        fputs("\n}\n", stdout);
    json_decref(tree);
}
