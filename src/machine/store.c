// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "log/log.h"

void store_free(struct store *s)
{
    free(s->entries);
    s->entries = NULL;
    s->n = s->room = 0;
}

// Returns 0 for a descriptor that is closed.
static uint64_t inode_of(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static struct store_entry *add(struct store *s, const char *name, int fd, bool first)
{
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        struct store_entry *grown = reallocarray(s->entries, room, sizeof(*grown));
        if (!grown)
            return NULL;
        s->entries = grown;
        s->room = room;
    }
    struct store_entry *e = &s->entries[s->n++];
    *e = (struct store_entry){.fd = fd, .inode = inode_of(fd), .state = STORE_COMES, .first = first, .kept = true};
    snprintf(e->name, sizeof(e->name), "%s", name);
    return e;
}

void store_note(struct store *s, const char *name, int fd, bool first)
{
    struct store_entry *e = *name ? add(s, name, fd, first) : NULL;

    if (e)
        e->state = STORE_IN;
}

void store_begin(struct store *s, bool anew)
{
    for (size_t i = 0; i < s->n; i++)
        s->entries[i].kept = !anew && s->entries[i].state != STORE_GOES;
}

void store_keep(struct store *s, const char *name, int fd, bool first)
{
    uint64_t inode = inode_of(fd);

    if (s->manager < 0)
        return;
    for (size_t i = 0; i < s->n; i++) {
        struct store_entry *e = &s->entries[i];
        if (e->state == STORE_GOES || strcmp(e->name, name) != 0)
            continue;
        e->kept = e->fd == fd && e->inode == inode;
        if (e->kept)
            return;
    }
    add(s, name, fd, first);
}

void store_settle(struct store *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        struct store_entry e = s->entries[i];
        // The manager never heard of one that was still to come. One that goes has gone from here already.
        if (!e.kept && e.state == STORE_COMES)
            continue;
        if (!e.kept) {
            e.state = STORE_GOES;
            e.fd = -1;
        }
        s->entries[n++] = e;
    }
    s->n = n;
}

// Returns false with errno set.
static bool tell(int manager, const struct store_entry *e)
{
    char text[STORE_NAME_MAX + 64];
    // FDPOLL=0: the manager does not take a descriptor out by itself when its socket reports an error, as that of a
    // ring does while a link is down.
    int length =
        snprintf(text, sizeof(text),
                 e->state == STORE_COMES ? "FDSTORE=1\nFDPOLL=0\nFDNAME=%s" : "FDSTOREREMOVE=1\nFDNAME=%s", e->name);
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec part = {.iov_base = text, .iov_len = (size_t) length};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

    if (e->state == STORE_COMES) {
        memcpy(CMSG_DATA(&control.header), &e->fd, sizeof(e->fd));
        m.msg_control = &control;
        m.msg_controllen = sizeof(control.room);
    }
    return sendmsg(manager, &m, MSG_NOSIGNAL) >= 0;
}

// The manager has taken out all of a name: what else has it, as a hostile store may have, comes again. Returns whether
// something does.
static bool comes_again(struct store *s, const char *name, size_t but)
{
    bool some = false;

    for (size_t i = 0; i < s->n; i++)
        if (i != but && s->entries[i].state == STORE_IN && strcmp(s->entries[i].name, name) == 0) {
            s->entries[i].state = STORE_COMES;
            some = true;
        }
    return some;
}

// Returns whether a later try may succeed: the manager, or the kernel, has no room at the moment.
static bool is_passing(int error)
{
    return error == EAGAIN || error == EINTR || error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS;
}

// Tells the news of those that are `first`, or of the others. Returns false if the manager has no room for more.
static bool send_some(struct store *s, bool first)
{
    size_t n = 0, stored = 0;
    bool room = true, again = false;

    for (size_t i = 0; i < s->n; i++)
        stored += s->entries[i].state != STORE_COMES;
    for (size_t i = 0; i < s->n; i++) {
        struct store_entry e = s->entries[i];
        bool fits = e.state != STORE_COMES || s->most == 0 || stored < s->most;
        if (room && fits && e.first == first && e.state != STORE_IN) {
            bool told = tell(s->manager, &e);
            room = told || !is_passing(errno);
            if (!told && room)
                log_errno(LOG_LEVEL_WARNING, EVENT_NOTIFY, "descriptor=%s effect=\"a restart opens it anew\"", e.name);
            if (room && e.state == STORE_GOES) {
                again |= comes_again(s, e.name, i);
                stored--;
                continue;
            }
            if (room) {
                e.state = STORE_IN;
                stored++;
            }
        }
        s->entries[n++] = e;
    }
    s->n = n;
    return room && !again;
}

bool store_send(struct store *s)
{
    return s->manager < 0 || (send_some(s, true) && send_some(s, false));
}

size_t store_over(const struct store *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        n += s->entries[i].state == STORE_COMES;
    return s->most > 0 ? n : 0;
}
