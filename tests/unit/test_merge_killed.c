// SPDX-License-Identifier: Apache-2.0
// A process that merges two legs is killed at any instruction, again and again, and the next one goes on in what it has
// left: each number leaves, whatever was half written.
//
// Rings, time and what has left are simulated; the kill is a real one.
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/arena.h"
#include "common/clock.h"
#include "wire/merge.h"

#define T0      (1800000000 * NS_PER_S)
#define US      UINT64_C(1000)
#define MS      UINT64_C(1000000)
#define LENGTH  40u
#define PASS    256u
#define PERIOD  (250 * US) // from number to number
#define DELAY   (50 * MS)  // of leg 1
#define NUMBERS 600000u    // nine times round
#define KILLS   100        // at most: the stream may end before

// What outlives the process.
struct world {
    volatile uint64_t now;        // since T0
    volatile uint32_t heads[2];   // of the rings: the first number that was not given back
    volatile uint32_t which;      // of the memories
    volatile uint32_t in_pass[2]; // of each
    volatile uint32_t lives;      // that have begun
    uint8_t left[NUMBERS];        // how often each number has left
    uint32_t late;
};

static struct world *world;
static uint8_t *memories[2];
static uint32_t batch[2 * PASS], n_batch;

static struct merge_settings settings(uint32_t reorder_ms)
{
    return (struct merge_settings){.by = MERGE_RTP,
                                   .n_legs = 2,
                                   .window_ms = 2000,
                                   .reorder_ms = reorder_ms,
                                   .numbers = 262144, // more than 16 bits tell apart
                                   .max_payload = LENGTH,
                                   .key = {1, 2}};
}

// Each leg lacks numbers that the other one brings.
static bool brings(uint32_t leg, uint32_t n)
{
    return leg == 0 ? n % 100 >= 3 : n % 100 < 50 || n % 100 >= 55;
}

static uint64_t stamp(uint32_t leg, uint32_t n)
{
    return n * PERIOD + leg * DELAY;
}

static void skip_gaps(uint32_t leg)
{
    uint32_t n = world->heads[leg];

    while (!brings(leg, n))
        n++;
    world->heads[leg] = n;
}

static void flush(void)
{
    for (uint32_t i = 0; i < n_batch; i++)
        world->left[batch[i]]++;
    n_batch = 0;
}

static void release(struct merge *m, uint64_t now_ns)
{
    struct merge_held held;
    bool some = false;

    while (merge_next(m, now_ns, &held)) {
        if (n_batch == sizeof(batch) / sizeof(batch[0]))
            flush();
        batch[n_batch++] = (uint32_t) held.tag;
        some = true;
    }
    if (!some)
        return;
    flush();
    merge_sent(m);
}

static void take(struct merge *m, uint32_t leg, uint32_t n, bool holds)
{
    uint32_t time = n * 22;
    const uint8_t p[LENGTH] = {0x80,
                               96,
                               (uint8_t) (n >> 8),
                               (uint8_t) n,
                               (uint8_t) (time >> 24),
                               (uint8_t) (time >> 16),
                               (uint8_t) (time >> 8),
                               (uint8_t) time,
                               1,
                               2,
                               3,
                               4};
    enum merge_verdict verdict = merge_take(m, leg, T0 + stamp(leg, n), p, sizeof(p), n);

    world->late += verdict == MERGE_LATE;
    if (verdict == MERGE_PASSES)
        batch[n_batch++] = n;
    if (holds)
        release(m, 0);
}

// As ingress_pass().
static void pass(struct merge *m, uint32_t leg, bool holds)
{
    uint32_t taken[PASS], n = 0, number = world->heads[leg];

    world->in_pass[world->which] = 1;
    for (; n < PASS && number < NUMBERS && stamp(leg, number) <= world->now; number++)
        if (brings(leg, number)) {
            take(m, leg, number, holds);
            taken[n++] = number;
        }
    flush();
    for (uint32_t i = 0; i < n; i++)
        world->heads[leg] = taken[i] + 1;
    skip_gaps(leg);
    world->in_pass[world->which] = 0;
}

// As relay.c: turns of the loop, until the end of the stream or of the process.
static void live(const struct merge_settings *s, uint32_t life, unsigned seed)
{
    struct merge *before = (struct merge *) memories[world->which], *m = (struct merge *) memories[1 - world->which];

    if (world->now > 0) {
        madvise(m, merge_bytes(s), MADV_REMOVE); // as a new file
        merge_place(s, m);
        if (!merge_resume(s, before))
            abort();
        for (uint32_t leg = 0; world->in_pass[world->which] && leg < 2; leg++)
            merge_forget(before, leg, T0 + stamp(leg, world->heads[leg]));
        merge_copy(m, before);
        world->in_pass[1 - world->which] = 0;
        // From here on the next start finds this one.
        world->which = 1 - world->which;
    } else {
        m = before;
        merge_place(s, m);
    }
    world->lives = life;
    while (world->heads[1] < NUMBERS - 100) {
        world->now += MS + rand_r(&seed) % 4 * MS;
        pass(m, 0, s->reorder_ms > 0);
        pass(m, 1, s->reorder_ms > 0);
        uint64_t settled = world->now - MS;
        for (uint32_t leg = 0; leg < 2; leg++)
            if (stamp(leg, world->heads[leg]) < settled)
                settled = stamp(leg, world->heads[leg]);
        if (s->reorder_ms > 0)
            release(m, T0 + settled);
        if (rand_r(&seed) % 64 == 0)
            merge_look(m, T0 + settled);
    }
}

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(memory, MAP_FAILED);
    return memory;
}

// How long a life lasts at most. An emulated process needs as many turns as another one: when most lives end in their
// first turn, one leg's ring gets ahead of the other's, and what the other brings is late. 20 us do that without an
// emulator.
static useconds_t longest_life_us(void)
{
    return getenv("MCR_TEST_SLOWNESS") ? 200000 : 2500;
}

static void kill_at_any_time(uint32_t reorder_ms, unsigned seed)
{
    struct merge_settings s = settings(reorder_ms);
    uint32_t killed = 0, lost = 0, twice = 0, lives = 0;

    world = shared(sizeof(*world));
    for (int i = 0; i < 2; i++)
        memories[i] = shared(merge_bytes(&s));
    skip_gaps(0);
    skip_gaps(1);
    for (bool ended = false; !ended;) {
        lives++;
        pid_t child = fork();
        int status;
        cr_assert_geq(child, 0);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            live(&s, lives, seed + lives);
            _exit(0);
        }
        for (uint32_t i = rand_r(&seed) % 4 > 0 ? 50000 : 0; i > 0 && world->lives != lives; i--)
            usleep(100);
        usleep((useconds_t) rand_r(&seed) % longest_life_us());
        if (killed < KILLS)
            kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, &status, 0), child);
        ended = WIFEXITED(status);
        cr_assert(ended || WTERMSIG(status) == SIGKILL, "life %u: signal %d", lives, WTERMSIG(status));
        cr_assert(!ended || WEXITSTATUS(status) == 0);
        killed += !ended;
        world->now += rand_r(&seed) % (killed % 8 == 7 ? 2000 : 400) * MS;
    }
    for (uint32_t n = 3; n < NUMBERS - 200; n++) {
        lost += world->left[n] == 0;
        twice += world->left[n] > 1;
    }
    cr_expect_eq(lost, 0, "%u lost behind %u kills", lost, killed);
    cr_expect_leq(twice, killed * 2 * PASS);
    // Those that the slower leg brings of before the first one of the other.
    cr_expect_leq(world->late, 3, "%u late behind %u kills, %u lives", world->late, killed, lives);
    for (int i = 0; i < 2; i++)
        munmap(memories[i], merge_bytes(&s));
    munmap(world, sizeof(*world));
}

Test(merge_killed, in_the_order_of_arrival)
{
    kill_at_any_time(0, 1);
}

Test(merge_killed, in_order)
{
    kill_at_any_time(100, 2);
}
