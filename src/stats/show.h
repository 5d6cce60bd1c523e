// SPDX-License-Identifier: Apache-2.0
// show: prints a snapshot of the statistics as JSON, as metrics or as a table, once or at an interval.
#ifndef MCR_STATS_SHOW_H
#define MCR_STATS_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "stats/delta.h"
#include "stats/reader.h"

#define SHOW_HEARTBEAT_LATE_MS 5000 // the relay writes it five times a second
#define SHOW_COLUMNS           80   // of a table that goes to no terminal
#define SHOW_COLUMNS_LEAST     40   // that a table is made for; a narrower terminal wraps or cuts its lines

// How to end what a refused file has left, once the one that runs is back on the disk.
// Not without a broker, which refuses every load.
#define SHOW_PUT_BACK "the file on disk is what runs: mcrd --reload clears this"

// Whether it would: what runs lies there, and nothing is known that refuses that as well.
static inline bool show_may_put_back(const struct stats_header *h)
{
    return h->config_state == STATS_CONFIG_CURRENT && h->broker_alive && !h->expired && !h->audit.error[0];
}

// What to do where the broker is gone: a restart reads the file on the disk, which may be the one on trial, or one that
// has returned, unless a service manager keeps the one before.
static inline const char *show_without_broker(const struct stats_header *h)
{
    return h->config_state == STATS_CONFIG_TRIAL || h->config_state == STATS_CONFIG_RETURNED
               ? "put the file before back (running.conf.back, else running.conf), then restart mcrd"
               : "mcrd --check, then restart mcrd";
}

// Returns whether everything was written to `to`.
bool show_json(const struct stats_snapshot *s, FILE *to, bool one_line);

// Prints the metrics of Prometheus; with s NULL only mcr_up, which then says that nothing runs. If path is not
// STATS_DEFAULT_PATH, each line has it as the label stats_file, which tells several relays of a host apart. Returns
// whether everything was written to `to`.
bool show_prometheus(const struct stats_snapshot *s, const char *path, FILE *to);

struct show_style {
    int columns;
    // On a terminal a table has only the columns of numbers that fit beside names, and text that is too long for its
    // column has lines of its own. Elsewhere it is cut.
    bool terminal;
    bool obeys; // that terminal obeys escape sequences
    bool colour;
};

// What a table shows. With rates it has bits per second since the snapshot before in place of bytes; d is NULL if there
// is none, as at the start.
struct show_view {
    const struct stats_snapshot *now;
    const struct stats_delta *d;
    bool rates;
    const uint32_t *rules; // which rules, in which order; NULL: all, as in the file
    uint32_t n_rules;
};

void show_table(const struct show_view *v, const struct show_style *style, FILE *to);

// The three parts of a table: what runs and the interfaces; how many rules are in which state (on a terminal) and the
// heads of their columns; and the rules.
void show_top(const struct show_view *v, const struct show_style *style, FILE *to);
void show_heads(const struct show_view *v, const struct show_style *style, FILE *to);
void show_rules(const struct show_view *v, const struct show_style *style, FILE *to);

// Returns how bad a rule's state is (stats_shown_state()), by the colour that it has: 0 is the worst.
int show_rank(uint32_t shown_state);

#define SHOW_RANKS_BAD 2 // ranks below it need somebody's attention

// Prints text, wrapped into as many lines as it takes; if bad, in the colour of what is wrong.
void show_notice(const char *text, bool bad, const struct show_style *style, FILE *to);

// Prints what a key does, behind its name.
void show_key(const char *key, const char *what, const struct show_style *style, FILE *to);

// Returns what the terminal behind fd can show; SHOW_COLUMNS and no colour if it is none.
struct show_style show_style_of(int fd);

// Shows the table (or, with json, one object a line) at once and then every interval, until a signal or the key q
// (live_help has the others). On a terminal it redraws the table in place, and waits for the next daemon when one ends;
// elsewhere it ends with the daemon. Returns the exit status; why is the message for stderr, or empty.
int show_watch(const char *path, const struct stats_selection *only, double seconds, bool json,
               char why[STATS_WHY_MAX]);

// The exit statuses of a plugin (Monitoring Plugins Development Guidelines), from the best to the worst but for
// SHOW_UNKNOWN.
enum show_status { SHOW_OK, SHOW_WARNING, SHOW_CRITICAL, SHOW_UNKNOWN };

// Prints the line of a monitoring plugin and returns its exit status. s: the selected rules; of the whole relay (whole)
// its config, broker and sandbox are judged as well. s NULL: nothing could be taken, for the reason why, and what is
// the status of that.
enum show_status show_check(const struct stats_snapshot *s, bool whole, enum show_status what, const char *why,
                            FILE *to);

// Prints every word of the counters, states, verdicts, alarms and features, and what it means. Returns whether
// everything was written to `to`.
bool show_words(bool json, FILE *to);

#endif
