// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/page.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>

#include "stats/text.h"

#define LABEL 9  // columns of the words that begin the lines of a paragraph
#define KEY   12 // and of the keys in the help

void page_paint(const struct page *p, enum paint how, const char *text)
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

void page_cell(const struct page *p, enum paint how, const char *text, int width)
{
    char shown[1024];
    int taken = text_show(shown, sizeof(shown), text, width);

    page_paint(p, how, shown);
    fprintf(p->to, "%*s", width - taken, "");
}

void page_right(const struct page *p, enum paint how, const char *text, int width)
{
    char shown[TEXT_NUMBER_MAX + 1];

    if (width == 0)
        return;
    snprintf(shown, sizeof(shown), " %*s", width, text);
    page_paint(p, how, shown);
}

struct paragraph paragraph(const struct page *p, int indent, const char *label)
{
    fprintf(p->to, "%*s%-*s", indent, "", LABEL, label);
    return (struct paragraph){p, indent + LABEL, indent + LABEL};
}

void paragraph_word(struct paragraph *f, enum paint how, int gap, const char *format, ...)
{
    const struct show_style *style = &f->page->style;
    char word[STATS_WHY_MAX], shown[STATS_WHY_MAX];
    const char *rest = word;
    va_list args;

    va_start(args, format);
    vsnprintf(word, sizeof(word), format, args);
    va_end(args);
    do {
        int room = style->columns - f->indent;
        int taken = style->terminal ? text_take(shown, sizeof(shown), &rest, room)
                                    : text_show(shown, sizeof(shown), word, room);
        if (f->column > f->indent && f->column + gap + taken > style->columns) {
            fprintf(f->page->to, "\n%*s", f->indent, "");
            f->column = f->indent;
        } else if (f->column > f->indent) {
            fprintf(f->page->to, "%*s", gap, "");
            f->column += gap;
        }
        page_paint(f->page, how, shown);
        f->column += taken;
    } while (style->terminal && *rest);
}

void paragraph_text(struct paragraph *f, enum paint how, const char *text)
{
    char copy[STATS_WHY_MAX], *rest = copy;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word; (word = strsep(&rest, " \n\t")) != NULL;)
        if (*word)
            paragraph_word(f, how, 1, "%s", word);
}

void page_first_cell(const struct page *p, enum paint how, const char *text, int indent, int width)
{
    char shown[1024];

    if (!p->style.terminal || text_show(shown, sizeof(shown), text, INT_MAX) <= width) {
        page_cell(p, how, text, width);
        return;
    }
    struct paragraph f = {p, indent, indent};
    paragraph_text(&f, how, text);
    fprintf(p->to, "\n%*s", indent + width, "");
}

struct page page_of(const struct show_style *style, FILE *to)
{
    struct page p = {.to = to, .style = *style};

    p.style.columns = MAX(style->columns, SHOW_COLUMNS_LEAST);
    return p;
}

void show_notice(const char *text, bool bad, const struct show_style *style, FILE *to)
{
    struct page p = page_of(style, to);
    struct paragraph f = {.page = &p};

    paragraph_text(&f, bad ? BAD : PLAIN, text);
    fputc('\n', to);
}

void show_key(const char *key, const char *what, const struct show_style *style, FILE *to)
{
    struct page p = page_of(style, to);
    struct paragraph f = {&p, KEY, KEY};

    fprintf(to, "%-*s", KEY, key);
    paragraph_text(&f, PLAIN, what);
    fputc('\n', to);
}

struct show_style show_style_of(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    struct show_style style = {.columns = SHOW_COLUMNS};
    struct winsize size;

    style.terminal = isatty(fd);
    if (!style.terminal)
        return style;
    // https://no-color.org: when present and not empty
    style.obeys = !(term && strcmp(term, "dumb") == 0);
    style.colour = style.obeys && !(no_color && *no_color);
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        style.columns = size.ws_col;
    return style;
}
