// SPDX-License-Identifier: Apache-2.0
// state: the state of the broker and of a load under way. Private to broker/: start.c (before the first request),
// offer.c (puts a table in force), record.c (the log), broker.c (requests).
#ifndef MCR_BROKER_STATE_H
#define MCR_BROKER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "broker/audit.h"
#include "broker/broker.h"
#include "broker/keep.h"
#include "broker/watch.h"
#include "config/compare.h"
#include "config/load.h"
#include "handover/handover.h"
#include "machine/sockets.h"
#include "stats/layout.h"
#include "config/times.h"
#include "table/image.h"
#include "table/view.h"
#include "trust/signatures.h"

// Who must sign the file, and who has (approve.c).
struct approval {
    struct trustconf trust;      // as the start has read it
    struct stat seen;            // of its file, when it was last looked at; zero: there was none
    uint64_t unsigned_since_ns;  // CLOCK_MONOTONIC, since when the file on disk lacks signatures; 0: it does not
    uint8_t unsigned_sha256[32]; // of that file
    char signed_by[SIGNATURES_NAMES_MAX]; // of the file in force
};

// The bytes of a file, and its signatures (trust/signatures.h).
struct text {
    struct config_bytes bytes;
    char *signatures; // or NULL
    size_t signatures_size;
};

// While a file is on trial: what it goes back to, which the relay has ready (trial.c).
struct trial {
    struct config *config; // NULL: nothing is on trial
    struct text text;
    char signed_by[SIGNATURES_NAMES_MAX];
    struct table_image image; // of config, made to follow the table on trial
    struct table_view view;   // of image
    int fds[HANDOVER_PLAIN];  // of it: table, statistics, state
    uint64_t ends_ns;         // CLOCK_MONOTONIC
    bool over;                // the relay did not go back in time: nothing is confirmed any more
    bool closed;              // what the trial has opened is closed
};

struct broker {
    const struct broker_options *options;
    int relay;
    pid_t daemon; // pid of the relay, which handles signals
    uid_t uid;
    gid_t gid;
    char as_user[32], as_group[32]; // names of uid and gid, or the numbers
    // Set once at the start: user and group of the file, and the paths of the statistics and of the records.
    char user[32], group[32], stats_file[108], audit_file[108];
    int lock; // descriptor of the statistics' lock, until the relay has it
    struct stats_features features;
    struct sockets *sockets;
    struct keep keep;
    struct audit audit;
    uint8_t begun[32];                // digest of the file of the last record that begins a load, until one is in force
    struct stats_continued continued; // what the start has taken over
    bool goes_on;                     // the first load, which is under way, is of the file that the mcrd before ran
    char left[SIGNATURES_WHY_MAX + 80]; // why the file that the mcrd before ran was not gone on with, and another one
                                        // is in force; until the next load; empty: it was, or nothing was kept
    bool disk_refused;                  // the one on the disk was refused at the start, which then goes on
    struct watch watch;
    struct approval approval;
    struct config *config; // in force; NULL before the first load
    struct text text;      // of config
    struct trial trial;
    uint8_t returned[32];       // digest of the file that was on trial last and went back
    struct table_image running; // table of config; bytes is NULL before the first load
    struct table_view view;     // of running
    unsigned landlock;          // version of the Landlock ABI in force; 0: none
    uint64_t due_ns;            // of asker_pace()
    int verdict_ms;             // longest time for a verdict of the relay
    uint64_t late_ns;           // since when the relay is late with that (CLOCK_MONOTONIC); 0: it is not
    bool revoked;               // since the table in force: the relay has not got the one without what has ended
    bool unpublished;           // statistics of the table in force could not be put in their place
    uint64_t revoke_s;          // when the broker closes what has ended without the relay (CLOCK_REALTIME); 0: never
    size_t n_rejected;          // descriptors of tables that were offered but not put in force
    bool over;                  // the broker ends: the relay is gone, no verdict came, or the start is refused
    int status;                 // exit status
};

// A table to be put in force: by a load, or, without an asker, because links have changed.
struct attempt {
    uint32_t serial;                    // of the request
    const struct handover_asker *asker; // of the load; NULL: links have changed
    struct handover_file file;
    const char *signed_by; // names
    uint8_t before[32];    // at the start: digest of the file that the mcrd before ran; zero: none
    bool compared;         // with that file: its numbers of changed rules are right
    uint64_t began_ns;     // CLOCK_MONOTONIC
    uint64_t generation;   // that the table has when it is in force
    bool offered;          // the relay has got some of it
    bool begins_trial;     // what is in force until now can be gone back to
    bool ends_trial;       // for good: confirmed, or by a load of the file before
    bool confirms;         // no load: what is on trial stays
    bool summed;           // its record is in the log alone
    char why[1024];        // reason of a refusal
};

// start.c
// Finds the user to run as, drops every other right, and checks the file. Returns false, with the reason logged or
// printed, if the broker must end.
bool start_run(struct broker *b);
// First step of start_run(), with the rights of the start: reads only the user to run as and the path of the statistics
// from the file, without libconfig. The caller frees the bytes.
bool start_read_identity(struct broker *b, struct config_bytes *bytes);
// Returns whether the start may go on with the file that the mcrd before ran, although it has become the user of the
// one on the disk: both name the same user, group and statistics.
bool start_kept_fits(struct broker *b);
// Returns the file of this digest that the mcrd before ran, where it was kept and is another one than next; else NULL.
// The caller calls config_free().
struct config *start_before(const struct broker *b, const uint8_t sha256[32], const struct config *next);
// Notes, and logs, why the start does not go on with the file that the mcrd before ran: of `sha256` on the disk
// instead.
void start_leaves(struct broker *b, const uint8_t sha256[32], const char *why);
// Returns what that file on the disk is, as an effect.
const char *start_left_for(const struct broker *b, const uint8_t sha256[32]);
// Last step of start_run(), after the rights are dropped: returns whether these bytes are a valid file, and prints the
// problems as --check does. Frees the bytes.
bool start_judge(struct broker *b, struct config_bytes *bytes);

// validity.c: serial, validity, and rules that begin and end by the wall clock.
// Returns whether the time, the serial and the clock allow a load of next; if not, writes why.
bool validity_admit(struct broker *b, const struct config *next, char why[1024]);
// Judges whether a table can be made of next, as it runs now and as it would if all that is to come ran. Writes why
// not.
bool validity_judge(struct broker *b, struct config *next, char why[1024]);
// The second of these alone.
bool validity_scheduled(struct broker *b, struct config *next, char why[1024]);
// Sets what runs of c now. What has expired under the table before stays so, whatever the clock says.
void validity_set(struct broker *b, struct config *c);
// Leaves out the rules that would begin now, because with them no table can be made, and tells it. Returns false if
// there is none.
bool validity_leave_out(struct broker *b, const char *why);
// Logs what of the file in force has begun or ended since the last call. Call it after each table that is in force.
void validity_tell(struct broker *b);
// Returns how long to wait for a request, in milliseconds, or -1.
int validity_wait_ms(const struct broker *b);
// Closes what has ended, by what the broker can do without the relay, where that has not asked in time.
void validity_look(struct broker *b);
// Closes what may not be open any more: what has ended, and behind a trial what only that has opened. Returns false if
// that was not possible; to be tried again.
bool validity_narrow(struct broker *b);
// Closes every temporary opening, because the broker ends for what the relay does: nobody else would, in its time.
void validity_close(struct broker *b);

// trial.c: a file on trial, and the one that it goes back to.
// Whether a load of next begins a trial: not at the start, nor of what runs already.
bool trial_begins(const struct broker *b, const struct config *next);
// Judges a load while a file is on trial: returns false, with a->why, for any file but the one before, with which the
// trial ends.
bool trial_admit(const struct broker *b, struct attempt *a);
// Returns the config to go back to if this attempt comes into force; NULL: none.
struct config *trial_way_back(const struct broker *b, const struct attempt *a);
// Writes to the table of c that it is on trial.
void trial_mark(struct table_image *table, const struct config *c, const struct config *back);
// What the relay has ready now: takes the image and the descriptors.
void trial_ready(struct broker *b, struct table_image *image, int fds[HANDOVER_PLAIN]);
// Moves what was in force to b->trial. Call it before the next one takes its place.
void trial_begin(struct broker *b, const struct config *next);
void trial_end(struct broker *b);
// Answer CONFIRM and RETURNED. returned: false if nothing is on trial; else the caller follows the links.
void trial_confirm(struct broker *b, const struct handover_message *m);
bool trial_returned(struct broker *b, const struct handover_message *m);
// Records that the start has ended a trial, unless what was on trial is in force.
void trial_ended_by_start(struct broker *b);
// Returns how long to wait for a request, in milliseconds, or -1; and closes what a trial has opened whose end the
// relay lets pass.
int trial_wait_ms(const struct broker *b);
void trial_look(struct broker *b);
// Does so now.
void trial_close(struct broker *b);

void text_free(struct text *t);

// approve.c
// Reads trust.conf, with the rights of the start. Returns false after a message if it is there and cannot be used.
bool approve_start(struct broker *b);
// Warns if the file of trust.conf is not what it was at the start, once for each change. Where the file may not be read
// any more, its times and size tell.
void approve_look(struct broker *b);
// Judge the file on the disk, and the one that the mcrd before ran. The caller calls signatures_free().
void approve_disk(const struct broker *b, const struct config_bytes *bytes, struct signatures *out);
void approve_kept(const struct broker *b, const struct config_bytes *bytes, struct signatures *out);
// Returns whether the file on the disk lacks signatures that may still arrive: for SIGNATURES_WAIT_NS since it was
// first seen without them.
bool approve_waits(struct broker *b, const uint8_t sha256[32], const struct signatures *s);
// Sets the time that the clock must show to be believed: where signatures are asked for, that of trust.conf.
void approve_date(const struct broker *b, struct config *c);
// Fills in what the statistics show. left: also why the file that the mcrd before ran was not gone on with.
void approve_show(const struct broker *b, const char *signed_by, bool left, struct stats_signatures *out);

// record.c
void record_accepted(struct broker *b, struct attempt *a, const struct table_view *t, const struct handover_receipt *r);
void record_refused(struct broker *b, struct attempt *a);
// Second part of a record: one for each rule that was added, removed or changed.
void record_changes(struct broker *b, const struct diff *d, const struct attempt *a);
// Where audit_required is set in c: makes a record of a load before it is in force. Returns false, with a->why, if it
// cannot be written to audit_file.
bool record_begins(struct broker *b, struct attempt *a, const struct config *c);
void record_confirmed(struct broker *b, const struct attempt *a);
// why: as the relay says; start: as the start knows.
void record_returned(struct broker *b, uint64_t from_generation, const uint8_t from_sha256[32], const char *why,
                     bool start);
// Every problem of a file that a load has read, as --check tells them. Waits for no reader: the record has the first of
// them.
void record_problems(const struct config_problems *p, const char *path);

// offer.c
// Keeps a copy of the file that runs, or (back) of the one that a trial may go back to.
void offer_save_running(const struct broker *b, bool back, const struct config_bytes *file);
// Sends an answer, for which the relay waits. If that fails, the broker ends, which the relay detects.
void offer_answer(struct broker *b, const struct handover_message *m);
// Returns the table whose rules the next one goes on with: that in force, or that of the mcrd before; or NULL.
const struct table_view *offer_before(const struct broker *b);
// Records a refused load, with the reason a->why, and answers REFUSED.
void offer_refuse(struct broker *b, struct attempt *a);
enum outcome { ADOPTED, UNCHANGED, REFUSED };
// Compiles c and hands the table over, on trial with the one to go back to. With REFUSED, a->why has the reason.
enum outcome offer_config(struct broker *b, struct attempt *a, struct config *c);
// What a compiled table becomes when the relay uses it: b->running and b->view.
void offer_run(struct broker *b, const struct table_image *table);

// asker.c
// Returns the login uid of the asker of a reload: from /proc if the process lives and /proc shows it, else the one that
// mcrd --reload has given. UINT32_MAX: unknown, or none.
uint32_t asker_login(const struct handover_asker *asker);
// Waits until one more request may be handled: ASKER_BURST at once, ASKER_PER_SECOND in the long run. An intact relay
// never sends more; a compromised one cannot cost more. *due_ns is zero before the first call.
#define ASKER_PER_SECOND 50
#define ASKER_BURST      100
void asker_pace(uint64_t *due_ns);

// broker.c
// Compiles what runs again, as for links that have changed, and answers this request.
void broker_follow(struct broker *b, uint32_t serial);

#endif
