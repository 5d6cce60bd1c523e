// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/digest.h"
#include "stats/show.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "stats/counters.h"
#include "stats/text.h"

#define HEARTBEAT_LATE_MS 5000 // the relay writes it five times a second

#define LABEL 9 // columns of the words that begin the lines of the header

// Columns, with one blank between two. A name gets what is left; that of an output also the state's.
enum { NAME_MIN = 24, OUTPUT_INDENT = 4, STATE = 8, COUNT_WIDE = 16, COUNT = 14, BYTES = 9, RATE = 10, LAST = 7 };

enum paint { PLAIN, BOLD, DIM, GOOD, WARN, BAD };

struct page {
    FILE *to;
    const struct show_view *view;
    struct show_style style;
    int name; // columns of a rule's name
};

// --- lines -----------------------------------------------------------------------------------------------------------

static void paint(const struct page *p, enum paint paint)
{
    // SGR, ECMA-48 8.3.117
    static const char *const codes[] = {
        [PLAIN] = "\033[0m", [BOLD] = "\033[1m",  [DIM] = "\033[2m",
        [GOOD] = "\033[32m", [WARN] = "\033[33m", [BAD] = "\033[1;31m",
    };

    if (p->style.colour)
        fputs(codes[paint], p->to);
}

static void painted(const struct page *p, enum paint how, const char *text)
{
    if (how != PLAIN)
        paint(p, how);
    fputs(text, p->to);
    if (how != PLAIN)
        paint(p, PLAIN);
}

// Text from the segment, cut to width. Returns the columns that it takes.
static int cut(const struct page *p, enum paint how, const char *text, int width)
{
    char shown[1024];
    int taken = text_show(shown, sizeof(shown), text, width);

    painted(p, how, shown);
    return taken;
}

// The same, filled up with blanks.
static void cell(const struct page *p, enum paint how, const char *text, int width)
{
    int taken = cut(p, how, text, width);

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

// A word is never parted; one that is longer than a line is cut.
static void paragraph_word(struct paragraph *f, enum paint how, const char *word, int gap)
{
    char shown[1024];
    int room = f->page->style.columns - f->indent;
    int taken = text_show(shown, sizeof(shown), word, room);

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
            paragraph_word(f, how, word, 1);
}

// --- what runs -------------------------------------------------------------------------------------------------------

static void label(const struct page *p, const char *text)
{
    fprintf(p->to, "%-*s", LABEL, text);
}

static void show_daemon(const struct page *p)
{
    const struct stats_snapshot *s = p->view->now;
    const struct stats_header *h = s->at.header;
    struct paragraph f = {p, 0, 0};
    char text[64], time[TEXT_NUMBER_MAX];

    paragraph_word(&f, PLAIN, "mcrd", 1);
    paragraph_word(&f, BOLD, h->program_version, 1);
    if (h->instance[0])
        paragraph_word(&f, BOLD, h->instance, 2);
    snprintf(text, sizeof(text), "pid %u", h->pid);
    paragraph_word(&f, PLAIN, text, 2);
    snprintf(text, sizeof(text), "up %s", text_duration(time, stats_age_s(s, h->started_boottime_ns)));
    paragraph_word(&f, PLAIN, text, 2);
    fputc('\n', p->to);
    uint64_t silent = stats_age_ms(s, h->heartbeat_ns);
    if (silent >= HEARTBEAT_LATE_MS) {
        label(p, "");
        paint(p, BAD);
        fprintf(p->to, "no sign of life for %s: the relay hangs or was suspended", text_age(time, silent));
        paint(p, PLAIN);
        fputc('\n', p->to);
    }
}

static enum paint paint_of_config(uint32_t state)
{
    switch (state) {
    case STATS_CONFIG_CURRENT:
        return GOOD;
    case STATS_CONFIG_PENDING:
        return WARN;
    default:
        return BAD;
    }
}

static void show_config(const struct page *p)
{
    const struct stats_header *h = p->view->now->at.header;
    struct paragraph f = {p, LABEL, LABEL};
    char text[80], sha256[DIGEST_TEXT_MAX], time[TEXT_NUMBER_MAX];

    label(p, "config");
    cut(p, PLAIN, h->file, p->style.columns - LABEL);
    fputc('\n', p->to);
    label(p, "");
    snprintf(text, sizeof(text), "%s,", stats_config_state_name(h->config_state));
    paragraph_word(&f, paint_of_config(h->config_state), text, 1);
    snprintf(text, sizeof(text), "sha256 %.12s,", digest_text(h->sha256, sha256));
    paragraph_word(&f, PLAIN, text, 1);
    snprintf(text, sizeof(text), "generation %llu of %s", (unsigned long long) h->generation,
             text_time(time, h->loaded_ns));
    paragraph_word(&f, PLAIN, text, 1);
    fputc('\n', p->to);
    if (stats_last_error(h)[0]) {
        f = (struct paragraph){p, LABEL, LABEL};
        label(p, h->config_state == STATS_CONFIG_INVALID && h->disk_error[0] ? "invalid" : "refused");
        paragraph_text(&f, BAD, stats_last_error(h));
        fputc('\n', p->to);
    }
}

static enum paint paint_of_seccomp(uint32_t mode)
{
    switch (mode) {
    case STATS_SECCOMP_ENFORCE:
        return PLAIN;
    case STATS_SECCOMP_LOG:
        return WARN;
    default:
        return BAD;
    }
}

static void show_sandbox(const struct page *p)
{
    const struct stats_header *h = p->view->now->at.header;
    struct paragraph f = {p, LABEL, LABEL};
    char text[STATS_CAPABILITY_MAX + 32], name[STATS_CAPABILITY_MAX];

    label(p, "sandbox");
    snprintf(text, sizeof(text), "seccomp %s,", stats_seccomp_name(h->seccomp));
    paragraph_word(&f, paint_of_seccomp(h->seccomp), text, 1);
    if (h->landlock)
        snprintf(text, sizeof(text), "landlock %u,", h->landlock);
    else
        snprintf(text, sizeof(text), "no landlock,");
    paragraph_word(&f, PLAIN, text, 1);
    if (h->isolation & STATS_OWN_NETWORK)
        paragraph_word(&f, PLAIN, "own network,", 1);
    if (h->isolation & STATS_EMPTY_ROOT)
        paragraph_word(&f, PLAIN, "empty root,", 1);
    if (!h->capabilities)
        paragraph_word(&f, PLAIN, "no capabilities,", 1);
    for (unsigned i = 0; i < 64; i++)
        if (h->capabilities >> i & 1) {
            snprintf(text, sizeof(text), "%s,", stats_capability_name(i, name));
            paragraph_word(&f, BAD, text, 1);
        }
    if (h->broker_alive)
        paragraph_word(&f, PLAIN, "broker alive", 1);
    else
        paragraph_text(&f, BAD, "broker gone: restart mcrd to load a file again");
    fputc('\n', p->to);
}

// --- tables ----------------------------------------------------------------------------------------------------------

static void show_head(const struct page *p, const char *name, const char *count, bool rule)
{
    paint(p, BOLD);
    fprintf(p->to, "%-*s %-*s", p->name, name, STATE, "STATE");
    right(p, count, p->view->rates ? COUNT : COUNT_WIDE);
    if (p->view->rates)
        right(p, "PACKETS/S", RATE);
    if (rule) {
        right(p, p->view->rates ? "BIT/S" : "BYTES", BYTES);
        right(p, "LAST", LAST);
    }
    paint(p, PLAIN);
    fputc('\n', p->to);
}

// now or before is NULL where there is none.
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

// The drops of a record that are not zero, on lines of their own; those that grow stand out.
static void show_drops(const struct page *p, const struct stats_counter *table, const void *now, const void *before,
                       int indent)
{
    struct paragraph f = {p, indent + LABEL, indent + LABEL};
    bool any = false;

    for (const struct stats_counter *c = table; c->name; c++) {
        uint64_t value = stats_counter_value(c, now);
        char text[128], number[TEXT_NUMBER_MAX], rate[TEXT_NUMBER_MAX];
        if (!c->drop || value == 0)
            continue;
        double growth = before ? stats_delta_rate(p->view->d, value, stats_counter_value(c, before)) : 0;
        if (!any)
            fprintf(p->to, "%*s%-*s", indent, "", LABEL, "dropped");
        any = true;
        if (growth > 0)
            snprintf(text, sizeof(text), "%s %s (+%s/s)", c->name, text_count(number, value, COUNT_WIDE),
                     text_scaled(rate, growth, ""));
        else
            snprintf(text, sizeof(text), "%s %s", c->name, text_count(number, value, COUNT_WIDE));
        paragraph_word(&f, growth > 0 ? BAD : WARN, text, 2);
    }
    if (any)
        fputc('\n', p->to);
}

static void show_interface(const struct page *p, uint32_t index)
{
    const struct stats_interface *i = &p->view->now->at.interfaces[index], *before = NULL;
    const struct stats_delta *d = p->view->d;

    if (d && d->interfaces[index] != STATS_DELTA_NEW)
        before = &d->before->at.interfaces[d->interfaces[index]];
    cell(p, PLAIN, i->name, p->name);
    fputc(' ', p->to);
    cell(p, i->state == STATS_INTERFACE_UP ? PLAIN : BAD, stats_interface_state_name(i->state), STATE);
    show_packets(p, i->counters.received, before ? &before->counters.received : NULL);
    fputc('\n', p->to);
    show_drops(p, stats_interface_counters, &i->counters, before ? &before->counters : NULL, 2);
}

static void show_output(const struct page *p, uint32_t index)
{
    const struct stats_output *o = &p->view->now->at.outputs[index], *before = NULL;
    const struct stats_delta *d = p->view->d;

    if (d && d->outputs[index] != STATS_DELTA_NEW)
        before = &d->before->at.outputs[d->outputs[index]];
    fputs("  > ", p->to);
    cell(p, PLAIN, o->to, p->name + 1 + STATE - OUTPUT_INDENT);
    show_packets(p, o->counters.packets, before ? &before->counters.packets : NULL);
    show_bytes(p, o->counters.bytes, before ? &before->counters.bytes : NULL);
    fputc('\n', p->to);
    show_drops(p, stats_output_counters, &o->counters, before ? &before->counters : NULL, 4);
}

static enum paint paint_of_rule(uint32_t state)
{
    switch (state) {
    case STATS_RULE_ACTIVE:
        return PLAIN;
    case STATS_RULE_DISABLED:
        return DIM;
    case STATS_RULE_WAITING:
        return WARN;
    default:
        return BAD;
    }
}

static void show_rule(const struct page *p, uint32_t index)
{
    const struct stats_rule *r = &p->view->now->at.rules[index], *before = NULL;
    const struct stats_delta *d = p->view->d;
    const struct stats_rule_counters *c = &r->counters;
    char age[TEXT_NUMBER_MAX];

    if (d && d->rules[index] != STATS_DELTA_NEW)
        before = &d->before->at.rules[d->rules[index]];
    cell(p, BOLD, r->name, p->name);
    fputc(' ', p->to);
    if (r->state == STATS_RULE_ACTIVE && r->alarms)
        cell(p, BAD, "slow", STATE);
    else
        cell(p, paint_of_rule(r->state), stats_rule_state_name(r->state), STATE);
    show_packets(p, c->packets, before ? &before->counters.packets : NULL);
    show_bytes(p, c->bytes, before ? &before->counters.bytes : NULL);
    right(p, c->last_packet_ns ? text_age(age, stats_age_ms(p->view->now, c->last_packet_ns)) : "never", LAST);
    fputc('\n', p->to);
    if (r->note[0]) {
        fputs("  ", p->to);
        cut(p, DIM, r->note, p->style.columns - 2);
        fputc('\n', p->to);
    }
    show_drops(p, stats_rule_drops, &c->drops, before ? &before->counters.drops : NULL, 2);
    for (uint32_t i = 0; i < r->n_outputs; i++)
        show_output(p, r->first_output + i);
}

// Columns that no name of a rule or an output exceeds, or what there is room for. On a wide terminal the numbers
// would else be far from their names.
static int name_columns(const struct show_view *v, const struct show_style *style)
{
    const struct stats_segment *at = &v->now->at;
    size_t longest = NAME_MIN;
    int room =
        style->columns - (1 + STATE) - (1 + BYTES) - (1 + LAST) - (v->rates ? 1 + COUNT + 1 + RATE : 1 + COUNT_WIDE);

    for (uint32_t i = 0; i < at->header->n_rules; i++)
        if (longest < strlen(at->rules[i].name))
            longest = strlen(at->rules[i].name);
    for (uint32_t i = 0; i < at->header->n_outputs; i++)
        if (longest + 1 + STATE < OUTPUT_INDENT + strlen(at->outputs[i].to))
            longest = OUTPUT_INDENT + strlen(at->outputs[i].to) - 1 - STATE;
    return (int) longest < room ? (int) longest : room;
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
        fputs("none: nothing is relayed\n", to);
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
