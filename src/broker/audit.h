// SPDX-License-Identifier: Apache-2.0
// audit: the records of loads, as a chain (audit/chain.h): each goes to the log and, if audit_file is set, is appended
// to it (audit/trail.h). Only the broker writes it. A record that cannot be written there waits in memory.
#ifndef MCR_BROKER_AUDIT_H
#define MCR_BROKER_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/chain.h"
#include "audit/trail.h"
#include "broker/audit_head.h"
#include "log/log.h"
#include "stats/layout.h"

#define AUDIT_MIB_DEFAULT 8          // audit_mib before a file is loaded
#define AUDIT_LATE_MAX    (1u << 20) // bytes of records that wait for room on the disk
#define AUDIT_RETRY_MS    10000      // how often what waits is tried again

// Loads that change nothing in force, as a relay that was taken over could ask for without end: so many are recorded at
// once, and one in this time in the long run. The others are in the log as lines that are no records, and are summed in
// one. A start of the same file is such a load, too: what was recorded before it counts, by its time. At 2 KiB each the
// files of 8 MiB hold those of more than three months.
#define AUDIT_IDLE_BURST       20
#define AUDIT_IDLE_INTERVAL_NS (300 * UINT64_C(1000000000))
#define AUDIT_IDLE_AHEAD_NS    ((AUDIT_IDLE_BURST - 1) * AUDIT_IDLE_INTERVAL_NS)

// Whose statistics show the head: those of what runs, and those that a trial may go back to, when no broker may live.
enum audit_view { AUDIT_NOW, AUDIT_BACK, AUDIT_VIEWS };

struct audit {
    char path[TRAIL_PATH_MAX]; // empty: records go to the log only
    uint64_t most;             // bytes of a file from which on it is rotated
    struct audit_head *kept;   // or NULL; the caller's
    struct chain_head head;
    enum chain_mark mark; // of the next record
    int directory;        // to make a new name in it last, or -1
    int fd;               // or -1: it has to be opened
    uint64_t size;        // bytes of records in it
    char *late;           // AUDIT_LATE_MAX bytes, or NULL
    size_t n_bytes;       // of the records in late
    uint64_t n_late;      // records in late
    uint64_t n_lost;      // records that were left out of the file, since the start
    bool failed;
    unsigned obstacle;  // age of the file (trail_name()) that audit_rotate() could not rename or replace; 0: none
    int lock;           // a file that this process has locked, or -1
    pid_t other;        // of the mcrd that has locked it; 0: none has
    uint64_t n_changed; // how often the file was found as somebody else has left it
    char changed[sizeof(((struct stats_audit *) NULL)->changed)]; // what was found last
    char error[sizeof(((struct stats_audit *) NULL)->error)];
    uint64_t due_ns; // of the next load that changes nothing
    // By audit_open(), or empty: of the file that the last record of one in force names, and of the one from which the
    // last return was.
    char sha256[DIGEST_TEXT_MAX], returned[DIGEST_TEXT_MAX];
    uint64_t n_refused, n_repeats;           // that were not recorded yet
    struct stats_header *shown[AUDIT_VIEWS]; // mapped; NULL: nothing is shown there
};

void audit_init(struct audit *a);
void audit_free(struct audit *a);

// Step one, with the rights of the start: notes path and opens its directory, which it makes where it is missing, with
// this owner. Locks the file's name for this process, so that two write no file together; waits for a process that is
// about to end. Errors are told by audit_open().
void audit_prepare(struct audit *a, const char *path, uint32_t uid, uint32_t gid);

// Step two, under all restrictions: finds the head, in kept, which may be NULL, and in the file, which it verifies.
// What does not verify is set aside by rotation and told in a record. Needs no file: the records are then a chain in
// the log.
void audit_open(struct audit *a, struct audit_head *kept);

// Makes a record of an event of the log, in the log and for the file. audit_flush() writes the file.
void audit_record(struct audit *a, enum log_level level, enum event event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Writes what waits to the disk, and shows the head. Returns whether all records are there, or need not.
bool audit_flush(struct audit *a);

// Returns whether a load that changes nothing in force is to be recorded now (CLOCK_MONOTONIC); else it is summed.
bool audit_admit(struct audit *a, bool refused, uint64_t now_ns);

// Ends it: makes a record of what was summed, if that is not more than one in the time of one, and writes all.
void audit_end(struct audit *a);

// What is to be done with time: how many milliseconds from now, -1 for never; and doing it.
int audit_wait_ms(const struct audit *a, uint64_t now_ns);
void audit_tick(struct audit *a, uint64_t now_ns);

// Shows the head in these statistics, too, from now on, a file which the caller may close. Not at all if that fails.
void audit_show(struct audit *a, enum audit_view view, int stats);
void audit_hide(struct audit *a, enum audit_view view);

#endif
