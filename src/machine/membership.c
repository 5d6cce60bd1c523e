// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/membership.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "machine/option.h"

void memberships_init(struct memberships *m)
{
    *m = (struct memberships){.sockets = {.last_id = UINT64_C(1) << 62}};
}

void memberships_free(struct memberships *m)
{
    for (size_t i = 0; i < m->sockets.n; i++)
        close(m->sockets.entries[i]->fd);
    registry_free(&m->sockets);
    registry_free(&m->joined);
}

void memberships_begin(struct memberships *m)
{
    registry_begin(&m->joined);
    registry_begin(&m->sockets);
}

// Opens and adds a socket for memberships. Returns NULL with errno set.
static struct registry_entry *open_socket(struct memberships *m, uint8_t family)
{
    // The number in ifindex makes the key unique.
    struct registry_key key = {
        .kind = REGISTRY_MEMBER_SOCKET, .ifindex = (uint32_t) m->sockets.last_id, .destination.family = family};
    int fd = socket(family == ADDR_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    struct registry_entry *e = NULL;

    // The socket receives nothing: it is unbound, IP_MULTICAST_ALL is off, and the filter refuses everything.
    if (fd >= 0 && option_refuse_everything(fd) &&
        (family != ADDR_IPV4 || option_set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0)))
        e = registry_add(&m->sockets, &key, fd);
    if (!e)
        descriptors_close(fd);
    return e;
}

// Joins or leaves a group by one socket (protocol-independent API of RFC 3678).
static bool change(int fd, const struct registry_key *key, bool joins)
{
    struct group_source_req one = {.gsr_interface = key->ifindex};
    struct group_req all = {.gr_interface = key->ifindex};
    int level = key->destination.family == ADDR_IPV4 ? IPPROTO_IP : IPPROTO_IPV6;

    if (key->source.family != ADDR_NONE) {
        option_address(&one.gsr_group, &key->destination, 0, 0);
        option_address(&one.gsr_source, &key->source, 0, 0);
        return setsockopt(fd, level, joins ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &one, sizeof(one)) ==
               0;
    }
    option_address(&all.gr_group, &key->destination, 0, 0);
    return setsockopt(fd, level, joins ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &all, sizeof(all)) == 0;
}

// Leaves a group. If the interface is gone, a single source cannot be left, but the group with all its sources can.
static void drop(int fd, const struct registry_key *key)
{
    struct registry_key all = *key;

    all.source = (struct addr){.family = ADDR_NONE};
    if (!change(fd, key, false) && errno == ENODEV)
        change(fd, &all, false);
}

// Returns whether another socket may succeed. ENOBUFS: no room for another group (net.ipv4.igmp_max_memberships), or
// for another source of this group (igmp_max_msf, mld_max_msf). ENOMEM: net.core.optmem_max, the only limit of IPv6
// groups. EINVAL, EADDRINUSE: this socket has joined the group the other way (for every sender, or for one).
static bool another_may(int error)
{
    return error == ENOBUFS || error == ENOMEM || error == EINVAL || error == EADDRINUSE;
}

// Joins by the first socket that can, or by a new one. Returns the socket, or NULL with errno set.
static struct registry_entry *join(struct memberships *m, const struct registry_key *key)
{
    // Skip the socket that has joined the group for every sender: the kernel would change that into a membership for
    // this sender alone, and leaving it would leave both.
    struct registry_key all = *key;
    all.source = (struct addr){.family = ADDR_NONE};
    const struct registry_entry *e = key->source.family != ADDR_NONE ? registry_find(&m->joined, &all) : NULL;

    for (size_t i = 0; i < m->sockets.n; i++) {
        struct registry_entry *s = m->sockets.entries[i];
        if (s->full || s->key.destination.family != key->destination.family || (e && e->socket == s))
            continue;
        if (change(s->fd, key, true))
            return s;
        if (!another_may(errno))
            return NULL;
        // A socket without room for a source is not full: other groups may still fit.
        s->full = (errno == ENOBUFS || errno == ENOMEM) && key->source.family == ADDR_NONE;
    }
    struct registry_entry *s = open_socket(m, key->destination.family);
    return s && change(s->fd, key, true) ? s : NULL;
}

bool memberships_want(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                      bool again)
{
    struct registry_key key = {.kind = REGISTRY_MEMBERSHIP, .ifindex = ifindex, .destination = *group};

    if (source) {
        const struct registry_entry *all = registry_find(&m->joined, &key);
        if (all && all->wanted)
            return true;
        key.source = *source;
    }
    struct registry_entry *e = registry_want(&m->joined, &key);
    if (e) {
        e->socket->wanted = true;
        if (!again)
            return true;
        // The socket still has the membership, but the new interface with this index does not.
        drop(e->fd, &key);
        return change(e->fd, &key, true);
    }
    struct registry_entry *socket = join(m, &key);
    if (!socket)
        return false;
    if ((e = registry_add(&m->joined, &key, socket->fd))) {
        e->socket = socket;
        socket->wanted = true;
        return true;
    }
    change(socket->fd, &key, false);
    errno = ENOMEM;
    return false;
}

static void leave(void *context, struct registry_entry *e)
{
    (void) context;
    // An error means that the interface is gone, and its memberships with it.
    drop(e->fd, &e->key);
    e->socket->full = false;
}

static void close_socket(void *context, struct registry_entry *e)
{
    (void) context;
    close(e->fd);
}

void memberships_settle(struct memberships *m, bool committed)
{
    registry_settle(&m->joined, committed, leave, NULL);
    registry_settle(&m->sockets, committed, close_socket, NULL);
}

void memberships_narrow(struct memberships *m)
{
    registry_narrow(&m->joined, leave, NULL);
    registry_narrow(&m->sockets, close_socket, NULL);
}
