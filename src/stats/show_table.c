// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/digest.h"
#include "stats/show.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>

#include "stats/counters.h"
#include "stats/text.h"

#define LABEL 9 // columns of the words that begin the lines of the header

// Widths of columns, with one blank between two. A name gets the rest; the name of an output also the state's column.
enum { NAME_MIN = 24, OUTPUT_INDENT = 4, STATE = 8, COUNT_WIDE = 16, COUNT = 14, BYTES = 9, RATE = 10, LAST = 7 };

enum paint { BAD, WARN, GOOD, DIM, BOLD, PLAIN };

#define STATES 8 // in a list, at most

// A state that is in none of these is BAD, and so is an unknown one: the segment may hold any number.
static const enum paint config_paints[STATES] = {[STATS_CONFIG_CURRENT] = GOOD, [STATS_CONFIG_PENDING] = WARN};
static const enum paint seccomp_paints[STATES] = {[STATS_SECCOMP_LOG] = WARN, [STATS_SECCOMP_ENFORCE] = PLAIN};
static const enum paint interface_paints[STATES] = {[STATS_INTERFACE_UP] = PLAIN};
static const enum paint rule_paints[STATES] = {
    [STATS_RULE_ACTIVE] = PLAIN, [STATS_RULE_SHADOW] = WARN, [STATS_RULE_WAITING] = WARN, [STATS_RULE_DISABLED] = DIM};
_Static_assert(STATS_RULE_END <= STATES, "room for every state");

static enum paint paint_of(const enum paint paints[STATES], uint32_t state)
{
    return state < STATES ? paints[state] : BAD;
}

struct page {
    FILE *to;
    const struct show_view *view;
    struct show_style style;
    int name; // columns of a rule's name
};

// --- lines -----------------------------------------------------------------------------------------------------------

static void painted(const struct page *p, enum paint how, const char *text)
{
    // SGR, ECMA-48 8.3.117
    static const char *const codes[] = {
        [BOLD] = "\033[1m", [DIM] = "\033[2m", [GOOD] = "\033[32m", [WARN] = "\033[33m", [BAD] = "\033[1;31m",
    };

    if (p->style.colour && how != PLAIN)
        fprintf(p->to, "%s%s\033[0m", codes[how], text);
    else
        fputs(text, p->to);
}

// Text from the segment, cut to width or filled up with blanks.
static void cell(const struct page *p, enum paint how, const char *text, int width)
{
    char shown[1024];
    int taken = text_show(shown, sizeof(shown), text, width);

    painted(p, how, shown);
    fprintf(p->to, "%*s", width - taken, "");
}

static void right(const struct page *p, const char *text, int width)
{
    fprintf(p->to, " %*s", width, text);
}

// Writes words into lines that all begin at the same column.
struct paragraph {
    const struct page *page;
    int indent, column;
};

// Writes the label, and begins a paragraph behind it.
static struct paragraph paragraph(const struct page *p, int indent, const char *label)
{
    fprintf(p->to, "%*s%-*s", indent, "", LABEL, label);
    return (struct paragraph){p, indent + LABEL, indent + LABEL};
}

// Writes a word, after `gap` blanks unless it begins its line. A word is never split; one longer than a line is cut.
static void __attribute__((format(printf, 4, 5)))
paragraph_word(struct paragraph *f, enum paint how, int gap, const char *format, ...)
{
    char word[STATS_WHY_MAX], shown[STATS_WHY_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(word, sizeof(word), format, args);
    va_end(args);
    int taken = text_show(shown, sizeof(shown), word, f->page->style.columns - f->indent);
    if (f->column > f->indent && f->column + gap + taken > f->page->style.columns) {
        fprintf(f->page->to, "\n%*s", f->indent, "");
        f->column = f->indent;
    } else if (f->column > f->indent) {
        fprintf(f->page->to, "%*s", gap, "");
        f->column += gap;
    }
    painted(f->page, how, shown);
    f->column += taken;
}

static void paragraph_text(struct paragraph *f, enum paint how, const char *text)
{
    char copy[STATS_WHY_MAX], *rest = copy;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word; (word = strsep(&rest, " \n\t")) != NULL;)
        if (*word)
            paragraph_word(f, how, 1, "%s", word);
}

// --- what runs -------------------------------------------------------------------------------------------------------

static void show_daemon(const struct page *p)
{
    const struct stats_snapshot *s = p->view->now;
    const struct stats_header *h = s->at.header;
    struct paragraph f = {p, 0, 0};
    uint64_t silent = stats_age_ms(s, h->heartbeat_ns);
    char time[TEXT_NUMBER_MAX];

    paragraph_word(&f, PLAIN, 1, "mcrd");
    paragraph_word(&f, BOLD, 1, "%s", h->program_version);
    if (h->instance[0])
        paragraph_word(&f, BOLD, 2, "%s", h->instance);
    paragraph_word(&f, PLAIN, 2, "pid %u", h->pid);
    paragraph_word(&f, PLAIN, 2, "up %s", text_duration(time, stats_age_s(s, h->started_boottime_ns)));
    fputc('\n', p->to);
    if (silent >= SHOW_HEARTBEAT_LATE_MS) {
        f = paragraph(p, 0, "");
        paragraph_word(&f, BAD, 1, "no sign of life for %s: the relay hangs or was suspended", text_age(time, silent));
        fputc('\n', p->to);
    }
}

static void show_config(const struct page *p)
{
    const struct stats_header *h = p->view->now->at.header;
    const char *error = stats_last_error(h);
    char sha256[DIGEST_TEXT_MAX], time[TEXT_NUMBER_MAX];

    struct paragraph f = paragraph(p, 0, "config");
    paragraph_word(&f, PLAIN, 1, "%s", h->file);
    fputc('\n', p->to);
    f = paragraph(p, 0, "");
    paragraph_word(&f, paint_of(config_paints, h->config_state), 1, "%s,", stats_config_state_name(h->config_state));
    paragraph_word(&f, PLAIN, 1, "sha256 %.12s,", digest_text(h->sha256, sha256));
    paragraph_word(&f, PLAIN, 1, "generation %" PRIu64 " of %s", h->generation, text_time(time, h->loaded_ns));
    fputc('\n', p->to);
    if (*error) {
        f = paragraph(p, 0, error == h->disk_error ? "invalid" : "refused");
        paragraph_text(&f, BAD, error);
        fputc('\n', p->to);
    }
}

static void show_sandbox(const struct page *p)
{
    const struct stats_header *h = p->view->now->at.header;
    struct paragraph f = paragraph(p, 0, "sandbox");
    char name[STATS_CAPABILITY_MAX];

    paragraph_word(&f, paint_of(seccomp_paints, h->seccomp), 1, "seccomp %s,", stats_seccomp_name(h->seccomp));
    if (h->landlock)
        paragraph_word(&f, PLAIN, 1, "landlock %u,", h->landlock);
    else
        paragraph_word(&f, PLAIN, 1, "no landlock,");
    if (h->isolation & STATS_OWN_NETWORK)
        paragraph_word(&f, PLAIN, 1, "own network,");
    if (h->isolation & STATS_EMPTY_ROOT)
        paragraph_word(&f, PLAIN, 1, "empty root,");
    if (!h->capabilities)
        paragraph_word(&f, PLAIN, 1, "no capabilities,");
    for (unsigned i = 0; i < 64; i++)
        if (h->capabilities >> i & 1)
            paragraph_word(&f, BAD, 1, "%s,", stats_capability_name(i, name));
    if (h->broker_alive)
        paragraph_word(&f, PLAIN, 1, "broker alive");
    else
        paragraph_text(&f, BAD, "broker gone: restart mcrd to load a file again");
    fputc('\n', p->to);
}

// --- tables ----------------------------------------------------------------------------------------------------------

static void show_head(const struct page *p, const char *name, const char *count, bool rule)
{
    bool rates = p->view->rates;
    char text[256];
    int n =
        snprintf(text, sizeof(text), "%-*s %-*s %*s", p->name, name, STATE, "STATE", rates ? COUNT : COUNT_WIDE, count);

    if (rates)
        n += snprintf(text + n, sizeof(text) - (size_t) n, " %*s", RATE, "PACKETS/S");
    if (rule)
        snprintf(text + n, sizeof(text) - (size_t) n, " %*s %*s", BYTES, rates ? "BIT/S" : "BYTES", LAST, "LAST");
    painted(p, BOLD, text);
    fputc('\n', p->to);
}

// before is NULL if there is none.
static void show_packets(const struct page *p, uint64_t now, const uint64_t *before)
{
    char number[TEXT_NUMBER_MAX];
    int width = p->view->rates ? COUNT : COUNT_WIDE;

    right(p, text_count(number, now, width), width);
    if (p->view->rates)
        right(p, before ? text_scaled(number, stats_delta_rate(p->view->d, now, *before), "") : "-", RATE);
}

static void show_bytes(const struct page *p, uint64_t now, const uint64_t *before)
{
    char number[TEXT_NUMBER_MAX];

    if (!p->view->rates)
        right(p, text_scaled(number, (double) now, "B"), BYTES);
    else
        right(p, before ? text_scaled(number, 8 * stats_delta_rate(p->view->d, now, *before), "") : "-", BYTES);
}

// Shows the drops of a record that are not zero, on lines of their own; those that grow stand out.
static void show_drops(const struct page *p, const struct stats_counter *table, const void *now, const void *before,
                       int indent)
{
    struct paragraph f = {.page = NULL};

    for (const struct stats_counter *c = table; c->name; c++) {
        uint64_t value = stats_counter_value(c, now);
        char number[TEXT_NUMBER_MAX], rate[TEXT_NUMBER_MAX];
        if (!c->drop || value == 0)
            continue;
        if (!f.page)
            f = paragraph(p, indent, "dropped");
        double growth = before ? stats_delta_rate(p->view->d, value, stats_counter_value(c, before)) : 0;
        text_count(number, value, COUNT_WIDE);
        if (growth > 0)
            paragraph_word(&f, BAD, 2, "%s %s (+%s/s)", c->name, number, text_scaled(rate, growth, ""));
        else
            paragraph_word(&f, WARN, 2, "%s %s", c->name, number);
    }
    if (f.page)
        fputc('\n', p->to);
}

static void show_interface(const struct page *p, uint32_t index)
{
    const struct stats_interface *i = &p->view->now->at.interfaces[index];
    const struct stats_interface *before = p->view->d ? p->view->d->interfaces[index] : NULL;

    cell(p, PLAIN, i->name, p->name);
    fputc(' ', p->to);
    cell(p, paint_of(interface_paints, i->state), stats_interface_state_name(i->state), STATE);
    show_packets(p, i->counters.received, before ? &before->counters.received : NULL);
    fputc('\n', p->to);
    show_drops(p, stats_interface_counters, &i->counters, before ? &before->counters : NULL, 2);
}

static void show_output(const struct page *p, uint32_t index)
{
    const struct stats_output *o = &p->view->now->at.outputs[index];
    const struct stats_output *before = p->view->d ? p->view->d->outputs[index] : NULL;

    fputs("  > ", p->to);
    cell(p, PLAIN, o->to, p->name + 1 + STATE - OUTPUT_INDENT);
    show_packets(p, o->counters.packets, before ? &before->counters.packets : NULL);
    show_bytes(p, o->counters.bytes, before ? &before->counters.bytes : NULL);
    fputc('\n', p->to);
    show_drops(p, stats_output_counters, &o->counters, before ? &before->counters : NULL, 4);
}

static void show_input(const struct page *p, const struct stats_input *in)
{
    struct paragraph f = {p, OUTPUT_INDENT, OUTPUT_INDENT};

    fputs("  < ", p->to);
    paragraph_word(&f, PLAIN, 1, "%s", p->view->now->at.interfaces[in->interface].name);
    paragraph_word(&f, PLAIN, 1, "%s", in->to);
    if (in->vlan)
        paragraph_word(&f, PLAIN, 1, "vlan %u", in->vlan);
    fputc('\n', p->to);
}

static void show_rule(const struct page *p, uint32_t index)
{
    const struct stats_rule *r = &p->view->now->at.rules[index];
    const struct stats_rule *before = p->view->d ? p->view->d->rules[index] : NULL;
    const struct stats_rule_counters *c = &r->counters;
    enum paint paint = paint_of(rule_paints, r->state);
    char age[TEXT_NUMBER_MAX];

    cell(p, BOLD, r->name, p->name);
    fputc(' ', p->to);
    cell(p, paint, stats_rule_state_name(r->state), STATE);
    show_packets(p, c->packets, before ? &before->counters.packets : NULL);
    show_bytes(p, c->bytes, before ? &before->counters.bytes : NULL);
    right(p, c->last_packet_ns ? text_age(age, stats_age_ms(p->view->now, c->last_packet_ns)) : "never", LAST);
    fputc('\n', p->to);
    if (r->note[0]) {
        struct paragraph f = {p, 2, 2};
        fputs("  ", p->to);
        paragraph_word(&f, DIM, 1, "%s", r->note);
        fputc('\n', p->to);
    }
    // That it is disabled says everything.
    if (r->reason[0] && paint != DIM) {
        struct paragraph f = paragraph(p, 2, "reason");
        paragraph_text(&f, paint, r->reason);
        fputc('\n', p->to);
    }
    show_input(p, &r->input);
    show_drops(p, stats_rule_drops, &c->drops, before ? &before->counters.drops : NULL, 2);
    for (uint32_t i = 0; i < r->n_outputs; i++)
        show_output(p, r->first_output + i);
}

// Returns the columns of the longest name of a rule or an output, or what there is room for. Without this the numbers
// would be far from their names on a wide terminal.
static int name_columns(const struct show_view *v, const struct show_style *style)
{
    const struct stats_segment *at = &v->now->at;
    int longest = NAME_MIN;
    int room =
        style->columns - (1 + STATE) - (1 + BYTES) - (1 + LAST) - (v->rates ? 1 + COUNT + 1 + RATE : 1 + COUNT_WIDE);

    for (uint32_t i = 0; i < at->header->n_rules; i++)
        longest = MAX(longest, (int) strlen(at->rules[i].name));
    for (uint32_t i = 0; i < at->header->n_outputs; i++)
        longest = MAX(longest, OUTPUT_INDENT + (int) strlen(at->outputs[i].to) - 1 - STATE);
    return MIN(longest, room);
}

void show_table(const struct show_view *v, const struct show_style *style, FILE *to)
{
    const struct stats_header *h = v->now->at.header;
    struct page p = {.to = to, .view = v, .style = *style, .name = name_columns(v, style)};

    show_daemon(&p);
    show_config(&p);
    show_sandbox(&p);
    fputc('\n', to);
    show_head(&p, "INTERFACE", "RECEIVED", false);
    for (uint32_t i = 0; i < h->n_interfaces; i++)
        show_interface(&p, i);
    fputc('\n', to);
    show_head(&p, "RULE", "PACKETS", true);
    for (uint32_t i = 0; i < (v->rules ? v->n_rules : h->n_rules); i++)
        show_rule(&p, v->rules ? v->rules[i] : i);
    if (h->n_rules == 0)
        fputs(v->now->left_out > 0 ? "none of those that run is selected\n" : "none: nothing is relayed\n", to);
}

void show_notice(const char *text, const struct show_style *style, FILE *to)
{
    struct page p = {.to = to, .style = *style};
    struct paragraph f = {.page = &p};

    paragraph_text(&f, BAD, text);
    fputc('\n', to);
}

struct show_style show_style_of(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    struct show_style style = {.columns = SHOW_COLUMNS};
    struct winsize size;

    if (!isatty(fd))
        return style;
    // https://no-color.org: when present and not empty
    style.colour = !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > SHOW_COLUMNS)
        style.columns = size.ws_col;
    return style;
}
