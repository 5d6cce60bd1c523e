// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/option.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <string.h>

bool option_step(const char **step, const char *name, bool ok)
{
    *step = name;
    return ok;
}

bool option_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

bool option_refuse_everything(int fd)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

socklen_t option_address(struct sockaddr_storage *to, const struct addr *a, uint16_t port, uint32_t ifindex)
{
    // The kernel uses the scope of link-local addresses only.
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = ifindex};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    if (a->family == ADDR_IPV4) {
        memcpy(&in.sin_addr, a->bytes, sizeof(in.sin_addr));
        memcpy(to, &in, sizeof(in));
        return sizeof(in);
    }
    memcpy(&in6.sin6_addr, a->bytes, sizeof(in6.sin6_addr));
    memcpy(to, &in6, sizeof(in6));
    return sizeof(in6);
}
