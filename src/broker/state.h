// SPDX-License-Identifier: Apache-2.0
// state: what the broker knows, and what a load has found so far; shared by the files of this room alone: start.c (up
// to the first request), offer.c (a table into force), record.c (the log), broker.c (requests).
#ifndef MCR_BROKER_STATE_H
#define MCR_BROKER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/broker.h"
#include "broker/watch.h"
#include "config/compare.h"
#include "config/load.h"
#include "handover/handover.h"
#include "machine/sockets.h"
#include "stats/layout.h"
#include "table/image.h"
#include "table/view.h"

struct broker {
    const struct broker_options *options;
    int relay;
    pid_t daemon; // the relay's: the one that takes signals
    uid_t uid;
    gid_t gid;
    char as_user[32], as_group[32]; // their names; the numbers where there are none
    // Fixed at the start: what the process has become, and where others look for its statistics.
    char user[32], group[32], stats_file[108];
    int lock; // of the statistics, until the relay has it
    struct stats_features features;
    struct sockets *sockets;
    struct watch watch;
    struct config *config;      // in force; NULL before the first
    struct table_image running; // its table; bytes is NULL before the first
    struct table_view view;     // of it
    unsigned landlock;          // the ABI in force, 0: none
    uint64_t due_ns;            // asker_pace()
    int verdict_ms;             // how long the relay may take for one
    size_t n_rejected;          // descriptors of tables that did not come into force
    bool over;                  // the relay is gone, no verdict came, or the start is refused
    int status;                 // to exit with then
};

// A table on its way into force: by a load, or, where nobody asked, because links have changed.
struct attempt {
    uint32_t serial;                    // of the request
    const struct handover_asker *asker; // of the load; NULL: links
    struct handover_file file;
    uint64_t began_ns;   // CLOCK_MONOTONIC
    uint64_t generation; // once it is in force
    char why[1024];      // when it is refused
};

// start.c
// Finds out whom to become, gives up every other right, and checks the file. False, with all said: the broker ends.
bool start_run(struct broker *b);
// Its first step, with the rights of the start: only tells whom to become and where the statistics lie. libconfig has
// no part in it. The bytes are the caller's to free.
bool start_read_identity(struct broker *b, struct config_bytes *bytes);
// Its last: whether what was read is valid, once the rights are gone; prints what is wrong as --check does. Frees the
// bytes.
bool start_judge(const struct broker *b, struct config_bytes *bytes);

// record.c
void record_accepted(const struct broker *b, const struct attempt *a, const struct table_view *t,
                     const struct handover_receipt *r);
void record_refused(const struct broker *b, const struct attempt *a);
// One line for each rule that is another now: the second part of the record.
void record_changes(const struct diff *d, uint64_t generation);

// offer.c
// The relay waits for each answer. If one cannot be sent the broker ends, which the relay notices.
void offer_answer(struct broker *b, const struct handover_message *m);
// Records and answers that a->why keeps a load from coming into force.
void offer_refuse(struct broker *b, const struct attempt *a);
enum outcome { ADOPTED, UNCHANGED, REFUSED };
// Compiles c and hands it over. On REFUSED, a->why tells the reason.
enum outcome offer_config(struct broker *b, struct attempt *a, const struct config *c);

// broker.c
// The login of who asked for a reload: what the kernel says as long as the process lives and /proc shows it, else what
// mcrd --reload has said of itself. UINT32_MAX: not known, or none.
uint32_t asker_login(const struct handover_asker *asker);
// Waits until one more request is due: ASKER_BURST at once, ASKER_PER_SECOND for long. More than the relay ever asks
// for; a relay that was taken over costs no more than that. *due_ns is zero before the first call.
#define ASKER_PER_SECOND 50
#define ASKER_BURST      100
void asker_pace(uint64_t *due_ns);

#endif
