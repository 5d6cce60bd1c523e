// SPDX-License-Identifier: Apache-2.0
// Stands in for a running mcrd, as far as mcrd --diff and --reload see one: a statistics segment under a
// write lock, and a process that SIGHUP reaches. It relays nothing. It can also be what a daemon never is.
//
// usage: standin STATS_FILE [KEY=VALUE...]
//
//   file=PATH        the config file that it claims to run
//   sha256=HEX       and its digest
//   on_hup=WHAT      accept (the default), refuse, ignore, exit, hostile (refuses with control characters)
//   then=HEX         the digest after it has accepted; sha256 by default
//   delay_ms=N       before the answer; 0
//   inputs_most=N    0
//   pid=N version=N state=N
//                    what to claim in place of the truth
//   lock=0           holds no lock
//
// Prints "ready" once all is in place, then "hup" at each SIGHUP. Ends at SIGTERM, or when its input ends.
#include <config.h>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "stats/layout.h"

static char **arguments;

static const char *option(const char *name, const char *fallback)
{
    size_t length = strlen(name);

    for (char **a = arguments; *a; a++)
        if (strncmp(*a, name, length) == 0 && (*a)[length] == '=')
            return *a + length + 1;
    return fallback;
}

static unsigned long number(const char *name, unsigned long fallback)
{
    const char *text = option(name, NULL);

    return text ? strtoul(text, NULL, 10) : fallback;
}

static void fail(const char *what)
{
    perror(what);
    exit(99);
}

static void parse_digest(const char *hex, uint8_t digest[32])
{
    for (size_t i = 0; i < 32; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            break;
        digest[i] = (uint8_t) byte;
    }
}

static void write_header(int fd, struct stats_header *h)
{
    // Odd while it is written, as the relay does it.
    h->sequence++;
    if (pwrite(fd, h, sizeof(*h), 0) != (ssize_t) sizeof(*h))
        fail("pwrite");
    h->sequence++;
    if (pwrite(fd, h, sizeof(*h), 0) != (ssize_t) sizeof(*h))
        fail("pwrite");
}

static int publish(const char *path, struct stats_header *h)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    static int locked = -1; // kept open
    char name[512];

    snprintf(name, sizeof(name), "%s" STATS_LOCK_SUFFIX, path);
    if (locked < 0 && number("lock", 1) &&
        ((locked = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0 || fcntl(locked, F_SETLK, &lock) != 0))
        fail(name);
    snprintf(name, sizeof(name), "%s.new", path);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        fail(name);
    write_header(fd, h);
    if (rename(name, path) != 0)
        fail(path);
    return fd;
}

static void pause_ms(unsigned long ms)
{
    struct timespec t = {.tv_sec = (time_t) (ms / 1000), .tv_nsec = (long) (ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static void answer(const char *path, int *fd, struct stats_header *h)
{
    const char *how = option("on_hup", "accept"), *then = option("then", NULL);

    h->asked++;
    write_header(*fd, h);
    pause_ms(number("delay_ms", 0));
    if (strcmp(how, "exit") == 0)
        exit(0);
    if (strcmp(how, "ignore") == 0)
        return;
    h->answered = h->asked;
    h->verdict = strcmp(how, "accept") == 0 ? STATS_VERDICT_ACCEPTED : STATS_VERDICT_REFUSED;
    if (h->verdict == STATS_VERDICT_REFUSED) {
        snprintf(h->refusal, sizeof(h->refusal), "%s",
                 strcmp(how, "hostile") == 0 ? "f.conf:1: \x1b[2Jno\xff" : "f.conf:1: no memory");
        write_header(*fd, h);
        return;
    }
    struct stats_header old = *h;
    old.state = STATS_SUPERSEDED;
    write_header(*fd, &old);
    close(*fd);
    pause_ms(20);
    h->generation++;
    if (then)
        parse_digest(then, h->sha256);
    *fd = publish(path, h);
}

int main(int argc, char **argv)
{
    struct stats_header h = {.magic = STATS_MAGIC, .size = sizeof(h), .generation = 1, .asked = 5, .answered = 5};
    sigset_t signals;

    if (argc < 2)
        return 2;
    arguments = argv + 2;
    h.version = (uint32_t) number("version", STATS_VERSION);
    h.state = (uint32_t) number("state", STATS_LIVE);
    h.inputs_most = (uint32_t) number("inputs_most", 0);
    h.pid = (uint32_t) number("pid", (unsigned long) getpid());
    snprintf(h.file, sizeof(h.file), "%s", option("file", "/etc/mcr/mcr.conf"));
    parse_digest(option("sha256", ""), h.sha256);
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC), fd = publish(argv[1], &h);
    if (signal_fd < 0)
        fail("signalfd");
    gid_t extra = (gid_t) number("extra_gid", getegid());
    if (option("gid", NULL) && (setgroups(1, &extra) != 0 || setgid((gid_t) number("gid", getegid())) != 0))
        fail("setgid");
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd p[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
        struct signalfd_siginfo info;
        char byte;
        if (poll(p, 2, -1) < 0)
            fail("poll");
        if (p[1].revents && read(STDIN_FILENO, &byte, 1) <= 0)
            return 0;
        if (!p[0].revents)
            continue;
        if (read(signal_fd, &info, sizeof(info)) != (ssize_t) sizeof(info) || info.ssi_signo == SIGTERM)
            return 0;
        puts("hup");
        fflush(stdout);
        answer(argv[1], &fd, &h);
    }
}
