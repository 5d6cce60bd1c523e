// SPDX-License-Identifier: Apache-2.0
// handover: the messages between relay and broker, of fixed size and a closed set of types, over a SOCK_SEQPACKET pair.
//
//   relay                          broker
//     |  <- HELLO (lock)              |   the user to become; the lock of the statistics
//     |  LOAD | LINKS ------------->  |   reads (LOAD), checks, compiles, opens
//     |  <- REFUSED | UNCHANGED       |   nothing has changed
//     |  <- OFFER (table, statistics) |   or: the new table,
//     |  <- POOL (descriptors) ...    |   with the first table: the sockets on which rings are made,
//     |  <- SOCKETS (descriptors) ... |   the new descriptors of the table,
//     |  <------------ COMMIT         |   the offer is complete
//     |  SWAPPED ------------------>  |   under a manager: it is in force, and no pass was made; the manager gets it,
//     |  <-------------- KEPT         |   so that a kill in the next pass finds it
//     |  ADOPTED | REJECTED ------->  |   records it; closes unused sockets (ADOPTED) or new ones (REJECTED)
//     |  <- ADOPTED | REFUSED         |   it is in the record
//     |                               |
//     |  PROBE -------------------->  |   only reads and checks the file
//     |  <------------ PROBED         |
//     |                               |
//     |  CONFIRM ------------------>  |   ends a trial: offers the same rules for good, or REFUSED
//     |  RETURNED ----------------->  |   the relay has gone back; the broker follows, as to LINKS
//
// A request has no path, no address and no rule: the broker always reads the path with which it was started. The relay
// has one request under way at a time, and the broker answers it before it receives the next.
#ifndef MCR_HANDOVER_HANDOVER_H
#define MCR_HANDOVER_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/layout.h"

enum handover_type {
    HANDOVER_HELLO = 1,
    HANDOVER_LOAD,    // load the file; asker
    HANDOVER_LINKS,   // compile the same rules again: links, addresses or routes have changed, or a ring is stuck; ring
    HANDOVER_PROBE,   // read and check the file
    HANDOVER_PROBED,  // file, probe_state, text: why it is invalid, or that it waits for signatures
    HANDOVER_REFUSED, // text
    HANDOVER_UNCHANGED, // to LINKS: the table stays as it is
    HANDOVER_OFFER,
    HANDOVER_SOCKETS,
    HANDOVER_COMMIT,
    HANDOVER_ADOPTED,  // by the relay: receipt; by the broker: it is in the record
    HANDOVER_REJECTED, // text
    HANDOVER_POOL,     // with the first table only
    HANDOVER_CONFIRM,  // asker
    HANDOVER_RETURNED, // text: why
    HANDOVER_SWAPPED,  // the verdict follows, and is ADOPTED
    HANDOVER_KEPT,
    HANDOVER_TYPES
};

enum handover_socket_kind { HANDOVER_EGRESS, HANDOVER_HOLD };

// The descriptors of an OFFER.
enum handover_offer {
    HANDOVER_TABLE, // sealed (table/image.h)
    HANDOVER_STATS, // a file (stats/layout.h)
    HANDOVER_STATE, // HANDOVER_STATE_BYTES, empty, sealed against shrinking: the memory of relay/forward.h
    HANDOVER_PLAIN, // number of descriptors of most offers
    // With the first table, if the service manager has kept them: of the mcrd before.
    HANDOVER_TABLE_BEFORE = HANDOVER_PLAIN,
    HANDOVER_STATE_BEFORE,
    HANDOVER_CONTINUED, // their number
    // With a table on trial: the same three of the table to go back to.
    HANDOVER_BACK = HANDOVER_PLAIN,
    HANDOVER_TRIAL = 2 * HANDOVER_PLAIN, // their number
    HANDOVER_OFFER_FDS = HANDOVER_TRIAL
};
#define HANDOVER_STATE_BYTES (UINT64_C(1) << 36)

// Begins the state. The relay writes it; the next broker and relay read it.
struct handover_state {
    uint64_t magic;             // HANDOVER_STATE_MAGIC
    uint64_t layout;            // of the structs in it, by their sizes: another program may have others
    uint64_t size;              // bytes in use
    volatile uint32_t in_pass;  // frames have been judged that were not sent yet, and are still in the ring
    volatile uint32_t in_order; // the relay was stopped in order, so that the next start reads the file
    uint8_t returned[32];       // sha256 of the file that was on trial last and was not confirmed; zero: none
    char why_returned[128];     // why not
};
#define HANDOVER_STATE_MAGIC UINT64_C(0x314554415453434d)                           // "MCSTATE1" as little-endian bytes
#define HANDOVER_LEFT_TRIAL  "mcrd was started anew, and a start is never on trial" // why_returned by a start

// When a file that waits for signatures (HANDOVER_PROBED) is to be looked at again: the broker waits no longer.
#define HANDOVER_WAITS_NS UINT64_C(10000000000)

// Largest number of descriptors in one message; the kernel's limit is SCM_MAX_FD (253).
#define HANDOVER_FDS_MAX 64

struct handover_hello {
    uint32_t uid, gid; // user and group that the relay becomes
};

struct handover_socket {
    uint64_t id;
    uint32_t kind; // enum handover_socket_kind
    uint32_t reserved;
};

// The file as the broker has read it, and the changes that it makes.
struct handover_file {
    uint8_t sha256[32]; // zero: the file could not be read
    uint64_t size;      // bytes
    int64_t mtime_s;    // CLOCK_REALTIME
    uint32_t mtime_ns;
    uint32_t owner, mode;
    uint32_t loginuid;                // of the asker (loginuid in proc(5)); UINT32_MAX: unknown
    uint32_t added, removed, changed; // numbers of rules
    uint32_t reserved;
};

// Who sent SIGHUP, from signalfd(2). pid 0: nobody; the relay asks because the file has changed.
struct handover_asker {
    uint32_t pid, uid;
    uint32_t loginuid; // as mcrd --reload gives it; UINT32_MAX: not given
    uint32_t reserved;
};

// What the relay reports about itself and its first turn under the new table.
struct handover_receipt {
    uint64_t received, ring_drops; // frames received, and frames dropped by the kernel, while tables changed
    uint64_t capabilities;         // bit N: capability N
    uint32_t landlock, isolation;  // version of the ABI; mask of enum stats_isolation
};

struct handover_message {
    uint32_t type;   // enum handover_type
    uint32_t serial; // of the request that this belongs to
    uint32_t n_fds;
    uint32_t probe_state; // enum stats_config_state
    struct handover_file file;
    union {
        struct handover_hello hello;
        struct handover_asker asker;
        struct handover_receipt receipt;
        uint64_t ring;                                    // LINKS: id of a ring to be replaced, or 0
        struct handover_socket sockets[HANDOVER_FDS_MAX]; // SOCKETS: one for each descriptor
        char text[1024];                                  // the reason, NUL-terminated
    };
};

// Makes the socket pair: ends[0] is the relay's, whose reads never block; ends[1] the broker's, whose sends block for
// at most HANDOVER_SEND_SECONDS if the relay does not read. Returns false with errno set.
#define HANDOVER_SEND_SECONDS 60
bool handover_pair(int ends[2]);

// Sends m with m->n_fds descriptors, which the caller keeps. Returns false with errno set.
bool handover_send(int fd, const struct handover_message *m, const int *fds);

enum handover_result { HANDOVER_GOT, HANDOVER_SHORT, HANDOVER_EMPTY, HANDOVER_CLOSED, HANDOVER_BOGUS };

// Receives one message. fds has room for HANDOVER_FDS_MAX. HANDOVER_GOT: m->n_fds descriptors in fds belong to the
// caller; only HELLO, OFFER, POOL and SOCKETS have any. HANDOVER_SHORT: a message, but the process may not open so many
// descriptors; none is kept. HANDOVER_EMPTY: no message now. HANDOVER_CLOSED: the other side is gone. HANDOVER_BOGUS:
// no message of this protocol; no descriptor is kept, and the caller must give the other side up.
enum handover_result handover_receive(int fd, struct handover_message *m, int *fds);

// Closes the descriptors of a message.
void handover_close(const struct handover_message *m, const int *fds);

#endif
