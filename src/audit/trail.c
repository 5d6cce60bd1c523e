// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "audit/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/descriptors.h"

_Static_assert(TRAIL_OLD <= 9, "one digit each");

const char *trail_name(const char *path, unsigned age, char out[TRAIL_NAME_MAX])
{
    if (age == 0)
        snprintf(out, TRAIL_NAME_MAX, "%s", path);
    else
        snprintf(out, TRAIL_NAME_MAX, "%s.%u", path, age);
    return out;
}

bool trail_writes(const char *path, const char *name)
{
    size_t length = strlen(path);
    const char *end = name + length;

    if (strncmp(name, path, length) != 0)
        return false;
    return *end == '\0' || strcmp(end, TRAIL_LOCK_SUFFIX) == 0 ||
           (end[0] == '.' && end[1] >= '1' && end[1] <= '0' + TRAIL_OLD && end[2] == '\0');
}

// One byte more than a record has tells that a line is none.
struct line {
    char text[CHAIN_LINE_MAX];
    size_t length;
};

static void add(struct line *line, const char *bytes, size_t n)
{
    size_t room = sizeof(line->text) - line->length;

    memcpy(line->text + line->length, bytes, n < room ? n : room);
    line->length += n < room ? n : room;
}

bool trail_read(int fd, trail_each *each, void *context, bool tail, uint64_t *whole, bool *cut)
{
    struct line line = {.length = 0};
    char block[16384];
    uint64_t total = 0;
    ssize_t n;

    *whole = 0;
    while ((n = read(fd, block, sizeof(block))) > 0) {
        const char *at = block, *end = block + n, *newline;
        while ((newline = memchr(at, '\n', (size_t) (end - at)))) {
            add(&line, at, (size_t) (newline - at));
            each(context, line.text, line.length);
            line.length = 0;
            at = newline + 1;
            *whole = total + (uint64_t) (at - block);
        }
        add(&line, at, (size_t) (end - at));
        total += (uint64_t) n;
    }
    *cut = total > *whole;
    if (*cut && tail)
        each(context, line.text, line.length);
    return n == 0;
}

// Returns -1 with errno set.
static int open_one(const char *name, struct stat *st)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
        return fd;
    if (fd >= 0)
        errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
    return descriptors_close(fd);
}

bool trail_open(struct trail *t, const char *path)
{
    char name[TRAIL_NAME_MAX];
    struct stat st, younger = {0};

    *t = (struct trail){.complete = true};
    // From the youngest on: a file that rotation renames meanwhile is met again, and left out.
    for (unsigned age = 0; age <= TRAIL_OLD; age++) {
        int fd = open_one(trail_name(path, age, name), &st);
        if (fd < 0 && errno != ENOENT && t->error == 0) {
            t->error = errno;
            t->unread = age;
        }
        if (fd >= 0 && age > 0 && st.st_dev == younger.st_dev && st.st_ino == younger.st_ino)
            fd = descriptors_close(fd);
        else if (fd >= 0) {
            memmove(t->fds + 1, t->fds, t->n * sizeof(t->fds[0]));
            memmove(t->ages + 1, t->ages, t->n * sizeof(t->ages[0]));
            t->fds[0] = fd;
            t->ages[0] = age;
            t->n++;
            younger = st;
            t->complete = age < TRAIL_OLD;
        }
    }
    if (t->n == 0)
        errno = t->error ? t->error : ENOENT;
    return t->n > 0;
}

void trail_close(struct trail *t)
{
    int saved = errno;

    while (t->n > 0)
        close(t->fds[--t->n]);
    errno = saved;
}
