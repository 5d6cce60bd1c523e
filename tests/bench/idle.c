// SPDX-License-Identifier: Apache-2.0
// idle: what a processor still has to give. Runs at idle priority (SCHED_IDLE) on the processor that it was started on,
// looks at the clock without end, and adds up in the shared file FILE the nanoseconds that it had, until it is killed.
// Everything else there goes first, interrupts included, and shows as a gap between two looks that is much longer
// than one takes. So work counts that is far shorter than a tick, and the processor's clock frequency does not.
//
//   idle FILE
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LEARN 100000 // looks, to find out what one takes
#define GAP   10     // times the shortest look: somebody else has run

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static uint64_t shortest_look(void)
{
    uint64_t start = now_ns(), shortest = UINT64_MAX;

    // By sixteens: the clock may be coarser than a look.
    for (int i = 0; i < LEARN / 16; i++) {
        for (int k = 0; k < 15; k++)
            (void) now_ns();
        uint64_t now = now_ns();
        if (now - start < shortest)
            shortest = now - start;
        start = now;
    }
    return shortest / 16 + 1;
}

int main(int argc, char *argv[])
{
    struct sched_param parameters = {.sched_priority = 0};
    int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
    volatile uint64_t *had = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*had), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (had == MAP_FAILED || sched_setscheduler(0, SCHED_IDLE, &parameters) != 0) {
        perror("idle");
        return 1;
    }
    uint64_t gap = GAP * shortest_look();
    for (uint64_t before = now_ns(), now;; before = now) {
        now = now_ns();
        if (now - before < gap)
            *had = *had + (now - before);
    }
}
