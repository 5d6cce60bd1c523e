// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/swap_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool swap_refuse(char why[SWAP_WHY_MAX], const char *what)
{
    snprintf(why, SWAP_WHY_MAX, "%s", what);
    return false;
}

bool swap_refuse_errno(char why[SWAP_WHY_MAX], const char *what)
{
    snprintf(why, SWAP_WHY_MAX, "%s: %s", what, strerror(errno));
    return false;
}
void swap_table_free(struct swap_table *t)
{
    if (!t)
        return;
    forward_free(t->forward);
    if (t->memory)
        munmap(t->memory, t->size);
    if (t->stats_memory)
        munmap(t->stats_memory, t->stats_size);
    free(t);
}

static bool map_table(struct swap_table *t, int fd, char why[SWAP_WHY_MAX])
{
    const int sealed = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    const char *bad;
    off_t size = lseek(fd, 0, SEEK_END);
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & sealed) != sealed)
        return swap_refuse(why, "the table is not sealed");
    if (size <= 0 || size > (off_t) TABLE_BYTES_MAX)
        return swap_refuse(why, "the table's size is out of bounds");
    void *memory = mmap(NULL, (size_t) size, PROT_READ, MAP_SHARED, fd, 0);
    // Before Linux 6.7 a file that is sealed against writing cannot be mapped MAP_SHARED.
    if (memory == MAP_FAILED && errno == EPERM)
        memory = mmap(NULL, (size_t) size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED)
        return swap_refuse_errno(why, "the table cannot be mapped");
    t->memory = memory;
    t->size = (size_t) size;
    if (table_attach(&t->view, t->memory, t->size, &bad))
        return true;
    snprintf(why, SWAP_WHY_MAX, "the table is not valid: %s", bad);
    return false;
}

static bool map_stats(struct swap_table *t, int fd, struct stats_segment *segment, char why[SWAP_WHY_MAX])
{
    off_t size = lseek(fd, 0, SEEK_END);

    t->stats_size = stats_segment_size(t->view.n_interfaces, t->view.n_rules, t->view.n_counters);
    if (size != (off_t) t->stats_size)
        return swap_refuse(why, "the statistics do not fit the table");
    void *memory = mmap(NULL, t->stats_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return swap_refuse_errno(why, "the statistics cannot be mapped");
    t->stats_memory = memory;
    stats_segment_place(segment, memory, t->view.n_interfaces, t->view.n_rules);
    return true;
}

struct swap_table *swap_table_map(int table, int stats, uint64_t now_ns, char why[SWAP_WHY_MAX])
{
    struct swap_table *t = calloc(1, sizeof(*t));
    struct stats_segment segment;

    if (!t) {
        swap_refuse_errno(why, "table");
        return NULL;
    }
    if (map_table(t, table, why) && map_stats(t, stats, &segment, why)) {
        t->forward = forward_new(&t->view, &segment, now_ns);
        if (t->forward)
            return t;
        swap_refuse_errno(why, "forwarding state");
    }
    swap_table_free(t);
    return NULL;
}
