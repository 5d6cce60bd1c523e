// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/membership.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/registry.h"

struct member_socket {
    int fd;
    uint64_t id;
    uint8_t family; // ADDR_IPV4 or ADDR_IPV6
    bool full;
    bool running; // a table in force has it
};

struct memberships {
    struct registry *joined;       // an entry's fd is the number of its socket
    struct member_socket *sockets; // fd is -1 where there is none now
    size_t n_sockets;
    uint64_t next_id;
};

// Ids of membership sockets begin here, so that they differ from those of the other sockets.
#define FIRST_ID (UINT64_C(1) << 62)

struct memberships *memberships_new(void)
{
    struct memberships *m = calloc(1, sizeof(*m));

    if (m && !(m->joined = registry_new())) {
        free(m);
        return NULL;
    }
    if (m)
        m->next_id = FIRST_ID;
    return m;
}

void memberships_free(struct memberships *m)
{
    if (!m)
        return;
    registry_free(m->joined);
    for (size_t i = 0; i < m->n_sockets; i++)
        if (m->sockets[i].fd >= 0)
            close(m->sockets[i].fd);
    free(m->sockets);
    free(m);
}

void memberships_begin(struct memberships *m)
{
    registry_begin(m->joined);
}

// A free place in the list, or -1 without memory.
static int free_place(struct memberships *m)
{
    size_t i = 0;

    while (i < m->n_sockets && m->sockets[i].fd >= 0)
        i++;
    if (i < m->n_sockets)
        return (int) i;
    struct member_socket *grown = reallocarray(m->sockets, m->n_sockets + 1, sizeof(*grown));
    if (!grown)
        return -1;
    m->sockets = grown;
    m->sockets[m->n_sockets++] = (struct member_socket){.fd = -1};
    return (int) i;
}

// Returns the socket's number, or -1.
static int open_socket(struct memberships *m, uint8_t family)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog nothing = {.len = 1, .filter = code};
    int off = 0, place = free_place(m);

    if (place < 0)
        return -1;
    int fd = socket(family == ADDR_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -1;
    // An unbound socket receives only what IP_MULTICAST_ALL would let in; the filter is a second barrier.
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &nothing, sizeof(nothing)) != 0 ||
        (family == ADDR_IPV4 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) != 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    m->sockets[place] = (struct member_socket){.fd = fd, .id = m->next_id++, .family = family};
    return place;
}

static void put_address(struct sockaddr_storage *to, const struct addr *a)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (a->family == ADDR_IPV4) {
        memcpy(&in.sin_addr, a->bytes, sizeof(in.sin_addr));
        memcpy(to, &in, sizeof(in));
    } else {
        memcpy(&in6.sin6_addr, a->bytes, sizeof(in6.sin6_addr));
        memcpy(to, &in6, sizeof(in6));
    }
}

// Joins or leaves by one socket (RFC 3678, the protocol-independent API).
static bool change(const struct memberships *m, const struct registry_key *key, size_t socket, bool joins)
{
    struct group_source_req one = {.gsr_interface = key->ifindex};
    struct group_req all = {.gr_interface = key->ifindex};
    int fd = m->sockets[socket].fd, level = key->destination.family == ADDR_IPV4 ? IPPROTO_IP : IPPROTO_IPV6;

    if (key->source.family != ADDR_NONE) {
        put_address(&one.gsr_group, &key->destination);
        put_address(&one.gsr_source, &key->source);
        return setsockopt(fd, level, joins ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &one, sizeof(one)) ==
               0;
    }
    put_address(&all.gr_group, &key->destination);
    return setsockopt(fd, level, joins ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &all, sizeof(all)) == 0;
}

// If the interface is gone a single source cannot be left, but the group can, with all its sources.
static void drop(const struct memberships *m, const struct registry_key *key, size_t socket)
{
    struct registry_key all = *key;

    if (change(m, key, socket, false) || errno != ENODEV)
        return;
    all.source = (struct addr){.family = ADDR_NONE};
    change(m, &all, socket, false);
}

// ENOBUFS: no room for another group (net.ipv4.igmp_max_memberships), or for another source of this one
// (igmp_max_msf, mld_max_msf); ENOMEM: net.core.optmem_max, all that bounds IPv6 groups; EINVAL, EADDRINUSE: this
// socket has joined the group the other way (for every sender, or for one). Another socket may succeed in each case.
static bool another_may(int error)
{
    return error == ENOBUFS || error == ENOMEM || error == EINVAL || error == EADDRINUSE;
}

// Joins by the first socket that can. The socket's number, or -1.
static int join(struct memberships *m, const struct registry_key *key)
{
    // Not by a socket that has joined the group for every sender: the kernel would turn that into a membership for this
    // sender, and leaving it would leave both.
    struct registry_key all = *key;
    all.source = (struct addr){.family = ADDR_NONE};
    const struct registry_entry *e = key->source.family != ADDR_NONE ? registry_find(m->joined, &all) : NULL;

    for (size_t i = 0; i < m->n_sockets; i++) {
        if (m->sockets[i].fd < 0 || m->sockets[i].full || m->sockets[i].family != key->destination.family ||
            (e && (size_t) e->fd == i))
            continue;
        if (change(m, key, i, true))
            return (int) i;
        if (!another_may(errno))
            return -1;
        // Another source of a group that it has joined may still fit.
        if ((errno == ENOBUFS || errno == ENOMEM) && key->source.family == ADDR_NONE)
            m->sockets[i].full = true;
    }
    int socket = open_socket(m, key->destination.family);
    return socket >= 0 && change(m, key, (size_t) socket, true) ? socket : -1;
}

bool memberships_want(struct memberships *m, uint32_t ifindex, const struct addr *group, const struct addr *source,
                      bool again)
{
    struct registry_key key = {.kind = REGISTRY_MEMBERSHIP, .ifindex = ifindex, .destination = *group};

    if (source) {
        const struct registry_entry *all = registry_find(m->joined, &key);
        if (all && all->wanted)
            return true;
        key.source = *source;
    }
    const struct registry_entry *e = registry_want(m->joined, &key);
    if (e && again) {
        // The socket still lists the membership; the new interface of this index does not have it.
        drop(m, &key, (size_t) e->fd);
        return change(m, &key, (size_t) e->fd, true);
    }
    if (e)
        return true;
    int socket = join(m, &key);
    if (socket < 0)
        return false;
    if (registry_add(m->joined, &key, socket))
        return true;
    change(m, &key, (size_t) socket, false);
    errno = ENOMEM;
    return false;
}

static void leave(void *context, struct registry_entry *e)
{
    struct memberships *m = context;

    // Fails when the interface is gone, and its memberships with it.
    drop(m, &e->key, (size_t) e->fd);
    m->sockets[e->fd].full = false;
}

// Marks which sockets hold something that is wanted now. NULL without memory; the caller frees it.
static bool *used_sockets(const struct memberships *m)
{
    bool *used = calloc(m->n_sockets + 1, sizeof(*used));

    for (size_t i = 0; used && i < registry_count(m->joined); i++)
        if (registry_at(m->joined, i)->wanted)
            used[registry_at(m->joined, i)->fd] = true;
    return used;
}

bool memberships_for_each(const struct memberships *m, memberships_each *each, void *context)
{
    bool *used = used_sockets(m), ok = used != NULL;

    for (size_t i = 0; ok && i < m->n_sockets; i++)
        if (used[i])
            ok = each(context, m->sockets[i].id, m->sockets[i].fd, !m->sockets[i].running);
    free(used);
    return ok;
}

void memberships_settle(struct memberships *m, bool committed)
{
    registry_settle(m->joined, committed, leave, m);

    // Closes each socket that holds no membership any more.
    bool *used = calloc(m->n_sockets + 1, sizeof(*used));
    for (size_t i = 0; used && i < registry_count(m->joined); i++)
        used[registry_at(m->joined, i)->fd] = true;
    for (size_t i = 0; used && i < m->n_sockets; i++) {
        if (used[i]) {
            m->sockets[i].running |= committed;
        } else if (m->sockets[i].fd >= 0) {
            close(m->sockets[i].fd);
            m->sockets[i].fd = -1;
        }
    }
    free(used);
}
