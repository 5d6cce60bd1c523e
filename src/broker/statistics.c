// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/statistics.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/directory.h"
#include "common/descriptors.h"
#include "config/load.h"
#include "stats/layout.h"
#include "stats/place.h"
#include "stats/reader.h"

static bool name_new(const char *path, char out[PATH_MAX])
{
    if (snprintf(out, PATH_MAX, "%s.new", path) < PATH_MAX)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

// Makes PATH.new, which only this user may access. Returns its descriptor, or -1 with errno set.
static int create_new(const char *path)
{
    char name[PATH_MAX];

    if (!name_new(path, name) || (unlink(name) != 0 && errno != ENOENT))
        return -1;
    return open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static bool is_regular(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

// Opens the file that the relay locks for life, and makes it if it is missing. Returns its descriptor, or -1 with *why.
static int open_lock(int directory, const char *name, uid_t uid, gid_t gid, const char **why, pid_t *other)
{
    // A query for a read lock reports a daemon's write lock, but no read lock, which anyone could take.
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char path[NAME_MAX + 1];
    struct stat st;

    *why = "the lock of stats_file cannot be made or opened";
    if ((size_t) snprintf(path, sizeof(path), "%s" STATS_LOCK_SUFFIX, name) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = openat(directory, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0)
        return -1;
    // The lock file gets the user's ownership, because the next start may be without root's rights.
    bool ok =
        is_regular(fd) && (geteuid() != 0 || (fstat(fd, &st) == 0 && (st.st_uid != 0 || fchown(fd, uid, gid) == 0)));
    if (ok && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
        *why = "another mcrd uses this stats_file";
        *other = lock.l_pid;
        errno = EBUSY;
        ok = false;
    }
    return ok ? fd : descriptors_close(fd);
}

int statistics_prepare(const char *path, uid_t uid, gid_t gid, const char **why, pid_t *other)
{
    int directory = directory_open(path, 0755, uid, gid), lock = -1;
    const char *name = strrchr(path, '/') + 1;

    *other = 0;
    *why = "the directory of stats_file cannot be made or opened, or is a symbolic link";
    if (directory < 0)
        return -1;
    *why = stats_place_taken(directory, name);
    if (!*why)
        lock = open_lock(directory, name, uid, gid, why, other);
    descriptors_close(directory);
    return lock;
}

_Static_assert(sizeof(((struct stats_output *) NULL)->to) == TABLE_OUTPUT_TEXT_MAX,
               "room for what is shown of an output");
_Static_assert(sizeof(((struct stats_input *) NULL)->to) == TABLE_INPUT_TEXT_MAX &&
                   sizeof(((struct stats_input *) NULL)->leg) == TABLE_LEG_MAX &&
                   sizeof(((struct stats_rule *) NULL)->reason) == TABLE_REASON_MAX,
               "room for what is shown of a rule");
_Static_assert((int) TABLE_MERGE_NONE == (int) STATS_MERGE_NONE && (int) TABLE_MERGE_RTP == (int) STATS_MERGE_RTP &&
                   (int) TABLE_MERGE_ACTIVE == (int) STATS_MERGE_ACTIVE,
               "the statistics show merges as the table has them");
_Static_assert((int) TABLE_MONITOR_NONE == (int) STATS_STREAM_NONE &&
                   (int) TABLE_MONITOR_RTP == (int) STATS_STREAM_RTP &&
                   (int) TABLE_MONITOR_TS == (int) STATS_STREAM_TS &&
                   (int) TABLE_MONITOR_FIELD == (int) STATS_STREAM_FIELD,
               "the statistics show monitors as the table has them");
_Static_assert((int) TABLE_INTERFACE_UP == (int) STATS_INTERFACE_UP &&
                   (int) TABLE_INTERFACE_DOWN == (int) STATS_INTERFACE_DOWN &&
                   (int) TABLE_INTERFACE_MISSING == (int) STATS_INTERFACE_MISSING,
               "the statistics show interfaces as the table has them");

static void fill(void *memory, size_t size, const struct stats_header *told, const struct table_view *t)
{
    struct stats_segment s;

    stats_segment_place(&s, memory, t->n_interfaces, t->n_rules, t->n_inputs);
    *s.header = *told;
    s.header->magic = STATS_MAGIC;
    s.header->version = STATS_VERSION;
    s.header->size = (uint32_t) size;
    s.header->n_interfaces = t->n_interfaces;
    s.header->n_rules = t->n_rules;
    s.header->n_inputs = t->n_inputs;
    s.header->n_outputs = t->n_counters;
    s.header->state = STATS_PREPARED;
    snprintf(s.header->program_version, sizeof(s.header->program_version), "%s", PACKAGE_VERSION);
    memcpy(s.header->instance, t->header->instance, sizeof(s.header->instance));
    for (uint32_t i = 0; i < t->n_interfaces; i++) {
        memcpy(s.interfaces[i].name, t->interfaces[i].name, sizeof(s.interfaces[i].name));
        s.interfaces[i].state = t->interfaces[i].state;
    }
    for (uint32_t i = 0; i < t->n_rules; i++) {
        const struct table_rule *r = &t->rules[i];
        memcpy(s.rules[i].name, r->name, sizeof(s.rules[i].name));
        memcpy(s.rules[i].note, r->note, sizeof(s.rules[i].note));
        s.rules[i].first_input = r->first_input;
        s.rules[i].n_inputs = r->n_inputs;
        s.rules[i].first_output = r->first_counter;
        s.rules[i].n_outputs = r->n_outputs;
        s.rules[i].active_from = r->active_from;
        s.rules[i].active_until = r->active_until;
    }
    for (uint32_t i = 0; i < t->n_inputs; i++) {
        const struct table_input *in = &t->inputs[i];
        memcpy(s.inputs[i].leg, in->leg, sizeof(s.inputs[i].leg));
        s.inputs[i].interface = in->interface;
        s.inputs[i].vlan = in->vlan;
        s.inputs[i].as = t->rules[in->rule].monitor.as;
        table_input_text(in, s.inputs[i].to);
    }
    // A range is described by what the rule's first path holds of it.
    for (uint32_t i = 0; i < t->n_rules; i++)
        for (uint32_t j = 0; j < t->rules[i].n_outputs; j++)
            table_output_text(t, &t->outputs[t->paths[t->rules[i].first_path].first_output + j],
                              s.outputs[t->rules[i].first_counter + j].to);
}

void statistics_read_before(const char *path, struct stats_continued *continued)
{
    struct stats_header h;
    bool consistent;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0 && stats_read_header(fd, &h, &consistent) && consistent && h.magic == STATS_MAGIC &&
        h.version == STATS_VERSION) {
        continued->from_pid = h.pid;
        continued->ended_ns = h.heartbeat_ns;
    }
    descriptors_close(fd);
}

int statistics_create(const char *path, const struct stats_header *told, const struct table_view *table)
{
    size_t size = stats_segment_size(table->n_interfaces, table->n_rules, table->n_inputs, table->n_counters);
    void *memory = MAP_FAILED;
    int fd = create_new(path);

    if (fd < 0)
        return -1;
    // Everyone may read, whatever the umask. All memory is allocated now, so that no write can fail later.
    if (fchmod(fd, 0644) == 0 && ftruncate(fd, (off_t) size) == 0 &&
        (errno = posix_fallocate(fd, 0, (off_t) size)) == 0)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return descriptors_close(fd);
    fill(memory, size, told, table);
    munmap(memory, size);
    return fd;
}

bool statistics_publish(const char *path)
{
    char name[PATH_MAX];

    return name_new(path, name) && rename(name, path) == 0;
}

void statistics_discard(const char *path)
{
    char name[PATH_MAX];

    if (name_new(path, name))
        unlink(name);
}

const char *statistics_back_path(const char *path, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s" STATS_BACK_SUFFIX, path);
    return out;
}

bool statistics_go_back(const char *path)
{
    char name[PATH_MAX];

    return rename(statistics_back_path(path, name), path) == 0;
}

bool statistics_running_back(const char *path)
{
    char running[CONFIG_RUNNING_PATH_MAX];

    return statistics_go_back(config_running_path(path, running));
}

void statistics_forget_back(const char *path)
{
    char running[CONFIG_RUNNING_PATH_MAX], name[PATH_MAX];

    unlink(statistics_back_path(path, name));
    unlink(statistics_back_path(config_running_path(path, running), name));
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0)
            return false;
        text += n;
        size -= (size_t) n;
    }
    return true;
}

bool statistics_save_running(const char *path, bool back, const char *text, size_t size, mode_t mode)
{
    char running[CONFIG_RUNNING_PATH_MAX], name[PATH_MAX];

    config_running_path(path, running);
    snprintf(name, sizeof(name), "%s%s", running, back ? STATS_BACK_SUFFIX : "");
    int fd = create_new(name);

    if (fd < 0)
        return false;
    bool ok = write_all(fd, text, size) && fchmod(fd, (mode & 0044) | 0600) == 0;
    descriptors_close(fd);
    if (ok && statistics_publish(name))
        return true;
    int saved = errno;
    statistics_discard(name);
    errno = saved;
    return false;
}
