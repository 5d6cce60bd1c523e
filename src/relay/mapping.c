// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// Always returns false.
static bool __attribute__((format(printf, 2, 3))) refuse(char why[MAPPING_WHY_MAX], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!why[0])
        vsnprintf(why, MAPPING_WHY_MAX, format, args);
    va_end(args);
    return false;
}

static size_t stats_size(const struct table_view *t)
{
    return stats_segment_size(t->n_interfaces, t->n_rules, t->n_inputs, t->n_counters);
}

static void unmap_table(struct table_view *t)
{
    munmap((void *) t->header, t->header->size);
    free(t);
}

static bool attach(int fd, struct table_view *t, char why[MAPPING_WHY_MAX])
{
    const int sealed = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    const char *bad;
    off_t size = lseek(fd, 0, SEEK_END);
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & sealed) != sealed)
        return refuse(why, "the table is not sealed");
    if (size <= 0 || size > (off_t) TABLE_BYTES_MAX)
        return refuse(why, "the table's size is out of bounds");
    void *memory = mmap(NULL, (size_t) size, PROT_READ, MAP_SHARED, fd, 0);
    // Before Linux 6.7, a file that is sealed against writing cannot be mapped with MAP_SHARED.
    if (memory == MAP_FAILED && errno == EPERM)
        memory = mmap(NULL, (size_t) size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED)
        return refuse(why, "the table cannot be mapped: %m");
    if (table_attach(t, memory, (size_t) size, &bad))
        return true;
    munmap(memory, (size_t) size);
    return refuse(why, "the table is not valid: %s", bad);
}

static struct table_view *map_table(int fd, char why[MAPPING_WHY_MAX])
{
    struct table_view *t = malloc(sizeof(*t));

    if (t && attach(fd, t, why))
        return t;
    if (!t)
        refuse(why, "table: %m");
    free(t);
    return NULL;
}

static bool map_stats(int fd, const struct table_view *t, struct stats_segment *segment, char why[MAPPING_WHY_MAX])
{
    if (lseek(fd, 0, SEEK_END) != (off_t) stats_size(t))
        return refuse(why, "the statistics do not fit the table");
    void *memory = mmap(NULL, stats_size(t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return refuse(why, "the statistics cannot be mapped: %m");
    stats_segment_place(segment, memory, t->n_interfaces, t->n_rules, t->n_inputs);
    return true;
}

// The file is far larger than any state, so that the broker need not know its size; what is not written takes no
// memory. *mapped: how much of it is mapped.
static void *map_state(int fd, const struct table_view *t, size_t *mapped, char why[MAPPING_WHY_MAX])
{
    const int sealed = F_SEAL_SHRINK | F_SEAL_SEAL;
    uint64_t size = *mapped = forward_bytes(t);
    int seals = fcntl(fd, F_GET_SEALS);

    if (size == 0) {
        refuse(why, "no memory for the state");
        return NULL;
    }
    if (seals < 0 || (seals & sealed) != sealed || lseek(fd, 0, SEEK_END) != (off_t) HANDOVER_STATE_BYTES ||
        size > HANDOVER_STATE_BYTES) {
        refuse(why, "the memory is no such file, or too small");
        return NULL;
    }
    void *memory = mmap(NULL, (size_t) size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED)
        return memory;
    refuse(why, "the memory cannot be mapped: %m");
    return NULL;
}

struct forward *mapping_new(const int offered[HANDOVER_PLAIN], uint64_t now_ns, char why[MAPPING_WHY_MAX])
{
    struct table_view *t = map_table(offered[HANDOVER_TABLE], why);
    struct stats_segment segment = {.header = NULL};
    void *state = NULL;
    size_t size;

    if (t && map_stats(offered[HANDOVER_STATS], t, &segment, why) &&
        (state = map_state(offered[HANDOVER_STATE], t, &size, why))) {
        struct forward *f = forward_new(t, &segment, state, now_ns);
        if (f) {
            f->mapped = size;
            return f;
        }
        refuse(why, "forwarding state: %m");
    }
    if (state)
        munmap(state, size);
    if (segment.header)
        munmap(segment.header, stats_size(t));
    if (t)
        unmap_table(t);
    return NULL;
}

struct forward *mapping_resume(const int offered[HANDOVER_OFFER_FDS], uint64_t now_ns, char why[MAPPING_WHY_MAX])
{
    struct table_view *t = map_table(offered[HANDOVER_TABLE_BEFORE], why);
    size_t size;
    void *state = t ? map_state(offered[HANDOVER_STATE_BEFORE], t, &size, why) : NULL;
    const char *bad = "";

    if (state) {
        struct forward *f = forward_resume(t, state, size, now_ns, &bad);
        if (f) {
            f->mapped = size;
            return f;
        }
        refuse(why, "%s", bad);
        munmap(state, size);
    }
    if (t)
        unmap_table(t);
    return NULL;
}

void mapping_drop(struct forward *f)
{
    if (!f)
        return;
    struct table_view *t = (struct table_view *) f->table;
    void *stats = f->stats.header, *state = f->memory;
    size_t size = f->mapped;

    forward_free(f);
    munmap(state, size);
    if (stats)
        munmap(stats, stats_size(t));
    unmap_table(t);
}
