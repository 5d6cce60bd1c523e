// SPDX-License-Identifier: Apache-2.0
// keep: what the service manager keeps of mcrd while it does not run (machine/store.h): rings and memberships, the
// table in force and the memory of its state. The next start takes it up, so that a restart is a reload.
#ifndef MCR_BROKER_KEEP_H
#define MCR_BROKER_KEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "broker/audit_head.h"
#include "config/file.h"
#include "machine/sockets.h"
#include "stats/layout.h"
#include "table/image.h"
#include "table/view.h"

struct keep {
    struct store store;
    int table, state, file;   // of the table in force, and the text that it was made of; or -1
    int signatures;           // of that text (trust/signatures.h); or -1
    int head;                 // of the records (audit_head.h), or -1
    struct audit_head *audit; // the same, mapped; or NULL
    // What the mcrd before has left, until the first load: -1, and bytes NULL, if there is nothing.
    int table_before, state_before, file_before;
    struct table_image image_before;
    struct table_view before;         // of image_before
    struct config_bytes bytes_before; // the file that this table was made of
    char *signatures_before;          // of that file, or NULL; the next start judges them anew
    size_t signatures_size;           // bytes
    bool in_order;                    // it was stopped in order, or nothing tells
    uint8_t returned[32];             // digest of the file that it had on trial, or had gone back from; zero: none
    uint64_t trial_generation;        // of a trial in which it ended, or 0
    size_t over;                      // as was logged last
};

void keep_init(struct keep *k);
void keep_free(struct keep *k);

// Takes over n descriptors from number `first` up, each verified as if it were hostile; the others are closed. names:
// as in $LISTEN_FDNAMES. manager: socket of service_connect() or -1, which k closes. fresh: all are closed. Returns how
// many rings were taken over. To be called before the system call filter is loaded, which does not allow these checks.
size_t keep_inherit(struct keep *k, struct sockets *sockets, int manager, int first, size_t n, const char *names,
                    bool fresh);

// Returns the table of the mcrd before, or NULL.
const struct table_view *keep_before(const struct keep *k);

// Copies the file that the mcrd before ran into *out, which the caller frees by file_free(). Returns false if it was
// not kept, or is not the one of that table.
bool keep_file_before(const struct keep *k, struct config_bytes *out);

// Writes the digest of the file that runs, of which `running` is the table, or of the one that the mcrd before ran;
// zeros if neither is known.
void keep_digest(const struct keep *k, const struct table_view *running, uint8_t sha256[32]);

// Returns whether the start is to go on with that file, whatever lies on the disk: the mcrd before has crashed, or was
// told so (SIGUSR2).
bool keep_goes_on(const struct keep *k);

// Returns whether the mcrd before had the file of this digest on trial, or had gone back from it.
bool keep_went_back_from(const struct keep *k, const uint8_t sha256[32]);

// Returns the head of the records, which goes on over restarts; NULL without a manager or memory.
struct audit_head *keep_audit(struct keep *k);

// Makes the memory for the state of a table. Returns a descriptor that the caller closes, or -1 with errno set.
int keep_new_state(void);

// Puts these descriptors, which k closes, in place of those of the table before. What the mcrd before has left is
// dropped.
void keep_table(struct keep *k, int table, int state);

// Tells the manager of these at once, whatever else is to come: in the place of those before.
void keep_at_once(struct keep *k);

// Keeps the text and facts of the file in force, and `size` bytes of its signatures. Without memory the next start
// reads the file on the disk.
void keep_file(struct keep *k, const struct config_bytes *bytes, const char *signatures, size_t size);

// Says after each load what is to be kept: of rings, those of the table in force, t. Then, and whenever it has returned
// false, keep_tell(): the manager had no room for all news.
void keep_settle(struct keep *k, const struct sockets *sockets, const struct table_view *t);
bool keep_tell(struct keep *k);

// Tells the rest when the broker ends, for a second at most, and logs what stays untold.
void keep_end(struct keep *k);

// Returns for how many descriptors of a load that is under way the manager has no room. is_signed: its file has
// signatures.
uint32_t keep_over(const struct keep *k, const struct sockets *sockets, bool is_signed);

#endif
