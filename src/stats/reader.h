// SPDX-License-Identifier: Apache-2.0
// reader: takes a checked copy of the statistics that a running mcrd publishes. It treats every byte as hostile.
#ifndef MCR_STATS_READER_H
#define MCR_STATS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "stats/layout.h"

#define STATS_DEFAULT_PATH "/run/mcr/stats"
#define STATS_WHY_MAX      1024

// A copy in memory of the caller's, which stats_snapshot_free() gives back.
struct stats_snapshot {
    struct stats_segment at; // checked, see stats_parse()
    void *memory;
    uint64_t monotonic_ns, boottime_ns, realtime_ns; // when it was taken
    uint32_t left_out;                               // rules that were not selected
};

// Which rules are wanted.
struct stats_selection {
    const char *rule; // the one of this name; NULL: any
    uint32_t state;   // enum stats_rule_state; STATS_RULE_END: any; STATS_RULE_SILENT: also those with that alarm
};

// Pure: checks the size bytes at memory, aligned for a uint64_t, and points at into them. Afterwards the counts of the
// header fit, every string ends within its field and is UTF-8 (what was not is replaced by '?'), the interface of each
// input is one of them, and the inputs and outputs of each rule lie within their arrays, after those of the rules
// before. Enumerations and counters may have any value. Otherwise it returns false, and why says what is wrong.
bool stats_parse(struct stats_segment *at, void *memory, size_t size, char why[STATS_WHY_MAX]);

// Takes a snapshot of the file at path; each record of it is consistent. Returns false if no daemon runs behind the
// file or it cannot be read: *s holds nothing then, and why says what is wrong and what to do about it.
bool stats_snapshot_take(struct stats_snapshot *s, const char *path, char why[STATS_WHY_MAX]);

// Leaves the other rules out of *s; the outputs stay where they are. Returns false, with why, if no rule has the name.
bool stats_snapshot_select(struct stats_snapshot *s, const struct stats_selection *only, char why[STATS_WHY_MAX]);

// Reads the header of the open file alone, without a wait: *consistent is false when it changed all the while. Returns
// false when the file was cut. Nothing of it is checked.
bool stats_read_header(int fd, struct stats_header *h, bool *consistent);

// Returns the process that writes the statistics at path, as the kernel reports it: the relay holds a write lock of a
// file beside them for as long as it lives. Another process that may write that file can lock it, too, but then the
// kernel reports that process. 0: nobody; -1: a process whose pid is not visible from here,
// or that file may not be opened.
pid_t stats_writer(const char *path);

// Frees what *s holds; it may hold nothing.
void stats_snapshot_free(struct stats_snapshot *s);

// Return ages at the moment of the snapshot: milliseconds since a CLOCK_MONOTONIC time, seconds since a CLOCK_BOOTTIME
// time; 0 for a time that lies ahead.
uint64_t stats_age_ms(const struct stats_snapshot *s, uint64_t monotonic_ns);
uint64_t stats_age_s(const struct stats_snapshot *s, uint64_t boottime_ns);

// Returns the seconds until a CLOCK_MONOTONIC time, rounded up; 0: it has come.
uint64_t stats_remaining_s(const struct stats_snapshot *s, uint64_t monotonic_ns);

#endif
