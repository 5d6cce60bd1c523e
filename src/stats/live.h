// SPDX-License-Identifier: Apache-2.0
// live: the state of a live view, which keys change, and the rules that the view shows. Pure.
#ifndef MCR_STATS_LIVE_H
#define MCR_STATS_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "stats/delta.h"

#define LIVE_FILTER_MAX 64

enum live_sort { LIVE_SORT_FILE, LIVE_SORT_RATE, LIVE_SORT_DROPS, LIVE_SORT_NAME, LIVE_SORT_STATE, LIVE_SORT_KINDS };

// Which rules are shown by their state: all, those in trouble (their state is red or yellow), or those of one state, as
// stats_shown_state() numbers them from LIVE_STATE on.
enum { LIVE_ALL, LIVE_TROUBLE, LIVE_STATE };

struct live {
    bool quit, paused, help;
    bool typing; // the filter
    enum live_sort sort;
    char filter[LIVE_FILTER_MAX];
    uint32_t only; // LIVE_ALL and so on
    int scroll;    // lines above the screen, 0 to last
    // Set by the caller: the largest scroll, where the bottom is seen; the one where the rules begin; by how many lines
    // a page moves; and bits 1 << stats_shown_state() of the states that rules are in.
    int last, first, page;
    uint32_t present;
};

// What the keys do, for people; the last row is empty.
extern const struct live_key {
    const char *keys, *what;
} live_help[];

// Takes n bytes as a terminal sends them, and ignores what it does not know.
void live_keys(struct live *l, const char *bytes, size_t n);

// "in trouble", or the name of the state whose rules are shown; "" for all.
const char *live_only_name(const struct live *l);

// Selects the rules whose name, note or output contains the filter (without regard to case; "" selects all) and whose
// state is wanted, puts their indices into rules, which has room for all, and returns how many. By rate or drops, the
// most come first: those since the snapshot before, or all if there is none (d is NULL). By state, the worst come
// first.
uint32_t live_rules(const struct live *l, const struct stats_snapshot *now, const struct stats_delta *d,
                    uint32_t *rules);

#endif
