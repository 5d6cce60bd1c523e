// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show.h"

#include <inttypes.h>
#include <string.h>
#include <sys/param.h>

#include "common/digest.h"
#include "stats/counters.h"
#include "stats/page.h"
#include "stats/show_merge.h"
#include "stats/show_running.h"
#include "stats/show_times.h"
#include "stats/text.h"

// Widths of columns, with one blank between two. A name gets the rest; the name of an output also the state's column.
enum { NAME_MIN = 24, OUTPUT_INDENT = 4, STATE = 9, COUNT_WIDE = 16, COUNT = 14, BYTES = 9, RATE = 10, LAST = 7 };

// Columns of numbers are left out until a name has so many.
#define NAME_LEAST   12
#define UNJUDGED_FEW 16 // a stream begins with some, which are shown in JSON and metrics alone

_Static_assert(BAD < SHOW_RANKS_BAD && WARN < SHOW_RANKS_BAD && GOOD >= SHOW_RANKS_BAD, "ranks");

static const enum paint interface_paints[PAGE_STATES] = {[STATS_INTERFACE_UP] = PLAIN};
static const enum paint rule_paints[PAGE_STATES] = {
    [STATS_RULE_ACTIVE] = PLAIN, [STATS_RULE_SHADOW] = PLAIN,    [STATS_RULE_WAITING] = WARN,
    [STATS_RULE_DISABLED] = DIM, [STATS_RULE_SCHEDULED] = PLAIN, [STATS_RULE_EXPIRED] = PLAIN};
_Static_assert(STATS_RULE_END <= PAGE_STATES, "room for every state");

int show_rank(uint32_t shown_state)
{
    return (int) page_paint_of(rule_paints, shown_state);
}

// --- tables ----------------------------------------------------------------------------------------------------------

static void show_head(const struct page *p, const char *name, const char *count, bool rule)
{
    char text[256];

    snprintf(text, sizeof(text), "%-*s %-*s", p->name, name, STATE, "STATE");
    page_paint(p, BOLD, text);
    page_right(p, BOLD, count, p->count);
    page_right(p, BOLD, "PACKETS/S", p->rate);
    if (rule) {
        page_right(p, BOLD, p->view->rates ? "BIT/S" : "BYTES", p->bytes);
        page_right(p, BOLD, "LAST", p->last);
    }
    fputc('\n', p->to);
}

// before is NULL if there is none.
static void show_packets(const struct page *p, uint64_t now, const uint64_t *before)
{
    char number[TEXT_NUMBER_MAX];

    page_right(p, PLAIN, text_count(number, now, p->count), p->count);
    page_right(p, PLAIN, before ? text_scaled(number, stats_delta_rate(p->view->d, now, *before), "") : "-", p->rate);
}

static void show_bytes(const struct page *p, uint64_t now, const uint64_t *before)
{
    char number[TEXT_NUMBER_MAX];

    if (!p->view->rates)
        page_right(p, PLAIN, text_scaled(number, (double) now, "B"), p->bytes);
    else
        page_right(p, PLAIN, before ? text_scaled(number, 8 * stats_delta_rate(p->view->d, now, *before), "") : "-",
                   p->bytes);
}

// Adds the drops of a record that are not zero to a paragraph, which begins with the first one; those that grow stand
// out.
static void add_drops(struct paragraph *f, const struct page *p, const char *label, const struct stats_counter *table,
                      const void *now, const void *before, int indent)
{
    for (const struct stats_counter *c = table; c->name; c++) {
        uint64_t value = stats_counter_value(c, now);
        char number[TEXT_NUMBER_MAX], rate[TEXT_NUMBER_MAX];
        if (!c->drop || value == 0)
            continue;
        if (!f->page)
            *f = paragraph(p, indent, label);
        double growth = before ? stats_delta_rate(p->view->d, value, stats_counter_value(c, before)) : 0;
        text_count(number, value, COUNT_WIDE);
        if (growth > 0)
            paragraph_word(f, c->meant ? PLAIN : BAD, 2, "%s %s (+%s/s)", c->name, number,
                           text_scaled(rate, growth, ""));
        else
            paragraph_word(f, c->meant ? PLAIN : WARN, 2, "%s %s", c->name, number);
    }
}

// Shows the drops of a record on lines of their own.
static void show_drops(const struct page *p, const struct stats_counter *table, const void *now, const void *before,
                       int indent)
{
    struct paragraph f = {.page = NULL};

    add_drops(&f, p, "dropped", table, now, before, indent);
    if (f.page)
        fputc('\n', p->to);
}

static void show_interface(const struct page *p, uint32_t index)
{
    const struct stats_interface *i = &p->view->now->at.interfaces[index];
    const struct stats_interface *before = p->view->d ? p->view->d->interfaces[index] : NULL;

    page_first_cell(p, PLAIN, i->name, 0, p->name);
    fputc(' ', p->to);
    page_cell(p, page_paint_of(interface_paints, i->state), stats_interface_state_name(i->state), STATE);
    show_packets(p, i->counters.received, before ? &before->counters.received : NULL);
    fputc('\n', p->to);
    show_drops(p, stats_interface_counters, &i->counters, before ? &before->counters : NULL, 2);
}

// Says that what PACKETS counts as sent does not arrive, as far as answers tell; those that grow stand out.
static void show_answers(const struct page *p, uint64_t now, const uint64_t *before)
{
    double growth = before ? stats_delta_rate(p->view->d, now, *before) : 0;
    struct paragraph f = paragraph(p, OUTPUT_INDENT, "answers");
    char number[TEXT_NUMBER_MAX], rate[TEXT_NUMBER_MAX];

    text_count(number, now, COUNT_WIDE);
    if (growth > 0)
        paragraph_word(&f, WARN, 2, "unreachable %s (+%s/s)", number, text_scaled(rate, growth, ""));
    else
        paragraph_word(&f, PLAIN, 2, "unreachable %s", number);
    fputc('\n', p->to);
}

static void show_output(const struct page *p, uint32_t index)
{
    const struct stats_output *o = &p->view->now->at.outputs[index];
    const struct stats_output *before = p->view->d ? p->view->d->outputs[index] : NULL;

    fputs("  > ", p->to);
    page_first_cell(p, PLAIN, o->to, OUTPUT_INDENT, p->name + 1 + STATE - OUTPUT_INDENT);
    show_packets(p, o->counters.packets, before ? &before->counters.packets : NULL);
    show_bytes(p, o->counters.bytes, before ? &before->counters.bytes : NULL);
    fputc('\n', p->to);
    if (o->counters.unreachable > 0)
        show_answers(p, o->counters.unreachable, before ? &before->counters.unreachable : NULL);
    show_drops(p, stats_output_counters, &o->counters, before ? &before->counters : NULL, 4);
}

// What a leg's stream lacks, and its alarms; nothing where all is well.
static void show_stream(const struct page *p, const struct stats_input *in, const struct stats_input *before)
{
    struct paragraph f = {.page = NULL};
    char number[TEXT_NUMBER_MAX];

    add_drops(&f, p, "stream", stats_stream_counters, &in->stream, before ? &before->stream : NULL, OUTPUT_INDENT);
    add_drops(&f, p, "stream", stats_ts_counters, &in->ts, before ? &before->ts : NULL, OUTPUT_INDENT);
    if (in->stream.unjudged > in->stream.expected + UNJUDGED_FEW) {
        f = f.page ? f : paragraph(p, OUTPUT_INDENT, "stream");
        paragraph_word(&f, BAD, 2, "unjudged %s: not as %s", text_count(number, in->stream.unjudged, COUNT_WIDE),
                       stats_stream_name(in->as));
    }
    for (unsigned i = 0; i < STATS_ALARMS; i++) {
        if (!(in->alarms >> i & 1))
            continue;
        if (!f.page)
            f = paragraph(p, OUTPUT_INDENT, "stream");
        paragraph_word(&f, BAD, 2, "alarm: %s", stats_alarm_name(i));
    }
    if (f.page)
        fputc('\n', p->to);
}

// Of several legs each has its numbers.
static void show_input(const struct page *p, uint32_t index, bool several)
{
    const struct stats_input *in = &p->view->now->at.inputs[index];
    const struct stats_input *before = p->view->d ? p->view->d->inputs[index] : NULL;
    const char *interface = p->view->now->at.interfaces[in->interface].name;
    char text[512], vlan[24] = "";
    struct paragraph f = {p, OUTPUT_INDENT, OUTPUT_INDENT};

    if (in->vlan)
        snprintf(vlan, sizeof(vlan), " vlan %u", in->vlan);
    snprintf(text, sizeof(text), "%.31s%s%.15s %.71s%s", several ? in->leg : "", several ? ": " : "", interface, in->to,
             vlan);
    fputs("  < ", p->to);
    if (several) {
        page_first_cell(p, PLAIN, text, OUTPUT_INDENT, p->name + 1 + STATE - OUTPUT_INDENT);
        show_packets(p, in->counters.packets, before ? &before->counters.packets : NULL);
        show_bytes(p, in->counters.bytes, before ? &before->counters.bytes : NULL);
    } else {
        paragraph_text(&f, PLAIN, text);
    }
    fputc('\n', p->to);
    show_stream(p, in, before);
}

// Shown where one rule is asked for, and where the alarm is raised.
static void show_residence(const struct page *p, const struct stats_rule *r)
{
    static const char *const names[] = {"p50", "p90", "p99", "p99.9", "max"};
    struct paragraph f = paragraph(p, 2, "stayed");
    struct residence_summary s;
    char text[TEXT_NUMBER_MAX];

    residence_summarise(&r->residence, &s);
    const uint64_t times[] = {s.p50_ns, s.p90_ns, s.p99_ns, s.p999_ns, s.max_ns};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        paragraph_word(&f, r->alarms >> STATS_ALARM_RESIDENCE & 1 ? WARN : PLAIN, 2, "%s %s", names[i],
                       text_span(text, times[i]));
    fputc('\n', p->to);
}

static void show_rule(const struct page *p, uint32_t index)
{
    const struct stats_rule *r = &p->view->now->at.rules[index];
    const struct stats_rule *before = p->view->d ? p->view->d->rules[index] : NULL;
    const struct stats_rule_counters *c = &r->counters;
    enum paint paint = page_paint_of(rule_paints, r->state);
    char age[TEXT_NUMBER_MAX];

    page_first_cell(p, BOLD, r->name, 0, p->name);
    fputc(' ', p->to);
    page_cell(p, paint, stats_rule_state_name(r->state), STATE);
    show_packets(p, c->packets, before ? &before->counters.packets : NULL);
    show_bytes(p, c->bytes, before ? &before->counters.bytes : NULL);
    page_right(p, PLAIN, c->last_packet_ns ? text_age(age, stats_age_ms(p->view->now, c->last_packet_ns)) : "never",
               p->last);
    fputc('\n', p->to);
    if (r->note[0]) {
        struct paragraph f = {p, 2, 2};
        fputs("  ", p->to);
        if (p->style.terminal)
            paragraph_text(&f, DIM, r->note);
        else
            paragraph_word(&f, DIM, 1, "%s", r->note);
        fputc('\n', p->to);
    }
    show_rule_times(p, r);
    // That it is disabled says everything.
    if (r->reason[0] && paint != DIM) {
        struct paragraph f = paragraph(p, 2, "reason");
        paragraph_text(&f, paint == GOOD ? WARN : paint, r->reason);
        fputc('\n', p->to);
    }
    for (uint32_t i = 0; i < r->n_inputs; i++) {
        show_input(p, r->first_input + i, r->n_inputs > 1);
        if (r->merge != STATS_MERGE_NONE)
            show_merge_leg(p, index, r->first_input + i);
    }
    if (r->merge != STATS_MERGE_NONE)
        show_merge(p, index);
    show_drops(p, stats_rule_drops, &c->drops, before ? &before->counters.drops : NULL, 2);
    if (r->residence.max_ns > 0 && (p->view->now->at.header->n_rules == 1 || r->alarms >> STATS_ALARM_RESIDENCE & 1))
        show_residence(p, r);
    for (uint32_t i = 0; i < r->n_outputs; i++)
        show_output(p, r->first_output + i);
}

// Returns what is left of a line for a name.
static int name_room(const struct page *p)
{
    int room = p->style.columns - (1 + STATE);

    for (const int *width = (const int[]){p->count, p->rate, p->bytes, p->last, -1}; *width >= 0; width++)
        room -= *width > 0 ? 1 + *width : 0;
    return room;
}

// Returns the columns of the longest name of a rule or an output. Without this the numbers would be far from their
// names on a wide terminal.
static int longest_name(const struct stats_segment *at)
{
    int longest = NAME_MIN;

    for (uint32_t i = 0; i < at->header->n_rules; i++)
        longest = MAX(longest, (int) strlen(at->rules[i].name));
    for (uint32_t i = 0; i < at->header->n_outputs; i++)
        longest = MAX(longest, OUTPUT_INDENT + (int) strlen(at->outputs[i].to) - 1 - STATE);
    return longest;
}

static struct page table_of(const struct show_view *v, const struct show_style *style, FILE *to)
{
    struct page p = page_of(style, to);

    p.view = v;
    p.bytes = BYTES;
    p.last = LAST;
    p.count = v->rates ? COUNT : COUNT_WIDE;
    p.rate = v->rates ? RATE : 0;
    // What is given up first. Of a count and its rate, the rate tells more.
    int *const given_up[] = {&p.bytes, v->rates ? &p.count : &p.last};
    for (size_t i = 0; i < sizeof(given_up) / sizeof(given_up[0]) && name_room(&p) < NAME_LEAST; i++)
        *given_up[i] = 0;
    p.name = MIN(longest_name(&v->now->at), name_room(&p));
    return p;
}

// "300 rules: 290 active, 8 waiting, 2 silent"
static void show_summary(const struct page *p)
{
    const struct stats_header *h = p->view->now->at.header;
    struct paragraph f = {p, 0, 0};
    uint32_t counts[STATS_SHOWN] = {0}, left = h->n_rules;

    for (uint32_t i = 0; i < h->n_rules; i++)
        counts[stats_shown_state(&p->view->now->at.rules[i])]++;
    paragraph_word(&f, PLAIN, 1, "%u rule%s:", h->n_rules, h->n_rules == 1 ? "" : "s");
    for (uint32_t i = 0; i < STATS_SHOWN; i++) {
        if (counts[i] == 0)
            continue;
        left -= counts[i];
        paragraph_word(&f, page_paint_of(rule_paints, i), 1, "%u %s%s", counts[i], stats_rule_state_name(i),
                       left > 0 ? "," : "");
    }
    if (p->view->rules && p->view->n_rules < h->n_rules)
        paragraph_word(&f, PLAIN, 1, "(%u shown)", p->view->n_rules);
    fputc('\n', p->to);
}

void show_top(const struct show_view *v, const struct show_style *style, FILE *to)
{
    struct page p = table_of(v, style, to);

    show_running(&p);
    fputc('\n', to);
    show_head(&p, "INTERFACE", "RECEIVED", false);
    for (uint32_t i = 0; i < v->now->at.header->n_interfaces; i++)
        show_interface(&p, i);
    fputc('\n', to);
}

void show_heads(const struct show_view *v, const struct show_style *style, FILE *to)
{
    struct page p = table_of(v, style, to);

    if (style->terminal && v->now->at.header->n_rules > 0)
        show_summary(&p);
    show_head(&p, "RULE", "PACKETS", true);
}

void show_rules(const struct show_view *v, const struct show_style *style, FILE *to)
{
    const struct stats_header *h = v->now->at.header;
    struct page p = table_of(v, style, to);

    for (uint32_t i = 0; i < (v->rules ? v->n_rules : h->n_rules); i++)
        show_rule(&p, v->rules ? v->rules[i] : i);
    if (h->n_rules == 0)
        fputs(v->now->left_out > 0 ? "none of those that run is selected\n" : "none: nothing is relayed\n", to);
}

void show_table(const struct show_view *v, const struct show_style *style, FILE *to)
{
    show_top(v, style, to);
    show_heads(v, style, to);
    show_rules(v, style, to);
}
