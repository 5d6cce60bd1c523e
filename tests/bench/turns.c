// SPDX-License-Identifier: Apache-2.0
// turns: loaded into mcrd with LD_PRELOAD. It measures each turn of the relay's loop, from the return of epoll_wait()
// to the next sleep, and notes those that take longer than $TURNS_US (50), with the system calls and functions in them,
// in the file $TURNS, which it maps before the sandbox is there. mcrd itself knows nothing of it. Functions are seen in
// a build with -finstrument-functions (make turns); in any other one, system calls alone. turns.py reads the file.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#define TURNS   4096
#define SPANS   24
#define SPAN_NS 5000 // shorter ones are not kept
#define DEPTH   64

// What took long in a turn. what: an address of a function, or the number of a system call (CALLS).
struct span {
    uint64_t what;
    uint32_t depth, ns, at_ns;
};

struct turn {
    uint64_t began_ns;    // CLOCK_REALTIME
    uint32_t ns, used_ns; // by the clock, and of the processor
    uint32_t events, n_spans;
    struct span spans[SPANS];
};

// The file's layout; turns.py knows it.
struct file {
    uint64_t entry; // where the program's entry lies
    uint64_t n_turns, n_long, turns_ns, longest_ns;
    struct turn turns[TURNS];
};

static struct file *to;
static uint64_t long_ns = 50000;
static bool in_turn;
static struct turn now;
static uint64_t began_ns, began_used_ns;
static uint32_t depth;
static uint64_t entered_ns[DEPTH];

#define HIDDEN __attribute__((no_instrument_function))

HIDDEN static uint64_t clock_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

HIDDEN static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("TURNS"), *us = getenv("TURNS_US");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (us)
        long_ns = strtoull(us, NULL, 10) * 1000;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(*to), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return;
    to = memory;
}

// --- spans -----------------------------------------------------------------------------------------------------------

// Keeps the longest.
HIDDEN static struct span *room(uint32_t ns)
{
    struct span *least = now.spans;

    if (now.n_spans < SPANS)
        return &now.spans[now.n_spans++];
    for (uint32_t i = 1; i < SPANS; i++)
        if (now.spans[i].ns < least->ns)
            least = &now.spans[i];
    return least->ns < ns ? least : NULL;
}

HIDDEN static void note(uint64_t what, uint64_t from_ns, uint64_t ns)
{
    struct span *s = ns >= SPAN_NS ? room((uint32_t) ns) : NULL;

    if (s)
        *s = (struct span){what, depth, (uint32_t) ns, (uint32_t) (from_ns - began_ns)};
}

void __cyg_profile_func_enter(void *function, void *site);
void __cyg_profile_func_exit(void *function, void *site);

HIDDEN void __cyg_profile_func_enter(void *function, void *site)
{
    (void) function;
    (void) site;
    if (!in_turn)
        return;
    // A turn begins and ends at the same depth: within libev.
    if (depth < DEPTH)
        entered_ns[depth] = clock_of(CLOCK_MONOTONIC);
    depth++;
}

HIDDEN void __cyg_profile_func_exit(void *function, void *site)
{
    (void) site;
    if (!in_turn || depth == 0)
        return;
    if (--depth < DEPTH)
        note((uint64_t) (uintptr_t) function, entered_ns[depth], clock_of(CLOCK_MONOTONIC) - entered_ns[depth]);
}

// --- turns -----------------------------------------------------------------------------------------------------------

HIDDEN static void end_turn(void)
{
    uint64_t ns = in_turn ? clock_of(CLOCK_MONOTONIC) - began_ns : 0;

    if (!in_turn || !to)
        return;
    in_turn = false;
    to->entry = getauxval(AT_ENTRY); // the relay's: the broker lies elsewhere
    to->n_turns++;
    to->turns_ns += ns;
    if (ns > to->longest_ns)
        to->longest_ns = ns;
    if (ns < long_ns)
        return;
    now.ns = (uint32_t) ns;
    now.used_ns = (uint32_t) (clock_of(CLOCK_THREAD_CPUTIME_ID) - began_used_ns);
    to->turns[to->n_long++ % TURNS] = now;
}

HIDDEN int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    static int (*wait)(int, struct epoll_event *, int, int);

    if (!wait)
        wait = (int (*)(int, struct epoll_event *, int, int)) dlsym(RTLD_NEXT, "epoll_wait");
    end_turn();
    int n = wait(fd, events, most, timeout);
    now.events = n > 0 ? (uint32_t) n : 0;
    now.n_spans = 0;
    now.began_ns = clock_of(CLOCK_REALTIME);
    began_used_ns = clock_of(CLOCK_THREAD_CPUTIME_ID);
    began_ns = clock_of(CLOCK_MONOTONIC);
    depth = 0;
    in_turn = true;
    return n;
}

// How libev lets datagrams gather.
HIDDEN int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    static int (*wait)(const struct timespec *, struct timespec *);

    if (!wait)
        wait = (int (*)(const struct timespec *, struct timespec *)) dlsym(RTLD_NEXT, "nanosleep");
    end_turn();
    return wait(wanted, left);
}

// --- system calls ----------------------------------------------------------------------------------------------------

// Of each: its result, its name, its parameters and their names. turns.py has the names in this order.
#define CALLS(X)                                                                                                       \
    X(ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))                                         \
    X(ssize_t, write, (int fd, const void *bytes, size_t n), (fd, bytes, n))                                           \
    X(ssize_t, read, (int fd, void *bytes, size_t n), (fd, bytes, n))                                                  \
    X(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))                                   \
    X(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))                                         \
    X(int, getsockopt, (int fd, int level, int name, void *restrict value, socklen_t *restrict n),                     \
      (fd, level, name, value, n))                                                                                     \
    X(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t n), (fd, level, name, value, n))     \
    X(void *, mmap, (void *at, size_t n, int protection, int flags, int fd, off_t offset),                             \
      (at, n, protection, flags, fd, offset))                                                                          \
    X(int, munmap, (void *at, size_t n), (at, n))                                                                      \
    X(int, close, (int fd), (fd))                                                                                      \
    X(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout))

enum {
#define NUMBER(type, name, parameters, arguments) CALL_##name,
    CALLS(NUMBER)
};

#define WRAP(type, name, parameters, arguments)                                                                        \
    HIDDEN type name parameters                                                                                        \
    {                                                                                                                  \
        static type(*real) parameters;                                                                                 \
        uint64_t from_ns = in_turn ? clock_of(CLOCK_MONOTONIC) : 0;                                                    \
                                                                                                                       \
        if (!real)                                                                                                     \
            real = (type(*) parameters) dlsym(RTLD_NEXT, #name);                                                       \
        type result = real arguments;                                                                                  \
        if (in_turn)                                                                                                   \
            note(CALL_##name, from_ns, clock_of(CLOCK_MONOTONIC) - from_ns);                                           \
        return result;                                                                                                 \
    }

CALLS(WRAP)
