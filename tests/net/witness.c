// SPDX-License-Identifier: Apache-2.0
// witness: loaded into mcrd with LD_PRELOAD.
//
// It tells on the standard error as which user mcrd gives a text to libconfig; ends it before the writev() whose number
// $DIE_AT_SEND says, or before the first one that comes $DIE_AFTER_MS behind its first; refuses it every ring if
// $REFUSE_RINGS is set; lets it begin $OLDER_BY seconds earlier by the clock that goes on in a suspend, so that it does
// what it does after so long a life; and shows it the clocks that the file named by $MCR_CLOCK says (struct clocks),
// which the test may change while mcrd runs: a wall clock that is set, and time that is left out, as if nothing had
// happened in it. The machine's clocks stay as they are.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// Nanoseconds: of the wall clock alone, and of all clocks.
struct clocks {
    int64_t set, left_out;
};

#define LOOK_MS 5 // how often one that waits looks whether time was left out

static const volatile struct clocks *clocks;
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
    void *memory = mmap(NULL, sizeof(*clocks), PROT_READ, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED)
        clocks = memory;
    close(fd);
}

static long number_of(const char *variable)
{
    const char *value = getenv(variable);

    return value ? strtol(value, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    if (!clock_of_libc)
        begin();
    int result = clock_of_libc(clock, t);
    if (result == 0 && clock == CLOCK_BOOTTIME && !has_begun) {
        t->tv_sec -= number_of("OLDER_BY");
        has_begun = true;
    }
    if (result != 0 || !clocks || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME))
        return result;
    int64_t ns = (int64_t) t->tv_sec * 1000000000 + t->tv_nsec + clocks->left_out;
    if (clock == CLOCK_REALTIME)
        ns += clocks->set;
    if (ns < 0)
        ns = 0;
    t->tv_sec = (time_t) (ns / 1000000000);
    t->tv_nsec = (long) (ns % 1000000000);
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// How long to wait before the next look.
static int slice(int64_t ends_ms)
{
    int64_t left = ends_ms - now_ms();

    return left <= 0 ? 0 : left < LOOK_MS ? (int) left : LOOK_MS;
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    int (*wait)(int, struct epoll_event *, int, int) =
        (int (*)(int, struct epoll_event *, int, int)) dlsym(RTLD_NEXT, "epoll_wait");
    int64_t ends_ms = timeout > 0 && clocks ? now_ms() + timeout : 0;
    int n, part;

    if (ends_ms == 0)
        return wait(fd, events, most, timeout);
    do {
        part = slice(ends_ms);
        n = wait(fd, events, most, part);
    } while (n == 0 && part > 0);
    return n;
}

int poll(struct pollfd *fds, nfds_t n_fds, int timeout)
{
    int (*wait)(struct pollfd *, nfds_t, int) = (int (*)(struct pollfd *, nfds_t, int)) dlsym(RTLD_NEXT, "poll");
    int64_t ends_ms = timeout > 0 && clocks ? now_ms() + timeout : 0;
    int n, part;

    if (ends_ms == 0)
        return wait(fds, n_fds, timeout);
    do {
        part = slice(ends_ms);
        n = wait(fds, n_fds, part);
    } while (n == 0 && part > 0);
    return n;
}

// Where poll() is fortified.
int __poll_chk(struct pollfd *fds, nfds_t n_fds, int timeout, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t n_fds, int timeout, size_t size)
{
    (void) size;
    return poll(fds, n_fds, timeout);
}

int config_read_string(config_t *config, const char *text)
{
    char said[64];
    int (*libconfig)(config_t *, const char *) =
        (int (*)(config_t *, const char *)) dlsym(RTLD_NEXT, "config_read_string");

    // dprintf(3) would seek, which the sandbox refuses. A pipe that nobody reads is not waited for.
    int length = snprintf(said, sizeof(said), "witness: libconfig reads as uid %u\n", (unsigned) geteuid());
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&p, 1, 0) == 1 && write(STDERR_FILENO, said, (size_t) length) < 0)
        return CONFIG_FALSE;
    return libconfig(config, text);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    static long to_come = -1;
    static int64_t ends_ms;
    ssize_t (*send)(int, const struct iovec *, int) =
        (ssize_t(*)(int, const struct iovec *, int)) dlsym(RTLD_NEXT, "writev");

    if (to_come < 0) {
        to_come = number_of("DIE_AT_SEND");
        ends_ms = number_of("DIE_AFTER_MS") > 0 ? now_ms() + number_of("DIE_AFTER_MS") : INT64_MAX;
    }
    // The sandbox refuses kill(2).
    if ((to_come > 0 && --to_come == 0) || (ends_ms < INT64_MAX && now_ms() >= ends_ms))
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
