// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/replayed.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "stats/counters.h"

// --- its line --------------------------------------------------------------------------------------------------------

static const struct table_rule *rule_of(const struct replayed *r)
{
    const struct table_view *t = &r->offline->table;

    return r->verdict.path == TABLE_NONE ? NULL : &t->rules[t->paths[r->verdict.path].rule];
}

// The outputs that took the present packet, as texts.
static json_t *outputs_tree(const struct replayed *r)
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

static bool has_several(const struct replayed *r)
{
    return r->options->captures->n > 1;
}

static const char *interface_name(const struct replayed *r, uint32_t interface)
{
    return r->offline->table.interfaces[interface].name;
}

static void print_packet(const struct replayed *r)
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
    if (has_several(r))
        printf(", %s", interface_name(r, r->interface));
    printf(": %s", r->verdict.name);
    if (rule)
        printf(" (%s:%d: %s)", r->config->path, offline_line(r->offline, &r->verdict), rule->name);
    json_array_foreach(outputs, i, output) printf("%s%s", i ? ", " : ": ", json_string_value(output));
    if (r->verdict.released > 0)
        printf("; releases %" PRIu64, r->verdict.released);
    putchar('\n');
    json_decref(outputs);
}

// A member that is left out where it is not known.
static json_t *number(bool known, uint64_t value)
{
    return known ? json_integer((json_int_t) value) : NULL;
}

static void print_packet_json(const struct replayed *r)
{
    const struct packet *p = &r->packet;
    const struct table_rule *rule = rule_of(r);
    const bool whole = r->parsed == PACKET_OK, addressed = whole || r->parsed == PACKET_FRAGMENT;
    char source[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX];
    json_t *tree = json_pack(
        "{s:I, s:I, s:s*, s:s*, s:s*, s:o*, s:o*, s:o*, s:o*, s:s, s:s*, s:o*, s:o*, s:o*}", "packet",
        (json_int_t) r->n, "time_ns", (json_int_t) r->frame.time_ns, "interface",
        has_several(r) ? interface_name(r, r->interface) : NULL, "source",
        addressed ? addr_format(&p->source, source) : NULL, "destination",
        addressed ? addr_format(&p->destination, destination) : NULL, "bytes", number(addressed, p->length),
        "source_port", number(whole, p->source_port), "port", number(whole, p->port), "vlan",
        number(r->frame.meta.vlan != 0, r->frame.meta.vlan & 0xfff), "verdict", r->verdict.name, "rule",
        rule ? rule->name : NULL, "line", number(rule, (uint64_t) offline_line(r->offline, &r->verdict)), "outputs",
        rule ? outputs_tree(r) : NULL, "releases", number(r->verdict.released > 0, r->verdict.released));

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

static bool has_deadline(const struct replayed *r)
{
    for (uint32_t i = 0; i < r->offline->table.n_rules; i++)
        if (r->config->rules[i].deadline_us > 0 && r->offline->forward->flows[i].counters.packets > 0)
            return true;
    return false;
}

// What the counts do not say by themselves.
static json_t *make_notes(const struct replayed *r)
{
    json_t *notes = json_array();

    json_array_append_new(notes, offline_note(r->offline)); // NULL adds nothing
    offline_add_reasons(r->offline, notes);
    json_array_append(notes, r->note);
    if (has_deadline(r))
        json_array_append_new(notes, json_string(OFFLINE_DEADLINE));
    add_note(notes, r->truncated, "packets were cut by the capture: take them whole (tcpdump -s 0)");
    add_note(notes, r->unfinished,
             "UDP checksums were left to the sender's device when they were captured: taken for right");
    add_note(notes, r->held_back,
             "packets were held back (reorder_ms): each left when its turn had come, and counts by its rule");
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

static json_t *rule_tree(const struct replayed *r, uint32_t i)
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

static json_t *interface_tree(const struct replayed *r, uint32_t i)
{
    json_t *tree = json_object();

    add_counts(tree, stats_interface_counters, &r->offline->ingress[i].counters);
    json_object_set_new(tree, "name", json_string(interface_name(r, i)));
    return tree;
}

// Those that the captures came in by, each once.
static json_t *interfaces_tree(const struct replayed *r)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < r->offline->table.n_interfaces; i++)
        for (unsigned j = 0; j < r->options->captures->n; j++)
            if (r->interfaces[j] == i) {
                json_array_append_new(list, interface_tree(r, i));
                break;
            }
    return list;
}

static json_t *summary_tree(const struct replayed *r, bool damaged)
{
    const struct table_view *t = &r->offline->table;
    const bool several = has_several(r);
    json_t *rules = json_array(), *notes = make_notes(r);

    for (uint32_t i = 0; i < t->n_rules; i++)
        if (t->rules[i].flags & TABLE_RULE_ENABLED)
            json_array_append_new(rules, rule_tree(r, i));
    json_t *unmatched = unmatched_tree(r->unmatched, r->config, t, several, notes);
    return json_pack("{s:I, s:b, s:O, s:I, s:o, s:o, s:o, s:o}", "count", (json_int_t) r->n, "damaged", damaged,
                     "verdicts", r->verdicts, "frames_out", (json_int_t) r->n_frames,
                     several ? "interfaces" : "interface",
                     several ? interfaces_tree(r) : interface_tree(r, r->interfaces[0]), "rules", rules, "unmatched",
                     unmatched, "notes", notes);
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

static void print_unmatched(const struct replayed *r, json_t *list)
{
    json_t *each;
    size_t i;

    if (json_array_size(list) > 0)
        puts("no rule takes:");
    json_array_foreach(list, i, each)
    {
        const char *to = json_string_value(json_object_get(each, "destination"));
        const char *interface = json_string_value(json_object_get(each, "interface"));
        json_t *vlan = json_object_get(each, "vlan"), *rule = json_array_get(json_object_get(each, "nearest"), 0);
        printf(strchr(to, ':') ? "  [%s]:%" JSON_INTEGER_FORMAT : "  %s:%" JSON_INTEGER_FORMAT, to,
               json_integer_value(json_object_get(each, "port")));
        if (vlan)
            printf(", vlan %" JSON_INTEGER_FORMAT, json_integer_value(vlan));
        if (interface)
            printf(", %s", interface);
        printf(": %" JSON_INTEGER_FORMAT " packets; ", json_integer_value(json_object_get(each, "packets")));
        if (rule)
            printf("the nearest: %s:%" JSON_INTEGER_FORMAT ": %s\n", r->config->path,
                   json_integer_value(json_object_get(rule, "line")), json_string_value(json_object_get(rule, "text")));
        else
            puts("no rule is near");
    }
}

static void print_summary(const struct replayed *r, json_t *tree)
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

static json_t *captures_tree(const struct replayed *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < r->options->captures->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "capture", r->options->captures->texts[i], "interface",
                                              interface_name(r, r->interfaces[i])));
    return list;
}

// Packets come one by one, however many there are.
void replayed_begin(const struct replayed *r)
{
    if (!r->options->json)
        return;

    char hex[DIGEST_TEXT_MAX];
    bool several = has_several(r);
    json_t *head =
        json_pack("{s:s, s:s, s:s?, s:o}", "file", r->config->path, "sha256", digest_text(r->config->file.sha256, hex),
                  "running", *r->running ? r->running : NULL, several ? "captures" : "capture",
                  several ? captures_tree(r) : json_string(r->options->captures->texts[0]));

    putchar('{');
    print_members(head, "");
    fputs(head ? "," : "", stdout); // NULL where a path is no UTF-8
    if (!r->options->quiet)
        fputs("\n  \"packets\": [", stdout);
    json_decref(head);
}

void replayed_packet(const struct replayed *r)
{
    if (!r->options->quiet)
        (r->options->json ? print_packet_json : print_packet)(r);
}

void replayed_end(const struct replayed *r, bool damaged)
{
    json_t *summary = summary_tree(r, damaged);

    if (r->options->json) {
        print_members(summary, r->options->quiet ? "" : "\n  ],");
        fputs("\n}\n", stdout);
    } else {
        print_summary(r, summary);
    }
    json_decref(summary);
}
