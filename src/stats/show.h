// SPDX-License-Identifier: Apache-2.0
// show: a snapshot of the statistics as JSON, as metrics, as a table, or again and again.
#ifndef MCR_STATS_SHOW_H
#define MCR_STATS_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "stats/delta.h"
#include "stats/reader.h"

#define SHOW_COLUMNS 80 // of a table that goes to no terminal, and the least that one is made for

// Whether everything was written to `to`.
bool show_json(const struct stats_snapshot *s, FILE *to, bool one_line);

// The metrics of Prometheus; with s NULL only the one that says that nothing runs. Lines of statistics at another path
// than STATS_DEFAULT_PATH have it as the label stats_file, so that several relays of a host can be told apart. Whether
// everything was written to `to`.
bool show_prometheus(const struct stats_snapshot *s, const char *path, FILE *to);

struct show_style {
    int columns; // SHOW_COLUMNS or more
    bool colour;
};

// With rates, those since the snapshot before in place of bytes; d is NULL where there is none, as on the first.
struct show_view {
    const struct stats_snapshot *now;
    const struct stats_delta *d;
    bool rates;
    const uint32_t *rules; // which rules, in which order; NULL: all, as in the file
    uint32_t n_rules;
};

void show_table(const struct show_view *v, const struct show_style *style, FILE *to);

// Text in as many lines as it takes.
void show_notice(const char *text, const struct show_style *style, FILE *to);

// What the terminal behind fd, if it is one, can show.
struct show_style show_style_of(int fd);

// Shows the table (or, with json, one object a line) at once and then each interval until a signal or the key q
// (live.h tells the others). On a terminal the table is redrawn in place and outlasts a daemon that goes; elsewhere
// that ends it. Returns the exit status; why, for stderr, is empty unless there is something to tell.
int show_watch(const char *path, double seconds, bool json, char why[STATS_WHY_MAX]);

#endif
