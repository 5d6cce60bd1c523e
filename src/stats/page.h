// SPDX-License-Identifier: Apache-2.0
// page: lines for people: cells of a table, and words that are wrapped to the columns of a terminal.
#ifndef MCR_STATS_PAGE_H
#define MCR_STATS_PAGE_H

#include "stats/show.h"

enum paint { BAD, WARN, GOOD, DIM, BOLD, PLAIN }; // show_rank() has it that the worst come first

#define PAGE_STATES 10 // in a list, at most

// A state that is in none of them is BAD, and so is an unknown one: the segment may hold any number.
static inline enum paint page_paint_of(const enum paint paints[PAGE_STATES], uint32_t state)
{
    return state < PAGE_STATES ? paints[state] : BAD;
}

struct page {
    FILE *to;
    const struct show_view *view;
    struct show_style style;
    int name; // columns of a rule's name
    // Columns of numbers; 0: left out.
    int count, rate, bytes, last;
};

// A page for a terminal of at least SHOW_COLUMNS_LEAST columns, and no view.
struct page page_of(const struct show_style *style, FILE *to);

void page_paint(const struct page *p, enum paint how, const char *text);

// Prints text from the segment, cut to width or filled up with blanks.
void page_cell(const struct page *p, enum paint how, const char *text, int width);

// Prints a number at the right end of its column, with a blank before it. width 0: the column is left out.
void page_right(const struct page *p, enum paint how, const char *text, int width);

// The first cell of a line, at column indent. Where it may not be cut and is too long, the other cells are below it.
void page_first_cell(const struct page *p, enum paint how, const char *text, int indent, int width);

// Writes words into lines that all begin at the same column.
struct paragraph {
    const struct page *page;
    int indent, column;
};

// Writes the label, and begins a paragraph behind it.
struct paragraph paragraph(const struct page *p, int indent, const char *label);

// Writes a word, after `gap` blanks unless it begins its line. A word is split only where it is longer than a line of a
// terminal; elsewhere such a word is cut.
void paragraph_word(struct paragraph *f, enum paint how, int gap, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Writes the words of a text.
void paragraph_text(struct paragraph *f, enum paint how, const char *text);

#endif
