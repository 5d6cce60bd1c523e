// SPDX-License-Identifier: Apache-2.0
// witness: loaded into mcrd with LD_PRELOAD, tells on the standard error as which user mcrd gives a text to libconfig,
// ends it before the writev() whose number $DIE_AT_SEND says, and refuses it every ring if $REFUSE_RINGS is set.
#include <dlfcn.h>
#include <errno.h>
#include <libconfig.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int config_read_string(config_t *config, const char *text)
{
    char said[64];
    int (*libconfig)(config_t *, const char *) =
        (int (*)(config_t *, const char *)) dlsym(RTLD_NEXT, "config_read_string");

    // dprintf(3) would seek, which the sandbox refuses.
    int length = snprintf(said, sizeof(said), "witness: libconfig reads as uid %u\n", (unsigned) geteuid());
    if (write(STDERR_FILENO, said, (size_t) length) < 0)
        return CONFIG_FALSE;
    return libconfig(config, text);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    static long to_come = -1;
    ssize_t (*send)(int, const struct iovec *, int) =
        (ssize_t (*)(int, const struct iovec *, int)) dlsym(RTLD_NEXT, "writev");

    if (to_come < 0) {
        const char *at = getenv("DIE_AT_SEND");
        to_come = at ? strtol(at, NULL, 10) : 0;
    }
    // The sandbox refuses kill(2).
    if (to_come > 0 && --to_come == 0)
        __builtin_trap();
    return send(fd, iov, n);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    int (*set)(int, int, int, const void *, socklen_t) =
        (int (*)(int, int, int, const void *, socklen_t)) dlsym(RTLD_NEXT, "setsockopt");

    if (level == SOL_PACKET && name == PACKET_RX_RING && ((const struct tpacket_req *) value)->tp_block_nr > 0 &&
        getenv("REFUSE_RINGS")) {
        errno = ENOMEM;
        return -1;
    }
    return set(fd, level, name, value, length);
}
