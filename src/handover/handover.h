// SPDX-License-Identifier: Apache-2.0
// handover: the messages between relay and broker, fixed in size and closed in kind, over a SOCK_SEQPACKET pair.
//
//   relay                          broker
//     |  <- HELLO (lock)              |   whom to become; the lock of the statistics
//     |  LOAD | LINKS ------------->  |   reads (LOAD), checks, compiles, opens
//     |  <- REFUSED | UNCHANGED       |   nothing has changed
//     |  <- OFFER (table, statistics) |   or: the new table,
//     |  <- POOL (descriptors) ...    |   with the first table: the sockets that rings are made of,
//     |  <- SOCKETS (descriptors) ... |   the descriptors that are new in it,
//     |  <------------ COMMIT         |   all of it stands
//     |  ADOPTED | REJECTED ------->  |   records it, closes what is no longer used | what was new
//     |  <- ADOPTED | REFUSED         |   it is in the record
//     |                               |
//     |  PROBE -------------------->  |   reads and checks the file, no more
//     |  <------------ PROBED         |
//
// A request carries no path, no address and no rule: the broker re-reads the one path that it was started with. The
// relay has one request under way at a time; the broker answers each before it looks for the next.
#ifndef MCR_HANDOVER_HANDOVER_H
#define MCR_HANDOVER_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/layout.h"

enum handover_type {
    HANDOVER_HELLO = 1,
    HANDOVER_LOAD,      // take the file over; asker
    HANDOVER_LINKS,     // interfaces, addresses or routes have changed, or a ring is stuck: the same rules anew
    HANDOVER_PROBE,     // what would a load find?
    HANDOVER_PROBED,    // file, probe_state, text
    HANDOVER_REFUSED,   // text
    HANDOVER_UNCHANGED, // to LINKS: the table stays as it is
    HANDOVER_OFFER,
    HANDOVER_SOCKETS,
    HANDOVER_COMMIT,
    HANDOVER_ADOPTED,  // receipt; and back, once it is in the record
    HANDOVER_REJECTED, // text
    HANDOVER_POOL,     // with the first table only
    HANDOVER_TYPES
};

enum handover_socket_kind { HANDOVER_EGRESS, HANDOVER_HOLD };

// Descriptors of one message; SCM_MAX_FD of the kernel is 253.
#define HANDOVER_FDS_MAX 64

struct handover_hello {
    uint32_t uid, gid; // whom the relay becomes
};

struct handover_socket {
    uint64_t id;
    uint32_t kind; // enum handover_socket_kind
    uint32_t reserved;
};

// The file as the broker has read it, and what it means.
struct handover_file {
    uint8_t sha256[32]; // zero: it could not be read
    uint64_t size;      // bytes
    int64_t mtime_s;    // CLOCK_REALTIME
    uint32_t mtime_ns;
    uint32_t owner, mode;
    uint32_t loginuid;                // of the asker (loginuid in proc(5)); UINT32_MAX: not known
    uint32_t added, removed, changed; // rules
    uint32_t reserved;
};

// Who sent the signal, as signalfd tells; pid 0: nobody, the relay asks by itself.
struct handover_asker {
    uint32_t pid, uid;
    uint32_t loginuid; // what mcrd --reload says of itself; UINT32_MAX: nothing
    uint32_t reserved;
};

// What the relay says of itself and of the first turn under the new table.
struct handover_receipt {
    uint64_t received, ring_drops; // frames since the load began, and those that the kernel had no room for
    uint64_t capabilities;         // bit N: capability N
    uint32_t landlock, isolation;  // ABI; mask of enum stats_isolation
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
        char text[1024];                                  // why, NUL-terminated
    };
};

// Makes the pair: ends[0] for the relay (its own reads never block), ends[1] for the broker, which waits no longer than
// this for a relay that does not read. False with errno set.
#define HANDOVER_SEND_SECONDS 60
bool handover_pair(int ends[2]);

// Sends m with m->n_fds descriptors, which stay the caller's. False with errno set.
bool handover_send(int fd, const struct handover_message *m, const int *fds);

enum handover_result { HANDOVER_GOT, HANDOVER_SHORT, HANDOVER_EMPTY, HANDOVER_CLOSED, HANDOVER_BOGUS };

// Receives one message; on HANDOVER_GOT the descriptors in fds (room for HANDOVER_FDS_MAX) are the caller's. Only
// HELLO, OFFER, POOL and SOCKETS bring any.
// HANDOVER_SHORT: a message, but this process may not have so many descriptors; none is kept. HANDOVER_EMPTY: nothing
// there now; HANDOVER_CLOSED: the other side is gone; HANDOVER_BOGUS: not a message of this protocol (fatal for the
// caller; no descriptor is kept).
enum handover_result handover_receive(int fd, struct handover_message *m, int *fds);

// Closes the descriptors of a message that nobody wants.
void handover_close(const struct handover_message *m, const int *fds);

#endif
