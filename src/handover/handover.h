// SPDX-License-Identifier: Apache-2.0
// handover: the messages between relay and broker, fixed in size and closed in kind, over a SOCK_SEQPACKET pair.
//
//   relay                          broker
//     |  <------------- HELLO         |   whom to become
//     |  LOAD --------------------->  |   reads, checks, compiles, opens
//     |  <----------- REFUSED         |   nothing has changed
//     |  <- OFFER (table, statistics) |   or: the new table,
//     |  <- SOCKETS (descriptors) ... |   the descriptors that are new in it,
//     |  <------------ COMMIT         |   all of it stands
//     |  ADOPTED | REJECTED ------->  |   closes what is no longer used | what was new
//
// A request carries no path, no address and no rule: the broker re-reads the one path that it was started with.
#ifndef MCR_HANDOVER_HANDOVER_H
#define MCR_HANDOVER_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum handover_type {
    HANDOVER_HELLO = 1,
    HANDOVER_LOAD,
    HANDOVER_REFUSED,
    HANDOVER_OFFER,
    HANDOVER_SOCKETS,
    HANDOVER_COMMIT,
    HANDOVER_ADOPTED,
    HANDOVER_REJECTED,
    HANDOVER_TYPES
};

enum handover_socket_kind { HANDOVER_RING, HANDOVER_EGRESS, HANDOVER_HOLD };

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

struct handover_message {
    uint32_t type;   // enum handover_type
    uint32_t serial; // of the LOAD that this belongs to
    uint32_t n_fds;
    uint32_t reserved;
    union {
        struct handover_hello hello;
        struct handover_socket sockets[HANDOVER_FDS_MAX]; // SOCKETS: one for each descriptor
        char text[1024];                                  // REFUSED, REJECTED: why, NUL-terminated
    };
};

// Makes the pair: ends[0] for the relay (its own reads never block), ends[1] for the broker. False with errno set.
bool handover_pair(int ends[2]);

// Sends m with m->n_fds descriptors, which stay the caller's. False with errno set.
bool handover_send(int fd, const struct handover_message *m, const int *fds);

enum handover_result { HANDOVER_GOT, HANDOVER_EMPTY, HANDOVER_CLOSED, HANDOVER_BOGUS };

// Receives one message; on HANDOVER_GOT the descriptors in fds (room for HANDOVER_FDS_MAX) are the caller's.
// HANDOVER_EMPTY: nothing there now; HANDOVER_CLOSED: the other side is gone; HANDOVER_BOGUS: not a message of this
// protocol (fatal for the caller; no descriptor is kept).
enum handover_result handover_receive(int fd, struct handover_message *m, int *fds);

#endif
