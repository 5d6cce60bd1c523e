// SPDX-License-Identifier: Apache-2.0
// chain: the records of loads as a chain, in which each record names the one before by its digest. Pure.
//
// A record is one line, which ends in
//
//   ... [chain=begins |chain=continues |chain=elsewhere ]n=N time=TIME prev=HASH hash=HASH
//
// N counts from 1. hash is the SHA-256 of the bytes of the line from its first one up to the blank before "hash=", so
// that it covers prev, the hash of record N - 1 (zeros in record 1). chain=begins: record 1; chain=continues: the first
// record of a file that goes on with another one's chain; chain=elsewhere: the first one of a first file, as the start
// before had no audit_file, or another one. TIME: RFC 3339, UTC, with milliseconds.
#ifndef MCR_AUDIT_CHAIN_H
#define MCR_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/digest.h"

// Bytes of a record with its newline. A pipe takes as much at once (PIPE_BUF), with "<N>" before it.
#define CHAIN_LINE_MAX 4090
#define CHAIN_TIME_MAX 25 // "2026-11-30T09:44:50.123Z" and its end

struct chain_head {
    uint64_t n; // 0: there is no record yet
    uint8_t hash[DIGEST_BYTES];
};

enum chain_mark { CHAIN_NEXT, CHAIN_CONTINUES, CHAIN_ELSEWHERE, CHAIN_BEGINS };

// Appends the end of a record, without a newline, to the *used bytes of line, which it cuts at a character if there is
// no room, and makes it the new head. realtime_ns: CLOCK_REALTIME.
void chain_seal(char line[CHAIN_LINE_MAX], size_t *used, struct chain_head *head, enum chain_mark mark,
                uint64_t realtime_ns);

struct chain_record {
    struct chain_head head; // its number, and the hash that stands in it
    uint8_t prev[DIGEST_BYTES];
    enum chain_mark mark;
    char time[CHAIN_TIME_MAX];
    size_t body; // bytes before the end that chain_seal() has written
    bool right;  // the hash is that of its bytes
};

// Reads a line, without its newline. Returns false if it has not the form of a record.
bool chain_parse(const char *line, size_t length, struct chain_record *r);

// Returns the time of a record, CLOCK_REALTIME; 0 if it is none of the calendar.
uint64_t chain_time_ns(const struct chain_record *r);

// Reads "N:HASH". Returns false if text is none.
bool chain_parse_head(const char *text, struct chain_head *head);

// --- verifying -------------------------------------------------------------------------------------------------------

enum chain_fault {
    CHAIN_CHANGED,   // the bytes of a record are not those of its hash, or its place has a line that is no record;
                     // from 0: it is the first, and nothing tells its number
    CHAIN_NO_RECORD, // `count` lines at `place` are no records and in the place of none: they stand behind record
                     // `from`, or, if that is 0, before record `to`, or, if that is 0, too, alone
    CHAIN_MISSING,   // records `from` to `to`; from 0: those before record to + 1
    CHAIN_BEHIND,    // a record stands behind one with a number as high or higher, `to`
    CHAIN_FOREIGN,   // a record names another one before it than the one that is there, or is not the one of the anchor
    CHAIN_ANEW,      // a new chain begins behind record `to`
    CHAIN_CUT,       // the last line is not whole
    CHAIN_OPENS,     // the files begin with record `from`, which says that those before are elsewhere; never fatal
};

struct chain_place {
    unsigned file; // as the caller counts them
    uint64_t line; // from 1 on
};

struct chain_finding {
    enum chain_fault fault;
    uint64_t from, to;
    struct chain_place place; // of CHAIN_NO_RECORD
    uint64_t count;
    bool fatal; // false: the line says so of itself, and nothing more is known of it
};

struct chain_check {
    // Set by the caller; the rest is zero before the first line.
    bool whole;               // a set of files: each line is a record, and the first begins one of them
    bool complete;            // none of its files has been removed by rotation: it begins with record 1, or opens
    struct chain_head anchor; // a head that is known from elsewhere; n 0: none
    void (*found)(void *context, const struct chain_finding *finding);
    void *context;
    struct chain_place place; // of the line that is given next

    bool any;               // a record was seen
    bool unsure;            // the hash of the record before is not known
    struct chain_head last; // the highest record
    uint64_t first;         // number of the first record
    uint64_t bad;           // places behind the last record of which only changed ones, or none, were seen
    uint64_t faults;        // fatal ones
    uint64_t waiting; // lines behind the last record that are none: the next one tells whether in the place of some
    struct chain_place at; // of the first of them
    bool met, wrong;       // the record of the anchor's number was seen; it is another one
};

// Takes the next line, without its newline. r: what chain_parse() says of it, or NULL if it is no record.
void chain_check_line(struct chain_check *c, const struct chain_record *r);

// Judges lines that are no records, as far as they wait for another record. chain_check_end() does so, too.
void chain_check_settle(struct chain_check *c);

// Ends it. cut: the last line had no newline; it was not given.
void chain_check_end(struct chain_check *c, bool cut);

// Prints a finding as "record 12: changed". Returns false if that cannot be written.
bool chain_print(const struct chain_finding *finding, FILE *to);

#endif
