// SPDX-License-Identifier: Apache-2.0
// rig: broker and relay in one process, on a machine and by clocks of the test's, and a transcript of all that they
// say: log, messages to the service manager, datagrams that leave, statistics, records.
//
// The broker is a thread that runs only while the test's waits for it: where it would wait itself, it is the test's
// turn (poll() is led here by the linker, as clock_gettime() and ev_now()). Nothing happens by itself: a test says what
// happens, and compares the transcript with a file of tests/unit/transcripts. UPDATE=1 rewrites these: read the
// difference.
#ifndef MCR_TESTS_UNIT_RIG_H
#define MCR_TESTS_UNIT_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define RIG_S  UINT64_C(1000000000)
#define RIG_MS UINT64_C(1000000)

// CLOCK_REALTIME at the beginning: 2030-03-17T17:46:40Z.
#define RIG_EPOCH UINT64_C(1900000000)

struct broker;
struct relay;

// Rings are files, and every user is there, as in a rig: no right is needed.
extern bool rig_rings;

struct rig {
    char directory[32];
    int log, inotify;
    FILE *to;
    char *text;
    size_t size;
    struct broker *broker;
    struct relay *relay;
    bool trust; // trust.conf counts
    bool broker_ended, relay_ended;
    uint64_t late_ns; // so long ago has come what comes
    bool deaf;        // the relay does nothing of itself, as one that was taken over
};

// Writes mcr.conf: this text, with the rig's directory in place of each DIR, and stats_file. NULL: there is none.
void rig_file(struct rig *x, const char *text);

// managed: there is a service manager that keeps descriptors. The first load is done.
struct rig *rig_open(const char *text, bool managed);
// The same in two steps, between which other files may be written. trust: trust.conf is among them.
struct rig *rig_make(const char *text, bool managed);
void rig_start(struct rig *x, bool trust);
// Compares the transcript with tests/unit/transcripts/NAME.txt, after all has been stopped as by SIGTERM.
void rig_close(struct rig *x, const char *name);

// Ends both, as by SIGTERM or by SIGKILL, and starts others, with what the manager has kept.
void rig_restart(struct rig *x, bool killed);

// A line of the transcript, and what has been said since the last one.
void rig_tell(struct rig *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
// What is seen of the state in the statistics, and of the rules.
void rig_show(struct rig *x);
// Names of the files that are there, with their modes; and the text of one of them.
void rig_files(struct rig *x);
void rig_text(struct rig *x, const char *name);
// What somebody else does with one of them. The caller closes what is opened.
void rig_remove(struct rig *x, const char *name);
FILE *rig_append(struct rig *x, const char *name);
// The end of the directory.
void rig_remove_all(struct rig *x);

// Both clocks go on, and the relay's timers of that time are answered: its ticks, and its look at alarms, a trial and a
// summary, as far as they are due.
void rig_wait(struct rig *x, uint64_t ns);
// One turn of the relay's loop, in which the clocks go on by 1 us at each look; before, n datagrams come for the
// group 1.
void rig_turn(struct rig *x, const char *interface, unsigned n);
// What the relay's loop watches.
void rig_watches(struct rig *x);
// The wall clock alone is set.
void rig_set_clock(struct rig *x, int64_t by_s);

// Each does what its name says, and tells it.
void rig_reload(struct rig *x, int login); // -1: mcrd --reload does not say who
void rig_confirm(struct rig *x);
void rig_signal(struct rig *x, int number);
void rig_look(struct rig *x);  // news of the file
void rig_links(struct rig *x); // news of links
void rig_end_broker(struct rig *x);

// A message to the broker, as from a relay that was taken over (deaf). The answers are told.
struct handover_message;
void rig_ask(struct rig *x, const struct handover_message *m);
// A message to the relay, as from a broker that was taken over.
void rig_answer(struct rig *x, const struct handover_message *m);
// Some bytes, of either.
void rig_garble(struct rig *x, bool broker);

// State of an interface from now on: "up", "down", "missing". Others are up.
void rig_link(struct rig *x, const char *name, const char *state);
// n datagrams of this payload come by an interface for 239.255.0.GROUP, port 5000, from 198.18.0.HOST; size 0: as a
// text.
void rig_come(struct rig *x, const char *interface, uint8_t group, uint8_t host, unsigned n, const void *payload,
              size_t size);
// A frame comes by in0, and what is then counted.
struct rig_slot;
void rig_frame(struct rig *x, const char *what, const uint8_t *frame, size_t size, const struct rig_slot *how);
// One of RTP with this sequence number.
void rig_come_rtp(struct rig *x, const char *interface, uint8_t group, uint16_t number);
// The outputs by an interface are refused from now on with this error; 0: no longer.
void rig_refuse(struct rig *x, const char *interface, int error);

#endif
