// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/membership.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/registry.h"

struct member_socket {
    int fd;
    uint8_t family; // ADDR_IPV4 or ADDR_IPV6
    bool full;
};

struct memberships {
    struct registry *joined; // an entry's fd is the number of its socket
    struct member_socket *sockets;
    size_t n_sockets, n_before; // n_before: when this load began
};

struct memberships *memberships_new(void)
{
    struct memberships *m = calloc(1, sizeof(*m));

    if (m && !(m->joined = registry_new())) {
        free(m);
        return NULL;
    }
    return m;
}

void memberships_free(struct memberships *m)
{
    if (!m)
        return;
    registry_free(m->joined);
    for (size_t i = 0; i < m->n_sockets; i++)
        close(m->sockets[i].fd);
    free(m->sockets);
    free(m);
}

void memberships_begin(struct memberships *m)
{
    m->n_before = m->n_sockets;
    registry_begin(m->joined);
}

static bool open_socket(struct memberships *m, uint8_t family)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog nothing = {.len = 1, .filter = code};
    int off = 0;
    struct member_socket *grown = reallocarray(m->sockets, m->n_sockets + 1, sizeof(*grown));

    if (!grown)
        return false;
    m->sockets = grown;
    int fd = socket(family == ADDR_IPV4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return false;
    // Not bound, it receives nothing but what IP_MULTICAST_ALL would let in; the filter is a second lock.
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &nothing, sizeof(nothing)) != 0 ||
        (family == ADDR_IPV4 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) != 0)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return false;
    }
    m->sockets[m->n_sockets++] = (struct member_socket){.fd = fd, .family = family};
    return true;
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
        return setsockopt(fd, level, joins ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &one, sizeof(one)) == 0;
    }
    put_address(&all.gr_group, &key->destination);
    return setsockopt(fd, level, joins ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &all, sizeof(all)) == 0;
}

// Without its interface a source cannot be left, but the group can, with all its sources: none counts any more.
static void drop(const struct memberships *m, const struct registry_key *key, size_t socket)
{
    struct registry_key all = *key;

    if (change(m, key, socket, false) || errno != ENODEV)
        return;
    all.source = (struct addr){.family = ADDR_NONE};
    change(m, &all, socket, false);
}

// ENOBUFS: no room for another group (net.ipv4.igmp_max_memberships), or for another source of this one
// (igmp_max_msf, mld_max_msf); ENOMEM: net.core.optmem_max, all that bounds IPv6 groups; EINVAL, EADDRINUSE: this socket
// has joined the group the other way (for every sender, or for one). Another socket may do in each case.
static bool another_may(int error)
{
    return error == ENOBUFS || error == ENOMEM || error == EINVAL || error == EADDRINUSE;
}

// Joins by the first socket that can. The socket's number, or -1.
static int join(struct memberships *m, const struct registry_key *key)
{
    for (size_t i = 0; i < m->n_sockets; i++) {
        if (m->sockets[i].full || m->sockets[i].family != key->destination.family)
            continue;
        if (change(m, key, i, true))
            return (int) i;
        if (!another_may(errno))
            return -1;
        // Another source of a group that it has joined may still fit.
        if ((errno == ENOBUFS || errno == ENOMEM) && key->source.family == ADDR_NONE)
            m->sockets[i].full = true;
    }
    if (!open_socket(m, key->destination.family) || !change(m, key, m->n_sockets - 1, true))
        return -1;
    return (int) m->n_sockets - 1;
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
        // The socket still lists it, the interface of this index does not.
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

void memberships_settle(struct memberships *m, bool committed)
{
    registry_settle(m->joined, committed, leave, m);
    // What the failed load has opened holds nothing now.
    while (!committed && m->n_sockets > m->n_before)
        close(m->sockets[--m->n_sockets].fd);
}

size_t memberships_sockets(const struct memberships *m)
{
    return m->n_sockets;
}

int memberships_fd(const struct memberships *m, size_t i)
{
    return m->sockets[i].fd;
}
