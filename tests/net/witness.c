// SPDX-License-Identifier: Apache-2.0
// witness: loaded into mcrd with LD_PRELOAD.
//
// It tells on the standard error as which user mcrd gives a text to libconfig; ends it before the writev() whose number
// $DIE_AT_SEND says; refuses it every ring if $REFUSE_RINGS is set; lets it begin $OLDER_BY seconds earlier by the
// clock that goes on in a suspend, so that it does what it does after so long a life; and shows it a wall clock that is
// so many nanoseconds ahead as the file named by $MCR_CLOCK says (an int64_t), which the test may change while mcrd
// runs. The machine's clock stays as it is.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <linux/if_packet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_ns;
static int (*clock_of_libc)(clockid_t, struct timespec *);
static bool has_begun; // that clock was asked for

// Before the sandbox is there, which would refuse the file.
static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("MCR_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    clock_of_libc = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(*ahead_ns), PROT_READ, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED)
        ahead_ns = memory;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    if (!clock_of_libc)
        begin();
    int result = clock_of_libc(clock, t);
    if (result == 0 && clock == CLOCK_BOOTTIME && !has_begun) {
        t->tv_sec -= getenv("OLDER_BY") ? strtol(getenv("OLDER_BY"), NULL, 10) : 0;
        has_begun = true;
    }
    if (result != 0 || clock != CLOCK_REALTIME || !ahead_ns)
        return result;
    int64_t ns = (int64_t) t->tv_sec * 1000000000 + t->tv_nsec + *ahead_ns;
    if (ns < 0)
        ns = 0;
    t->tv_sec = (time_t) (ns / 1000000000);
    t->tv_nsec = (long) (ns % 1000000000);
    return 0;
}

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
        (ssize_t(*)(int, const struct iovec *, int)) dlsym(RTLD_NEXT, "writev");

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
