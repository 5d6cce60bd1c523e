// SPDX-License-Identifier: Apache-2.0
// replay: runs a fuzz target without libFuzzer, with each file that is named on the command line (of a directory, all
// that lie in it) and then with mutations of them, which are the same each time.
//
//   TARGET [--mutations N] [--seconds N] [--crash FILE] FILE|DIRECTORY...
//
// The target runs in a process of its own. Each input ends where a page begins that cannot be read. Prints one line of
// what was run; an input that ends the process, or keeps it for HANG_SECONDS, is kept in --crash. Exit status: 0
// nothing was found, 1 something was, 2 usage.
#include <config.h>

#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX    (1u << 20) // bytes
#define MUTANT_MAX   (64u << 10)
#define HANG_SECONDS 30

struct seed {
    uint8_t *bytes;
    size_t size;
    char *name;
};

static struct seed *seeds;
static size_t n_seeds;

// Shared with the process that runs the target: what it is at.
static struct shared {
    uint64_t n_seeds, n_mutants;
    size_t size;
    uint8_t bytes[INPUT_MAX];
} * shared;

// --- seeds -----------------------------------------------------------------------------------------------------------

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void add_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) != 0)
        die(path);
    size_t size = (size_t) st.st_size;
    if (size > INPUT_MAX) {
        fprintf(stderr, "%s: more than %u bytes\n", path, INPUT_MAX);
        exit(2);
    }
    struct seed *grown = reallocarray(seeds, n_seeds + 1, sizeof(*seeds));
    uint8_t *bytes = malloc(size + 1);
    if (!grown || !bytes || read(fd, bytes, size) != (ssize_t) size)
        die(path);
    close(fd);
    seeds = grown;
    seeds[n_seeds++] = (struct seed){.bytes = bytes, .size = size, .name = strdup(path)};
}

static void add(const char *path)
{
    struct dirent **entries;
    char file[4096];
    struct stat st;

    if (stat(path, &st) != 0)
        die(path);
    if (!S_ISDIR(st.st_mode)) {
        add_file(path);
        return;
    }
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0)
        die(path);
    for (int i = 0; i < n; i++) {
        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && stat(file, &st) == 0 && S_ISREG(st.st_mode))
            add_file(file);
        free(entries[i]);
    }
    free(entries);
}

// --- mutations -------------------------------------------------------------------------------------------------------

static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

// xorshift64* (Vigna 2016)
static uint32_t draw(uint32_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t) ((state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % (below ? below : 1);
}

// Puts n bytes at `from` in the place of `gone` bytes at `at`.
static size_t replace(uint8_t *bytes, size_t size, size_t at, size_t gone, const uint8_t *from, size_t n)
{
    if (gone > size - at)
        gone = size - at;
    if (size - gone + n > MUTANT_MAX)
        return size;
    memmove(bytes + at + n, bytes + at + gone, size - at - gone);
    memcpy(bytes + at, from, n);
    return size - gone + n;
}

static size_t mutate_once(uint8_t *bytes, size_t size)
{
    static const uint32_t odd[] = {0,   1,   7,    8,     16,    63,    64,         127,       128,
                                   255, 256, 1500, 32767, 32768, 65535, 0x7fffffff, UINT32_MAX};
    const struct seed *other = &seeds[draw((uint32_t) n_seeds)];
    uint8_t piece[64];
    size_t at = draw((uint32_t) size + 1), n = 1 + draw(draw(4) ? 4 : sizeof(piece) - 1);

    switch (draw(7)) {
    case 0:
        if (at < size)
            bytes[at] ^= (uint8_t) (1u << draw(8));
        return size;
    case 1:
        if (at < size)
            bytes[at] = (uint8_t) draw(256);
        return size;
    case 2:
        memcpy(piece, &odd[draw(sizeof(odd) / sizeof(odd[0]))], 4);
        return replace(bytes, size, at, n & 4 ? 4 : 2, piece, n & 4 ? 4 : 2);
    case 3:
        return replace(bytes, size, at, n, piece, 0);
    case 4:
        for (size_t i = 0; i < n; i++)
            piece[i] = (uint8_t) draw(256);
        return replace(bytes, size, at, 0, piece, n);
    case 5: // a piece of itself
        n = n < size - at ? n : size - at;
        memcpy(piece, bytes + at, n);
        return replace(bytes, size, draw((uint32_t) size + 1), draw(2) ? n : 0, piece, n);
    default: // a piece of another one
        if (other->size == 0)
            return size;
        size_t from = draw((uint32_t) other->size);
        n = 1 + draw((uint32_t) (other->size - from));
        return replace(bytes, size, at, draw(2) ? n : 0, other->bytes + from, n);
    }
}

static void mutate(void)
{
    const struct seed *s = &seeds[draw((uint32_t) n_seeds)];

    shared->size = s->size < MUTANT_MAX ? s->size : MUTANT_MAX;
    memcpy(shared->bytes, s->bytes, shared->size);
    for (uint32_t n = 1 + draw(6); n > 0; n--)
        shared->size = mutate_once(shared->bytes, shared->size);
}

// --- running ---------------------------------------------------------------------------------------------------------

static uint8_t *fence; // where the page begins that cannot be read

static void make_fence(void)
{
    uint8_t *room = mmap(NULL, INPUT_MAX + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED || mprotect(room + INPUT_MAX, 65536, PROT_NONE) != 0)
        die("mmap");
    fence = room + INPUT_MAX;
}

static void run_one(void)
{
    uint8_t *at = fence - shared->size;

    memcpy(at, shared->bytes, shared->size);
    alarm(HANG_SECONDS);
    LLVMFuzzerTestOneInput(at, shared->size);
    alarm(0);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void run_all(uint64_t mutations, double seconds)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    double end = now() + seconds;

    LLVMFuzzerInitialize(NULL, NULL);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0) // the log
        die("/dev/null");
    make_fence();
    for (size_t i = 0; i < n_seeds; i++, shared->n_seeds++) {
        shared->size = seeds[i].size;
        memcpy(shared->bytes, seeds[i].bytes, seeds[i].size);
        run_one();
    }
    for (uint64_t i = 0; i < mutations && now() < end; i++, shared->n_mutants++) {
        mutate();
        run_one();
    }
}

static void keep_crash(const char *path, int status)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, shared->bytes, shared->size) != (ssize_t) shared->size)
        perror(path);
    if (fd >= 0)
        close(fd);
    printf("ended by %s %d at %s%s; the input is in %s\n", WIFSIGNALED(status) ? "signal" : "exit status",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
           shared->n_seeds < n_seeds ? seeds[shared->n_seeds].name : "a mutation",
           WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? " (hangs)" : "", path);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"mutations", required_argument, NULL, 'm'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"crash", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    const char *crash = "crash";
    uint64_t mutations = 0;
    double seconds = 5, began = now();
    int option, status = 0;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 'm':
            mutations = strtoull(optarg, NULL, 10);
            break;
        case 's':
            seconds = strtod(optarg, NULL);
            break;
        case 'c':
            crash = optarg;
            break;
        default:
            return 2;
        }
    }
    for (int i = optind; i < argc; i++)
        add(argv[i]);
    if (n_seeds == 0) {
        fprintf(stderr, "usage: %s [--mutations N] [--seconds N] [--crash FILE] FILE|DIRECTORY...\n", argv[0]);
        return 2;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        run_all(mutations, seconds);
        exit(EXIT_SUCCESS);
    }
    while (waitpid(child, &status, 0) < 0)
        ;
    printf("%llu inputs, %llu mutations, %.1f s\n", (unsigned long long) shared->n_seeds,
           (unsigned long long) shared->n_mutants, now() - began);
    if (status == 0)
        return 0;
    keep_crash(crash, status);
    return 1;
}
